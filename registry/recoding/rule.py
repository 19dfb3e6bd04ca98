"""Which shared code a row of data gets, and how sure that is: the rule of recoding, without any file.

One code has none, one or several targets, each with a relation; the rule makes one cell of them, or one for each
target where the rows may be shared out. What is exact is given; what is close or broader is given and flagged; what is
narrower or several is not guessed. Nothing is dropped silently: a code without a target has a status that says why.

A ``Lookup`` holds the cells of every code that the source can have, for each period on which the answer differs; so a
file of any size is recoded by looking up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import cached_property
from itertools import islice
from typing import Any, Literal, NamedTuple

from registry import lineage, translation
from registry.crosswalks import Relation, compose
from registry.errors import Invalid, NotFound, Problem
from registry.lineage import Chain
from registry.model import Edition, preferred, today
from registry.store import Store
from registry.translation import End, Route, Translation

STATUSES: dict[str, str] = {
    "exact": "équivalent exact",
    "deprecated": "même code, qui n'est plus utilisé et que rien ne remplace",
    "close": "équivalent proche, à vérifier",
    "broader": "code plus large : perte de détail",
    "climbed": "remonté au concept commun : perte de détail",
    "split": "réparti entre plusieurs codes, avec un poids",
    "ambiguous": "plusieurs codes possibles : aucun n'est donné",
    "related": "seulement associé : aucun code n'est donné",
    "refused": "aucune relation sûre ne mène à la cible",
    "aboveLevel": "plus général que le niveau demandé",
    "noMatch": "examiné, sans équivalent",
    "unreviewed": "pas encore examiné",
    "unmapped": "aucune correspondance",
    "unknown": "code inconnu de la source",
    "missing": "code absent",
    "dateMissing": "date absente",
    "dateUnreadable": "date illisible",
    "noRelease": "aucune version applicable à cette date",
}
"""Every status of a row, and what it says to the reader of the report."""

GIVES_CODE = ("exact", "deprecated", "close", "broader", "climbed", "split")
"""The statuses with which a row gets a code."""

By = Literal["release", "law"]
OnMany = Literal["empty", "rows", "error"]
Weights = Literal["published", "equal"]

_RULE = "recoding_is_possible"
_DAY = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[T ][0-9:.,Z+-]*)?")
_FRENCH_DAY = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})(?:[T ][0-9:.,Z+-]*)?")
_MOST_PERIODS = 400


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for: which column, from which end to which, and what to do in doubt.

    ``level`` rolls codes up to that level of the target (1: the top). ``by`` says what a date column decides: the
    releases in force on the row's day, or the lineage up to it. ``at`` is the day on which ends without a version are
    read where no date column says it.
    """

    column: str
    source: str
    target: str
    level: int | None = None
    date_column: str = ""
    by: By = "release"
    on_many: OnMany = "empty"
    weights: Weights = "published"
    mask_under: int = 0
    at: date = field(default_factory=today)

    @property
    def added(self) -> tuple[str, ...]:
        """The names of the columns that recoding adds."""
        slug = self.target.partition("@")[0].rpartition("/")[2]
        ends = (slug, "label", "release", "relation", "status", *(("weight",) if self.on_many == "rows" else ()))
        return tuple(f"{self.column}_{end}" for end in ends)


class Target(NamedTuple):
    """One code that a translation found, with its relation from the code asked; ``covers`` and ``weight`` as mapped."""

    relation: Relation
    code: str
    label: str = ""
    covers: bool = False
    weight: str = ""


class Cell(NamedTuple):
    """What one row gets: the code or nothing, and what is to be known of it."""

    code: str
    label: str
    release: str
    relation: str
    status: str
    weight: str = "1"


