"""Which concepts hold a word, kept by Whoosh and answered as sets of numbers that cost little to join and to cut.

A set of numbers is one integer whose bit *n* says that *n* is in it: ``&``, ``|`` and ``bit_count`` then work on
thousands of concepts at once. What Whoosh takes for a document is a page of concepts, and the value of a posting says,
in the same way, which concepts of the page hold the word: a word that every concept holds is read in a few steps, and
an index is written in as many postings as there are words, not in one for each word of each concept.

This file alone knows Whoosh, and its query parser is never used. Its table of contents is a pickle: who opens postings
has checked before that no byte of them is another's.
"""

from __future__ import annotations

import secrets
import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

with warnings.catch_warnings():
    # Whoosh's sources hold old escapes and calls: the compiler warns of them once per machine, and means nothing to us.
    warnings.simplefilter("ignore")
    from whoosh import fields as whoosh_fields
    from whoosh import formats as whoosh_formats
    from whoosh.codec.whoosh3 import W3Codec
    from whoosh.filedb.filestore import FileStorage
    from whoosh.reading import TermNotFound

_PAGE = 4_096
"""How many concepts Whoosh takes for one document."""

_REMEMBERED_BYTES = 8 << 20


def numbers(bits: int) -> Iterator[int]:
    """The members of a set, in order."""
    digits = f"{bits:b}"[::-1]
    place = digits.find("1")
    while place >= 0:
        yield place
        place = digits.find("1", place + 1)


class _Bits(whoosh_fields.FieldType):  # type: ignore[misc] # Whoosh ships no types.
    """A field of Whoosh's whose value says which concepts of a page hold each term.

    A posting is the number of empty bytes, in two, then those that are not: most terms are of one concept.
    """

    def __init__(self) -> None:
        super().__init__(whoosh_formats.Format(), None)

    def index(self, value: Mapping[str, int], **_: Any) -> Iterator[tuple[bytes, int, float, bytes]]:
        """The terms of a page with their bits, as Whoosh asks for them."""
        for term, bits in value.items():
            empty = ((bits & -bits).bit_length() - 1) // 8
            held = (bits >> 8 * empty).to_bytes((bits.bit_length() + 7) // 8 - empty, "little")
            yield term.encode(), 1, 1.0, empty.to_bytes(2, "little") + held


class _Storage(FileStorage):  # type: ignore[misc] # Whoosh ships no types.
    """A folder of Whoosh's whose temporary files are in it too, so that a killed builder leaves nothing elsewhere."""

    def temp_storage(self, name: str | None = None) -> FileStorage:
        return FileStorage(str(Path(self.folder) / (name or secrets.token_hex(4)))).create()


def write(folder: Path, concepts: Iterable[Mapping[str, Iterable[str]]], names: Iterable[str]) -> None:
    """Write the postings of concepts into an empty folder: for each, its terms by the name of their field.

    ``names`` are those of all fields. The place of a concept is its number.
    """
    schema = whoosh_fields.Schema(**{name: _Bits() for name in names})
    storage = _Storage(str(folder))
    index = storage.create_index(schema)
    # Postings this short are not worth compressing.
    writer = index.writer(limitmb=16, codec=W3Codec(compression=0))
    for page in _pages(concepts):
        writer.add_document(**page)
    writer.commit(optimize=False)
    index.close()
    storage.close()
    for lock in folder.glob("*LOCK"):
        lock.unlink()


def _pages(concepts: Iterable[Mapping[str, Iterable[str]]]) -> Iterator[dict[str, dict[str, int]]]:
    page: dict[str, dict[str, int]] = {}
    for number, fields in enumerate(concepts):
        if number % _PAGE == 0 and page:
            yield page
            page = {}
        bit = 1 << number % _PAGE
        for name, terms in fields.items():
            held = page.setdefault(name, {})
            for term in terms:
                held[term] = held.get(term, 0) | bit
    if page:
        yield page


class Postings:
    """Which concepts hold a term, as sets of numbers; the ones in use are remembered, up to a bound."""

    def __init__(self, folder: Path) -> None:
        storage = FileStorage(str(folder), supports_mmap=True, readonly=True)
        self._reader = storage.open_index().reader()
        self._lock = threading.Lock()
        self._sets: dict[tuple[str, str], int] = {}
        self._held = 0
        self._values: dict[str, list[str]] = {}

    def __call__(self, name: str, term: str) -> int:
        """The numbers of the concepts that hold a term in a field."""
        known = self._sets.get((name, term))
        if known is not None:
            return known
        with self._lock:
            # Readers of Whoosh share one position in their file, so one thread reads at a time.
            found = self._read(name, term)
            if self._held > _REMEMBERED_BYTES:
                self._sets, self._held = {}, 0
            self._sets[name, term] = found
            # Beside its bits, a set costs its key and its place among the others.
            self._held += found.bit_length() // 8 + 200
        return found

    def values(self, name: str) -> list[str]:
        """Every term of a field: only for those of few terms, such as the nomenclature."""
        known = self._values.get(name)
        if known is None:
            with self._lock:
                known = [term.decode() for term in self._reader.lexicon(name)]
            self._values[name] = known
        return known

    def _read(self, name: str, term: str) -> int:
        try:
            matcher = self._reader.postings(name, term.encode())
        except (TermNotFound, UnicodeEncodeError):
            # No text that was indexed holds half a character, and a query may.
            return 0
        found = 0
        while matcher.is_active():
            value = matcher.value()
            empty = int.from_bytes(value[:2], "little")
            found |= int.from_bytes(value[2:], "little") << matcher.id() * _PAGE + 8 * empty
            matcher.next()
        return found

    def close(self) -> None:
        """Give the files back."""
        with self._lock:
            self._reader.close()
