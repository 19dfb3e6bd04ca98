"""What a code of one list is in another: along crosswalks, lineage, or both, with the whole path that says so.

A **route** is resolved once, from two names: a crosswalk from a local list to its pivot, the lineage between the
release that this crosswalk aims at and the one that is read on the other side, a crosswalk back to another local list.
Codes then travel it hop by hop, in batches; relations are composed on the way (``crosswalks.compose``), and where
nothing sound follows, the two halves that do not join are kept beside what was found.

A local code is mapped, or reviewed and without equivalent, or not yet reviewed; the three are never mixed up, and none
of them is said of a code that stands on the far side of a hop.

Where a nomenclature declares its hierarchy generic, a shared code to which no local code of the other list is soundly
related is looked for above: at the nearest of its broader concepts that has one, else at the nearest of the narrower
ones. Nothing is climbed where something was found, nor towards another release: there, lineage alone speaks.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any, Literal, NamedTuple, cast

from registry import lineage
from registry.crosswalks import CrosswalkEdition, Relation, compose, edition_document, turned
from registry.crosswalks import Mapping as Row
from registry.errors import Invalid, NotFound, Problem, TooLarge
from registry.lineage import Leg, Way
from registry.model import Concept, Edition, Texts, french, preferred
from registry.store import Store
from registry.store.lineages import Place

State = Literal["mapped", "deprecated", "noMatch", "refused", "unreviewed", "unmapped", "unknown"]
"""What is known of one code on the other side, the first that is true of it:

- ``mapped``: something was found; ``deprecated``: found, and lineage ends there at codes that are no longer used and
  that nothing succeeds;
- ``noMatch``: the local code was reviewed, and has no equivalent in the nomenclature asked for;
- ``refused``: there are halves, and none of them join;
- ``unreviewed``: the crosswalk does not speak of the local code;
- ``unmapped``: the code leads to nothing on the other side, which says nothing of its meaning;
- ``unknown``: the source does not hold the code.
"""

BATCH = 500
"""How many codes travel together."""
MOST_PATHS = 100_000
"""How many paths the codes that travel together may take; beyond, fewer of them travel together."""
MOST_FOUND = 200_000
"""How many answers a call may hold."""

_KEPT_ROUTES, _HEAVIEST_KEPT = 64, 20_000
"""How many routes are kept, and how many codes the lineage of one may touch at most."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a path: the code that it reaches and where that is read, in the direction travelled.

    ``relation`` is None where lineage says only that meanings overlap, or nothing. ``by`` says on whose word: an
    edition of a crosswalk with its hash, a link of lineage with its day, ``unchanged``, or the hierarchy.
    """

    relation: Relation | None
    code: str
    label: Texts
    status: str
    read_in: Mapping[str, object]
    by: Mapping[str, object]
    mapping: Row | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What a code is on the other side: ``code`` is empty for ``noMatch``.

    ``read_in`` names the release of a shared code, or the list and edition of a local one. ``covers`` and ``weight``
    are those of a mapping, where every target of the code asked came through unchanged.
    """

    relation: Relation
    code: str
    pref_label: Texts
    status: str
    read_in: Mapping[str, object]
    path: tuple[Step, ...]
    covers: bool
    weight: str
    confidence: str
    justification: str
    comment: str


class Half(NamedTuple):
    """Some steps, and what relates their ends."""

    relation: Relation | None
    path: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """Two halves of a path from which nothing sound follows, and why in French; the second may be empty."""

    why: str
    first: Half
    second: Half


@dataclass(frozen=True, slots=True)
class Translation:
    """What one code is on the other side: what was found, by code, and what was refused."""

    code: str
    label: str | None
    status: State
    found: tuple[Found, ...]
    refused: tuple[Refused, ...] = ()


