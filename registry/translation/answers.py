"""What is said of a code on the other side: what was found, what was refused, and each step; as JSON and as a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from registry.crosswalks import Mapping as Row
from registry.crosswalks import Relation
from registry.model import Texts, preferred

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
