"""The search index on the disk: an immutable folder derived from releases, made whole or not at all.

``build`` makes it aside and renames it into place, ``opened`` refuses one that is not whole, ``keep`` opens it or
builds it again; it can always be thrown away. Whoosh keeps the postings; only ``_write_postings``,
``_open_postings`` and ``Postings`` know it. Its table of contents is a pickle, so it is opened only after the manifest,
written last, has vouched for every byte.
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
import threading
import warnings
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

import orjson

from registry import analysis
from registry.errors import Damaged
from registry.vocabulary import Spellings, Vocabulary

with warnings.catch_warnings():
    # Whoosh's sources hold old escapes and calls: the compiler warns of them once per machine, and means nothing to us.
    warnings.simplefilter("ignore")
    from whoosh import fields as whoosh_fields
    from whoosh.filedb.filestore import FileStorage

FORMAT_VERSION = 2


LONGEST_QUERY = 200

_REMEMBERED_IDS = 200_000
_SCANNED_LABELS = 200
_MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Document:
    """One concept of one release as the index sees it; every text is French.

    ``definition`` holds the definition and the notes; ``path`` the preferred labels of the broader concepts, top first;
    ``local_label`` what published crosswalks call the concept, each with the list that says so.
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

    stems: frozenset[str]
    words: int
    acronym: str


class Entry(NamedTuple):
    """A document with all that ranking needs, analysed once when the index is built."""

    document: Document
    labels: tuple[Label, ...]
    notes: frozenset[str]
    path: frozenset[str]

    @classmethod
    def of(cls, document: Document) -> Self:
        """A document analysed."""
        return cls(
            document,
            tuple(_analysed(label) for label in document.labels),
            _stems(document.definition),
            _stems(document.path),
        )

    def dump(self) -> bytes:
        """It as a line of JSON."""
        document = [getattr(self.document, name) for name in Document.__slots__]
        labels = [[sorted(label.stems), label.words, label.acronym] for label in self.labels]
        return orjson.dumps([document, labels, sorted(self.notes), sorted(self.path)])

    @classmethod
    def load(cls, line: bytes) -> Self:
        """What ``dump`` wrote."""
        values, labels, notes, path = orjson.loads(line)
        *texts, local_label = values
        document = Document(*texts[:6], *map(tuple, texts[6:]))
        return cls(
            replace(document, local_label=tuple((one, source) for one, source in local_label)),
            tuple(Label(frozenset(stems), count, acronym) for stems, count, acronym in labels),
            frozenset(notes),
            frozenset(path),
        )


def _analysed(label: str) -> Label:
    words = sum(not word.stop for word in analysis.words(label))
    return Label(frozenset(analysis.stems(label)), words, analysis.initials(label)[0])


def _stems(texts: Iterable[str]) -> frozenset[str]:
    return frozenset(stem for text in texts for stem in analysis.stems(text))


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
        self._rows = [rows[word] for word in self._words]

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

    def beginning(self, start: str, allowed: frozenset[int] | None) -> list[Key]:
        """The first keys of these concepts that begin so, in alphabetical order."""
        first = bisect.bisect_left(self._texts, start)
        past = bisect.bisect_left(self._texts, start + _LAST)
        return self._first(range(first, past), allowed)

    def holding(self, starts: Sequence[str], allowed: frozenset[int] | None) -> list[Key]:
        """The first labels of these concepts in which a word begins with each of these."""
        ranges = [
            (bisect.bisect_left(self._words, start), bisect.bisect_left(self._words, start + _LAST)) for start in starts
        ]
        if not ranges or any(first == past for first, past in ranges):
            return []
        first, past = min(ranges, key=lambda one: sum(map(len, self._rows[one[0] : min(one[1], one[0] + 200)])))
        return self._first(itertools.chain.from_iterable(self._rows[first:past]), allowed, starts)

    def _first(self, rows: Iterable[int], allowed: frozenset[int] | None, starts: Sequence[str] = ()) -> list[Key]:
        kept = (
            self[row]
            for row in itertools.islice(rows, _SCANNED_LABELS if allowed is None else 20 * _SCANNED_LABELS)
            if (allowed is None or self._numbers[row] in allowed)
            and all(f" {start}" in f" {self._texts[row]}" for start in starts)
        )
        return list(itertools.islice(kept, _SCANNED_LABELS))

    def begins_a_word(self, start: str) -> bool:
        """Whether a word of a label begins so."""
        place = bisect.bisect_left(self._words, start)
        return place < len(self._words) and self._words[place].startswith(start)


