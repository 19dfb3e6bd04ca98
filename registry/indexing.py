"""The search index on the disk: an immutable folder derived from releases, made whole or not at all.

``build`` makes it aside and renames it into place, ``opened`` refuses one that is not whole, ``keep`` opens it or
builds it again; it can always be thrown away. Whoosh keeps the postings (``registry.postings``); they are opened only
after the manifest, written last, has vouched for every byte.
"""

from __future__ import annotations

import bisect
import contextlib
import errno
import fcntl
import hashlib
import itertools
import mmap
import os
import re
import secrets
import shutil
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self

import orjson

from registry import analysis, postings
from registry.durable import to_disk
from registry.errors import Damaged
from registry.postings import Postings
from registry.vocabulary import Spellings, Vocabulary

FORMAT_VERSION = 4

_SCANNED_LABELS = 200
_MANIFEST = "manifest.json"
_MAPPED = "mapped.json"


class Mapped(NamedTuple):
    """A local label that published crosswalks map to a concept: in which relation, how many lists, one of them."""

    label: str
    relation: str
    lists: int
    source: str


@dataclass(frozen=True, slots=True)
class Document:
    """One concept of one release as the index sees it; every text is French.

    ``definition`` holds the definition and the notes; ``path`` the preferred labels of the broader concepts, top first;
    ``local_label`` what published crosswalks call the concept, each with the list that says so. ``mapped`` is all that
    they map to it, whatever the relation.
    """

    nomenclature: str
    version: str
    code: str
    status: str
    depth: int
    pref_label: str
    alt_label: tuple[str, ...] = ()
    hidden_label: tuple[str, ...] = ()
    definition: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    local_label: tuple[tuple[str, str], ...] = ()
    mapped: tuple[Mapped, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """Preferred, alternative, hidden, then local labels."""
        return (self.pref_label, *self.alt_label, *self.hidden_label, *(label for label, _ in self.local_label))

    def is_hidden(self, place: int) -> bool:
        """Whether the label at this place among all labels is a hidden one."""
        return len(self.alt_label) < place <= len(self.alt_label) + len(self.hidden_label)

    def source(self, place: int) -> str:
        """The local list that the label at this place comes from, empty for the concept's own."""
        local = place - 1 - len(self.alt_label) - len(self.hidden_label)
        return self.local_label[local][1] if local >= 0 else ""


class Label(NamedTuple):
    """A label analysed: its stems, how many words they come from, and the acronym that its initials make."""

    stems: Sequence[str]
    words: int
    acronym: str


@dataclass(frozen=True)
class Entry:
    """A document with all that ranking needs, analysed once when the index is built.

    ``code`` is the folded one, its parts apart. Fifty entries are ranked where ten are shown, so the document itself
    is read only when somebody asks for it.
    """

    code: str
    active: bool
    depth: int
    defined: bool
    labels: Sequence[Label]
    notes: Sequence[str]
    path: Sequence[str]
    _document: bytes

    @classmethod
    def of(cls, document: Document) -> Self:
        """A document analysed."""
        entry = cls(
            analysis.key(document.code),
            document.status == "active",
            document.depth,
            bool(document.definition),
            [_analysed(label) for label in document.labels],
            _stems(document.definition),
            _stems(document.path),
            orjson.dumps([getattr(document, name) for name in Document.__slots__], default=tuple),
        )
        vars(entry)["document"] = document  # It need not be read back from its bytes.
        return entry

    @cached_property
    def document(self) -> Document:
        """The document as it was given."""
        return _document(self._document)

    def dump(self) -> bytes:
        """It as a line: JSON, a tab, which JSON never holds, and the document as JSON."""
        ranked = [self.code, self.active, self.depth, self.defined, [*map(tuple, self.labels)], self.notes, self.path]
        return orjson.dumps(ranked) + b"\t" + self._document

    @classmethod
    def load(cls, line: bytes) -> Self:
        """What ``dump`` wrote."""
        ranked, _, document = line.partition(b"\t")
        code, active, depth, defined, labels, notes, path = orjson.loads(ranked)
        return cls(code, active, depth, defined, [Label(*label) for label in labels], notes, path, document)


def _document(line: bytes) -> Document:
    *texts, local_label, mapped = orjson.loads(line)
    local = tuple((one, source) for one, source in local_label)
    values = [*texts[:6], *map(tuple, texts[6:]), local, tuple(Mapped(*one) for one in mapped)]
    return Document(*values)


def _analysed(label: str) -> Label:
    words = sum(not word.stop for word in analysis.words(label))
    return Label(sorted({*analysis.stems(label)}), words, analysis.initials(label)[0])


def _stems(texts: Iterable[str]) -> list[str]:
    return sorted({stem for text in texts for stem in analysis.stems(text)})


LABEL, CODE, ACRONYM = 0, 1, 2
_LAST = "\U0010ffff"  # It sorts after whatever a word can hold.


class Key(NamedTuple):
    """Something that can be typed whole: a label, a code, an acronym made from a label.

    ``number`` is its concept's, ``label`` the place of the label among its concept's labels.
    """

    key: str
    number: int
    kind: int
    label: int


class Keys:
    """All keys in order, in columns: a label a row costs little memory, and bisection finds what begins so."""

    def __init__(self, columns: Sequence[Sequence[Any]]) -> None:
        self._texts: list[str] = list(columns[0])
        self._numbers = array("I", columns[1])
        self._kinds = bytes(columns[2])
        self._labels = array("I", columns[3])
        rows: dict[str, array[int]] = {}
        for row, text in enumerate(self._texts):
            if self._kinds[row] == LABEL:
                for word in set(text.split()):
                    rows.setdefault(word, array("I")).append(row)
        self._words = sorted(rows)
        # One array after the other: thousands of small ones would be looked through at each collection of garbage.
        self._rows = array("I", itertools.chain.from_iterable(rows[word] for word in self._words))
        self._starts = array("I", itertools.accumulate((len(rows[word]) for word in self._words), initial=0))

    @staticmethod
    def columns(keys: Iterable[Key]) -> list[list[Any]]:
        """The columns to write for these keys."""
        ordered = sorted(keys)
        return [[row[column] for row in ordered] for column in range(4)]

    def __getitem__(self, row: int) -> Key:
        return Key(self._texts[row], self._numbers[row], self._kinds[row], self._labels[row])

    def equal(self, key: str) -> Iterator[Key]:
        """Keys that are exactly this one."""
        row = bisect.bisect_left(self._texts, key)
        while row < len(self._texts) and self._texts[row] == key:
            yield self[row]
            row += 1

    def beginning(self, start: str, allowed: int | None) -> list[int]:
        """The rows of the first keys of these concepts that begin so, in alphabetical order."""
        first = bisect.bisect_left(self._texts, start)
        past = bisect.bisect_left(self._texts, start + _LAST)
        return self._first(range(first, past), allowed)

    def holding(self, starts: Sequence[str], allowed: int | None) -> list[int]:
        """The rows of the first labels of these concepts in which a word begins with each of these."""
        ranges = [
            (bisect.bisect_left(self._words, start), bisect.bisect_left(self._words, start + _LAST)) for start in starts
        ]
        if not ranges or any(first == past for first, past in ranges):
            return []
        sizes = [self._starts[min(past, first + 200)] - self._starts[first] for first, past in ranges]
        fewest = sizes.index(min(sizes))
        first, past = (self._starts[place] for place in ranges[fewest])
        others = [f" {start}" for place, start in enumerate(starts) if place != fewest]
        return self._first(map(self._rows.__getitem__, range(first, past)), allowed, others)

    def _first(self, rows: Iterable[int], allowed: int | None, starts: Sequence[str] = ()) -> list[int]:
        """Of the first rows, those of these concepts whose texts hold each of these."""
        found = list(itertools.islice(rows, _SCANNED_LABELS if allowed is None else 20 * _SCANNED_LABELS))
        if allowed is not None:
            found = [row for row in found if allowed >> self._numbers[row] & 1]
        for start in starts:
            found = [row for row in found if start in f" {self._texts[row]}"]
        return found[:_SCANNED_LABELS]

    def best(self, rows: Iterable[int], typed: str) -> dict[int, int]:
        """The best of these rows for each concept: what was typed before what is longer, then as concepts are ranked.

        Their numbers give their rows, in that order.
        """
        ordered = sorted(
            (self._texts[row] != typed, self._numbers[row], self._kinds[row] != LABEL, self._labels[row], row)
            for row in rows
        )
        found: dict[int, int] = {}
        for _, number, _, _, row in ordered:
            found.setdefault(number, row)
        return found

    def begins_a_word(self, start: str) -> bool:
        """Whether a word of a label begins so."""
        place = bisect.bisect_left(self._words, start)
        return place < len(self._words) and self._words[place].startswith(start)


_FIELDS = ("labels", "around", "code", "nomenclature", "status")
"""What postings are kept of; ``around`` are the notes and the broader labels."""


def _terms(entry: Entry) -> dict[str, Iterable[str]]:
    return {
        "labels": {
            *(stem for label in entry.labels for stem in label.stems),
            *(f"@{label.acronym}" for label in entry.labels if label.acronym),
        },
        "around": {*entry.notes, *entry.path},
        "code": code_terms(entry.code),
        "nomenclature": (entry.document.nomenclature,),
        "status": (entry.document.status,),
    }


def code_terms(key: str) -> set[str]:
    """The parts of a code and its beginnings: ``ta aut 100`` answers to ``ta``, ``aut``, ``100``, ``taaut``, whole."""
    parts = key.split()
    return {*parts, *("".join(parts[: count + 1]) for count in range(len(parts)))}


def build(documents: Iterable[Document], folder: Path) -> None:
    """Write a whole index folder: made aside, every file on the disk, then renamed into place.

    When another process has put its own there first, that one stays and this one is dropped: both were made from
    the same releases.

    :raises OSError: when the disk is full or the place can't be written; nothing is left at ``folder`` then.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = folder.with_name(f"{folder.name}.building-{os.getpid()}-{secrets.token_hex(4)}")
    aside.mkdir()
    try:
        _fill(aside, documents, folder.name)
        try:
            aside.rename(folder)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
        to_disk(folder.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _fill(folder: Path, documents: Iterable[Document], name: str) -> None:
    # Numbers follow how likely a concept is to be wanted, so the first fifty of a long list are worth ranking.
    ordered = sorted(
        documents,
        key=lambda one: (one.status != "active", one.depth, len(one.pref_label), one.nomenclature, one.code),
    )
    spellings = Spellings()
    entries = []
    for document in ordered:
        entries.append(Entry.of(document))
        spellings.count(document.labels, document.definition)
    (folder / "postings").mkdir()
    postings.write(folder / "postings", map(_terms, entries), _FIELDS)
    with (folder / "documents.jsonl").open("wb") as lines:
        for entry in entries:
            lines.write(entry.dump() + b"\n")
    (folder / "words.json").write_bytes(orjson.dumps(spellings.rows()))
    (folder / "keys.json").write_bytes(orjson.dumps(Keys.columns(_keys(entries))))
    (folder / _MAPPED).write_bytes(orjson.dumps(_mapped_labels(entries)))
    files = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        files[path.relative_to(folder).as_posix()] = [len(content), hashlib.sha256(content).hexdigest()]
        to_disk(path)
    to_disk(folder / "postings")
    (folder / _MANIFEST).write_bytes(orjson.dumps({"format": FORMAT_VERSION, "index": name, "files": files}))
    to_disk(folder / _MANIFEST)
    to_disk(folder)


def _keys(entries: Sequence[Entry]) -> Iterator[Key]:
    for number, entry in enumerate(entries):
        yield Key(entry.code, number, CODE, 0)
        for place, (text, label) in enumerate(zip(entry.document.labels, entry.labels, strict=True)):
            yield Key(analysis.key(text), number, LABEL, place)
            if label.acronym:
                yield Key(label.acronym, number, ACRONYM, place)


def _mapped_labels(entries: Sequence[Entry]) -> dict[str, list[tuple[int, int]]]:
    """Where each folded local label is mapped: the numbers of concepts, and the places in what is mapped to them."""
    found: dict[str, list[tuple[int, int]]] = {}
    for number, entry in enumerate(entries):
        for place, mapped in enumerate(entry.document.mapped):
            found.setdefault(analysis.key(mapped.label), []).append((number, place))
    return found


def _vouched(folder: Path) -> None:
    """Check every file of an index folder against its manifest.

    :raises Damaged: if one is missing, cut short or changed, if the folder is of another format, or if it was made
        under another name, which is that of another state of the registry.
    """
    try:
        manifest = orjson.loads((folder / _MANIFEST).read_bytes())
        if manifest["format"] != FORMAT_VERSION:
            raise Damaged(f"index {folder.name}: format {manifest['format']}")
        if manifest["index"] != folder.name:
            raise Damaged(f"index {folder.name}: it is index {manifest['index']}")
        for name, (size, digest) in manifest["files"].items():
            content = (folder / name).read_bytes()
            if len(content) != size or hashlib.sha256(content).hexdigest() != digest:
                raise Damaged(f"index {folder.name}: {name}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged(f"index {folder.name}: {error}") from error


class Files(NamedTuple):
    """The parts of an index, read or mapped; ``starts`` are where each line of a document begins.

    ``mapped`` says by folded local label where it is mapped: numbers of concepts, and places in what is mapped to them.
    """

    postings: Postings
    vocabulary: Vocabulary
    keys: Keys
    lines: mmap.mmap | bytes
    starts: array[int]
    mapped: Mapping[str, Sequence[tuple[int, int]]]

    def entry(self, number: int) -> Entry:
        """The document of this number, analysed."""
        return Entry.load(self._line(number))

    def document(self, number: int) -> Document:
        """The document of this number alone."""
        return _document(self._line(number).partition(b"\t")[2])

    def _line(self, number: int) -> bytes:
        return self.lines[self.starts[number] : self.starts[number + 1]]

    def close(self) -> None:
        """Give the files back; nothing can be read any more."""
        self.postings.close()
        if isinstance(self.lines, mmap.mmap):
            self.lines.close()


def opened(folder: Path) -> Files:
    """Open an index folder after checking every file of it.

    :raises Damaged: if it is missing, not whole, or of another format.
    """
    _vouched(folder)
    try:
        keys = Keys(orjson.loads((folder / "keys.json").read_bytes()))
        lines = _mapped(folder / "documents.jsonl")
        starts = array("Q", (0, *(match.end() for match in re.finditer(rb"\n", lines))))
        held = Postings(folder / "postings")
        mapped = orjson.loads((folder / _MAPPED).read_bytes())
        vocabulary = Vocabulary(orjson.loads((folder / "words.json").read_bytes()), len(starts) - 1)
    except Exception as error:
        # Whoosh raises whatever its pickles and structures raise: all of it means one thing here.
        raise Damaged(f"index {folder.name}: {error}") from error
    return Files(held, vocabulary, keys, lines, starts, mapped)


def _mapped(path: Path) -> mmap.mmap | bytes:
    with path.open("rb") as file:
        # An empty file can't be mapped: an index of no concept has one.
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b""


def keep(root: Path, sequence: int, documents: Callable[[], Iterable[Document]]) -> Files:
    """Open the index of one state of the registry, building it first if it is not there whole.

    ``sequence`` is the number of the last entry of the release log: two states never share it. A damaged index is
    dropped and built again; those of earlier states, and what killed builders left behind, are swept away.
    ``documents`` is called only when there is something to build. Processes take turns, so only one builds.

    :raises OSError: when the disk refuses.
    :raises Damaged: when even a freshly built index does not open.
    """
    root.mkdir(parents=True, exist_ok=True)
    folder = root / f"{FORMAT_VERSION}-{sequence}"
    with contextlib.suppress(Damaged):
        return opened(folder)
    with (root / "lock").open("a") as lock:
        # The lock goes with its process, however that ends.
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            return opened(folder)
        except Damaged:
            _discard(folder)
        build(documents(), folder)
        files = opened(folder)
        _sweep(root, sequence)
        return files


def _discard(folder: Path) -> None:
    """Take a folder away at once by renaming it, then delete what it held."""
    aside = folder.with_name(f"{folder.name}.building-{os.getpid()}-{secrets.token_hex(4)}")
    with contextlib.suppress(FileNotFoundError):
        folder.rename(aside)
    if aside.is_dir():
        shutil.rmtree(aside, ignore_errors=True)
    else:
        aside.unlink(missing_ok=True)


def _sweep(root: Path, sequence: int) -> None:
    for path in root.iterdir():
        built = re.fullmatch(r"[0-9]+-([0-9]+)", path.name)
        building = re.fullmatch(r"[0-9]+-[0-9]+\.building-([0-9]+)-[0-9a-f]+", path.name)
        stale = built and int(built[1]) <= sequence and path.name != f"{FORMAT_VERSION}-{sequence}"
        if stale or (building and not _lives(int(building[1]))):
            _discard(path)


def _lives(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
