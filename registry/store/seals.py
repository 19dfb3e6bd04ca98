"""The release log and what stands beside it: a signed envelope for each entry, a signed head, the key sets."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import Connection, func, insert, select

from registry import signing, verification
from registry.errors import Conflict, Damaged, NotFound
from registry.store import tables as t
from registry.store.database import Database
from registry.verification import Unverified

if TYPE_CHECKING:
    from registry.keys import Keys


class Sealed(NamedTuple):
    """An entry of the release log as it was sealed, and its signed envelope (empty: it was never signed)."""

    entry: bytes
    envelope: bytes


class Seals:
    """What the store says of the release log and of its signatures."""

    database: Database

    def log_entries(self, after: int = 0, limit: int = 1000) -> list[bytes]:
        """Entries of the release log as they were sealed, after the entry ``after``."""
        return [one.entry for one in self.sealed_entries(after, limit)]

    def sealed_entries(self, after: int = 0, limit: int = 1000) -> list[Sealed]:
        """Entries of the release log with their signatures, after the entry ``after``."""
        with self.database.reading() as connection:
            query = select(t.log.c.entry, t.signature.c.envelope).outerjoin(
                t.signature, t.signature.c.seq == t.log.c.seq
            )
            rows = connection.execute(query.where(t.log.c.seq > after).order_by(t.log.c.seq).limit(limit))
            return [Sealed(row.entry.encode(), (row.envelope or "").encode()) for row in rows]

    def head(self) -> int:
        """How many entries the release log has: it names the state of everything that is derived."""
        with self.database.reading() as connection:
            return int(connection.execute(select(func.coalesce(func.max(t.log.c.seq), 0))).scalar_one())

    def checkpoint(self, size: int | None = None) -> bytes:
        """The signed head of the log as it was when it had so many entries; as it is now without ``size``.

        :raises NotFound: if the log never had that size, or is not signed.
        """
        with self.database.reading() as connection:
            query = select(t.checkpoint.c.note).order_by(t.checkpoint.c.size.desc()).limit(1)
            if size is not None:
                query = query.where(t.checkpoint.c.size == size)
            found = connection.execute(query).scalar()
        if found is None:
            raise NotFound("checkpoint", "" if size is None else str(size))
        return str(found).encode()

    def key_sets(self) -> list[bytes]:
        """The key sets that the registry registered, from the first, as they were signed."""
        with self.database.reading() as connection:
            return _key_sets(connection)

    def sign_log(self, keys: Keys) -> int:
        """Register the first key set if there is none, and sign a log that no one ever signed; return how many entries.

        :raises KeyRefused: if the keys can't sign.
        :raises Damaged: if a part of the log is signed and a part is not.
        """
        with self.database.writing() as connection:
            return Appending(connection, keys).signed

    def add_key_set(self, envelope: bytes, keys: Keys, at: datetime) -> int:
        """Put a new key set in force: its row and its log entry, in one transaction; return its version.

        The entry is signed by the new set's publication keys. A revocation that would undo what was signed is refused.

        :raises Conflict: if the log would no longer be verified, for instance by a revocation of what was signed.
        """
        with self.database.writing() as connection:
            log = Appending(connection, keys)
            sets = [*_key_sets(connection), envelope]
            try:
                found = verification.key_sets(sets)[-1]
                log.change_keys(envelope, keys)
                log.add(
                    signing.key_change(
                        found.registry,
                        seq=log.seq,
                        issued=at,
                        previous=log.previous,
                        key_set_version=found.version,
                        digest=found.sha256,
                    )
                )
                verification.verify_log(*_log(connection), sets)
            except Unverified as error:
                raise Conflict(str(error)) from error
            return found.version


class Appending:
    """The end of the release log within a transaction: ``seq`` and ``previous`` are what the next entry must say.

    Before it lets anything be appended it follows the log that is there up to its signed head: what was altered behind
    the registry's back is not signed over.

    :raises KeyRefused: if the keys can't sign.
    :raises Damaged: if the log is not what its head signs.
    """

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection, self._tree = connection, verification.Tree()
        registered = _key_sets(connection)
        self._seal = keys.seal(registered)
        if not registered:
            self._register(keys.sets[0])
        self.seq, self.previous, self.signed = 1, signing.FIRST, 0
        signatures = connection.execute(select(func.count()).select_from(t.signature)).scalar_one()
        entries = [row.entry.encode() for row in connection.execute(select(t.log.c.entry).order_by(t.log.c.seq))]
        if signatures not in (0, len(entries)) or (entries and not signatures and len(registered) > 1):
            raise Damaged(f"release log: {signatures} signatures for {len(entries)} entries")
        if not signatures:
            signing.check_chain(entries)
        for entry in entries:
            self._grow(entry)
            if not signatures:
                self._sign(entry)
                self.signed += 1
        if signatures:
            self._check_head()

    def add(self, entry: bytes) -> None:
        """Append an entry, its signatures and the new head."""
        digest = signing.sha256(entry)
        self._connection.execute(insert(t.log).values(seq=self.seq, sha256=digest, entry=entry.decode()))
        self._grow(entry)
        self._sign(entry)

    def change_keys(self, envelope: bytes, keys: Keys) -> None:
        """Let a new key set sign from the next entry on."""
        self._register(envelope)
        self._seal = keys.seal(_key_sets(self._connection))

    def _register(self, envelope: bytes) -> None:
        payload = verification.open_envelope(envelope, verification.KEYS, "key set")[0]
        version = verification.key_set(payload).version
        self._connection.execute(insert(t.key_set).values(version=version, envelope=envelope.decode()))

    def _grow(self, entry: bytes) -> None:
        self._tree.add(entry)
        self.previous, self.seq = signing.sha256(entry), self.seq + 1

    def _sign(self, entry: bytes) -> None:
        """Sign the entry that came last, and the head with it."""
        size = self.seq - 1
        envelope = self._seal.envelope(entry)
        note = self._seal.checkpoint(size, self._tree.root())
        self._connection.execute(insert(t.signature).values(seq=size, envelope=envelope.decode()))
        self._connection.execute(insert(t.checkpoint).values(size=size, note=note.decode()))

    def _check_head(self) -> None:
        size = self.seq - 1
        note = self._connection.execute(select(t.checkpoint.c.note).where(t.checkpoint.c.size == size)).scalar() or ""
        root = base64.b64encode(self._tree.root()).decode()
        try:
            head = verification.read_checkpoint(note.encode(), "release log")
            verification.verify_checkpoint("release log", head, self._seal.key_set, {})
        except Unverified as error:
            raise Damaged(str(error)) from error
        if base64.b64encode(head.root).decode() != root or head.size != size:
            raise Damaged("release log: its entries are not those that its head signs")


def _key_sets(connection: Connection) -> list[bytes]:
    rows = connection.execute(select(t.key_set.c.envelope).order_by(t.key_set.c.version))
    return [row.envelope.encode() for row in rows]


def _log(connection: Connection) -> tuple[list[bytes], list[bytes], bytes]:
    """The whole log as a verifier reads it: entries, envelopes, head."""
    entries = [row.entry.encode() for row in connection.execute(select(t.log.c.entry).order_by(t.log.c.seq))]
    envelopes = connection.execute(select(t.signature.c.envelope).order_by(t.signature.c.seq))
    note = connection.execute(select(t.checkpoint.c.note).where(t.checkpoint.c.size == len(entries))).scalar_one()
    return entries, [row.envelope.encode() for row in envelopes], note.encode()