@dataclass(frozen=True, slots=True)
class End:
    """One end of a route: a release and, where the end is a local list, the edition of its crosswalk to it."""

    release: Edition
    crosswalk: CrosswalkEdition | None = None

    @property
    def name(self) -> str:
        """How a command names it, pinned."""
        if self.crosswalk is None:
            return f"{self.release.nomenclature}@{self.release.version}"
        return f"{self.crosswalk.organisation}/{self.crosswalk.code_list}@{self.crosswalk.edition}"

    def document(self) -> dict[str, object]:
        """This end as JSON, with the hash of what was read."""
        release: dict[str, object] = {
            "nomenclature": self.release.nomenclature,
            "release": self.release.version,
            "contentSha256": self.release.content_sha256,
        }
        return release if self.crosswalk is None else {**edition_document(self.crosswalk), **release}


@dataclass(frozen=True, slots=True)
class _Across:
    """A crosswalk, from the local list to the release, or (``inverse``) back; ``generic`` lets a code climb first."""

    edition: CrosswalkEdition
    place: Place
    inverse: bool
    generic: bool
    read_in: Mapping[str, object]
    by: Mapping[str, object]

    def document(self) -> dict[str, object]:
        return {"type": "crosswalk", "inverse": self.inverse, **edition_document(self.edition)}


@dataclass(frozen=True, slots=True)
class _Along:
    """The lineage from one release to another of the same nomenclature."""

    source: Edition
    target: Edition
    way: Way
    releases: tuple[str, ...]

    def document(self) -> dict[str, object]:
        return {"type": "lineage", **self.by, "releases": list(self.releases)}

    @property
    def by(self) -> dict[str, object]:
        return {
            "nomenclature": self.source.nomenclature,
            "from": self.source.version,
            "to": self.target.version,
        }


@dataclass(frozen=True)
class Route:
    """The way from one end to the other, resolved: it reads the same for ever."""

    source: End
    target: End
    hops: tuple[_Across | _Along, ...]
    pinned: bool
    _store: Store = field(repr=False, compare=False)

    def document(self) -> dict[str, object]:
        """The route as JSON: both ends, and each hop with its edition and hash, or its releases."""
        return self._document

    @cached_property
    def _document(self) -> dict[str, object]:
        ends = {"from": self.source.document(), "to": self.target.document()}
        return {**ends, "hops": [hop.document() for hop in self.hops]}

    @property
    def weight(self) -> int:
        """How many codes its lineage touches, all in memory."""
        return sum(len(passage) for hop in self.hops if isinstance(hop, _Along) for passage in hop.way.passages)

    def source_codes(self) -> Iterator[str]:
        """Every code that the source holds, in order: those of the local list's edition, or of the release."""
        crosswalk, release = self.source.crosswalk, self.source.release
        if crosswalk is None:
            yield from (row.code for row in self._store.tree(release.nomenclature, release.version))
            return
        last = ""
        while page := self._store.local_codes(
            crosswalk.organisation, crosswalk.code_list, crosswalk.list_edition, after=last
        ):
            yield from (item.code for item in page)
            last = page[-1].code


class Answer(NamedTuple):
    """Translations in the order asked, and the route that they took."""

    route: Route
    items: list[Translation]


# Resolving a route


class _Name(NamedTuple):
    """An end as it is named: a local list (``code_list`` is not empty) or a nomenclature, and what is pinned."""

    text: str
    owner: str
    code_list: str
    pin: str

    @property
    def edition(self) -> int | None:
        return int(self.pin) if self.code_list and self.pin else None


