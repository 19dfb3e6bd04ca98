"""Finding concepts: ``aide menagere``, ``AEMO``, ``hebergement personne agee``, ``placement judicaire``.

An index is a folder derived from releases. It never changes once it stands: ``build`` makes it aside and renames it
into place, ``Index.open`` refuses one that is not whole, ``keep`` opens it or builds it again. It can always be
thrown away.

A query is read in steps, each bounded before the next: at most 200 characters, then 10 words; French analysis
(``registry.analysis``); unknown words are completed, corrected, cut or glued against the index's own words;
then come the concepts that hold every word in their labels, then in labels, notes or broader labels, then those that
hold enough of the rare ones. The first fifty are put in order, each with the reason why it is there. A query whose
rare words are nowhere gets nothing: an empty answer is an answer.

Whoosh keeps the postings, and only ``_write_postings``, ``_open_postings`` and ``_Postings`` know it. Its query
parser is never used, so no query has operators; its table of contents is a pickle, so it is opened only after the
manifest, written last, has vouched for every byte.
"""

from __future__ import annotations

import bisect
import contextlib
import errno
import fcntl
import hashlib
import itertools
import math
import mmap
import os
import re
import secrets
import shutil
import threading
import time
import warnings
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import orjson
from rapidfuzz import process
from rapidfuzz.distance import OSA

from registry import analysis
from registry.errors import Damaged

with warnings.catch_warnings():
    # Whoosh's sources hold old escapes and calls: the compiler warns of them once per machine, and means nothing to us.
    warnings.simplefilter("ignore")
    from whoosh import fields as whoosh_fields  # type: ignore[import-untyped] # Whoosh ships no types.
    from whoosh.filedb.filestore import FileStorage  # type: ignore[import-untyped] # Whoosh ships no types.

FORMAT_VERSION = 1
"""Raised whenever the analysis or the files change: an index of another format is never opened."""

LONGEST_QUERY = 200
MOST_WORDS = 10
RERANKED = 50
PATIENCE = 0.25
"""Seconds after which a search answers with what it has found so far."""

LEAST_COVERAGE = 0.5
"""Share of the rarity of the words asked for that a concept must hold when it does not hold them all."""

ENOUGH = 5
"""Concepts that hold every word, above which those that hold only some are not looked for."""

_IN_NOTES, _IN_PATH, _RELATED, _PARTIAL = 0.6, 0.5, 0.6, 0.5
"""What a word is worth found in a note, in a broader label, by its family; and a concept that lacks a word."""

_MOST_COMPLETIONS = 40
_MOST_CORRECTIONS = 5
_REMEMBERED_IDS = 200_000
_REMEMBERED_ENTRIES = 1_024
_SCANNED_LABELS = 200
_MANIFEST = "manifest.json"