class Hierarchy:
    """What stands above the codes of the target, and their labels."""

    def __init__(self, load: Callable[[], Iterable[tuple[str, str, Sequence[str]]]]) -> None:
        """``load`` gives each code with its label and the codes right above it; it is called once, if it is needed."""
        self._load = load
        self._above: dict[str, frozenset[str]] = {}
        self._depths: dict[str, int] = {}

    @cached_property
    def _rows(self) -> dict[str, tuple[str, tuple[str, ...]]]:
        return {code: (label, tuple(broader)) for code, label, broader in self._load()}

    def label(self, code: str) -> str:
        """What a code is called; empty if it is not there."""
        return self._rows[code][0] if code in self._rows else ""

    def _broader(self, code: str) -> tuple[str, ...]:
        return self._rows[code][1] if code in self._rows else ()

    def above(self, code: str) -> frozenset[str]:
        """Every concept that is broader, at any distance."""
        found = self._above.get(code)
        if found is None:
            seen: set[str] = set()
            waiting = list(self._broader(code))
            while waiting:
                parent = waiting.pop()
                if parent not in seen:
                    seen.add(parent)
                    waiting += self._broader(parent)
            found = self._above[code] = frozenset(seen)
        return found

    def depth(self, code: str) -> int:
        """How far a code is from the top, by the shortest way; 1 for the top."""
        found = self._depths.get(code)
        if found is None:
            found, level, seen = 1, {code}, {code}
            while level and all(self._broader(one) for one in level):
                level = {parent for one in level for parent in self._broader(one)} - seen
                seen |= level
                found += 1
            self._depths[code] = found
        return found

    def nearest(self, codes: Iterable[str]) -> set[str]:
        """The concepts broader than all of some codes that have none of these below them."""
        sets = [self.above(code) for code in codes]
        common = frozenset.intersection(*sets) if sets else frozenset()
        return {code for code in common if not any(code in self.above(other) for other in common)}

    def at_level(self, code: str, level: int) -> set[str]:
        """The concepts of a level that a code is, or is under; none if it stands above the level."""
        return {one for one in (code, *self.above(code)) if self.depth(one) == level}


def recoded(
    state: str, targets: Sequence[Target], hierarchy: Hierarchy, plan: Plan, release: str = ""
) -> tuple[Cell, ...]:
    """The cells of one code, given what it translates to: one, or one for each target where rows may be shared out.

    ``state`` says why there is no target, where there is none.
    """
    by: dict[str, dict[str, Target]] = {}
    for target in targets:
        if target.code:
            by.setdefault(target.relation, {}).setdefault(target.code, target)
    rule = _Rule(hierarchy, plan, release)
    for relation in ("exactMatch", "closeMatch", "broadMatch", "narrowMatch"):
        if relation in by:
            cells = rule.cells(relation, list(by[relation].values()))
            if state == "deprecated":
                return tuple(cell._replace(status="deprecated") if cell.status == "exact" else cell for cell in cells)
            return cells
    if "relatedMatch" in by:
        return (rule.none("related", "relatedMatch"),)
    return (rule.none("unmapped" if state == "mapped" else state, "noMatch" if state == "noMatch" else ""),)


_STATUS = {"exactMatch": "exact", "closeMatch": "close", "broadMatch": "broader"}


class _Rule:
    """The rule, for one target and one plan."""

    def __init__(self, hierarchy: Hierarchy, plan: Plan, release: str) -> None:
        self.hierarchy, self.plan, self.release = hierarchy, plan, release

    def none(self, status: str, relation: str = "") -> Cell:
        return Cell("", "", self.release, relation, status)

    def cells(self, relation: str, found: list[Target]) -> tuple[Cell, ...]:
        if len(found) == 1 and relation != "narrowMatch":
            return (self._one(relation, found[0]),)
        if self.plan.on_many == "rows" and len(found) > 1 and (shares := self._shared_out(relation, found)):
            return shares
        if relation == "narrowMatch" and all(one.covers for one in found):
            nearest = self.hierarchy.nearest(one.code for one in found)
            if len(nearest) == 1:
                return (self._levelled("climbed", "broadMatch", nearest),)
        if relation == "broadMatch" and self.plan.level is not None:
            # Broader concepts that come to the same one at the level asked for are not in doubt there.
            level = {up for one in found for up in self.hierarchy.at_level(one.code, self.plan.level)}
            if len(level) == 1:
                return (self._levelled("broader", "broadMatch", level),)
        return (self.none("ambiguous", relation),)

    def _one(self, relation: str, target: Target) -> Cell:
        return self._levelled(_STATUS[relation], relation, {target.code}, target.label)

    def _levelled(self, status: str, relation: str, codes: set[str], label: str = "") -> Cell:
        """The cell of a code, rolled up to the level that is asked for; what is exact loses detail by it."""
        [code] = codes
        if self.plan.level is not None:
            level = self.hierarchy.at_level(code, self.plan.level)
            if not level:
                return self.none("aboveLevel", relation)
            if len(level) > 1:
                return self.none("ambiguous", relation)
            if level != {code}:
                [code] = level
                label = ""
                status, relation = ("broader", "broadMatch") if status == "exact" else (status, relation)
        return Cell(code, label or self.hierarchy.label(code), self.release, relation, status)

    def _shared_out(self, relation: str, found: list[Target]) -> tuple[Cell, ...]:
        """One cell for each target with its weight, which together make 1; none if the weights don't say so."""
        weights = self._weights(found)
        if not weights:
            return ()
        shares: dict[str, tuple[Cell, Decimal]] = {}
        for target, weight in zip(found, weights, strict=True):
            cell = self._levelled("split", relation, {target.code}, target.label)
            if not cell.code:
                return ()
            shares[cell.code] = (cell, weight + (shares[cell.code][1] if cell.code in shares else Decimal(0)))
        return tuple(cell._replace(weight=f"{weight.normalize():f}") for cell, weight in shares.values())

    def _weights(self, found: list[Target]) -> list[Decimal]:
        if self.plan.weights == "equal":
            part = (Decimal(1) / len(found)).quantize(Decimal("0.000001"))
            return [part] * (len(found) - 1) + [1 - part * (len(found) - 1)]
        if not all(one.weight for one in found):
            return []
        weights = [Decimal(one.weight) for one in found]
        rest = 1 - sum(weights, Decimal(0))
        # Coefficients are published rounded: what rounding lacks goes to the largest one, and more is not mended.
        if abs(rest) > Decimal("0.005") * len(found):
            return []
        largest = weights.index(max(weights))
        weights[largest] += rest
        return weights


