"""Drafts: a base release and what is changed on it, until they are published."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any, Literal, NamedTuple, TypeVar, get_args

import orjson
from sqlalchemy import Select, and_, delete, func, insert, select, update

from registry import signing
from registry.errors import NotFound
from registry.formats.document import concept_from, concept_state, link_document
from registry.model import Concept, Decision, Group, Link, Nomenclature, texts
from registry.store import tables as t
from registry.store.releases import Releases, nomenclature_id
from registry.store.states import decision_from, decision_json, heading_from, heading_json, insert_all
from registry.store.votes import voting_rules_from
from registry.votes import Ballot

DraftState = Literal["open", "submitted", "approved", "rejected", "scheduled", "published", "withdrawn"]
DRAFT_STATES: tuple[DraftState, ...] = get_args(DraftState)


@dataclass(frozen=True, slots=True)
class DraftHead:
    """What is known of a draft without reading its content.

    ``base`` is the version that it rests on, empty for a first release. ``revision`` grows with everything that
    happens to it. ``version``, ``valid_from``, ``corrects`` and ``submission`` (the hash that is voted on) are those
    that it was submitted with; ``ballots`` are all the votes there were on it, by round.
    """

    id: int
    nomenclature: Nomenclature
    base: str
    state: DraftState
    created: datetime
    decision: Decision
    title: str = ""
    author: str = ""
    organisation: str = ""
    revision: int = 1
    version: str = ""
    valid_from: date | None = None
    corrects: str = ""
    submission: str = ""
    round: int = 0
    ballots: tuple[Ballot, ...] = ()
    publish_at: datetime | None = None
    scheduled_by: str = ""
    released: str = ""

    @property
    def ballot(self) -> Ballot | None:
        """The vote on what is submitted now; None if nothing is, or no vote is asked for."""
        last = self.ballots[-1] if self.ballots else None
        return last if last and not last.voided_at and last.submission == self.submission else None


@dataclass(frozen=True, slots=True)
class Draft(DraftHead):
    """A draft, whole: the states that differ from its base (None: the code is gone), all lineage and groups."""

    concepts: Mapping[str, Concept | None] = field(default_factory=dict)
    links: frozenset[Link] = frozenset()
    groups: tuple[Group, ...] = ()


_Head = TypeVar("_Head", bound=DraftHead)


class ConceptEdit(NamedTuple):
    """A draft's own state of a code (None: it is gone), how often it was edited, and by whom last."""

    concept: Concept | None
    revision: int
    editor: str


_VERSION = select(t.release.c.version).where(t.release.c.nomenclature_id == t.draft.c.nomenclature_id)
_HEADS = select(
    t.draft,
    func.coalesce(_VERSION.where(t.release.c.number == t.draft.c.base_number).scalar_subquery(), "").label("base"),
    func.coalesce(_VERSION.where(t.release.c.id == t.draft.c.release_id).scalar_subquery(), "").label("released"),
)


