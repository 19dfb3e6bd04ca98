"""The tree of a release as pages show it: whole while it is small, else only the path to one concept."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from registry.model import Edition, Texts, preferred
from registry.store import Store
from registry.store.states import Row

WHOLE = 500
"""Concepts up to which the whole tree is read and shown."""

_MOST_SIBLINGS = 200
_MOST_NODES = 2_000
_MOST_READ = 16

_lock = threading.Lock()
_read: dict[str, list[Row]] = {}


@dataclass(slots=True)
class Node:
    """A concept in the tree. ``number`` is unique in the page: a concept with two broader ones is there twice.

    ``left_out`` counts the narrower concepts that are not shown.
    """

    code: str
    label: str
    deprecated: bool
    number: int = 0
    narrower: list[Node] = field(default_factory=list)
    opened: bool = False
    left_out: int = 0


class _Level(NamedTuple):
    rows: list[Row]
    total: int


def whole(known: Iterable[Row]) -> list[Node]:
    """Every concept, broader ones first; active ones before deprecated ones."""
    under = _under(known)
    count = 0

    def nodes(parent: str) -> list[Node]:
        nonlocal count
        found = []
        for row in under.get(parent, ()):
            count += 1
            node = _node(row.code, row.pref_label, row.status, count)
            # A concept under two broader ones at every level would come back without end.
            if count < _MOST_NODES:
                node.narrower = nodes(row.code)
            else:
                node.left_out = len(under.get(row.code, ()))
            found.append(node)
        return found

    return nodes("")


def rows(store: Store, edition: Edition) -> list[Row]:
    """Every concept of a release in brief. A release never changes, so those read last are kept, by their content.

    :raises NotFound: if there is no such release.
    """
    with _lock:
        found = _read.get(edition.content_sha256)
    if found is None:
        found = store.tree(edition.nomenclature, edition.version)
        with _lock:
            while len(_read) >= _MOST_READ:
                del _read[next(iter(_read))]
            _read[edition.content_sha256] = found
    return found


def along(store: Store, edition: Edition, code: str = "") -> list[Node]:
    """The top concepts and, level by level, those beside the path to a concept, then those right under it.

    A small release is read at once, a large one level by level.

    :raises NotFound: if there is no such release.
    """
    level: Callable[[str], _Level]
    broader: Callable[[str], tuple[str, ...]]
    slug, version = edition.nomenclature, edition.version
    if edition.concepts <= WHOLE:
        known = rows(store, edition)
        under = _under(known)
        above = {row.code: row.broader for row in known}

        def level(parent: str) -> _Level:
            found = under.get(parent, [])
            return _Level(found, len(found))

        def broader(one: str) -> tuple[str, ...]:
            return above.get(one, ())
    else:

        def level(parent: str) -> _Level:
            concepts, total = store.concepts(slug, version, broader=parent, limit=_MOST_SIBLINGS)
            return _Level([Row(one.code, one.status, one.pref_label, one.broader) for one in concepts], total)

        def broader(one: str) -> tuple[str, ...]:
            found = store.labels(slug, version, [one]).get(one)
            return found.broader if found else ()

    path = [code] if code else []
    while path and (wider := broader(path[0])):
        path.insert(0, wider[0])
    top = _nodes(level(""))
    nodes = top
    for one in path:
        node = next((node for node in nodes if node.code == one), None)
        if node is None:
            concept = store.labels(slug, version, [one]).get(one)
            if concept is None:
                break
            node = _node(one, concept.pref_label, concept.status)
            nodes.append(node)
        below = level(one)
        node.opened, node.narrower = True, _nodes(below)
        node.left_out = below.total - len(below.rows)
        nodes = node.narrower
    return top


def _nodes(level: _Level) -> list[Node]:
    return [_node(row.code, row.pref_label, row.status) for row in level.rows]


def _under(known: Iterable[Row]) -> dict[str, list[Row]]:
    under: dict[str, list[Row]] = {}
    for row in sorted(known, key=lambda row: (row.status != "active", row.code)):
        for parent in row.broader or ("",):
            under.setdefault(parent, []).append(row)
    return under


def _node(code: str, label: Texts, status: str, number: int = 0) -> Node:
    return Node(code, preferred(label) or code, status != "active", number)
