"""The search indexes: of the releases in force, and of any others that are asked for; what each holds, when it is made.

An index belongs to one state of the registry: the releases that it holds, and the crosswalks published by then, whose
local labels are words that people say. It is derived, so it is never asked whether it is stale: the state names its
folder. Those of releases that are not in force today are made when they are asked for, and the last used are kept.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
import shutil
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from registry import analysis, search
from registry.crosswalks import CrosswalkEdition
from registry.errors import NotFound
from registry.model import Concept, Edition, Release, Texts, preferred
from registry.search import Document, Index, Mapped
from registry.store import Store

_NOTES = ("definition", "scope_note", "inclusion_note", "exclusion_note", "example", "history_note")

_KEPT = 8
"""Indexes of other releases than those in force that are kept, on the disk and open."""

_lock = threading.Lock()
_open: dict[Path, tuple[tuple[tuple[int, ...], date], int, Index]] = {}
"""By folder: the stamp and the day that were last looked at, the state that they are, its index."""


def documents(store: Store, today: date) -> Iterator[Document]:
    """Every concept of the releases in force on a day, as the search index sees it."""
    yield from _documents(store, in_force(store, today), today)


def current_index(store: Store, folder: Path, today: date) -> Index:
    """The index of the releases in force on a day, opened once in a process and built only when it is not there.

    A call costs one read of the store's stamp as long as nothing was published and the day is the same.

    :raises OSError: when the disk refuses an index that has to be built.
    """
    with _lock:
        return _level(store, folder, lambda: in_force(store, today), today)


def index_of(store: Store, folder: Path, editions: Sequence[Edition], today: date) -> Index:
    """An index that holds these releases, at most one of each nomenclature.

    Where one release is asked for that is in force, it is the index of those in force: a search of it names its
    nomenclature.

    :raises OSError: when the disk refuses an index that has to be built.
    """
    names = _names(editions)
    level = _names(in_force(store, today))
    if names == level or (len(names) == 1 and names[0] in level):
        return current_index(store, folder, today)
    place = folder / "others" / hashlib.sha256("\n".join(names).encode()).hexdigest()[:24]
    with _lock:
        index = _level(store, place, lambda: editions, today)
        os.utime(place)
        # The folders of those that are dropped go at once; whoever still reads one has its files open or mapped.
        last_used = sorted(place.parent.iterdir(), key=lambda one: one.stat().st_mtime, reverse=True)
        for dropped in last_used[_KEPT:]:
            _open.pop(dropped, None)
            shutil.rmtree(dropped, ignore_errors=True)
        return index


def _level(store: Store, folder: Path, editions: Callable[[], Iterable[Edition]], today: date) -> Index:
    seen = (store.stamp(), today)
    known = _open.get(folder)
    if known is not None and known[0] == seen:
        return known[2]
    held = list(editions())
    state = _state(seen[0], held)
    if known is not None and known[1] == state:
        index = known[2]
    else:
        # The index that this one replaces is not closed, since another thread may be reading it: it goes with the
        # last of them.
        index = search.keep(folder, state, lambda: _documents(store, held, today))
        _settle()
    _open[folder] = (seen, state, index)
    return index


def _settle() -> None:
    """Take all that the process holds now out of the garbage collector's rounds.

    A full round goes through everything that an open index keeps, which takes longer than any search.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()


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

    search.keep(folder, _state(store.stamp(), in_force(store, today)), counted).close()
    return built


def rebuild(store: Store, folder: Path, today: date) -> int:
    """Throw every index away, build that of the releases in force on a day, and return how many concepts these hold.

    :raises OSError: when the disk refuses.
    """
    with _lock:
        for known in [*_open]:
            if known == folder or folder in known.parents:
                del _open[known]
    shutil.rmtree(folder, ignore_errors=True)
    current_index(store, folder, today)
    return sum(edition.concepts for edition in in_force(store, today))


def in_force(store: Store, day: date, known_at: datetime | None = None) -> list[Edition]:
    """The releases in force on a day, one of each nomenclature that has any, as known at an instant (default: now)."""
    found = []
    for nomenclature in store.nomenclatures():
        with contextlib.suppress(NotFound):
            found.append(store.in_force(nomenclature.slug, day, known_at or datetime.now(UTC)))
    return found