class Drafts(Releases):
    """What the store says of drafts."""

    def add_draft(
        self,
        nomenclature: Nomenclature,
        base: str,
        *,
        concepts: Mapping[str, Concept | None],
        links: frozenset[Link],
        groups: tuple[Group, ...],
        decision: Decision,
        title: str = "",
        author: str = "",
        organisation: str = "",
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
                    groups=_groups_json(groups),
                    links=_links_json(links),
                    decision=decision_json(decision),
                    title=title,
                    author=author,
                    organisation=organisation,
                )
                .returning(t.draft.c.id)
            ).scalar_one()
            insert_all(connection, t.draft_concept, _rows(draft_id, concepts, author))
            return int(draft_id)

    def draft(self, draft_id: int) -> Draft:
        """A draft by its number, whole.

        :raises NotFound: if there is none.
        """
        with self.database.reading() as connection:
            row = connection.execute(_HEADS.where(t.draft.c.id == draft_id)).one_or_none()
            if row is None:
                raise NotFound("draft", str(draft_id))
            concepts = connection.execute(
                select(t.draft_concept.c.code, t.draft_concept.c.state)
                .where(t.draft_concept.c.draft_id == draft_id)
                .order_by(t.draft_concept.c.code)
            )
            return Draft(
                **_head_values(row),
                concepts={found.code: _concept(found.state) for found in concepts},
                links=frozenset(_link(link) for link in orjson.loads(row.links)),
                groups=tuple(
                    Group(code, texts((tag, text) for tag, text in label), tuple(members))
                    for code, label, members in orjson.loads(row.groups)
                ),
            )

    def draft_head(self, draft_id: int) -> DraftHead:
        """What is known of a draft without its content.

        :raises NotFound: if there is none.
        """
        with self.database.reading() as connection:
            row = connection.execute(_HEADS.where(t.draft.c.id == draft_id)).one_or_none()
        if row is None:
            raise NotFound("draft", str(draft_id))
        return _head(row)

    def drafts(
        self, *, slug: str | None = None, state: str | None = None, after: int = 0, limit: int = 100
    ) -> tuple[list[DraftHead], int]:
        """Drafts in the order of their numbers, those after ``after``, and how many there are in all."""
        conditions = [t.draft.c.state == state] if state is not None else []
        with self.database.reading() as connection:
            if slug is not None:
                conditions.append(t.draft.c.nomenclature_id == (nomenclature_id(connection, slug) or 0))
            total = connection.execute(select(func.count()).select_from(t.draft).where(*conditions)).scalar_one()
            page = _HEADS.where(*conditions, t.draft.c.id > after).order_by(t.draft.c.id).limit(limit)
            return [_head(row) for row in connection.execute(page)], total

    def balloted_drafts(self) -> list[DraftHead]:
        """Every draft on which there was a vote, in the order of their numbers."""
        return self._heads(_HEADS.where(t.draft.c.ballot != ""))

    def due_drafts(self, now: datetime) -> list[DraftHead]:
        """Drafts whose publication was set for this instant or before, the earliest first."""
        due = and_(t.draft.c.state == "scheduled", t.draft.c.publish_at <= signing.instant(now))
        return self._heads(_HEADS.where(due).order_by(t.draft.c.publish_at))

    def _heads(self, query: Select[Any]) -> list[DraftHead]:
        with self.database.reading() as connection:
            return [_head(row) for row in connection.execute(query.order_by(t.draft.c.id))]

    def draft_concept(self, draft_id: int, code: str) -> ConceptEdit | None:
        """A draft's own state of a code; None where the draft leaves its base as it is."""
        with self.database.reading() as connection:
            row = connection.execute(
                select(t.draft_concept).where(t.draft_concept.c.draft_id == draft_id, t.draft_concept.c.code == code)
            ).one_or_none()
        return ConceptEdit(_concept(row.state), row.revision, row.editor) if row is not None else None

    def put_draft_concepts(self, draft_id: int, states: Mapping[str, Concept | None], editor: str) -> None:
        """Keep states of codes that differ from the base of a draft (None: the code is gone)."""
        with self.database.writing() as connection:
            for row in _rows(draft_id, states, editor):
                place = and_(t.draft_concept.c.draft_id == draft_id, t.draft_concept.c.code == row["code"])
                changed = connection.execute(
                    update(t.draft_concept)
                    .where(place)
                    .values(state=row["state"], editor=editor, revision=t.draft_concept.c.revision + 1)
                )
                if not changed.rowcount:
                    connection.execute(insert(t.draft_concept).values(row))

    def drop_draft_concepts(self, draft_id: int, codes: Iterable[str]) -> None:
        """Let codes be in a draft as they are in its base."""
        with self.database.writing() as connection:
            for code in codes:
                connection.execute(
                    delete(t.draft_concept).where(
                        t.draft_concept.c.draft_id == draft_id, t.draft_concept.c.code == code
                    )
                )

    def change_draft(
        self,
        before: DraftHead,
        after: _Head,
        *,
        links: frozenset[Link] | None = None,
        groups: tuple[Group, ...] | None = None,
    ) -> _Head:
        """Write what changed in the head of a draft, and its lineage or groups if given; its revision grows.

        :raises NotFound: if the base is not a release.
        """
        values: dict[str, Any] = {
            "base_number": self.edition(after.nomenclature.slug, after.base).number if after.base else 0,
            "state": after.state,
            "heading": heading_json(after.nomenclature),
            "decision": decision_json(after.decision),
            "title": after.title,
            "revision": before.revision + 1,
            "version": after.version,
            "valid_from": after.valid_from.isoformat() if after.valid_from else "",
            "corrects": after.corrects,
            "submission": after.submission,
            "round": after.round,
            "ballot": orjson.dumps(after.ballots).decode() if after.ballots else "",
            "publish_at": signing.instant(after.publish_at) if after.publish_at else "",
            "scheduled_by": after.scheduled_by,
        }
        if links is not None:
            values["links"] = _links_json(links)
        if groups is not None:
            values["groups"] = _groups_json(groups)
        with self.database.writing() as connection:
            connection.execute(update(t.draft).where(t.draft.c.id == before.id).values(values))
        return replace(after, revision=before.revision + 1)


def _head(row: Any) -> DraftHead:
    return DraftHead(**_head_values(row))


def _head_values(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "nomenclature": heading_from(row.heading),
        "base": row.base,
        "state": row.state,
        "created": datetime.fromisoformat(row.created).astimezone(UTC),
        "decision": decision_from(row.decision),
        "title": row.title,
        "author": row.author,
        "organisation": row.organisation,
        "revision": row.revision,
        "version": row.version,
        "valid_from": date.fromisoformat(row.valid_from) if row.valid_from else None,
        "corrects": row.corrects,
        "submission": row.submission,
        "round": row.round,
        "ballots": tuple(_ballot(found) for found in orjson.loads(row.ballot)) if row.ballot else (),
        "publish_at": datetime.fromisoformat(row.publish_at).astimezone(UTC) if row.publish_at else None,
        "scheduled_by": row.scheduled_by,
        "released": row.released,
    }


def _ballot(found: dict[str, Any]) -> Ballot:
    days = {name: date.fromisoformat(found[name]) for name in ("opens", "closes")}
    colleges = tuple((organisation, college) for organisation, college in found["colleges"])
    return Ballot(**{**found, **days, "colleges": colleges, "rules": voting_rules_from(found["rules"])})


def _rows(draft_id: int, states: Mapping[str, Concept | None], editor: str) -> Iterable[dict[str, Any]]:
    for code, concept in states.items():
        state = orjson.dumps(concept_state(concept)).decode() if concept else None
        yield {"draft_id": draft_id, "code": code, "state": state, "editor": editor}


def _concept(state: str | None) -> Concept | None:
    return concept_from(orjson.loads(state)) if state else None


def _groups_json(groups: Iterable[Group]) -> str:
    return orjson.dumps([(group.code, group.pref_label, group.members) for group in groups]).decode()


def _links_json(links: Iterable[Link]) -> str:
    return orjson.dumps([link_document(link) for link in sorted(links)]).decode()


def _link(found: dict[str, Any]) -> Link:
    return Link(found["old"], found["new"], date.fromisoformat(found["date"]), found["kind"])
