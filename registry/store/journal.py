"""The journal: who did what, when and from where; a chain that only grows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import rfc8785
from sqlalchemy import insert, select

from registry import signing
from registry.store import tables as t
from registry.store.releases import Releases

if TYPE_CHECKING:
    from registry.access import Actor


class Journal(Releases):
    """What the store says of the journal."""

    def add_journal_entry(
        self,
        kind: Literal["action", "refusal"],
        actor: Actor,
        operation: str,
        object: str,
        *,
        organisation: str = "",
        before: str = "",
        after: str = "",
    ) -> None:
        """Append an entry; within ``at_once`` it is part of what is done there."""
        with self.database.writing() as connection:
            last = connection.execute(select(t.journal).order_by(t.journal.c.seq.desc()).limit(1)).one_or_none()
            seq, previous = (last.seq + 1, last.sha256) if last else (1, signing.FIRST)
            entry = rfc8785.dumps(
                {
                    "type": kind,
                    "seq": seq,
                    "at": signing.instant(datetime.now(UTC)),
                    "previous": previous,
                    "person": actor.person,
                    "door": actor.door,
                    "operation": operation,
                    "object": object[:500],
                    "organisation": organisation,
                    "before": before,
                    "after": after,
                    "origin": actor.origin,
                    "request": actor.request,
                }
            )
            connection.execute(insert(t.journal).values(seq=seq, sha256=signing.sha256(entry), entry=entry.decode()))

    def add_refusal(self, actor: Actor, operation: str, object: str, *, organisation: str = "") -> None:
        """Append that somebody was refused something: it stays written even if what it is part of comes to nothing."""

        def write() -> None:
            self.add_journal_entry("refusal", actor, operation, object, organisation=organisation)

        write()
        self.database.if_undone(write)

    def journal_entries(self, after: int = 0, limit: int = 1000) -> list[bytes]:
        """Entries of the journal as they were sealed, after the entry ``after``."""
        with self.database.reading() as connection:
            query = select(t.journal.c.entry).where(t.journal.c.seq > after).order_by(t.journal.c.seq).limit(limit)
            return [row.entry.encode() for row in connection.execute(query)]