Kind = Literal["code", "label", "acronym", "stem", "prefix", "corrected", "definition"]
Spans = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Document:
    """One concept of one release as the index sees it; every text is French.

    ``definition`` holds the definition and the notes; ``path`` the preferred labels of the broader concepts, top first.
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

    @property
    def labels(self) -> tuple[str, ...]:
        """Preferred, alternative, then hidden labels."""
        return (self.pref_label, *self.alt_label, *self.hidden_label)


@dataclass(frozen=True, slots=True)
class Why:
    """The reason of a match: ``text`` is the code, label or note that matched, ``highlights`` are offsets in it.

    ``correction`` names what the query's words were taken for when they were corrected. A hidden label is
    searched and never shown: its concept's preferred label stands for it.
    """

    kind: Kind
    text: str
    correction: str = ""
    highlights: Spans = ()


@dataclass(frozen=True, slots=True)
class Hit:
    """A concept found, from 1 (exactly what was asked for) down to 0, and why."""

    document: Document
    score: float
    why: Why


@dataclass(frozen=True, slots=True)
class Results:
    """A page of hits, best first, out of ``total``.

    ``understood_as`` is the query that was answered when words had to be corrected, else empty; ``near`` holds
    spellings that the index knows when nothing was found.
    """

    hits: tuple[Hit, ...] = ()
    total: int = 0
    understood_as: str = ""
    near: tuple[str, ...] = ()


# --- What the index holds -------------------------------------------------------------------------------------


class _Label(NamedTuple):
    """A label analysed: its stems, how many words they come from, and the acronym that its initials make."""

    stems: frozenset[str]
    words: int
    acronym: str


class _Entry(NamedTuple):
    """A document with all that ranking needs, analysed once when the index is built."""

    document: Document
    labels: tuple[_Label, ...]
    notes: frozenset[str]
    path: frozenset[str]

    @classmethod
    def of(cls, document: Document) -> Self:
        return cls(
            document,
            tuple(_analysed(label) for label in document.labels),
            _stems(document.definition),
            _stems(document.path),
        )

    def dump(self) -> bytes:
        document = [getattr(self.document, name) for name in Document.__slots__]
        labels = [[sorted(label.stems), label.words, label.acronym] for label in self.labels]
        return orjson.dumps([document, labels, sorted(self.notes), sorted(self.path)])

    @classmethod
    def load(cls, line: bytes) -> Self:
        values, labels, notes, path = orjson.loads(line)
        return cls(
            Document(*values[:6], *map(tuple, values[6:])),
            tuple(_Label(frozenset(stems), count, acronym) for stems, count, acronym in labels),
            frozenset(notes),
            frozenset(path),
        )


def _analysed(label: str) -> _Label:
    words = sum(not word.stop for word in analysis.words(label))
    return _Label(frozenset(analysis.stems(label)), words, analysis.initials(label)[0])


def _stems(texts: Iterable[str]) -> frozenset[str]:
    return frozenset(stem for text in texts for stem in analysis.stems(text))


_LABEL, _CODE, _ACRONYM = 0, 1, 2
_LAST = "\U0010ffff"  # It sorts after whatever a word can hold.


class _Key(NamedTuple):
    """Something that can be typed whole: a label, a code, an acronym made from a label.

    ``number`` is its concept's, ``label`` the place of the label among its concept's labels.
    """

    key: str
    number: int
    kind: int
    label: int


class _Keys:
    """All keys in order, in columns: a label a row costs little memory, and bisection finds what begins so."""

    def __init__(self, columns: Sequence[Sequence[Any]]) -> None:
        self._texts: list[str] = list(columns[0])
        self._numbers = array("I", columns[1])
        self._kinds = bytes(columns[2])
        self._labels = array("I", columns[3])
        rows: dict[str, array[int]] = {}
        for row, text in enumerate(self._texts):
            if self._kinds[row] == _LABEL:
                for word in set(text.split()):
                    rows.setdefault(word, array("I")).append(row)
        self._words = sorted(rows)
        self._rows = [rows[word] for word in self._words]

    @staticmethod
    def columns(keys: Iterable[_Key]) -> list[list[Any]]:
        """The columns to write for these keys."""
        ordered = sorted(keys)
        return [[row[column] for row in ordered] for column in range(4)]

    def __getitem__(self, row: int) -> _Key:
        return _Key(self._texts[row], self._numbers[row], self._kinds[row], self._labels[row])

    def equal(self, key: str) -> Iterator[_Key]:
        """Keys that are exactly this one."""
        row = bisect.bisect_left(self._texts, key)
        while row < len(self._texts) and self._texts[row] == key:
            yield self[row]
            row += 1

    def beginning(self, start: str, allowed: frozenset[int] | None) -> list[_Key]:
        """The first keys of these concepts that begin so, in alphabetical order."""
        first = bisect.bisect_left(self._texts, start)
        past = bisect.bisect_left(self._texts, start + _LAST)
        return self._first(range(first, past), allowed)

    def holding(self, starts: Sequence[str], allowed: frozenset[int] | None) -> list[_Key]:
        """The first labels of these concepts in which a word begins with each of these."""
        ranges = [
            (bisect.bisect_left(self._words, start), bisect.bisect_left(self._words, start + _LAST)) for start in starts
        ]
        if not ranges or any(first == past for first, past in ranges):
            return []
        first, past = min(ranges, key=lambda one: sum(map(len, self._rows[one[0] : min(one[1], one[0] + 200)])))
        return self._first(itertools.chain.from_iterable(self._rows[first:past]), allowed, starts)

    def _first(self, rows: Iterable[int], allowed: frozenset[int] | None, starts: Sequence[str] = ()) -> list[_Key]:
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


# --- Whoosh -----------------------------------------------------------------------------------------------------


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


def _write_postings(folder: Path, entries: Iterable[_Entry]) -> None:
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
            code=" ".join(sorted(_code_terms(document.code))),
            nomenclature=document.nomenclature,
            status=document.status,
        )
    writer.commit(optimize=False)
    index.close()
    storage.close()
    for lock in folder.glob("*LOCK"):
        lock.unlink()


def _open_postings(folder: Path) -> _Postings:
    storage = FileStorage(str(folder), supports_mmap=True, readonly=True)
    return _Postings(storage.open_index().reader())


class _Postings:
    """Which documents hold a term, as sets of numbers; the ones in use are remembered, up to a bound."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self._lock = threading.Lock()
        self._sets: dict[tuple[str, str], frozenset[int]] = {}
        self._held = 0
        self.documents: int = reader.doc_count_all()

    def __call__(self, name: str, term: str) -> frozenset[int]:
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

    def _read(self, name: str, term: str) -> Iterable[int]:
        if (name, term) not in self._reader:
            return ()
        ids: Iterable[int] = self._reader.postings(name, term).all_ids()
        return ids

    def close(self) -> None:
        with self._lock:
            self._reader.close()


