"""Drafts: a base release and what is changed on it, until they are published."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import orjson
from sqlalchemy import insert, select

from registry import signing
from registry.errors import NotFound
from registry.formats.document import concept_from, concept_state, link_document
from registry.model import Concept, Decision, Group, Link, Nomenclature, texts
from registry.store import tables as t
from registry.store.releases import Releases, nomenclature_id
from registry.store.states import decision_from, decision_json, heading_from, heading_json, insert_all


@dataclass(frozen=True, slots=True)
class Draft:
    """A draft: the states that differ from its base (None: the code is gone), all lineage, groups, heading.

    ``base`` is the version that it rests on, empty for a first release.
    """

    id: int
    nomenclature: Nomenclature
    base: str
    state: str
    created: datetime
    concepts: dict[str, Concept | None]
    links: frozenset[Link]
    groups: tuple[Group, ...]
    decision: Decision


class Drafts(Releases):
    """What the store says of drafts."""

    def add_draft(
        self,
        nomenclature: Nomenclature,
        base: str,
        *,
        concepts: dict[str, Concept | None],
        links: frozenset[Link],
        groups: tuple[Group, ...],
        decision: Decision,
    ) -> int:
        """Keep a new open draft and return its number.

        :raises NotFound: if there is no such nomenclature or base.
        """
        number = self.edition(nomenclature.slug, base).number if base else 0
        with self.database.writing() as connection:
            scheme = nomenclature_id(connection, nomenclature.slug)
            if scheme is None:
                raise NotFound("nomenclature", nomenclature.slug)
            draft_id = connection.execute(
                insert(t.draft)
                .values(
                    nomenclature_id=scheme,
                    base_number=number,
                    state="open",
                    created=signing.instant(datetime.now(UTC)),
                    heading=heading_json(nomenclature),
                    groups=orjson.dumps([(g.code, g.pref_label, g.members) for g in groups]).decode(),
                    links=orjson.dumps([link_document(link) for link in sorted(links)]).decode(),
                    decision=decision_json(decision),
                )
                .returning(t.draft.c.id)
            ).scalar_one()
            rows = (
                {
                    "draft_id": draft_id,
                    "code": code,
                    "state": orjson.dumps(concept_state(concept)).decode() if concept else None,
                }
                for code, concept in concepts.items()
            )
            insert_all(connection, t.draft_concept, rows)
            return int(draft_id)

    def draft(self, draft_id: int) -> Draft:
        """A draft by its number.

        :raises NotFound: if there is none.
        """
        with self.database.reading() as connection:
            row = connection.execute(select(t.draft).where(t.draft.c.id == draft_id)).one_or_none()
            if row is None:
                raise NotFound("draft", str(draft_id))
            base = connection.execute(
                select(t.release.c.version).where(
                    t.release.c.nomenclature_id == row.nomenclature_id, t.release.c.number == row.base_number
                )
            ).scalar()
            concepts = connection.execute(
                select(t.draft_concept.c.code, t.draft_concept.c.state)
                .where(t.draft_concept.c.draft_id == draft_id)
                .order_by(t.draft_concept.c.code)
            )
            return Draft(
                id=row.id,
                nomenclature=heading_from(row.heading),
                base=base or "",
                state=row.state,
                created=datetime.fromisoformat(row.created).astimezone(UTC),
                concepts={
                    found.code: concept_from(orjson.loads(found.state)) if found.state else None for found in concepts
                },
                links=frozenset(_link(link) for link in orjson.loads(row.links)),
                groups=tuple(
                    Group(code, texts((tag, text) for tag, text in label), tuple(members))
                    for code, label, members in orjson.loads(row.groups)
                ),
                decision=decision_from(row.decision),
            )


def _link(found: dict[str, Any]) -> Link:
    return Link(found["old"], found["new"], date.fromisoformat(found["date"]), found["kind"])
