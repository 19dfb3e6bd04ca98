"""Two changes of one state, brought together: field by field for concepts, by set for lineage; what clashes is listed.

Pure functions over values. ``base`` is what both began from, ``ours`` what the draft says, ``theirs`` what came in the
meantime. A field that only one side changed is that side's; where both changed it, and not to the same value, somebody
must say which one holds. Fields have the names of our JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, NamedTuple

from registry.errors import Conflict
from registry.formats.document import concept_state, language_map
from registry.model import TEXT_PROPERTIES, Concept, Group, Link, Nomenclature

Side = Literal["ours", "theirs"]
SIDES: tuple[Side, ...] = ("ours", "theirs")

_KEYS = {item.name: item.key for item in TEXT_PROPERTIES} | {
    "legal_basis": "legalBasis",
    "valid_from": "validFrom",
    "valid_until": "validUntil",
}
FIELDS: Mapping[str, str] = {
    _KEYS.get(item.name, item.name): item.name for item in fields(Concept) if item.name != "code"
}
"""By name in JSON, the name in Python of every field of a concept that can be edited."""

WHOLE = "concept"
GROUP = "group"
HEADING = "heading"


@dataclass(frozen=True)
class Content:
    """All that a draft or a release says, as it is merged."""

    nomenclature: Nomenclature
    concepts: Mapping[str, Concept]
    links: frozenset[Link]
    groups: tuple[Group, ...]


class Clash(NamedTuple):
    """One field that both sides changed, each to another value."""

    code: str
    field: str
    base: Any
    ours: Any
    theirs: Any


class Merged(NamedTuple):
    """What two changes come to together, and what clashes in them and was not resolved."""

    content: Content
    clashes: tuple[Clash, ...]


class _Judge:
    """Says which side holds where both changed something, and keeps what nobody resolved."""

    def __init__(self, sides: Mapping[tuple[str, str], Side]) -> None:
        self._sides = sides
        self._used: set[tuple[str, str]] = set()
        self.clashes: list[Clash] = []

    def value(self, code: str, field: str, sides: tuple[Any, Any, Any]) -> Any:
        """The value of a field, of those that the base, ours and theirs give it."""
        base, ours, theirs = sides
        if ours in (theirs, base):
            return theirs
        if theirs == base:
            return ours
        for key in ((code, field), (code, "")):
            if key in self._sides:
                self._used.add(key)
                return theirs if self._sides[key] == "theirs" else ours
        self.clashes.append(Clash(code, field, base, ours, theirs))
        return ours

    def concept(self, code: str, sides: tuple[Concept | None, Concept | None, Concept | None]) -> Concept | None:
        """A concept, of those that the base, ours and theirs hold (None: it is not there)."""
        base, ours, theirs = sides
        if ours is None or theirs is None or ours in (theirs, base) or theirs == base:
            found: Concept | None = self.value(code, WHOLE, sides)
            return found
        # Both made the concept, or both changed it: a field that neither had before is empty in the base.
        origin = base or Concept(code, ())
        values = {
            name: self.value(code, key, (getattr(origin, name), getattr(ours, name), getattr(theirs, name)))
            for key, name in FIELDS.items()
        }
        return replace(ours, **values)

    def check(self) -> None:
        """Do nothing if every resolution was of something that clashes.

        :raises Conflict: naming those that were not.
        """
        unused = sorted(self._sides.keys() - self._used)
        if unused:
            raise Conflict("; ".join(f"{code} {field}".strip() for code, field in unused) + ": nothing clashes there")


def merged(base: Content, ours: Content, theirs: Content, sides: Mapping[tuple[str, str], Side]) -> Merged:
    """Bring two changes of one state together; ``sides`` says which holds, by (code, field) or (code, empty).

    :raises Conflict: if ``sides`` resolves something that does not clash.
    """
    judge = _Judge(sides)
    concepts: dict[str, Concept] = {}
    for code in sorted(base.concepts.keys() | ours.concepts.keys() | theirs.concepts.keys()):
        found = judge.concept(code, (base.concepts.get(code), ours.concepts.get(code), theirs.concepts.get(code)))
        if found is not None:
            concepts[code] = found
    before, mine, other = ({group.code: group for group in side.groups} for side in (base, ours, theirs))
    groups = (
        judge.value(code, GROUP, (before.get(code), mine.get(code), other.get(code)))
        for code in sorted(before.keys() | mine.keys() | other.keys())
    )
    kept = tuple(group for group in groups if group is not None)
    heading = judge.value("", HEADING, (base.nomenclature, ours.nomenclature, theirs.nomenclature))
    links = (theirs.links | (ours.links - base.links)) - (base.links - ours.links)
    judge.check()
    return Merged(Content(heading, concepts, links, kept), tuple(judge.clashes))


def differences(base: Concept | None, ours: Concept | None, theirs: Concept | None) -> list[Clash]:
    """The fields of a concept that both sides changed, each to another value."""
    judge = _Judge({})
    judge.concept(next(concept.code for concept in (ours, theirs, base) if concept), (base, ours, theirs))
    return judge.clashes


def clash_documents(clashes: Iterable[Clash]) -> Iterator[dict[str, Any]]:
    """Clashes as JSON."""
    for clash in clashes:
        values = (("base", clash.base), ("ours", clash.ours), ("theirs", clash.theirs))
        yield {"code": clash.code, "field": clash.field, **{name: _shown(value) for name, value in values}}


def _shown(value: Any) -> Any:
    if isinstance(value, Concept):
        return concept_state(value)
    if isinstance(value, Group):
        return {"code": value.code, "prefLabel": language_map(value.pref_label), "members": list(value.members)}
    if isinstance(value, Nomenclature):
        return {"title": language_map(value.title), "description": language_map(value.description)}
    if isinstance(value, tuple):
        pairs = [item for item in value if isinstance(item, tuple)]
        return language_map(tuple(pairs)) if pairs else list(value)
    return value.isoformat() if hasattr(value, "isoformat") else value