def _label_terms(entry: _Entry) -> set[str]:
    terms = {stem for label in entry.labels for stem in label.stems}
    return terms | {f"@{label.acronym}" for label in entry.labels if label.acronym}


def _code_terms(code: str) -> set[str]:
    """The parts of a code and its beginnings: ``TA-AUT-100`` answers to ``ta``, ``aut``, ``100``, ``taaut``, whole."""
    parts = analysis.key(code).split()
    return {*parts, *("".join(parts[: count + 1]) for count in range(len(parts)))}


# --- Building and keeping an index folder -------------------------------------------------------------------------


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
    spellings = _Spellings()
    entries = []
    for document in ordered:
        entries.append(_Entry.of(document))
        spellings.count(document)
    (folder / "postings").mkdir()
    _write_postings(folder / "postings", entries)
    with (folder / "documents.jsonl").open("wb") as lines:
        for entry in entries:
            lines.write(entry.dump() + b"\n")
    (folder / "words.json").write_bytes(orjson.dumps(spellings.rows()))
    (folder / "keys.json").write_bytes(orjson.dumps(_Keys.columns(_keys(entries))))
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


class _Spellings:
    """The words of the documents, how they are written and how many documents hold them."""

    def __init__(self) -> None:
        self._written: dict[str, Counter[str]] = {}
        self._in_labels: Counter[str] = Counter()
        self._in_notes: Counter[str] = Counter()

    def count(self, document: Document) -> None:
        for texts, counts in ((document.labels, self._in_labels), (document.definition, self._in_notes)):
            seen = set()
            for text in texts:
                for word, written in _spelt(text):
                    seen.add(word)
                    spelling = written if analysis.is_acronym(written) else written.lower()
                    self._written.setdefault(word, Counter())[spelling] += 1
            counts.update(seen)

    def rows(self) -> list[list[Any]]:
        """Sorted [word, as it is most written, stem, labels that hold it, notes that hold it]."""
        return [
            [
                word,
                min(written, key=lambda one: (-written[one], one)),
                analysis.stem(word),
                self._in_labels[word],
                self._in_notes[word],
            ]
            for word, written in sorted(self._written.items())
        ]


def _spelt(text: str) -> Iterator[tuple[str, str]]:
    """The words and the compounds of a text, folded and as they are written."""
    compounds: dict[str, tuple[int, int]] = {}
    for word in analysis.words(text):
        if not word.stop:
            yield word.text, text[word.start : word.end]
        if word.whole:
            start, _ = compounds.get(word.whole, (word.start, 0))
            compounds[word.whole] = (start, word.end)
    for whole, (start, end) in compounds.items():
        yield whole, text[start:end]


def _keys(entries: Sequence[_Entry]) -> Iterator[_Key]:
    for number, entry in enumerate(entries):
        yield _Key(analysis.key(entry.document.code), number, _CODE, 0)
        for place, (text, label) in enumerate(zip(entry.document.labels, entry.labels, strict=True)):
            yield _Key(analysis.key(text), number, _LABEL, place)
            if label.acronym:
                yield _Key(label.acronym, number, _ACRONYM, place)


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


def keep(root: Path, sequence: int, documents: Callable[[], Iterable[Document]]) -> Index:
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
        return Index.open(folder)
    with (root / "lock").open("a") as lock:
        # The lock goes with its process, however that ends.
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            return Index.open(folder)
        except Damaged:
            _discard(folder)
        build(documents(), folder)
        index = Index.open(folder)
        _sweep(root, sequence)
        return index


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


# --- Understanding a query ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Form:
    """One stem that a word of the query may stand for, and how good a reading that is."""

    stem: str
    quality: float
    kind: Literal["stem", "acronym", "prefix", "corrected", "related"] = "stem"
    correction: str = ""

    @property
    def trust(self) -> float:
        """How much of its rarity a word read so brings to a concept that does not hold every word."""
        return {"prefix": 0.8, "related": 0.8, "corrected": 2 * self.quality - 1}.get(self.kind, 1.0)


@dataclass(frozen=True, slots=True)
class _Term:
    """A word of the query with its readings, best first; without any, nothing in the index is like it."""

    text: str
    forms: tuple[_Form, ...]
    weight: float

    @property
    def trusted(self) -> float:
        """What the word brings to a concept that does not hold every word: less when it had to be guessed."""
        return self.weight * max((form.trust for form in self.forms), default=0.0)


@dataclass(frozen=True)
class _Plan:
    """A query understood: its terms, what it says letter for letter, and how it was corrected."""

    key: str
    terms: tuple[_Term, ...]
    understood_as: str

    @cached_property
    def readings(self) -> dict[str, list[tuple[int, _Form]]]:
        """Which terms a stem answers, and by which form."""
        found: dict[str, list[tuple[int, _Form]]] = {}
        for place, term in enumerate(self.terms):
            for form in term.forms:
                found.setdefault(form.stem, []).append((place, form))
        return found

    @cached_property
    def weight(self) -> float:
        return sum(term.weight for term in self.terms) or 1.0