def route(
    store: Store, source: str, target: str, *, at: date, through: str = "", stamp: tuple[int, ...] | None = None
) -> Route:
    """Resolve the way from one list to another, each ``ORG/LIST``, ``ORG/LIST@E``, ``N`` or ``N@V``.

    E is the edition of the crosswalk; without it, the last that applies on ``at``; without V, the release in force on
    that day. Two local lists meet in the nomenclature that both are mapped to; ``through`` names it where there are
    several. ``stamp`` is what ``store.stamp_of_all`` said just now, where the caller has asked.

    :raises Invalid: if an end is not of these forms, the ends are two nomenclatures, or ``through`` must be given.
    :raises NotFound: if there is no such release or crosswalk, or no nomenclature that both lists are mapped to.
    """
    ends = _name(source), _name(target)
    pinned = all(end.pin not in ("", "latest", "current") for end in ends) and (
        bool(through) or not all(end.code_list for end in ends)
    )
    key = (source, target, through, None if pinned else at)
    # A published edition never changes; which of them applies may, as soon as anything is published.
    stamp = () if pinned else store.stamp_of_all() if stamp is None else stamp
    kept: OrderedDict[Any, tuple[tuple[int, ...], Route]] = store.routes
    known = kept.get(key)
    if known is not None and known[0] == stamp:
        return known[1]
    found = _resolved(store, *ends, at=at, through=through, pinned=pinned)
    if found.weight <= _HEAVIEST_KEPT:
        kept[key] = (stamp, found)
    while len(kept) > _KEPT_ROUTES:
        kept.popitem(last=False)
    return found


def _name(text: str) -> _Name:
    name, _, pin = text.partition("@")
    owner, slash, code_list = name.partition("/")
    accepted = "ORG/LIST ou ORG/LIST@ÉDITION, NOMENCLATURE ou NOMENCLATURE@VERSION"
    if not owner or "/" in code_list or bool(slash) != bool(code_list):
        raise Invalid([Problem("translate_ends", "extrémité mal écrite", (), "from, to", text, accepted)])
    if code_list and "@" in text and not (pin.isascii() and pin.isdecimal() and 0 < len(pin) < 10):
        raise Invalid([Problem("translate_ends", "édition mal écrite", (), "from, to", text, "ORG/LIST@1")])
    return _Name(text, owner, code_list, pin)


def _resolved(store: Store, source: _Name, target: _Name, *, at: date, through: str, pinned: bool) -> Route:
    first, last = _ends(store, source, target, at, through)
    hops: list[_Across | _Along] = []
    if first.crosswalk is not None:
        hops.append(_across(store, first, inverse=False))
    shared = first.crosswalk is None and last.crosswalk is None
    if shared or first.release.number != last.release.number:
        hops.append(_along(store, first.release, last.release))
    if last.crosswalk is not None:
        hops.append(_across(store, last, inverse=True))
    return Route(first, last, tuple(hops), pinned, store)


def _ends(store: Store, source: _Name, target: _Name, at: date, through: str) -> tuple[End, End]:
    if source.code_list and target.code_list:
        pivot = through or _pivot(store, source, target, at)
        return _local_end(store, source, pivot, at), _local_end(store, target, pivot, at)
    if source.code_list:
        return _local_end(store, source, target.owner, at), _shared_end(store, target, at)
    if target.code_list:
        return _shared_end(store, source, at), _local_end(store, target, source.owner, at)
    if source.owner != target.owner:
        accepted = "deux versions d'une nomenclature, ou ORG/LIST ou ORG/LIST@ÉDITION d'un côté au moins"
        told = f"{source.text}, {target.text}"
        raise Invalid([Problem("translate_ends", "extrémités refusées", (), "from, to", told, accepted)])
    return _shared_end(store, source, at), _shared_end(store, target, at)


def _shared_end(store: Store, name: _Name, at: date) -> End:
    if name.pin == "latest":
        return End(store.latest(name.owner))
    if name.pin and name.pin != "current":
        return End(store.edition(name.owner, name.pin))
    return End(store.in_force(name.owner, at))


def _local_end(store: Store, name: _Name, nomenclature: str, at: date) -> End:
    edition = store.crosswalk_edition(
        name.owner, name.code_list, nomenclature, edition=name.edition, at=None if name.edition is not None else at
    )
    return End(store.edition(edition.nomenclature, edition.release), edition)