def _names(editions: Iterable[Edition]) -> list[str]:
    return sorted(f"{edition.nomenclature}@{edition.version}" for edition in editions)


def _state(stamp: tuple[int, ...], editions: Iterable[Edition]) -> int:
    """A number that two states never share in practice; that of a longer history is greater, as ``keep`` asks.

    What the releases hold is part of it: a database restored from a backup may publish another release under a version
    of which there was an index.
    """
    held = sorted(f"{edition.nomenclature}@{edition.version} {edition.content_sha256}" for edition in editions)
    return (sum(stamp) << 32) + zlib.crc32("\n".join(held).encode())


def _documents(store: Store, editions: Iterable[Edition], today: date) -> Iterator[Document]:
    for edition in editions:
        release = store.release(edition.nomenclature, edition.version)
        mapped = _mapped(store, edition.nomenclature, today)
        spelt_out = _spelt_out(release)
        for code, concept in release.concepts.items():
            own = (concept.label, *_french(concept.alt_label), *_french(concept.hidden_label))
            known = {analysis.key(text) for text in own} if code in mapped else set()
            called = (one for one in mapped.get(code, ()) if one.relation in ("exactMatch", "closeMatch"))
            yield Document(
                nomenclature=release.nomenclature.slug,
                version=release.version,
                code=code,
                status=concept.status,
                depth=release.depths.get(code, 1),
                pref_label=concept.label,
                alt_label=_french(concept.alt_label),
                hidden_label=(*_french(concept.hidden_label), *_expansions(own, spelt_out)),
                definition=tuple(text for name in _NOTES for text in _french(getattr(concept, name))),
                path=tuple(_path(release, concept)),
                local_label=tuple(
                    {
                        key: (one.label, one.source) for one in called if (key := analysis.key(one.label)) not in known
                    }.values()
                ),
                mapped=tuple(mapped.get(code, ())),
            )


def _spelt_out(release: Release) -> dict[str, tuple[str, ...]]:
    """What each acronym of a release stands for, as its concept's labels say; none that two concepts bear."""
    found: dict[str, list[tuple[str, ...]]] = {}
    for concept in release.concepts.values():
        labels = (concept.label, *_french(concept.alt_label))
        for acronym in labels:
            if analysis.is_acronym(acronym):
                whole = [text for text in labels if analysis.initials(text)[0] == analysis.squeezed(acronym)]
                found.setdefault(acronym, []).append(tuple(dict.fromkeys((concept.label, *whole))))
    return {acronym: each[0] for acronym, each in found.items() if len(each) == 1}


def _expansions(labels: Iterable[str], spelt_out: Mapping[str, tuple[str, ...]]) -> list[str]:
    """The labels that begin with an acronym, with it spelt out: ``AEMO avec hébergement`` is searched in full too."""
    return [
        f"{whole} {rest}"
        for acronym, space, rest in (label.partition(" ") for label in labels)
        if space
        for whole in spelt_out.get(acronym, ())
    ]


def _mapped(store: Store, nomenclature: str, today: date) -> dict[str, list[Mapped]]:
    """Which local labels published crosswalks map to each concept, by code: each label and relation once."""
    last: dict[tuple[str, str], CrosswalkEdition] = {}
    for edition in store.crosswalk_editions(nomenclature=nomenclature):
        if edition.valid_from <= today:
            last[edition.organisation, edition.code_list] = edition
    found: dict[str, dict[tuple[str, str], Mapped]] = {}
    for edition in last.values():
        source = f"{edition.organisation}/{edition.code_list}@{edition.edition}"
        for mapping, label in store.mappings(edition):
            if mapping.target_code and label != mapping.local_code:
                known, key = found.setdefault(mapping.target_code, {}), (mapping.relation, analysis.key(label))
                if key in known:
                    known[key] = known[key]._replace(lists=known[key].lists + 1)
                else:
                    known[key] = Mapped(label, mapping.relation, 1, source)
    return {code: list(known.values()) for code, known in found.items()}


def _french(values: Texts) -> tuple[str, ...]:
    return tuple(text for language, text in values if language == "fr")


def _path(release: Release, concept: Concept) -> list[str]:
    """Labels of the broader concepts, top first; where there are several ways up, the first by code."""
    labels: list[str] = []
    while concept.broader:
        concept = release.concepts[concept.broader[0]]
        labels.insert(0, preferred(concept.pref_label) or concept.code)
    return labels
