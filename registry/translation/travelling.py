"""Codes travel a route hop by hop, in batches: along crosswalks either way, along lineage, up and down a hierarchy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import NamedTuple

from registry.crosswalks import Relation, turned
from registry.errors import TooLarge
from registry.lineage import Leg, Way
from registry.model import Concept, french, preferred
from registry.store import Store
from registry.translation.answers import Step, Translation
from registry.translation.paths import Path, Paths, told
from registry.translation.routes import Across, Along, Route, route

BATCH = 500
"""How many codes travel together."""
MOST_PATHS = 100_000
"""How many paths the codes that travel together may take; beyond, fewer of them travel together."""
MOST_FOUND = 200_000
"""How many answers a call may hold."""


class Answer(NamedTuple):
    """Translations in the order asked, and the route that they took."""

    route: Route
    items: list[Translation]


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
    """Translate codes along a route, in the order given, as ``each`` does.

    :raises TooLarge: if the codes lead to more than ``most`` others.
    """
    wanted = list(codes)
    by_code = {item.code: item for item in each(store, route, wanted, most=most)}
    return [by_code[code] for code in wanted]


def each(store: Store, route: Route, codes: Iterable[str], *, most: int | None = None) -> Iterator[Translation]:
    """Translate codes along a route, each once, in their order: a bounded number of statements a batch, none a code.

    Nothing is kept of what was yielded: a caller who writes it away at once has one batch in memory.

    :raises TooLarge: if the codes lead to more than ``most`` others.
    """
    count, unique = 0, list(dict.fromkeys(codes))
    for start in range(0, len(unique), BATCH):
        for item in _batch(store, route, unique[start : start + BATCH]):
            count += len(item.found) + len(item.refused)
            yield item
        if most is not None and count > most:
            raise TooLarge(f"au plus {most} réponses par appel : demandez moins de codes à la fois")


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
    paths: Paths = {code: [Path(code)] for code in codes}
    started: Paths = {}
    if isinstance(route.hops[0], Along):
        release = route.source.release
        concepts = store.labels(release.nomenclature, release.version, (code for code in codes if code))
        labels = {code: concept.label for code, concept in concepts.items()}
        statuses = {code: concept.status for code, concept in concepts.items()}
        paths = {code: found for code, found in paths.items() if code in labels}
    for place, hop in enumerate(route.hops):
        if isinstance(hop, Along):
            paths = _lineage(store, hop, paths, statuses)
        elif hop.inverse:
            paths = _to_local(store, hop, paths, labels if place == 0 else {})
        else:
            paths = _from_local(store, hop, codes, labels, last=place + 1 == len(route.hops))
            started = paths
        if sum(map(len, paths.values())) > MOST_PATHS:
            raise _TooMany
    return [told(route, code, labels, started, paths.get(code, ())) for code in codes]


def _from_local(store: Store, hop: Across, codes: Sequence[str], labels: dict[str, str], *, last: bool) -> Paths:
    """Along a crosswalk, from local codes to shared ones; the labels of the codes asked are told beside."""
    found: Paths = {}
    for mapping, code, label, concept in store.mapped(hop.place, codes, inverse=False):
        labels[code] = label
        if mapping is None:
            continue
        shown = (concept.pref_label, concept.status) if concept else ((), "")
        step = Step(mapping.relation, mapping.target_code, *shown, hop.read_in, hop.by, mapping)
        path = Path(mapping.target_code, mapping.relation, (step,))
        found.setdefault(code, []).append(path if last or mapping.relation != "noMatch" else path.halted())
    return found


def _lineage(store: Store, hop: Along, paths: Paths, statuses: Mapping[str, str]) -> Paths:
    """Along the lineage: what the links of each passage say, and the code itself where none speaks of it."""
    ways: dict[str, list[tuple[Leg, ...]]] = {}
    for path in (path for some in paths.values() for path in some if not path.over):
        if path.code not in ways:
            ways[path.code] = _ways(hop.way, path.code)
    codes = {leg.code for some in ways.values() for legs in some for leg in legs} | ways.keys()
    slug = hop.target.nomenclature
    there = store.labels(slug, hop.target.version, codes)
    here = store.labels(slug, hop.source.version, codes - there.keys())
    found: Paths = {}
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
    hop: Along,
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


def _to_local(store: Store, hop: Across, paths: Paths, labels: dict[str, str]) -> Paths:
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


def _inverted(store: Store, hop: Across, paths: Paths, labels: dict[str, str]) -> Paths:
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
    found: Paths = {}
    for origin, some in paths.items():
        for path in some:
            onward = [path] if path.over else [path.joined(step) for step in steps.get(path.code, ())]
            if onward:
                found.setdefault(origin, []).extend(onward)
    return found


def _next_level(store: Store, hop: Across, level: Paths, seen: dict[str, set[str]], *, upwards: bool) -> Paths:
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
    found: Paths = {}
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