def _pivot(store: Store, source: _Name, target: _Name, at: date) -> str:
    """The nomenclature in which two local lists meet."""
    mapped = [
        {
            one.nomenclature
            for one in store.crosswalk_editions(organisation=name.owner, code_list=name.code_list)
            if (one.edition == name.edition if name.edition is not None else one.valid_from <= at)
        }
        for name in (source, target)
    ]
    shared = sorted(mapped[0] & mapped[1])
    if not shared:
        raise NotFound("crosswalk", f"{source.text} to {target.text}", {"crosswalks": sorted(mapped[0] | mapped[1])})
    if len(shared) > 1:
        message = "ces deux listes se rejoignent dans plusieurs nomenclatures"
        raise Invalid([Problem("translate_through", message, (), "through", "", ", ".join(shared))])
    return shared[0]


def _across(store: Store, end: End, *, inverse: bool) -> _Across:
    edition = cast(CrosswalkEdition, end.crosswalk)
    name = f"{edition.organisation}/{edition.code_list}"
    shared: dict[str, object] = {"nomenclature": edition.nomenclature, "release": edition.release}
    local: dict[str, object] = {"codeList": name, "edition": edition.list_edition}
    by = {"type": "crosswalk", "codeList": name, **shared, "edition": edition.edition, "sha256": edition.sha256}
    generic = inverse and store.heading(edition.nomenclature, edition.release).generic
    return _Across(edition, store.place(edition), inverse, generic, local if inverse else shared, by)


def _along(store: Store, source: Edition, target: Edition) -> _Along:
    editions = store.editions(source.nomenclature)
    found = lineage.way(store.lineages(source.nomenclature), editions, source.number, target.number)
    versions = {edition.number: edition.version for edition in editions}
    return _Along(source, target, found, tuple(versions[number] for number in found.numbers if number))


# Travelling it


def translate(
    store: Store,
    source: str,
    target: str,
    codes: Sequence[str],
    *,
    at: date,
    through: str = "",
    stamp: tuple[int, ...] | None = None,
) -> Answer:
    """Translate codes from one list to another, in the order asked (see ``route`` for how the lists are named).

    :raises Invalid: if an end is not of a form that is known, or ``through`` must be given.
    :raises NotFound: if there is no such release or crosswalk.
    :raises TooLarge: if the codes lead to more than ``MOST_FOUND`` others.
    """
    found = route(store, source, target, at=at, through=through, stamp=stamp)
    return Answer(found, translated(store, found, codes, most=MOST_FOUND))


def translated(store: Store, route: Route, codes: Iterable[str], *, most: int | None = None) -> list[Translation]:
    """Translate codes along a route, in the order given: a bounded number of statements a batch, none a code.

    :raises TooLarge: if the codes lead to more than ``most`` others.
    """
    wanted = list(codes)
    by_code: dict[str, Translation] = {}
    count = 0
    unique = list(dict.fromkeys(wanted))
    for start in range(0, len(unique), BATCH):
        for item in _batch(store, route, unique[start : start + BATCH]):
            by_code[item.code] = item
            count += len(item.found) + len(item.refused)
        if most is not None and count > most:
            raise TooLarge(f"au plus {most} réponses par appel : demandez moins de codes à la fois")
    return [by_code[code] for code in wanted]