def day_of(text: str) -> date | None:
    """The day that a cell says, as 2024-03-01 or 01/03/2024, a time may follow; None if it says none."""
    if match := _DAY.fullmatch(text):
        year, month, day = match.groups()
    elif match := _FRENCH_DAY.fullmatch(text):
        day, month, year = match.groups()
    else:
        return None
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None


UNKNOWN, MISSING, DATE_MISSING, DATE_UNREADABLE, NO_RELEASE = range(5)


@dataclass
class Lookup:
    """The cells of every code of the source, on every day; rows are recoded by looking up.

    ``entries`` are the distinct answers; the first five are those of no code at all. ``known`` is where a code's answer
    stands, and ``varying`` where it stands on one period, for the codes whose answer differs there. ``starts`` are the
    first days of the periods, ``open`` the periods on which there is something to read.
    """

    plan: Plan
    entries: list[tuple[Cell, ...]]
    known: dict[str, int]
    varying: dict[tuple[int, str], int]
    starts: tuple[date, ...] = ()
    open: frozenset[int] = frozenset()
    readings: tuple[dict[str, Any], ...] = ()

    def period(self, day: date) -> int:
        """Which period holds a day; -1 before the first."""
        return sum(start <= day for start in self.starts) - 1

    def span(self, day: str) -> int:
        """The period that a date cell falls in where dates decide; below zero, the entry of it that says why none."""
        if not self.starts:
            return 0
        day = day.strip(" ")
        if not day:
            return -DATE_MISSING
        read = day_of(day)
        if read is None:
            return -DATE_UNREADABLE
        period = self.period(read)
        return period if period in self.open else -NO_RELEASE

    def entry_in(self, code: str, span: int) -> int:
        """Which entry is a row's, by its code and the span of its date cell."""
        if not code:
            return MISSING
        if span < 0:
            return -span
        found = self.varying.get((span, code))
        return self.known.get(code, UNKNOWN) if found is None else found

    def entry(self, code: str, day: str = "") -> int:
        """Which entry is a row's: by its code, and by its date cell where dates decide."""
        return self.entry_in(code, self.span(day))


class _Reading(NamedTuple):
    """What both ends say on one day: the cells of each code, the release, and which editions were read."""

    cells: dict[str, tuple[Cell, ...]]
    release: str
    document: dict[str, Any]


def lookup(store: Store, plan: Plan, only: Collection[str] | None = None) -> Lookup:
    """All that recoding by a plan can answer; or what it answers of some codes ``only``.

    :raises NotFound: if an end does not exist, or nothing applies on any day.
    :raises Invalid: if one can't be recoded to the other, or the plan contradicts itself.
    """
    _check(plan)
    entries: dict[tuple[Cell, ...], int] = {}
    for status in ("unknown", "missing", "dateMissing", "dateUnreadable", "noRelease"):
        entries[(Cell("", "", "", "", status),)] = len(entries)
    readings = _Readings(store, plan, only)
    if plan.date_column:
        return _dated(store, plan, readings, entries)
    read = readings.on(plan.at)
    known = {code: entries.setdefault(cells, len(entries)) for code, cells in read.cells.items()}
    return Lookup(plan, list(entries), known, {}, readings=(read.document,))


