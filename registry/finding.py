"""The search index of the releases in force: which concepts it holds, and when it has to be made again.

An index belongs to one state of the registry: the head of the release log, and the releases in force, since a release
may come into force at midnight without any new entry. It is derived, so it is never asked whether it is stale: the
state names its folder.
"""

from __future__ import annotations

import shutil
import threading
import zlib
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

from registry import search
from registry.errors import NotFound
from registry.model import Concept, Edition, Release, Texts, preferred
from registry.search import Document, Index
from registry.store import Store

_NOTES = ("definition", "scope_note", "inclusion_note", "exclusion_note", "example", "history_note")

_lock = threading.Lock()
_open: dict[Path, tuple[tuple[int, date], int, Index]] = {}
"""By folder: the log's head and the day that were last looked at, the state that they are, its index."""


def documents(store: Store, today: date) -> Iterator[Document]:
    """Every concept of the releases in force on a day, as the search index sees it."""
    for edition in _in_force(store, today):
        yield from _documents(store.release(edition.nomenclature, edition.version))


def current_index(store: Store, folder: Path, today: date) -> Index:
    """The index of the releases in force on a day, opened once in a process and built only when it is not there.

    A call costs one read of the log's head as long as nothing was published and the day is the same.

    :raises OSError: when the disk refuses an index that has to be built.
    """
    seen = (store.head(), today)
    with _lock:
        known = _open.get(folder)
        if known is not None and known[0] == seen:
            return known[2]
        state = _state(store, *seen)
        if known is not None and known[1] == state:
            index = known[2]
        else:
            # The index that this one replaces is not closed, since another thread may be reading it: it goes with the
            # last of them.
            index = search.keep(folder, state, lambda: documents(store, today))
        _open[folder] = (seen, state, index)
        return index


def make_level(store: Store, folder: Path, today: date) -> bool:
    """Check the index on the disk, whatever this process has open, and build it if it is not whole.

    Return whether it had to be built.

    :raises OSError: when the disk refuses.
    """
    built = False

    def counted() -> Iterator[Document]:
        nonlocal built
        built = True
        return documents(store, today)

    search.keep(folder, _state(store, store.head(), today), counted).close()
    return built


def rebuild(store: Store, folder: Path, today: date) -> int:
    """Throw every index away, build that of the releases in force on a day, and return how many concepts it holds.

    :raises OSError: when the disk refuses.
    """
    with _lock:
        _open.pop(folder, None)
    shutil.rmtree(folder, ignore_errors=True)
    return len(current_index(store, folder, today))


def _in_force(store: Store, today: date) -> Iterator[Edition]:
    now = datetime.now(UTC)
    for nomenclature in store.nomenclatures():
        try:
            yield store.in_force(nomenclature.slug, today, now)
        except NotFound:
            continue


def _state(store: Store, head: int, today: date) -> int:
    """A number that two states never share in practice; that of a longer log is greater, as ``search.keep`` asks."""
    names = sorted(f"{edition.nomenclature}@{edition.version}" for edition in _in_force(store, today))
    return (head << 32) + zlib.crc32("\n".join(names).encode())


def _documents(release: Release) -> Iterator[Document]:
    for code, concept in release.concepts.items():
        yield Document(
            nomenclature=release.nomenclature.slug,
            version=release.version,
            code=code,
            status=concept.status,
            depth=release.depths.get(code, 1),
            pref_label=concept.label,
            alt_label=_french(concept.alt_label),
            hidden_label=_french(concept.hidden_label),
            definition=tuple(text for name in _NOTES for text in _french(getattr(concept, name))),
            path=tuple(_path(release, concept)),
        )


def _french(values: Texts) -> tuple[str, ...]:
    return tuple(text for language, text in values if language == "fr")


def _path(release: Release, concept: Concept) -> list[str]:
    """Labels of the broader concepts, top first; where there are several ways up, the first by code."""
    labels: list[str] = []
    while concept.broader:
        concept = release.concepts[concept.broader[0]]
        labels.insert(0, preferred(concept.pref_label) or concept.code)
    return labels