@dataclass(frozen=True, slots=True)
class _Path:
    """How far a code has come: ``relation`` is that of the steps from ``cut`` on; ``first`` that of those before.

    ``cut`` is where the steps before and after do not join; -1: all join so far. ``over`` says that it goes no further.
    """

    code: str
    relation: Relation | None = "exactMatch"
    steps: tuple[Step, ...] = ()
    first: Relation | None = None
    cut: int = -1
    over: bool = False

    def joined(self, step: Step) -> _Path:
        """The path with a step more; where that does not join, the second half begins there."""
        steps = (*self.steps, step)
        relation = compose(self.relation, step.relation) if self.relation and step.relation else None
        if relation is not None:
            return _Path(step.code, relation, steps, self.first, self.cut)
        if self.cut >= 0:
            return _Path(self.code, self.relation, self.steps, self.first, self.cut, True)
        first = self.relation if self.steps else None
        return _Path(step.code, step.relation, steps, first, len(self.steps), step.relation is None)

    def halted(self) -> _Path:
        """The path where nothing follows from a code that was reviewed and has no equivalent."""
        return _Path(self.code, None, self.steps, self.relation, len(self.steps), True)


_Paths = dict[str, list[_Path]]


class _TooMany(Exception):
    """More paths than may travel together."""


def _batch(store: Store, route: Route, codes: Sequence[str]) -> Iterator[Translation]:
    try:
        yield from _travelled(store, route, codes)
    except _TooMany:
        if len(codes) == 1:
            raise TooLarge(f"un code mène à plus de {MOST_PATHS} autres") from None
        middle = len(codes) // 2
        yield from _batch(store, route, codes[:middle])
        yield from _batch(store, route, codes[middle:])


def _travelled(store: Store, route: Route, codes: Sequence[str]) -> list[Translation]:
    labels: dict[str, str] = {}
    statuses: dict[str, str] = {}
    paths: _Paths = {code: [_Path(code)] for code in codes}
    started: _Paths = {}
    if isinstance(route.hops[0], _Along):
        release = route.source.release
        concepts = store.labels(release.nomenclature, release.version, (code for code in codes if code))
        labels = {code: concept.label for code, concept in concepts.items()}
        statuses = {code: concept.status for code, concept in concepts.items()}
        paths = {code: found for code, found in paths.items() if code in labels}
    for place, hop in enumerate(route.hops):
        if isinstance(hop, _Along):
            paths = _lineage(store, hop, paths, statuses)
        elif hop.inverse:
            paths = _to_local(store, hop, paths, labels if place == 0 else {})
        else:
            paths = _from_local(store, hop, codes, labels, last=place + 1 == len(route.hops))
            started = paths
        if sum(map(len, paths.values())) > MOST_PATHS:
            raise _TooMany
    return [_told(route, code, labels, started, paths.get(code, ())) for code in codes]


def _from_local(store: Store, hop: _Across, codes: Sequence[str], labels: dict[str, str], *, last: bool) -> _Paths:
    """Along a crosswalk, from local codes to shared ones; the labels of the codes asked are told beside."""
    found: _Paths = {}
    for mapping, code, label, concept in store.mapped(hop.place, codes, inverse=False):
        labels[code] = label
        if mapping is None:
            continue
        shown = (concept.pref_label, concept.status) if concept else ((), "")
        step = Step(mapping.relation, mapping.target_code, *shown, hop.read_in, hop.by, mapping)
        path = _Path(mapping.target_code, mapping.relation, (step,))
        found.setdefault(code, []).append(path if last or mapping.relation != "noMatch" else path.halted())
    return found


def _lineage(store: Store, hop: _Along, paths: _Paths, statuses: Mapping[str, str]) -> _Paths:
    """Along the lineage: what the links of each passage say, and the code itself where none speaks of it."""
    ways: dict[str, list[tuple[Leg, ...]]] = {}
    for path in (path for some in paths.values() for path in some if not path.over):
        if path.code not in ways:
            ways[path.code] = _ways(hop.way, path.code)
    codes = {leg.code for some in ways.values() for legs in some for leg in legs} | ways.keys()
    slug = hop.target.nomenclature
    there = store.labels(slug, hop.target.version, codes)
    here = store.labels(slug, hop.source.version, codes - there.keys())
    found: _Paths = {}
    for origin, some in paths.items():
        for path in some:
            if path.over:
                found.setdefault(origin, []).append(path)
                continue
            before = path.steps[-1].status if path.steps else statuses[path.code]
            for legs in ways[path.code]:
                reached = path
                for step in _steps(hop, legs, path.code, before, there, here):
                    reached = reached.joined(step)
                    if reached.over:
                        break
                if reached.over or reached.code in there:
                    found.setdefault(origin, []).append(reached)
    return found


