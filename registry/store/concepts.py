"""What a release holds: concepts and their neighbours, trees, differences, histories, the feed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import NamedTuple

from sqlalchemy import Connection, and_, bindparam, func, or_, select, union, union_all

from registry.changes import ChangeSet, change_set
from registry.errors import NotFound
from registry.model import Concept, Edition, Link, Nomenclature, Release, Texts
from registry.store import tables as t
from registry.store.releases import EDITIONS, Releases, edition_of, nomenclature_id, nomenclature_of
from registry.store.states import (
    Row,
    all_of,
    at_release,
    between,
    brief_of,
    concept_of,
    group_of,
    heading_from,
    holds,
    links_of,
)

NO_DAY = date(1, 1, 1)


@dataclass(frozen=True, slots=True)
class ConceptView:
    """A concept in one release with all that its page and its JSON name: neighbours, their labels, its lineage."""

    concept: Concept
    nomenclature: Nomenclature
    edition: Edition
    narrower: tuple[str, ...]
    links_from: tuple[Link, ...]
    links_to: tuple[Link, ...]
    labels: Mapping[str, Texts]


class FeedItem(NamedTuple):
    """Some of what happened in one release."""

    edition: Edition
    changes: ChangeSet


_STATE = select(t.concept_state.c.state).where(at_release(t.concept_state), t.concept_state.c.code == bindparam("code"))
_NARROWER = (
    select(t.broader_state.c.code)
    .where(at_release(t.broader_state), t.broader_state.c.broader == bindparam("code"))
    .order_by(t.broader_state.c.code)
)
# Two searches, by what is old and by what is new: each has an index.
_LINKS = union_all(
    *(
        select(t.link_state.c.old, t.link_state.c.new, t.link_state.c.date, t.link_state.c.kind).where(
            at_release(t.link_state), condition
        )
        for condition in (
            t.link_state.c.old == bindparam("code"),
            and_(t.link_state.c.new == bindparam("code"), t.link_state.c.old != bindparam("code")),
        )
    )
).order_by("date", "old", "new")
_STATES = select(t.concept_state.c.state).where(
    at_release(t.concept_state), t.concept_state.c.code.in_(bindparam("codes", expanding=True))
)


class Concepts(Releases):
    """What the store says of the concepts of releases."""

    def release(self, slug: str, version: str) -> Release:
        """A whole release, every concept of it in memory.

        :raises NotFound: if there is no such release.
        """
        release_id, edition, nomenclature = self._release(slug, version)
        with self.database.reading() as connection:
            bound = {"scheme": _scheme_of(connection, release_id), "number": edition.number}
            states = connection.execute(
                select(t.concept_state.c.state).where(at_release(t.concept_state)).order_by(t.concept_state.c.code),
                bound,
            )
            concepts = (concept_of(row.state) for row in states)
            return Release(
                nomenclature,
                version,
                edition.valid_from,
                {concept.code: concept for concept in concepts},
                frozenset(links_of(connection.execute(all_of(t.link_state), bound))),
                tuple(group_of(row.state) for row in connection.execute(all_of(t.group_state), bound)),
            )

    def concept(self, slug: str, version: str, code: str) -> ConceptView:
        """A concept in a release, with its neighbours and lineage as that release knows them.

        :raises NotFound: with the releases that have the code, and its successors.
        """
        release_id, edition, nomenclature = self._release(slug, version)
        with self.database.reading() as connection:
            bound = {"scheme": _scheme_of(connection, release_id), "number": edition.number, "code": code}
            state = connection.execute(_STATE, bound).scalar()
            if state is None:
                raise NotFound("concept", f"{slug}@{version}/{code}", _elsewhere(connection, slug, code))
            concept = concept_of(state)
            narrower = tuple(connection.execute(_NARROWER, bound).scalars())
            links = list(links_of(connection.execute(_LINKS, bound)))
            links_from = tuple(link for link in links if link.old == code)
            links_to = tuple(link for link in links if link.new == code)
            named = {*concept.broader, *concept.related, *narrower}
            named.update(*((link.old, link.new) for link in links))
            labels = {code: concept.pref_label}
            if named - {code}:
                rows = connection.execute(_STATES, {**bound, "codes": sorted(named - {code})})
                labels.update((found.code, found.pref_label) for found in (concept_of(row.state) for row in rows))
            return ConceptView(concept, nomenclature, edition, narrower, links_from, links_to, labels)

    def concepts(
        self,
        slug: str,
        version: str,
        *,
        broader: str | None = None,
        status: str | None = None,
        law_at: date | None = None,
        after: str = "",
        limit: int = 100,
    ) -> tuple[list[Concept], int]:
        """Concepts of a release by code, those after ``after``, and how many there are in all.

        ``broader`` keeps the direct narrower concepts of a code (empty: the top concepts); ``law_at`` those whose
        own legal dates hold the day, whatever their status.

        :raises NotFound: if there is no such release.
        """
        release_id, edition, _ = self._release(slug, version)
        table = t.concept_state
        with self.database.reading() as connection:
            bound = {"scheme": _scheme_of(connection, release_id), "number": edition.number}
            condition = at_release(table)
            if broader is not None:
                children = select(t.broader_state.c.code).where(
                    at_release(t.broader_state), t.broader_state.c.broader == broader
                )
                condition = and_(condition, table.c.code.in_(children))
            if status is not None:
                condition = and_(condition, table.c.status == status)
            if law_at is not None:
                day = law_at.isoformat()
                condition = and_(
                    condition,
                    or_(table.c.valid_from.is_(None), table.c.valid_from <= day),
                    or_(table.c.valid_until.is_(None), table.c.valid_until >= day),
                )
            total = connection.execute(select(func.count()).select_from(table).where(condition), bound).scalar_one()
            page = select(table.c.state).where(condition, table.c.code > after).order_by(table.c.code).limit(limit)
            return [concept_of(row.state) for row in connection.execute(page, bound)], total

    def labels(self, slug: str, version: str, codes: Iterable[str]) -> dict[str, Concept]:
        """The concepts of the codes given, in a release; unknown codes are absent.

        :raises NotFound: if there is no such release.
        """
        release_id, edition, _ = self._release(slug, version)
        wanted = sorted(set(codes))
        found: dict[str, Concept] = {}
        with self.database.reading() as connection:
            bound = {"scheme": _scheme_of(connection, release_id), "number": edition.number}
            for start in range(0, len(wanted), 500):
                rows = connection.execute(_STATES, {**bound, "codes": wanted[start : start + 500]})
                found.update((concept.code, concept) for concept in (concept_of(row.state) for row in rows))
        return found

    def tree(self, slug: str, version: str) -> list[Row]:
        """Every concept of a release in brief, by code.

        :raises NotFound: if there is no such release.
        """
        release_id, edition, _ = self._release(slug, version)
        with self.database.reading() as connection:
            bound = {"scheme": _scheme_of(connection, release_id), "number": edition.number}
            rows = connection.execute(
                select(t.concept_state.c.state).where(at_release(t.concept_state)).order_by(t.concept_state.c.code),
                bound,
            )
            return [brief_of(row.state) for row in rows]

    def history(self, slug: str, code: str) -> list[tuple[Edition, ChangeSet]]:
        """Each release that changed the code, with what it changed in it alone, oldest first.

        :raises NotFound: if no release of the nomenclature knows the code.
        """
        editions = {edition.number: edition for edition in self.editions(slug)}
        with self.database.reading() as connection:
            scheme = nomenclature_id(connection, slug)
            marks = [
                select(column).where(table.c.nomenclature_id == scheme, key == code)
                for table, keys in ((t.concept_state, ("code",)), (t.link_state, ("old", "new")))
                for key in (table.c[name] for name in keys)
                for column in (table.c.since, table.c.until)
            ]
            numbers = sorted(number for number in connection.execute(union(*marks)).scalars() if number)
            if not numbers:
                raise NotFound("concept", f"{slug}/{code}")
            return [
                (editions[number], self._passage(connection, slug, scheme, editions[number].follows, number, {code}))
                for number in numbers
                if number in editions
            ]

    def difference(self, slug: str, old: str, new: str) -> ChangeSet:
        """What leads from one release to another, either way; only what differs is read.

        :raises NotFound: if one of the releases does not exist.
        """
        first, second = self.edition(slug, old), self.edition(slug, new)
        with self.database.reading() as connection:
            scheme = nomenclature_id(connection, slug)
            low, high = sorted((first.number, second.number))
            codes = _touched(connection, scheme, low, high)
            return self._passage(connection, slug, scheme, first.number, second.number, codes)

    def feed(self, *, slug: str | None, seq: int, after: str, limit: int) -> list[FeedItem]:
        """What happened after the change of code ``after`` in the release of log entry ``seq``, oldest first.

        A release comes once its entry is committed, in the order of the log; ``limit`` changes at most.
        """
        with self.database.reading() as connection:
            query = EDITIONS.where(t.release.c.seq >= seq).order_by(t.release.c.seq)
            if slug is not None:
                query = query.where(t.nomenclature.c.slug == slug)
            found: list[FeedItem] = []
            left = limit
            for edition in [edition_of(row) for row in connection.execute(query)]:
                if left <= 0:
                    break
                scheme = nomenclature_id(connection, edition.nomenclature)
                start = after if edition.seq == seq else ""
                ends = edition.follows, edition.number
                codes = {code for code in _touched(connection, scheme, *ends) if code > start or edition.seq > seq}
                if edition.number != edition.follows + 1:
                    # What the releases in between changed and this one does not have is touched, and unchanged.
                    whole = self._passage(connection, edition.nomenclature, scheme, *ends, codes)
                    codes = {change.code for change in whole.changes if change.kinds or change.lineage}
                page = sorted(codes)[:left]
                if edition.seq == seq and not page:
                    continue
                changes = self._passage(connection, edition.nomenclature, scheme, *ends, set(page))
                found.append(FeedItem(edition, changes))
                left -= len(page) or 1
            return found

    def withdrawals(self, *, slug: str | None, seq: int, limit: int) -> list[tuple[Edition, int]]:
        """Releases withdrawn after the log entry ``seq``, each with the entry that says so, oldest first."""
        query = EDITIONS.add_columns(t.withdrawal.c.seq.label("told_by")).where(t.withdrawal.c.seq > seq)
        if slug is not None:
            query = query.where(t.nomenclature.c.slug == slug)
        with self.database.reading() as connection:
            rows = connection.execute(query.order_by(t.withdrawal.c.seq).limit(limit))
            return [(edition_of(row), row.told_by) for row in rows]

    def _passage(
        self, connection: Connection, slug: str, scheme: int | None, before: int, after: int, codes: set[str]
    ) -> ChangeSet:
        """The change set between two release numbers (0: before the first), with the changes of some codes only.

        All links that differ are looked at, whatever the codes: the shape of an event is told by its links together.
        """
        old, new = (self._partial(connection, slug, scheme, number, codes) for number in (before, after))
        low, high = sorted((before, after))
        rows = connection.execute(
            select(t.link_state).where(t.link_state.c.nomenclature_id == scheme, between(t.link_state, low, high))
        ).all()
        links = (
            frozenset(
                links_of(row for row in rows if row.since <= number and (row.until is None or row.until > number))
            )
            for number in (before, after)
        )
        changes = change_set(*(side.with_heading(links=found) for side, found in zip((old, new), links, strict=True)))
        return replace(changes, changes=tuple(change for change in changes.changes if change.code in codes))

    def _partial(self, connection: Connection, slug: str, scheme: int | None, number: int, codes: set[str]) -> Release:
        """A release with some of its concepts only, and without its lineage."""
        edition = connection.execute(
            EDITIONS.where(t.release.c.nomenclature_id == scheme, t.release.c.number == number)
        ).one_or_none()
        if edition is None:
            return Release(nomenclature_of(connection, slug), "", NO_DAY)
        bound = {"scheme": scheme, "number": number}
        concepts: dict[str, Concept] = {}
        wanted = sorted(codes)
        for start in range(0, len(wanted), 500):
            rows = connection.execute(_STATES, {**bound, "codes": wanted[start : start + 500]})
            concepts.update((concept.code, concept) for concept in (concept_of(row.state) for row in rows))
        groups = tuple(group_of(row.state) for row in connection.execute(all_of(t.group_state), bound))
        return Release(
            heading_from(edition.heading),
            edition.version,
            date.fromisoformat(edition.valid_from),
            concepts,
            groups=groups,
        )


def _touched(connection: Connection, scheme: int | None, low: int, high: int) -> set[str]:
    """Codes whose state or lineage differs between two release numbers, or differed in between."""
    marks = []
    for table, names in ((t.concept_state, ("code",)), (t.link_state, ("old", "new"))):
        touched = and_(table.c.nomenclature_id == scheme, between(table, low, high))
        marks += [select(table.c[name]).where(touched) for name in names]
    return set(connection.execute(union(*marks)).scalars())


def _elsewhere(connection: Connection, slug: str, code: str) -> dict[str, object]:
    """Where a code that a release does not have is to be found: the releases that do, and its successors."""
    releases = connection.execute(
        select(t.release.c.version)
        .join(t.nomenclature, t.nomenclature.c.id == t.release.c.nomenclature_id)
        .join(t.concept_state, t.concept_state.c.nomenclature_id == t.nomenclature.c.id)
        .where(
            t.nomenclature.c.slug == slug, t.concept_state.c.code == code, holds(t.concept_state, t.release.c.number)
        )
        .order_by(t.release.c.number)
    ).scalars()
    successors = connection.execute(
        select(t.link_state.c.new)
        .join(t.nomenclature, t.nomenclature.c.id == t.link_state.c.nomenclature_id)
        .where(t.nomenclature.c.slug == slug, t.link_state.c.old == code, t.link_state.c.new != code)
        .distinct()
        .order_by(t.link_state.c.new)
    ).scalars()
    return {"releases": list(releases), "successors": list(successors)}


def _scheme_of(connection: Connection, release_id: int) -> int:
    return int(connection.execute(select(t.release.c.nomenclature_id).where(t.release.c.id == release_id)).scalar_one())