class _Vocabulary:
    """The words of the index: known or not, completed, corrected, cut in two."""

    def __init__(self, rows: list[list[Any]], documents: int) -> None:
        self.words: list[str] = [row[0] for row in rows]
        self.written: list[str] = [row[1] for row in rows]
        self._places = {word: place for place, word in enumerate(self.words)}
        self._in_labels = array("I", (row[3] for row in rows))
        self._stems: dict[str, int] = {}
        for row in rows:
            self._stems[row[2]] = self._stems.get(row[2], 0) + max(row[3], row[4])
        self._families: dict[str, list[str]] = {}
        for stem in self._stems:
            self._families.setdefault(analysis.root(stem), []).append(stem)
        self._by_length: dict[int, list[str]] = {}
        for word in self.words:
            if word.isalpha():
                self._by_length.setdefault(len(word), []).append(word)
        self._documents = max(documents, 1)

    def holds(self, stem: str) -> bool:
        return stem in self._stems

    def relatives(self, stem: str) -> list[str]:
        """Stems of the same family as this one, itself excepted."""
        if len(stem) < 4 or not stem.isalpha():
            return []
        return [other for other in self._families.get(analysis.root(stem), ()) if other != stem]

    def rarity(self, stems: Iterable[str]) -> float:
        """Weight of a word: the fewer concepts hold its stems, the more it says; most when none does."""
        held = sum(self._stems.get(stem, 0) for stem in stems)
        return math.log(1 + self._documents / (0.5 + held)) + 0.5

    def as_written(self, word: str) -> str:
        place = self._places.get(word)
        return word if place is None else self.written[place]

    def completions(self, start: str, most: int = _MOST_COMPLETIONS) -> list[str]:
        """Words that begin so, at most ``most`` of them."""
        place = bisect.bisect_left(self.words, start)
        found: list[str] = []
        while place < len(self.words) and len(found) < most and self.words[place].startswith(start):
            found.append(self.words[place])
            place += 1
        return found

    def corrections(self, word: str, distance: int) -> list[tuple[str, int]]:
        """The nearest words within so many errors (a letter changed, missing, added, or two exchanged)."""
        near: list[tuple[int, int, int, str]] = []
        for length in range(len(word) - distance, len(word) + distance + 1):
            words = self._by_length.get(length, ())
            for found, errors, _ in process.extract(word, words, scorer=OSA.distance, score_cutoff=distance, limit=20):
                common = self._in_labels[self._places[found]]
                near.append((int(errors), int(found[:1] != word[:1]), -common, found))
        near.sort()
        return [(found, errors) for errors, _, _, found in near if errors == near[0][0]][:_MOST_CORRECTIONS]

    def cut(self, word: str) -> list[str]:
        """The words of which this one is made when a space or an apostrophe was forgotten, or nothing."""
        for start in range(1, len(word) - 3):
            head, tail = word[:start], word[start:]
            if tail in self._places and head in analysis.ELISIONS:
                return [tail]
        halves = [
            (min(self._commonness(word[:start]), self._commonness(word[start:])), start)
            for start in range(3, len(word) - 2)
            if word[:start] in self._places and word[start:] in self._places
        ]
        if not halves:
            return []
        _, start = max(halves)
        return [word[:start], word[start:]]

    def _commonness(self, word: str) -> int:
        count: int = self._in_labels[self._places[word]]
        return count


def _plan(query: str, vocabulary: _Vocabulary, acronyms: Callable[[str], bool]) -> _Plan:
    """Read a query, bounded first."""
    text = query[:LONGEST_QUERY]
    found = analysis.words(text)[: 4 * MOST_WORDS]
    asked = [place for place, word in enumerate(found) if not word.stop][:MOST_WORDS]
    last = len(found) - 1 if text and not text[-1].isspace() else -1
    terms: list[_Term] = []
    corrected = text
    for place in reversed(asked):
        word = found[place]
        glued = [
            joined
            for other in (place - 1, place + 1)
            if 0 <= other < len(found)
            for joined in (
                analysis.stem("".join(one.text for one in found[min(place, other) : max(place, other) + 1])),
            )
            if vocabulary.holds(joined)
        ]
        forms, replacement = _forms(word, glued, vocabulary, acronyms, last=place == last, alone=len(asked) == 1)
        if replacement:
            corrected = (
                corrected[: word.start] + " ".join(map(vocabulary.as_written, replacement)) + corrected[word.end :]
            )
        if len(replacement) == 2:
            pairs = [
                [_Form(analysis.stem(part), 0.9, "corrected", vocabulary.as_written(part))] for part in replacement
            ]
            terms += [_term(word.text, pair, vocabulary) for pair in reversed(pairs)]
        else:
            terms.append(_term(word.text, forms, vocabulary))
    terms.reverse()
    understood = " ".join(corrected.split()) if corrected != text else ""
    return _Plan(analysis.key(text), tuple(terms[:MOST_WORDS]), understood)