def _dated(store: Store, plan: Plan, readings: _Readings, entries: dict[tuple[Cell, ...], int]) -> Lookup:
    starts, found, told = list[date](), dict[int, dict[str, int]](), list[dict[str, Any]]()
    missing: NotFound | None = None
    for start in _starts(store, plan):
        try:
            read = readings.on(start)
        except NotFound as error:
            missing = error
            starts.append(start)
            continue
        there = {code: entries.setdefault(cells, len(entries)) for code, cells in read.cells.items()}
        ends = read.document["from"], read.document["to"]
        last = found.get(len(starts) - 1)
        if last == there and ends == (told[-1]["from"], told[-1]["to"]):
            continue  # Nothing changed for these codes on that day.
        starts.append(start)
        told.append({**read.document, "since": start.isoformat()})
        found[len(starts) - 1] = there
    if not found:
        raise missing or NotFound("release", plan.target)
    # Most rows are recent: the last period is what a code says unless another one says otherwise.
    known = found[max(found)]
    varying = {
        (period, code): there.get(code, UNKNOWN)
        for period, there in found.items()
        for code in {*there, *known}
        if there.get(code, UNKNOWN) != known.get(code, UNKNOWN)
    }
    return Lookup(plan, list(entries), known, varying, tuple(starts), frozenset(found), tuple(told))


def _check(plan: Plan) -> None:
    if plan.by == "law" and (not plan.date_column or "/" in plan.target):
        accepted = "une colonne de dates, et une nomenclature pour cible"
        raise Invalid([Problem(_RULE, "le droit ne se suit pas ainsi", where="by", value="law", accepted=accepted)])
    if plan.date_column and plan.date_column == plan.column:
        accepted = "une autre colonne que celle des codes"
        raise Invalid([Problem(_RULE, "colonne de dates", where="date-column", accepted=accepted)])


def _starts(store: Store, plan: Plan) -> list[date]:
    """The days on which what both ends say may change."""
    days: set[date] = set()
    for end in (plan.source, plan.target):
        name, _, pin = end.partition("@")
        owner, _, code_list = name.partition("/")
        if code_list and not pin:
            found = store.crosswalk_editions(organisation=owner, code_list=code_list)
            days.update(one.valid_from for one in found)
        elif not code_list and not pin and (plan.by == "release" or end == plan.source):
            days.update(one.valid_from for one in store.editions(owner))
    if plan.by == "law":
        target = _target_of_law(store, plan)
        links = store.lineages(target.nomenclature).links
        days.update(link.date for link, span in links if span.holds(target.number))
    if not days:
        accepted = "une extrémité au moins sans version ni édition, ou le droit suivi (--by law)"
        raise Invalid([Problem(_RULE, "la date ne change rien", where="date-column", accepted=accepted)])
    if len(days) > _MOST_PERIODS:
        accepted = f"{_MOST_PERIODS} au plus"
        raise Invalid(
            [Problem(_RULE, "trop de périodes", where="date-column", value=str(len(days)), accepted=accepted)]
        )
    # With both ends pinned, the law alone changes: before its first link, codes stand as they are.
    return sorted(days | {date.min} if plan.by == "law" else days)


