"""The change set: what leads from one state of a nomenclature to another. Everything else reads it.

A release is its predecessor plus a change set, a draft is a release plus a change set, a diff is a change set,
what vendors pull is a sequence of them. It holds **facts**, computed between two states, and **lineage**,
declared by people, since no text tells by itself whether a meaning changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from registry.errors import Conflict
from registry.model import TEXT_PROPERTIES, Concept, Link, Release, Version

Compatibility = Literal["compatible", "breaking"]

FACTS = ("added", "removed", "relabelled", "redefined", "moved", "annotated", "deprecated", "reinstated")
SHAPES = ("replaced", "split", "merged", "reshaped", "widened", "narrowed", "shifted")
KINDS = FACTS + SHAPES
"""All kinds of change, in the order in which an entry lists them."""

_SHIFTS = {"wider": "widened", "narrower": "narrowed", "overlaps": "shifted"}
_ANNOTATIONS = ("related", "legal_basis", "valid_from", "valid_until")


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to one code: its state before and after (None: it was not there), and the links declared.

    ``lineage`` holds the links newly declared that leave or reach this code; ``kinds`` is in the order of KINDS.
    """

    code: str
    before: Concept | None
    after: Concept | None
    kinds: tuple[str, ...]
    lineage: tuple[Link, ...]

    @property
    def compatibility(self) -> Compatibility:
        """``breaking`` if a consumer that stored codes or totals must act."""
        if {"deprecated", "removed", "moved"}.intersection(self.kinds):
            return "breaking"
        leaves = (link for link in self.lineage if link.old == self.code)
        return "breaking" if any(link.new != link.old or link.kind != "same" for link in leaves) else "compatible"


@dataclass(frozen=True)
class ChangeSet:
    """The changes from one state to another, by code, with both headings (releases without their concepts)."""

    before: Release
    after: Release
    changes: tuple[Change, ...]
    links_added: frozenset[Link]
    links_removed: frozenset[Link]

    @property
    def compatibility(self) -> Compatibility:
        """``breaking`` if any change is."""
        return "breaking" if any(change.compatibility == "breaking" for change in self.changes) else "compatible"

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many codes each kind touches, in the order of KINDS, kinds that touch none left out."""
        counter = Counter(kind for change in self.changes for kind in change.kinds)
        return {kind: counter[kind] for kind in KINDS if counter[kind]}


def change_set(old: Release, new: Release) -> ChangeSet:
    """Compute what leads from ``old`` to ``new``; both may be partial, if both hold every code that differs."""
    added, removed = new.links - old.links, old.links - new.links
    touched = {code for link in added | removed for code in (link.old, link.new)}
    touched.update(
        code for code in old.concepts.keys() | new.concepts.keys() if old.concepts.get(code) != new.concepts.get(code)
    )
    by_code: dict[str, set[Link]] = {}
    for link in added:
        by_code.setdefault(link.old, set()).add(link)
        by_code.setdefault(link.new, set()).add(link)
    shapes = link_shapes(added)
    changes = (
        _change(code, old.concepts.get(code), new.concepts.get(code), by_code.get(code, ()), shapes)
        for code in sorted(touched)
    )
    return ChangeSet(_heading(old), _heading(new), tuple(changes), added, removed)


def apply(release: Release, changes: ChangeSet) -> Release:
    """The state that the change set leads to from ``release``.

    :raises Conflict: naming the codes whose state is not the one that the change set starts from.
    """
    concepts = dict(release.concepts)
    wrong = [change.code for change in changes.changes if concepts.get(change.code) != change.before]
    if wrong or not changes.links_removed <= release.links or changes.links_added & release.links:
        raise Conflict(f"{release.nomenclature.slug}: {', '.join(wrong) or 'lineage'}")
    for change in changes.changes:
        if change.after is None:
            concepts.pop(change.code, None)
        else:
            concepts[change.code] = change.after
    return changes.after.with_heading(
        concepts=dict(sorted(concepts.items())),
        links=(release.links - changes.links_removed) | changes.links_added,
    )


def inverse(changes: ChangeSet) -> ChangeSet:
    """The change set that leads back. Its ``removed`` exists only here: it can't be published."""
    shapes = link_shapes(changes.links_removed)
    back = (
        _change(
            change.code,
            change.after,
            change.before,
            [link for link in changes.links_removed if change.code in (link.old, link.new)],
            shapes,
        )
        for change in changes.changes
    )
    return ChangeSet(changes.after, changes.before, tuple(back), changes.links_removed, changes.links_added)


def least_version(base: str, compatibility: Compatibility) -> Version:
    """The least version that a change deserves: breaking asks for a new MAJOR, all else for a new MINOR."""
    last = Version(base)
    return Version(f"{last.major + 1}.0" if compatibility == "breaking" else f"{last.major}.{last.minor + 1}")


def link_shapes(links: Iterable[Link]) -> dict[Link, str]:
    """Say of each link what event it belongs to: replaced 1:1, split 1:n, merged n:1, reshaped n:m.

    Links are counted by date: a code that took over another in 2009 and a third in 2016 was in two events.
    """
    links = tuple(links)
    leaving = Counter((link.old, link.date) for link in links)
    reaching = Counter((link.new, link.date) for link in links)
    names = {(False, False): "replaced", (True, False): "split", (False, True): "merged", (True, True): "reshaped"}
    return {link: names[leaving[link.old, link.date] > 1, reaching[link.new, link.date] > 1] for link in links}


def _change(
    code: str, before: Concept | None, after: Concept | None, links: Iterable[Link], shapes: Mapping[Link, str]
) -> Change:
    found = set(_facts(before, after))
    for link in links:
        if link.old == code:
            shape = shapes[link] if link.new != code or shapes[link] != "replaced" else ""
            found.update({shape, _SHIFTS.get(link.kind, "") if link.new == code else ""} - {""})
    return Change(code, before, after, tuple(kind for kind in KINDS if kind in found), tuple(sorted(links)))


def _facts(before: Concept | None, after: Concept | None) -> Iterable[str]:
    if before is None or after is None:
        if after is not None:
            yield "added"
        if before is not None:
            yield "removed"
        return
    for item in TEXT_PROPERTIES:
        if getattr(before, item.name) != getattr(after, item.name):
            yield item.fact
    if before.broader != after.broader:
        yield "moved"
    if any(getattr(before, name) != getattr(after, name) for name in _ANNOTATIONS):
        yield "annotated"
    if before.status != after.status:
        yield "deprecated" if after.status == "deprecated" else "reinstated"


def _heading(release: Release) -> Release:
    return release.with_heading(concepts={}, links=frozenset())