def _term(text: str, forms: list[_Form], vocabulary: _Vocabulary) -> _Term:
    best: dict[str, _Form] = {}
    for form in sorted(forms, key=lambda form: -form.quality):
        best.setdefault(form.stem, form)
    first = [form.stem for form in best.values() if form.kind != "prefix"] or list(best)
    return _Term(text, tuple(best.values()), vocabulary.rarity(first))


def _forms(
    word: analysis.Word,
    glued: list[str],
    vocabulary: _Vocabulary,
    acronyms: Callable[[str], bool],
    *,
    last: bool,
    alone: bool,
) -> tuple[list[_Form], list[str]]:
    """The readings of one word, and what it is replaced by if it had to be corrected."""
    forms = [
        _Form(stem, 1.0) for stem in (word.stem, analysis.stem(word.whole), *glued) if stem and vocabulary.holds(stem)
    ]
    if acronyms(word.text):
        forms.append(_Form(f"@{word.text}", 0.9, "acronym"))
    known = bool(forms)
    if last and len(word.text) >= (4 if known else 2):
        forms += [
            _Form(analysis.stem(longer), 0.5 + 0.4 * len(word.text) / len(longer), "prefix", longer)
            for longer in vocabulary.completions(word.text)
        ]
    relatives = [_Form(stem, _RELATED, "related") for stem in vocabulary.relatives(word.stem)]
    if forms or not word.text.isalpha():
        return forms + relatives, []
    corrected, replacement = _corrected(word.text, vocabulary, 1 if relatives else 2, alone=alone)
    return corrected + relatives, replacement


def _corrected(
    word: str, vocabulary: _Vocabulary, distance: int = 2, *, alone: bool = False
) -> tuple[list[_Form], list[str]]:
    """Readings of a word that the index does not know, and the word or the two words that replace it."""
    near: list[tuple[str, int]] = []
    if len(word) == 3:
        # Most words of three letters are one letter away from another: only one exchanged or forgotten counts.
        near = [
            one for one in vocabulary.corrections(word, 1) if alone or len(one[0]) > 3 or sorted(one[0]) == sorted(word)
        ]
    elif len(word) > 3:
        near = vocabulary.corrections(word, 1)
    if not near:
        parts = vocabulary.cut(word)
        if len(parts) == 2:
            return [], parts
        near = [(part, 1) for part in parts]
    if not near and len(word) >= 6 and distance == 2:
        near = vocabulary.corrections(word, 2)
    forms = [
        _Form(analysis.stem(found), 1 - errors / len(word) - 0.005 * place, "corrected", vocabulary.as_written(found))
        for place, (found, errors) in enumerate(near)
    ]
    return forms, [near[0][0]] if near else []


# --- The index ----------------------------------------------------------------------------------------------------

_EXACT = {_CODE: 1.0, _LABEL: 0.99, _ACRONYM: 0.95}


class _Ranked(NamedTuple):
    score: float
    number: int
    entry: _Entry


