"""Routes: the way from one list or release to another, resolved once from the names of both ends."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any, NamedTuple, cast

from registry import lineage
from registry.crosswalks import CrosswalkEdition, edition_document
from registry.errors import Invalid, NotFound, Problem
from registry.lineage import Way
from registry.model import Edition
from registry.store import Store
from registry.store.lineages import Place

_KEPT_ROUTES, _HEAVIEST_KEPT = 64, 20_000
"""How many routes are kept, and how many codes the lineage of one may touch at most."""


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
class Across:
    """A crosswalk, from the local list to the release, or (``inverse``) back; ``generic`` lets a code climb first."""

    edition: CrosswalkEdition
    place: Place
    inverse: bool
    generic: bool
    read_in: Mapping[str, object]
    by: Mapping[str, object]

    def document(self) -> dict[str, object]:
        """This hop as JSON, with the hash of the edition."""
        return {"type": "crosswalk", "inverse": self.inverse, **edition_document(self.edition)}


@dataclass(frozen=True, slots=True)
class Along:
    """The lineage from one release to another of the same nomenclature."""

    source: Edition
    target: Edition
    way: Way
    releases: tuple[str, ...]

    def document(self) -> dict[str, object]:
        """This hop as JSON, with all the releases on it."""
        return {"type": "lineage", **self.by, "releases": list(self.releases)}

    @property
    def by(self) -> dict[str, object]:
        """From which release to which, as each step says it."""
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
    hops: tuple[Across | Along, ...]
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
        return sum(len(passage) for hop in self.hops if isinstance(hop, Along) for passage in hop.way.passages)

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
    hops: list[Across | Along] = []
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


def _across(store: Store, end: End, *, inverse: bool) -> Across:
    edition = cast(CrosswalkEdition, end.crosswalk)
    name = f"{edition.organisation}/{edition.code_list}"
    shared: dict[str, object] = {"nomenclature": edition.nomenclature, "release": edition.release}
    local: dict[str, object] = {"codeList": name, "edition": edition.list_edition}
    by = {"type": "crosswalk", "codeList": name, **shared, "edition": edition.edition, "sha256": edition.sha256}
    generic = inverse and store.heading(edition.nomenclature, edition.release).generic
    return Across(edition, store.place(edition), inverse, generic, local if inverse else shared, by)


def _along(store: Store, source: Edition, target: Edition) -> Along:
    editions = store.editions(source.nomenclature)
    found = lineage.way(store.lineages(source.nomenclature), editions, source.number, target.number)
    versions = {edition.number: edition.version for edition in editions}
    return Along(source, target, found, tuple(versions[number] for number in found.numbers if number))