class _Readings:
    """What both ends say on each day; days that read the same editions share one reading."""

    def __init__(self, store: Store, plan: Plan, only: Collection[str] | None) -> None:
        self.store, self.plan, self.only = store, plan, only
        self._kept: dict[object, _Reading] = {}
        self._items: dict[tuple[str, str], list[tuple[str, str, list[Target]]]] = {}
        self._hierarchies: dict[str, Hierarchy] = {}

    def on(self, day: date) -> _Reading:
        """The reading of a day.

        :raises NotFound: if nothing applies on it.
        """
        if self.plan.by == "law":
            return self._law(day)
        route = translation.route(self.store, self.plan.source, self.plan.target, at=day)
        key = route.source.name, route.target.name
        if key not in self._kept:
            hierarchy, release = self._target(route.target)
            cells = {
                code: recoded(state, targets, hierarchy, self.plan, release)
                for code, state, targets in self._translated(route)
            }
            self._kept[key] = _Reading(cells, release, route.document())
        return self._kept[key]

    def _target(self, end: End) -> tuple[Hierarchy, str]:
        """What stands above the codes of the target, and what its release or edition is called."""
        if end.name not in self._hierarchies:
            self._hierarchies[end.name] = Hierarchy(lambda: _hierarchy(self.store, end))
        release = end.release.version if end.crosswalk is None else str(end.crosswalk.list_edition)
        return self._hierarchies[end.name], release

    def _translated(self, route: Route) -> list[tuple[str, str, list[Target]]]:
        """Each code with its state and its targets, a few thousand at a time, since each comes with its whole path."""
        key = route.source.name, route.target.name
        if key not in self._items:
            codes = iter(route.source_codes() if self.only is None else sorted(self.only))
            found: list[tuple[str, str, list[Target]]] = []
            while batch := list(islice(codes, 5_000)):
                found += [
                    (item.code, item.status, _targets(item))
                    for item in translation.translated(self.store, route, batch)
                    if item.status != "unknown"
                ]
            self._items[key] = found
        return self._items[key]

    def _law(self, day: date) -> _Reading:
        """Codes as they stand in the source, then followed along the links of the target up to the day."""
        target = _target_of_law(self.store, self.plan)
        source = self._source_of_law(day, target)
        key = source.source.name, source.target.name, day
        if key in self._kept:
            return self._kept[key]
        hierarchy, release = self._target(End(target))
        known = self.store.lineages(target.nomenclature)
        held = [(link, span) for link, span in known.links if span.holds(target.number) and link.date <= day]
        added = [link for link, span in held if not span.holds(source.target.release.number)]
        gone = {link.old for link, _ in held if link.old != link.new}
        deprecated = {
            code for code in gone if any(span.holds(target.number) for span in known.deprecated.get(code, ()))
        }
        ways = lineage.passage(added, [link for link, _ in held], deprecated)
        cells = {}
        for code, state, targets in self._translated(source):
            reached = [end for one in targets for end in _followed(one, ways.get(one.code, ((),)), hierarchy)]
            if targets:
                state = "mapped" if reached else "refused"
            cells[code] = recoded(state, reached, hierarchy, self.plan, release)
        links = {"type": "lineage", "nomenclature": target.nomenclature, "release": target.version}
        document = source.document()
        document["to"] = {
            "nomenclature": target.nomenclature,
            "release": target.version,
            "contentSha256": target.content_sha256,
        }
        document["hops"] = [*_hops(document), {**links, "until": day.isoformat(), "links": len(added)}]
        self._kept[key] = _Reading(cells, release, document)
        return self._kept[key]

    def _source_of_law(self, day: date, target: Edition) -> Route:
        """The way from the source to the release that it is read in, where following begins."""
        read_on = max(day, self._first_day(target.nomenclature))
        if "/" in self.plan.source:
            found = translation.route(self.store, self.plan.source, target.nomenclature, at=read_on)
            return translation.route(self.store, found.source.name, _pinned(found.source.release), at=read_on)
        slug, _, version = self.plan.source.partition("@")
        if slug != target.nomenclature:
            return translation.route(self.store, self.plan.source, _pinned(target), at=read_on)
        edition = self.store.edition(slug, version) if version else self.store.in_force(slug, read_on)
        return translation.route(self.store, _pinned(edition), _pinned(edition), at=read_on)

    def _first_day(self, slug: str) -> date:
        """Before the first release came into force, it is what there is to read the law's codes in."""
        return min(edition.valid_from for edition in self.store.editions(slug))


def _pinned(edition: Edition) -> str:
    """How a release is named, pinned."""
    return f"{edition.nomenclature}@{edition.version}"


def _target_of_law(store: Store, plan: Plan) -> Edition:
    slug, _, version = plan.target.partition("@")
    return store.edition(slug, version) if version else store.in_force(slug, plan.at)


def _hops(document: Mapping[str, object]) -> list[object]:
    """The hops of a route but for the way from a release to itself, which is none."""
    hops = document.get("hops")
    return [hop for hop in hops if "from" not in hop or hop["from"] != hop["to"]] if isinstance(hops, list) else []


def _hierarchy(store: Store, end: End) -> Iterator[tuple[str, str, Sequence[str]]]:
    """The codes of a target with their labels and what stands above them."""
    if end.crosswalk is None:
        for row in store.tree(end.release.nomenclature, end.release.version):
            yield row.code, preferred(row.pref_label) or row.code, row.broader
        return
    one, last = end.crosswalk, ""
    while page := store.local_codes(one.organisation, one.code_list, one.list_edition, after=last):
        for item in page:
            yield item.code, item.label, (item.parent_code,) if item.parent_code else ()
        last = page[-1].code


def _targets(item: Translation) -> list[Target]:
    return [
        Target(found.relation, found.code, preferred(found.pref_label), found.covers, found.weight)
        for found in item.found
        if found.code
    ]


def _followed(start: Target, ways: Sequence[Chain], hierarchy: Hierarchy) -> Iterator[Target]:
    """Where the lineage leads from a target, as far as relations compose."""
    for way in ways:
        relation: Relation | None = start.relation
        for leg in way:
            relation = compose(relation, leg.relation) if relation and leg.relation else None
        code = way[-1].code if way else start.code
        if relation and (label := hierarchy.label(code)):
            # What a reviewer said of targets holds no more once one of them led on.
            yield Target(relation, code, label) if way else start._replace(label=label)