@dataclass(eq=False)
class Index:
    """An open index: immutable, and safe to read from several threads. Close it when another takes its place.

    ``patience`` is the time in seconds after which a search answers with what it has found.
    """

    _postings: _Postings
    _vocabulary: _Vocabulary
    _keys: _Keys
    _lines: mmap.mmap | bytes
    _starts: array[int]
    patience: float = PATIENCE
    _entries: dict[int, _Entry] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open an index folder after checking every file of it.

        :raises Damaged: if it is missing, not whole, or of another format.
        """
        _vouched(folder)
        try:
            keys = _Keys(orjson.loads((folder / "keys.json").read_bytes()))
            lines = _mapped(folder / "documents.jsonl")
            postings = _open_postings(folder / "postings")
            vocabulary = _Vocabulary(orjson.loads((folder / "words.json").read_bytes()), postings.documents)
        except Exception as error:
            # Whoosh raises whatever its pickles and structures raise: all of it means one thing here.
            raise Damaged(f"index {folder.name}: {error}") from error
        starts = array("Q", (0, *(match.end() for match in re.finditer(rb"\n", lines))))
        return cls(postings, vocabulary, keys, lines, starts)

    def close(self) -> None:
        """Give the files back; the index can't be read any more."""
        self._postings.close()
        if isinstance(self._lines, mmap.mmap):
            self._lines.close()

    def search(
        self,
        query: str,
        *,
        nomenclature: str | None = None,
        status: str | None = None,
        limit: int = 10,
        offset: int = 0,
    ) -> Results:
        """Concepts that answer a query, best first, with the reason of each.

        Any text is a query and none has operators. ``limit`` and ``offset`` cut a page out of all that was found.
        """
        deadline = time.monotonic() + self.patience
        plan = _plan(query, self._vocabulary, lambda word: bool(self._postings("labels", f"@{word}")))
        allowed = self._allowed(nomenclature, status)
        exact = self._exact(plan, allowed)
        numbers = self._candidates(plan, exact, allowed, deadline)
        if not numbers:
            return Results(near=self._near(plan))
        first, past = max(offset, 0), max(offset, 0) + max(limit, 0)
        best = sorted(
            (self._rank(plan, number, exact) for number in numbers[:RERANKED]),
            key=lambda one: (-one.score, one.entry.document.depth, one.number),
        )
        page = best[first:past]
        if past > len(best):
            # What comes after the fifty that are put in order can't be better than they are.
            floor = best[-1].score
            for number in numbers[max(first, len(best)) : past]:
                one = self._rank(plan, number, exact)
                floor = min(floor, one.score)
                page.append(one._replace(score=floor))
        hits = tuple(
            Hit(one.entry.document, round(one.score, 4), self._why(plan, one, exact.get(one.number))) for one in page
        )
        return Results(hits, len(numbers), "" if exact else plan.understood_as)

    def suggest(self, query: str, *, nomenclature: str | None = None, limit: int = 10) -> tuple[Hit, ...]:
        """What someone may be typing: labels, acronyms and codes that begin so, then labels that hold these words.

        Only when neither exists are the words corrected.
        """
        key = analysis.key(query[:LONGEST_QUERY])
        starts = _starts_of(key)
        if not starts:
            return ()
        allowed = self._allowed(nomenclature, None)
        found: dict[int, _Key] = {}
        self._gather(self._keys.beginning(key, allowed), found, key)
        hits = [self._suggestion(one, starts, 1.0 if one.key == key else 0.9) for one in [*found.values()][:limit]]
        if len(hits) < limit and len(key) > 1:
            begun = set(found)
            self._gather(self._keys.holding(starts, allowed), found, key)
            more = [one for number, one in found.items() if number not in begun][: limit - len(hits)]
            hits += [self._suggestion(one, starts, 0.8) for one in more]
        return tuple(hits) or self._corrected_suggestions(starts, allowed, limit)

    def _corrected_suggestions(self, starts: list[str], allowed: frozenset[int] | None, limit: int) -> tuple[Hit, ...]:
        mended: list[str] = []
        corrections: list[str] = []
        for start in starts:
            if self._keys.begins_a_word(start) or not start.isalpha():
                mended.append(start)
                continue
            forms, words = _corrected(start, self._vocabulary)
            mended += words
            corrections += [self._vocabulary.as_written(word) for word in words]
            if not forms and not words:
                return ()
        if not corrections:
            return ()
        found: dict[int, _Key] = {}
        self._gather(self._keys.holding(mended, allowed), found, " ".join(mended))
        return tuple(self._suggestion(one, mended, 0.6, " ".join(corrections)) for one in [*found.values()][:limit])

    @staticmethod
    def _gather(keys: Iterable[_Key], found: dict[int, _Key], typed: str) -> None:
        """Add the best key of each concept: exact before longer, then in the order of concepts."""
        for one in sorted(keys, key=lambda one: (one.key != typed, one.number, one.kind != _LABEL, one.label)):
            found.setdefault(one.number, one)

    def _suggestion(self, key: _Key, starts: Sequence[str], score: float, correction: str = "") -> Hit:
        entry = self._entry(key.number)
        document = entry.document
        if key.kind == _CODE:
            return Hit(document, score, Why("code", document.code, highlights=_typed(document.code, starts)))
        text = _shown(document, key.label)
        if key.kind == _ACRONYM:
            return Hit(document, score, Why("acronym", text, highlights=_initials(document, key.label)))
        kind: Kind = "label" if score == 1.0 else "prefix"
        if score == 1.0 and analysis.is_acronym(text):
            kind = "acronym"
        spans = () if _is_hidden(document, key.label) else _typed(text, starts)
        return Hit(document, score, Why("corrected" if correction else kind, text, correction, spans))

    # Candidates

    def _allowed(self, nomenclature: str | None, status: str | None) -> frozenset[int] | None:
        """The numbers that the filters leave, or None when there is no filter."""
        sets = [
            self._postings(name, value)
            for name, value in (("nomenclature", nomenclature), ("status", status))
            if value is not None
        ]
        return frozenset.intersection(*sets) if sets else None

    def _exact(self, plan: _Plan, allowed: frozenset[int] | None) -> dict[int, _Key]:
        """What the query says letter for letter, by number: the best key of each concept."""
        found: dict[int, _Key] = {}
        if plan.key:
            keys = sorted(self._keys.equal(plan.key), key=lambda one: (-_EXACT[one.kind], one.label))
            for one in keys:
                if allowed is None or one.number in allowed:
                    found.setdefault(one.number, one)
        return found

    def _candidates(
        self, plan: _Plan, exact: Mapping[int, _Key], allowed: frozenset[int] | None, deadline: float
    ) -> list[int]:
        """Numbers of the concepts that answer, the likeliest first."""
        in_labels = [self._holding(term, ("labels",), deadline) for term in plan.terms]
        anywhere = [self._holding(term, ("labels", "notes", "path"), deadline, related=True) for term in plan.terms]
        found = dict.fromkeys(exact)
        for step in (
            _intersection(in_labels),
            self._by_code(plan),
            _intersection(anywhere),
        ):
            found.update(dict.fromkeys(sorted(step if allowed is None else step & allowed)))
        if len(found) < ENOUGH:
            found.update(dict.fromkeys(self._partly(plan, anywhere, allowed, deadline)))
        return list(found)

    def _holding(self, term: _Term, names: Sequence[str], deadline: float, *, related: bool = False) -> frozenset[int]:
        found: set[int] = set()
        for form in term.forms:
            if time.monotonic() > deadline:
                break
            if form.kind == "related" and not related:
                continue
            for name in names:
                found |= self._postings(name, form.stem)
        return frozenset(found)

    def _by_code(self, plan: _Plan) -> frozenset[int]:
        """Concepts whose code begins so or holds all these parts."""
        parts = plan.key.split()[:MOST_WORDS]
        if not parts:
            return frozenset()
        return self._postings("code", "".join(parts)) | _intersection([self._postings("code", part) for part in parts])

    def _partly(
        self, plan: _Plan, holding: Sequence[frozenset[int]], allowed: frozenset[int] | None, deadline: float
    ) -> list[int]:
        """Concepts that hold enough of the rarity asked for, most first.

        The rarest words come first; once what remains is too little to reach the least coverage, no concept is added.
        """
        least = LEAST_COVERAGE * plan.weight
        held: dict[int, float] = {}
        remaining = plan.weight
        for term, numbers in sorted(zip(plan.terms, holding, strict=True), key=lambda pair: -pair[0].weight):
            if time.monotonic() > deadline:
                break
            if remaining >= least:
                for number in numbers if allowed is None else numbers & allowed:
                    held[number] = held.get(number, 0.0) + term.trusted
            else:
                for number in held:
                    if number in numbers:
                        held[number] += term.trusted
            remaining -= term.weight
        return sorted((number for number, weight in held.items() if weight >= least), key=lambda n: (-held[n], n))

    # Order and reasons

    def _entry(self, number: int) -> _Entry:
        entry = self._entries.get(number)
        if entry is None:
            if len(self._entries) >= _REMEMBERED_ENTRIES:
                self._entries = {}
            entry = _Entry.load(self._lines[self._starts[number] : self._starts[number + 1]])
            self._entries[number] = entry
        return entry

    def _rank(self, plan: _Plan, number: int, exact: Mapping[int, _Key]) -> _Ranked:
        entry = self._entry(number)
        key = exact.get(number)
        if key is not None:
            score = _EXACT[key.kind]
            if key.kind == _LABEL and key.label:
                # Of two concepts with one acronym, it is rather the one whose label it abbreviates.
                score -= 0.01 if entry.labels[0].acronym == plan.key else 0.015
        else:
            score = max(_likeness(plan, entry), self._code_likeness(plan, entry))
        if entry.document.status != "active":
            score *= 0.97
        return _Ranked(score, number, entry)

    @staticmethod
    def _code_likeness(plan: _Plan, entry: _Entry) -> float:
        asked, code = plan.key.replace(" ", ""), analysis.squeezed(entry.document.code)
        if asked == code:
            return 1.0
        parts = plan.key.split()
        if not parts or (not _code_terms(entry.document.code).issuperset(parts) and not code.startswith(asked)):
            return 0.0
        return 0.3 + 0.5 * len(asked) / len(code) if len(asked) < len(code) else 0.8

    def _why(self, plan: _Plan, one: _Ranked, key: _Key | None) -> Why:
        document = one.entry.document
        if (key is not None and key.kind == _CODE) or self._code_likeness(plan, one.entry) >= one.score:
            return Why(
                "code", document.code, highlights=_typed(document.code, plan.key.split()) or ((0, len(document.code)),)
            )
        if key is not None and key.kind == _ACRONYM:
            return Why("acronym", _shown(document, key.label), highlights=_initials(document, key.label))
        if key is not None:
            text = _shown(document, key.label)
            spans = () if _is_hidden(document, key.label) else ((0, len(text)),)
            return Why("acronym" if analysis.is_acronym(text) else "label", text, highlights=spans)
        return _reason(plan, one.entry)

    def _near(self, plan: _Plan) -> tuple[str, ...]:
        """Spellings that the index knows, near the words that it does not."""
        found: dict[str, None] = {}
        for term in plan.terms:
            if not term.forms and term.text.isalpha() and len(term.text) > 3:
                near = self._vocabulary.corrections(term.text, max(2, len(term.text) // 3))
                found.update(dict.fromkeys(self._vocabulary.as_written(word) for word, _ in near[:3]))
        return tuple(found)[:_MOST_CORRECTIONS]


def _mapped(path: Path) -> mmap.mmap | bytes:
    with path.open("rb") as file:
        # An empty file can't be mapped: an index of no concept has one.
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b""


def _intersection(sets: Sequence[frozenset[int]]) -> frozenset[int]:
    return frozenset.intersection(*sorted(sets, key=len)) if sets else frozenset()


def _likeness(plan: _Plan, entry: _Entry) -> float:
    """How well a concept's texts answer: the best label alone, and all that they hold together."""
    readings = plan.readings
    together = [0.0] * len(plan.terms)
    best = 0.0
    for label in entry.labels:
        found = [0.0] * len(plan.terms)
        common = label.stems & readings.keys()
        for stem in common:
            for place, form in readings[stem]:
                found[place] = max(found[place], form.quality)
        if label.acronym and f"@{label.acronym}" in readings:
            for place, form in readings[f"@{label.acronym}"]:
                together[place] = max(together[place], form.quality)
        asked = sum(quality * term.weight for quality, term in zip(found, plan.terms, strict=True)) / plan.weight
        held = min(1.0, sum(quality > 0 for quality in found) / max(label.words, 1))
        best = max(best, asked * (0.5 + 0.5 * held))
        together = [max(pair) for pair in zip(together, found, strict=True)]
    for stems, worth in ((entry.notes, _IN_NOTES), (entry.path, _IN_PATH)):
        for stem in stems & readings.keys():
            for place, form in readings[stem]:
                together[place] = max(together[place], worth * form.quality)
    all_held = sum(quality * term.weight for quality, term in zip(together, plan.terms, strict=True)) / plan.weight
    # What holds every word, be it in a note, stands above what holds only some.
    whole = 1.0 if all(together) else _PARTIAL
    return 0.93 * whole * (0.5 * best + 0.5 * all_held)


def _reason(plan: _Plan, entry: _Entry) -> Why:
    """The text that answers most of the query, and by which reading of its words."""
    document = entry.document
    labels = [(_worth(plan, label.stems), place) for place, label in enumerate(entry.labels)]
    worth, place = max(labels, key=lambda one: (one[0], -entry.labels[one[1]].words, -one[1]))
    text = _shown(document, place)
    if worth < 1:
        for acronym in range(len(entry.labels)):
            if f"@{entry.labels[acronym].acronym}" in plan.readings and worth < plan.weight:
                return Why("acronym", _shown(document, acronym), highlights=_initials(document, acronym))
    notes = [(_worth(plan, frozenset(analysis.stems(note))), note) for note in document.definition]
    best_note = max(notes, default=(0.0, ""))
    in_note = best_note[0] > worth
    if in_note:
        text = best_note[1]
    matched = [
        (word, form)
        for word in analysis.words(text)
        for _, form in (plan.readings.get(word.stem) or plan.readings.get(analysis.stem(word.whole)) or ())[:1]
        if not word.stop
    ]
    highlights = tuple((word.start, word.end) for word, _ in matched)
    corrections = dict.fromkeys(form.correction for _, form in matched if form.kind == "corrected")
    if corrections:
        return Why("corrected", text, ", ".join(corrections), highlights)
    if in_note:
        return Why("definition", text, highlights=highlights)
    if any(form.kind == "prefix" for _, form in matched):
        return Why("prefix", text, highlights=highlights)
    asked = {term.text for term in plan.terms}
    literal = matched and all(word.text in asked for word, _ in matched)
    return Why("label" if literal else "stem", text, highlights=highlights)


def _worth(plan: _Plan, stems: frozenset[str]) -> float:
    found: dict[int, float] = {}
    for stem in stems & plan.readings.keys():
        for place, form in plan.readings[stem]:
            found[place] = max(found.get(place, 0.0), form.quality * plan.terms[place].weight)
    return sum(found.values())


def _shown(document: Document, place: int) -> str:
    """The label that matched, or the preferred one instead of a hidden one."""
    return document.pref_label if _is_hidden(document, place) else document.labels[place]


def _is_hidden(document: Document, place: int) -> bool:
    return place > len(document.alt_label)


def _initials(document: Document, place: int) -> Spans:
    return () if _is_hidden(document, place) else analysis.initials(_shown(document, place))[1]


def _starts_of(key: str) -> list[str]:
    """What the words of a label must begin with: those typed but the stop words, save the one being typed."""
    typed = key.split()[:MOST_WORDS]
    return [word for word in typed[:-1] if word not in analysis.STOP_WORDS] + typed[-1:]


def _typed(text: str, starts: Sequence[str]) -> Spans:
    """Where the words of a text begin as was typed."""
    found = []
    for word in analysis.words(text):
        longest = max((len(start) for start in starts if word.text.startswith(start)), default=0)
        if longest:
            found.append((word.start, min(word.end, word.start + longest)))
    return tuple(found)