class _Storage(FileStorage):  # type: ignore[misc] # Whoosh ships no types.
    """A folder of Whoosh's whose temporary files are in it too, so that a killed builder leaves nothing elsewhere.

    It remembers which files are missing: Whoosh asks once per posting for the lengths that unscored fields lack.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._missing: set[str] = set()

    def file_exists(self, name: str) -> bool:
        if name not in self._missing and not super().file_exists(name):
            self._missing.add(name)
        return name not in self._missing

    def create_file(self, name: str, **options: Any) -> Any:
        self._missing.discard(name)
        return super().create_file(name, **options)

    def rename_file(self, oldname: str, newname: str, **options: Any) -> None:
        self._missing.discard(newname)
        super().rename_file(oldname, newname, **options)

    def temp_storage(self, name: str | None = None) -> FileStorage:
        return FileStorage(str(Path(self.folder) / (name or secrets.token_hex(4)))).create()


def _write_postings(folder: Path, entries: Iterable[Entry]) -> None:
    keyword = whoosh_fields.KEYWORD(scorable=False, stored=False)
    schema = whoosh_fields.Schema(
        labels=keyword, notes=keyword, path=keyword, code=keyword, nomenclature=keyword, status=keyword
    )
    storage = _Storage(str(folder))
    index = storage.create_index(schema)
    writer = index.writer(limitmb=16)
    for entry in entries:
        document = entry.document
        writer.add_document(
            labels=" ".join(sorted(_label_terms(entry))),
            notes=" ".join(sorted(entry.notes)),
            path=" ".join(sorted(entry.path)),
            code=" ".join(sorted(code_terms(document.code))),
            nomenclature=document.nomenclature,
            status=document.status,
        )
    writer.commit(optimize=False)
    index.close()
    storage.close()
    for lock in folder.glob("*LOCK"):
        lock.unlink()


def _open_postings(folder: Path) -> Postings:
    storage = FileStorage(str(folder), supports_mmap=True, readonly=True)
    return Postings(storage.open_index().reader())


class Postings:
    """Which documents hold a term, as sets of numbers; the ones in use are remembered, up to a bound."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self._lock = threading.Lock()
        self._sets: dict[tuple[str, str], frozenset[int]] = {}
        self._held = 0
        self._values: dict[str, list[str]] = {}
        self.documents: int = reader.doc_count_all()

    def __call__(self, name: str, term: str) -> frozenset[int]:
        """The numbers of the documents that hold a term in a field."""
        known = self._sets.get((name, term))
        if known is not None:
            return known
        with self._lock:
            # Readers of Whoosh share one position in their file, so one thread reads at a time.
            found = frozenset(self._read(name, term))
            if self._held + len(found) > _REMEMBERED_IDS or len(self._sets) > 20_000:
                self._sets, self._held = {}, 0
            self._sets[name, term] = found
            self._held += len(found) + 1
        return found

    def values(self, name: str) -> list[str]:
        """Every term of a field: only for those of few terms, such as the nomenclature."""
        known = self._values.get(name)
        if known is None:
            with self._lock:
                known = [term.decode() for term in self._reader.lexicon(name)]
            self._values[name] = known
        return known

    def _read(self, name: str, term: str) -> Iterable[int]:
        if (name, term) not in self._reader:
            return ()
        ids: Iterable[int] = self._reader.postings(name, term).all_ids()
        return ids

    def close(self) -> None:
        """Give the files back."""
        with self._lock:
            self._reader.close()


def _label_terms(entry: Entry) -> set[str]:
    terms = {stem for label in entry.labels for stem in label.stems}
    return terms | {f"@{label.acronym}" for label in entry.labels if label.acronym}


def code_terms(code: str) -> set[str]:
    """The parts of a code and its beginnings: ``TA-AUT-100`` answers to ``ta``, ``aut``, ``100``, ``taaut``, whole."""
    parts = analysis.key(code).split()
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
        _fill(aside, documents)
        try:
            aside.rename(folder)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
        _fsync(folder.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _fill(folder: Path, documents: Iterable[Document]) -> None:
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
    _write_postings(folder / "postings", entries)
    with (folder / "documents.jsonl").open("wb") as lines:
        for entry in entries:
            lines.write(entry.dump() + b"\n")
    (folder / "words.json").write_bytes(orjson.dumps(spellings.rows()))
    (folder / "keys.json").write_bytes(orjson.dumps(Keys.columns(_keys(entries))))
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    files = {}
    for name in names:
        content = (folder / name).read_bytes()
        files[name] = [len(content), hashlib.sha256(content).hexdigest()]
        _fsync(folder / name)
    _fsync(folder / "postings")
    (folder / _MANIFEST).write_bytes(orjson.dumps({"format": FORMAT_VERSION, "files": files}))
    _fsync(folder / _MANIFEST)
    _fsync(folder)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _keys(entries: Sequence[Entry]) -> Iterator[Key]:
    for number, entry in enumerate(entries):
        yield Key(analysis.key(entry.document.code), number, CODE, 0)
        for place, (text, label) in enumerate(zip(entry.document.labels, entry.labels, strict=True)):
            yield Key(analysis.key(text), number, LABEL, place)
            if label.acronym:
                yield Key(label.acronym, number, ACRONYM, place)


def _vouched(folder: Path) -> None:
    """Check every file of an index folder against its manifest.

    :raises Damaged: if one is missing, cut short or changed, or if the folder is of another format.
    """
    try:
        manifest = orjson.loads((folder / _MANIFEST).read_bytes())
        if manifest["format"] != FORMAT_VERSION:
            raise Damaged(f"index {folder.name}: format {manifest['format']}")
        for name, (size, digest) in manifest["files"].items():
            content = (folder / name).read_bytes()
            if len(content) != size or hashlib.sha256(content).hexdigest() != digest:
                raise Damaged(f"index {folder.name}: {name}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged(f"index {folder.name}: {error}") from error


class Files(NamedTuple):
    """The parts of an index, read or mapped; ``starts`` are where each line of a document begins."""

    postings: Postings
    vocabulary: Vocabulary
    keys: Keys
    lines: mmap.mmap | bytes
    starts: array[int]

    def entry(self, number: int) -> Entry:
        """The document of this number, analysed."""
        return Entry.load(self.lines[self.starts[number] : self.starts[number + 1]])

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
        postings = _open_postings(folder / "postings")
        vocabulary = Vocabulary(orjson.loads((folder / "words.json").read_bytes()), postings.documents)
    except Exception as error:
        # Whoosh raises whatever its pickles and structures raise: all of it means one thing here.
        raise Damaged(f"index {folder.name}: {error}") from error
    starts = array("Q", (0, *(match.end() for match in re.finditer(rb"\n", lines))))
    return Files(postings, vocabulary, keys, lines, starts)


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