def _ways(way: Way, code: str) -> list[tuple[Leg, ...]]:
    """The links that lead on from a code, passage after passage; an empty way is the code itself, unchanged."""
    found: list[tuple[Leg, ...]] = [()]
    for passage in way.passages:
        onward: list[tuple[Leg, ...]] = []
        for legs in found:
            chains = passage.get(legs[-1].code if legs else code)
            onward += [legs] if chains is None else [(*legs, *chain) for chain in chains]
        if len(onward) > MOST_PATHS:
            raise _TooMany
        found = onward
    return found


def _steps(
    hop: _Along,
    legs: Sequence[Leg],
    code: str,
    before: str,
    there: Mapping[str, Concept],
    here: Mapping[str, Concept],
) -> Iterator[Step]:
    """The steps of a way: each code is read in the release that is travelled to, if it is there."""
    for leg in legs or (Leg(code, "exactMatch", None),):
        concept = there.get(leg.code) or here.get(leg.code)
        by: dict[str, object] = {"type": "lineage", **hop.by}
        if leg.link is not None:
            link = leg.link
            by |= {"old": link.old, "new": link.new, "date": link.date.isoformat(), "kind": link.kind}
        elif legs:
            by["type"] = "undeclared"
        elif before == "active" and concept is not None and concept.status == "deprecated":
            by["type"] = "withoutSuccessor"
        else:
            by["type"] = "unchanged"
        if concept is not None and concept.status == "deprecated" and by["type"] != "unchanged":
            by["reason"] = preferred(concept.history_note)
        read = hop.target if leg.code in there else hop.source
        yield Step(
            leg.relation,
            leg.code,
            concept.pref_label if concept else (),
            concept.status if concept else "",
            {"nomenclature": read.nomenclature, "release": read.version},
            by,
        )


def _to_local(store: Store, hop: _Across, paths: _Paths, labels: dict[str, str]) -> _Paths:
    """Along a crosswalk backwards, from shared codes to local ones, then up or down where the hierarchy allows it.

    The labels of the shared codes that it begins with are told beside.
    """
    found = _inverted(store, hop, paths, labels)
    if not hop.generic:
        return found
    for upwards in (True, False):
        level = {
            origin: [path for path in some if path.cut < 0]
            for origin, some in paths.items()
            if all(path.cut >= 0 for path in found.get(origin, ()))
        }
        seen = {origin: {path.code for path in some} for origin, some in level.items()}
        while level := _next_level(store, hop, level, seen, upwards=upwards):
            for origin, some in _inverted(store, hop, level, {}).items():
                # What does not join up there says nothing: only what was looked for is told.
                if sound := [path for path in some if path.cut < 0]:
                    found.setdefault(origin, []).extend(sound)
                    del level[origin]
    return found


def _inverted(store: Store, hop: _Across, paths: _Paths, labels: dict[str, str]) -> _Paths:
    codes = sorted({path.code for some in paths.values() for path in some if not path.over})
    steps: dict[str, list[Step]] = {}
    for mapping, code, label, concept in store.mapped(hop.place, codes, inverse=True):
        labels[code] = preferred(concept.pref_label) if concept else code
        if mapping is not None:
            relation = turned(mapping.relation)
            step = Step(relation, mapping.local_code, french(label), "", hop.read_in, hop.by, mapping)
            steps.setdefault(code, []).append(step)
    if sum(len(steps.get(path.code, ())) for some in paths.values() for path in some) > MOST_PATHS:
        raise _TooMany
    found: _Paths = {}
    for origin, some in paths.items():
        for path in some:
            onward = [path] if path.over else [path.joined(step) for step in steps.get(path.code, ())]
            if onward:
                found.setdefault(origin, []).extend(onward)
    return found


