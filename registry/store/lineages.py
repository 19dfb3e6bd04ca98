"""What translating walks: crosswalks from either side, lineage over all releases, what stands under concepts."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import date
from functools import cached_property
from typing import Any, NamedTuple

from sqlalchemy import and_, bindparam, select

from registry.crosswalks import CrosswalkEdition, Mapping
from registry.model import Link
from registry.store import tables as t
from registry.store.releases import Releases, nomenclature_id
from registry.store.states import Row, at_release, brief_of


class Interval(NamedTuple):
    """From which release number on something is so, and before which it ends (None: it does not)."""

    since: int
    until: int | None

    def holds(self, number: int) -> bool:
        """Whether it is so in the release of that number."""
        return self.since <= number and (self.until is None or number < self.until)


class Lineages(NamedTuple):
    """Every link of a nomenclature with the releases that know it, and where codes that have some are deprecated."""

    links: list[tuple[Link, Interval]]
    deprecated: dict[str, list[Interval]]


class Place(NamedTuple):
    """Where an edition of a crosswalk, its list and its release lie: an edition never moves."""

    edition: int
    list_edition: int
    scheme: int
    number: int


class Mapped(NamedTuple):
    """A mapping with both of its ends as they are shown; ``mapping`` is None where there is none.

    ``local_label`` is empty, and ``concept`` None, on the side that is not there then.
    """

    mapping: Mapping | None
    code: str
    local_label: str
    concept: Row | None


_PLACE = (
    select(
        t.crosswalk_edition.c.id,
        t.crosswalk_edition.c.list_edition_id,
        t.release.c.nomenclature_id,
        t.release.c.number,
    )
    .join(t.crosswalk, t.crosswalk.c.id == t.crosswalk_edition.c.crosswalk_id)
    .join(t.code_list, t.code_list.c.id == t.crosswalk.c.code_list_id)
    .join(t.organisation, t.organisation.c.id == t.code_list.c.organisation_id)
    .join(t.release, t.release.c.id == t.crosswalk_edition.c.release_id)
    .join(t.nomenclature, t.nomenclature.c.id == t.crosswalk.c.nomenclature_id)
    .where(
        t.organisation.c.slug == bindparam("owner"),
        t.code_list.c.slug == bindparam("list_"),
        t.nomenclature.c.slug == bindparam("slug_"),
        t.crosswalk_edition.c.number == bindparam("edition_"),
    )
)
_COLUMNS = tuple(field.name for field in fields(Mapping))
_RELATION, _COVERS = map(_COLUMNS.index, ("relation", "covers"))
_ROWS = (
    *(t.mapping.c[name] for name in _COLUMNS),
    t.local_code.c.code.label("local"),
    t.local_code.c.label.label("local_label"),
    t.concept_state.c.code.label("shared"),
    t.concept_state.c.state,
)
_FROM_LOCAL = (
    select(*_ROWS)
    .select_from(t.local_code)
    .outerjoin(
        t.mapping,
        and_(t.mapping.c.crosswalk_edition_id == bindparam("edition"), t.mapping.c.local_code == t.local_code.c.code),
    )
    .outerjoin(t.concept_state, and_(at_release(t.concept_state), t.concept_state.c.code == t.mapping.c.target_code))
    .where(t.local_code.c.list_edition_id == bindparam("list_edition"))
    .order_by(t.local_code.c.code, t.mapping.c.target_code)
)
_FROM_SHARED = (
    select(*_ROWS)
    .select_from(t.concept_state)
    .outerjoin(
        t.mapping,
        and_(
            t.mapping.c.crosswalk_edition_id == bindparam("edition"), t.mapping.c.target_code == t.concept_state.c.code
        ),
    )
    .outerjoin(
        t.local_code,
        and_(
            t.local_code.c.list_edition_id == bindparam("list_edition"), t.local_code.c.code == t.mapping.c.local_code
        ),
    )
    .where(at_release(t.concept_state))
    .order_by(t.concept_state.c.code, t.mapping.c.local_code)
)
# One code is asked for most often, and a statement with a list in it is written anew each time.
_FROM = {
    (many, inverse): query.where(key.in_(bindparam("codes", expanding=True)) if many else key == bindparam("codes"))
    for inverse, query, key in ((False, _FROM_LOCAL, t.local_code.c.code), (True, _FROM_SHARED, t.concept_state.c.code))
    for many in (False, True)
}
_LINKS = select(t.link_state).where(t.link_state.c.nomenclature_id == bindparam("scheme"))
_DEPRECATED = select(t.concept_state.c.code, t.concept_state.c.since, t.concept_state.c.until).where(
    t.concept_state.c.nomenclature_id == bindparam("scheme"),
    t.concept_state.c.status == "deprecated",
    t.concept_state.c.code.in_(select(t.link_state.c.old).where(t.link_state.c.nomenclature_id == bindparam("scheme"))),
)
_UNDER = (
    select(t.broader_state.c.broader, t.broader_state.c.code)
    .where(at_release(t.broader_state), t.broader_state.c.broader.in_(bindparam("codes", expanding=True)))
    .order_by(t.broader_state.c.broader, t.broader_state.c.code)
)


class Lines(Releases):
    """What the store says of lineage, and of the hierarchy downwards."""

    @cached_property
    def routes(self) -> OrderedDict[Any, Any]:
        """The routes of translations that were resolved on this store, kept with what they were read from."""
        return OrderedDict()

    def place(self, edition: CrosswalkEdition) -> Place:
        """Where an edition of a crosswalk lies, to be kept by whoever reads it often."""
        bound = {
            "owner": edition.organisation,
            "list_": edition.code_list,
            "slug_": edition.nomenclature,
            "edition_": edition.edition,
        }
        with self.database.reading() as connection:
            return Place(*connection.execute(_PLACE, bound).one())

    def mapped(self, place: Place, codes: Sequence[str], *, inverse: bool) -> list[Mapped]:
        """What some local codes, or (``inverse``) some shared ones, are mapped to; one statement for 500 codes.

        A code that is there and that nothing is mapped to has one row without mapping; one that is not there has none.
        """
        if len(codes) == 1:
            one = self.database.rows(_FROM[False, inverse], {**place._asdict(), "codes": codes[0]})
            return [_mapped(row, inverse=inverse) for row in one]
        found: list[Mapped] = []
        with self.database.reading() as connection:
            for start in range(0, len(codes), 500):
                bound = {**place._asdict(), "codes": list(codes[start : start + 500])}
                found += [_mapped(row, inverse=inverse) for row in connection.execute(_FROM[True, inverse], bound)]
        return found

    def lineages(self, slug: str) -> Lineages:
        """The lineage of a nomenclature, release by release, in two statements whatever their number."""
        with self.database.reading() as connection:
            bound = {"scheme": nomenclature_id(connection, slug)}
            links = [
                (Link(row.old, row.new, date.fromisoformat(row.date), row.kind), Interval(row.since, row.until))
                for row in connection.execute(_LINKS, bound)
            ]
            deprecated: dict[str, list[Interval]] = {}
            for row in connection.execute(_DEPRECATED, bound):
                deprecated.setdefault(row.code, []).append(Interval(row.since, row.until))
            return Lineages(links, deprecated)

    def narrower(self, slug: str, version: str, codes: Iterable[str]) -> dict[str, list[str]]:
        """The codes directly under each of some concepts of a release; one that has none is absent.

        :raises NotFound: if there is no such release.
        """
        edition, wanted = self.edition(slug, version), sorted(set(codes))
        found: dict[str, list[str]] = {}
        with self.database.reading() as connection:
            bound = {"scheme": nomenclature_id(connection, slug), "number": edition.number}
            for start in range(0, len(wanted), 500):
                for row in connection.execute(_UNDER, {**bound, "codes": wanted[start : start + 500]}):
                    found.setdefault(row.broader, []).append(row.code)
        return found


def _mapped(row: Sequence[Any], *, inverse: bool) -> Mapped:
    *columns, local, local_label, shared, state = row
    columns[_COVERS] = bool(columns[_COVERS])
    mapping = Mapping(*columns) if columns[_RELATION] is not None else None
    concept = brief_of(state) if state is not None else None
    return Mapped(mapping, shared if inverse else local, local_label or "", concept)