def _next_level(store: Store, hop: _Across, level: _Paths, seen: dict[str, set[str]], *, upwards: bool) -> _Paths:
    """The paths one level up, or down, the hierarchy: those on which that step joins, to codes not yet tried."""
    slug, version = hop.edition.nomenclature, hop.edition.release
    codes = {path.code for some in level.values() for path in some}
    if not codes:
        return {}
    if upwards:
        concepts = store.labels(slug, version, codes)
        nearby: Mapping[str, Sequence[str]] = {code: concept.broader for code, concept in concepts.items()}
    else:
        nearby = store.narrower(slug, version, codes)
    reached = store.labels(slug, version, {code for some in nearby.values() for code in some})
    relation: Relation = "broadMatch" if upwards else "narrowMatch"
    read_in = {"nomenclature": slug, "release": version}
    found: _Paths = {}
    for origin, some in level.items():
        for path in some:
            for code in nearby.get(path.code, ()):
                concept = reached[code]
                step = Step(
                    relation, code, concept.pref_label, concept.status, read_in, {"type": "hierarchy", **read_in}
                )
                onward = path.joined(step)
                if onward.cut < 0 and code not in seen[origin]:
                    seen[origin].add(code)
                    found.setdefault(origin, []).append(onward)
    return found


# Telling it


def _told(route: Route, code: str, labels: Mapping[str, str], started: _Paths, paths: Sequence[_Path]) -> Translation:
    sound = [path for path in paths if path.cut < 0]
    # Of several paths to one code with one relation, the shortest tells it.
    chosen: dict[tuple[str, Relation], _Path] = {}
    for path in sorted(sound, key=lambda path: len(path.steps)):
        chosen.setdefault((path.code, cast(Relation, path.relation)), path)
    whole = len(route.hops) == 1 or _is_whole(started.get(code, ()), list(chosen.values()))
    found = tuple(_found(path, whole=whole) for _, path in sorted(chosen.items()))
    refused = tuple(_refused(path) for path in paths if path.cut >= 0)
    return Translation(code, labels.get(code), _state(route, code, labels, started, found, refused), found, refused)


def _state(
    route: Route,
    code: str,
    labels: Mapping[str, str],
    started: _Paths,
    found: Sequence[Found],
    refused: Sequence[Refused],
) -> State:
    if found and found[0].relation == "noMatch":
        return "noMatch"
    if found:
        ended = all(one.status == "deprecated" and any("reason" in step.by for step in one.path) for one in found)
        return "deprecated" if ended else "mapped"
    if refused:
        return "refused"
    if code not in labels:
        return "unknown"
    return "unreviewed" if route.source.crosswalk is not None and code not in started else "unmapped"


def _found(path: _Path, *, whole: bool) -> Found:
    last = path.steps[-1]
    mapping, alone = _mapping_alone(path)
    forwards = mapping is not None and path.steps[0].mapping is mapping and last.read_in.get("codeList") is None
    if mapping is not None and len(path.steps) == 1:
        justification = mapping.justification if forwards else "semapv:MappingInversion"
    else:
        justification = "semapv:MappingChaining"
    reason = str(last.by.get("reason", ""))
    return Found(
        relation=cast(Relation, path.relation),
        code=path.code,
        pref_label=last.label,
        status=last.status,
        read_in=last.read_in,
        path=path.steps,
        covers=bool(mapping and mapping.covers and forwards and alone and whole),
        weight=mapping.weight if mapping and forwards and alone and whole else "",
        confidence=mapping.confidence if mapping and alone else "",
        justification=justification,
        comment=(mapping.comment if mapping else "") or reason,
    )


def _mapping_alone(path: _Path) -> tuple[Row | None, bool]:
    """The only mapping of a path, None if there are two or none; and whether every other step is exact."""
    mappings = [step.mapping for step in path.steps if step.mapping is not None]
    alone = all(step.mapping is not None or step.relation == "exactMatch" for step in path.steps)
    return (mappings[0], alone) if len(mappings) == 1 else (None, False)


def _is_whole(started: Sequence[_Path], reached: Sequence[_Path]) -> bool:
    """Whether each shared code that a local one is mapped to has come through unchanged, to one code of its own."""
    through = [path for path in reached if _mapping_alone(path)[1]]
    return len(through) == len(reached) == len(started)


def _refused(path: _Path) -> Refused:
    first, second = Half(path.first, path.steps[: path.cut]), Half(path.relation, path.steps[path.cut :])
    if first.relation == "noMatch":
        why = "sans équivalent dans la version visée : rien ne s'en déduit ailleurs"
    elif second.path and second.path[0].by["type"] == "undeclared":
        why = "le code a cédé une part de son sens, et rien ne dit ce qu'il désigne encore"
    elif second.relation is None:
        why = "les deux sens se recouvrent en partie : rien de sûr n'en découle"
    else:
        why = f"{first.relation} puis {second.relation} : rien de sûr n'en découle"
    return Refused(why, first, second)


# As JSON and as a table

COLUMNS = (
    "code",
    "label",
    "status",
    "relation",
    "target",
    "target_label",
    "target_status",
    "read_in",
    "path",
    "refused",
)
"""The columns of translations as a table: a row for each answer, one for each refusal, one for a code with neither."""


def document(item: Translation) -> dict[str, Any]:
    """A translation as JSON."""
    return {
        "code": item.code,
        "label": item.label,
        "status": item.status,
        "mappings": [
            {
                "relation": found.relation,
                "target": _place(found.code, found.pref_label, found.status, found.read_in) if found.code else None,
                "justification": found.justification,
                "confidence": found.confidence or None,
                "covers": found.covers,
                "weight": found.weight or None,
                "comment": found.comment,
                "path": [_step(step) for step in found.path],
            }
            for found in item.found
        ],
        "refused": [
            {"why": refused.why, "first": _half(refused.first), "second": _half(refused.second)}
            for refused in item.refused
        ],
    }


def _place(code: str, label: Texts, status: str, read_in: Mapping[str, object]) -> dict[str, Any]:
    return {"code": code, "prefLabel": dict(label), "status": status or None, **read_in}


def _step(step: Step) -> dict[str, Any]:
    target = _place(step.code, step.label, step.status, step.read_in) if step.code else None
    return {"relation": step.relation, "target": target, "by": step.by}


def _half(half: Half) -> dict[str, Any]:
    return {"relation": half.relation, "path": [_step(step) for step in half.path]}


def table_rows(items: Iterable[Translation]) -> Iterator[tuple[str, ...]]:
    """Translations as rows of ``COLUMNS``, in their order."""
    for item in items:
        start = (item.code, item.label or "", item.status)
        for found in item.found:
            target = (found.code, preferred(found.pref_label), found.status)
            yield (*start, found.relation, *target, place_name(found.read_in), _path(found.path), "")
        for refused in item.refused:
            halves = " // ".join(_path(half.path) for half in (refused.first, refused.second) if half.path)
            yield (*start, "", "", "", "", "", halves, refused.why)
        if not item.found and not item.refused:
            yield (*start, "", "", "", "", "", "", "")


def _path(steps: Iterable[Step]) -> str:
    return " > ".join(f"{step.relation or step.by.get('kind', '?')} {step.code}".strip() for step in steps)


def place_name(place: Mapping[str, object]) -> str:
    """Where a code was read, for people: `N@V`, or the list and its edition."""
    if "codeList" in place:
        return f"{place['codeList']}, liste édition {place['edition']}"
    return f"{place['nomenclature']}@{place['release']}"
