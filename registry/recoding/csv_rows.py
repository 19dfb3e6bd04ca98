"""The rows of a CSV file, recoded piece by piece as bytes: they stay as they stand, and answers come behind them.

Where each row of a piece stands on one line and no cell holds a delimiter, which is most files, rows are lines, and
codes are cut out of them: a look at delimiters, quotes and line ends alone tells. In other pieces, what stands in
quotes is masked first. What is not regular then either, such as a quote within a cell without quotes, is read by
Python's csv, which says where rows end. All of it is C that goes over whole pieces: nothing but that is done per row.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple, TypeVar

from registry.recoding.files import CHUNK, NUL, TEXT, Dialect, cells_of, malformed, unreadable
from registry.recoding.rule import Cell, Lookup

MOST_WRITTEN = 1 << 24
_NEAR = 1 << 16
"""How many bytes are recoded at once: what fits in the nearest memory goes half as fast again."""
_SMALL = 1 << 12
"""How many are read by csv, where nothing less does."""
_NARROW = 6
"""How many delimiters a row has at most for which cutting all cells at once takes less time than line by line."""
_MOST_KEPT = 250_000
"""How many answers, and days, are kept by the bytes that ask for them: finding one takes ten times as long."""
_QUOTED = re.compile(r'[",;\s]')
"""What has a cell quoted, whichever delimiter its file has."""

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class NotUtf8(Exception):
    """A file that began as UTF-8 is not."""


class _Kept(dict[Key, Value]):
    """What was found before, and what finds the rest."""

    def __init__(self, find: Callable[[Key], Value]) -> None:
        super().__init__()
        self.find = find

    def __missing__(self, key: Key) -> Value:
        found = self[key] = self.find(key)
        return found


class Piece(NamedTuple):
    """A piece that was recoded: its rows with their answers, how many have each code and entry, how many lines it had.

    What stands in its last ``left`` bytes belongs to a row that has not ended.
    """

    rows: bytes | memoryview
    counted: dict[tuple[str, int], int]
    lines: int
    left: int


class Rows:
    """Recodes rows of one file, as bytes."""

    def __init__(self, lookup: Lookup, dialect: Dialect) -> None:
        """The rows of a file in UTF-16 are given, and come back, in UTF-8."""
        plan, header = lookup.plan, dialect.header
        self.lookup, self.dialect = lookup, dialect
        self.encoding = "utf-8" if dialect.wide else dialect.encoding
        self.width, self.end = len(header), dialect.line_end
        self.delimiter, self.between = dialect.delimiter.encode(), dialect.between.encode()
        self.code = header.index(plan.column)
        self.day = header.index(plan.date_column) if plan.date_column else None
        marks = {*self.delimiter, *self.end, *b'"\r\n'} | ({*self.between} if self.width == 1 else set())
        self._others = bytes({*range(256)} - marks)
        self._row = self.delimiter * (self.width - 1) + self.end
        self._quoted_row = self.delimiter.join([b'""'] * self.width) + self.end
        self._between_quotes = b'"' + self.delimiter + b'"'
        self._shapes = bytes(one if one in marks else ord("x") for one in range(256))
        self._after_empty = re.compile(rb'(?:\A|[%s\r\n])(?:"")+x' % self.delimiter)
        befores = self.delimiter, b"\n", b"\r"
        self._empties = [before + after for before in befores for after in (b'""x', b'""""')]
        self._mask = bytes.maketrans(self.delimiter + b"\n\r", b"\0\1\2")
        self._not_masks = bytes(range(3, 256))
        self._bare = bytes.maketrans(b"\0\1\2", self.delimiter + b"\n\r")
        self._shares = any(len(cells) > 1 for cells in lookup.entries)
        every = [[*map(self._end, cells)] for cells in lookup.entries]
        ends: list[Any] = every if self._shares else [first for [first] in every]
        # Of so many bytes, the shortest rows with the longest answers fit in what is kept for answers.
        longest = max(sum(map(len, cells)) for cells in every)
        self.at_once = max(_SMALL, min(CHUNK, MOST_WRITTEN * len(self._row) // (len(self._row) + longest)))
        told = b"".join(chain.from_iterable(every))
        self._masks = self.width > 1 and not any(mark in told for mark in (b"\0", b"\1", b"\2"))
        self._meant = _Kept[Any, tuple[str, int]](self._means)
        self._answers = _Kept[Any, Any](lambda key: ends[self._meant[key][1]])
        self._spans = _Kept[Any, int](lambda cell: lookup.span(self._text(cell)))

    def recode(self, piece: bytes, line: int = 0) -> Piece:
        """Recode a piece, which begins with a row; ``line`` is how many lines stand before it.

        :raises Invalid: if it can't be read, with the line, and never with what stands there.
        :raises NotUtf8: if it is not what the file was taken for.
        """
        if b"\0" in piece:
            raise unreadable(NUL, accepted=TEXT)
        if self.encoding == "utf-8" and not piece.isascii():
            try:
                piece.decode()
            except UnicodeDecodeError:
                raise NotUtf8 from None
        if len(self._meant) > _MOST_KEPT or len(self._spans) > _MOST_KEPT:
            self._meant.clear()
            self._answers.clear()
            self._spans.clear()
        self._times, self._line = Counter[Any](), line
        written, left = self._in_parts(piece, _NEAR, self._part)
        counted: dict[tuple[str, int], int] = {}
        for key, times in self._times.items():
            meant = self._meant[key]
            counted[meant] = counted.get(meant, 0) + times
        return Piece(written, counted, self._line - line, len(left))

    def _in_parts(self, piece: bytes, size: int, recode: Callable[[bytes], tuple[bytes, bytes]]) -> tuple[bytes, bytes]:
        """Recode a piece part by part; also what is left of it, which belongs to a row that has not ended."""
        written, left, start = list[bytes](), b"", 0
        while start < len(piece):
            # What is left of a long cell must not be read again and again with a little more.
            cut = piece.find(b"\n", start + max(size, len(left))) + 1 or len(piece)
            more, left = recode(left + piece[start:cut])
            written.append(more)
            start = cut
        return b"".join(written), left

    def _part(self, part: bytes) -> tuple[bytes, bytes]:
        if self._is_regular(part):
            return self._by_line(part), b""
        masked = self._masked(part)
        if not self._is_regular(masked, masked=True):
            return self._in_parts(part, _SMALL, self._small_part)
        written = self._by_line(masked, masked=True)
        more, left = self._in_parts(part[len(masked) :], _SMALL, self._small_part)
        return written + more, left

    def _small_part(self, part: bytes) -> tuple[bytes, bytes]:
        return (self._by_line(part), b"") if self._is_regular(part) else self._by_reader(part)

    def _is_regular(self, piece: bytes, *, masked: bool = False) -> bool:
        """Whether every row is one line, no cell holds a delimiter, and quotes are as csv wants them.

        What stands between delimiters holds an even number of quotes then. Pairs aside, one that has an ordinary
        character on both sides, or an empty cell in quotes that goes on, is for csv to judge.
        """
        marks = piece.translate(None, self._others)
        if self.end == b"\r\n" and piece.count(self.end) != marks.count(b"\n"):
            return False
        if b'"' not in marks:
            return _repeats(marks, self._row)
        if _repeats(marks, self._quoted_row):
            # Two quotes to a cell are its ends; a row's first may begin otherwise, and csv takes it as it stands then.
            rows = len(marks) // len(self._quoted_row)
            between = piece.count(self._between_quotes) == rows * (self.width - 1)
            if not masked and between and piece.count(b'"' + self.end) == rows:
                return True
        elif not _repeats(marks.replace(b'""', b""), self._row):
            return False
        shapes = piece.translate(self._shapes)
        if b'""' in shapes:
            # A regular expression takes ten times as long: few pieces hold what needs it.
            begun = shapes.startswith(b'""') or any(one in shapes for one in self._empties)
            if begun and self._after_empty.search(shapes):
                return False
            shapes = shapes.replace(b'""', b"")
        return b'x"x' not in shapes

    def _masked(self, piece: bytes) -> bytes:
        """The rows of a piece, with characters that it does not hold for what separates cells and rows, in quotes.

        Where quotes stand elsewhere than csv has them, what comes of it is not regular either.
        """
        if not self._masks or b"\1" in piece or b"\2" in piece or b'"' not in piece:
            return b'"'
        parts = piece.split(b'"')
        parts[1::2] = b'"'.join(parts[1::2]).translate(self._mask).split(b'"')
        masked = b'"'.join(parts)
        return masked if len(parts) % 2 else masked[: masked.rfind(b"\n") + 1]

    def _by_line(self, piece: bytes, *, masked: bool = False) -> bytes:
        """Recode rows of which each is a line."""
        lines = piece.split(self.end)
        lines.pop()
        self._line += len(lines)
        codes = self._cut(piece, lines, self.code)
        days = self._cut(piece, lines, self.day) if self.day is not None else []
        if not masked:
            return self._answered(lines, codes, days)
        self._line += piece.count(b"\1") + piece.count(b"\2") - piece.count(b"\2\1")
        return self._answered(lines, self._unmasked(codes), self._unmasked(days)).translate(self._bare)

    def _unmasked(self, cells: list[bytes]) -> list[bytes]:
        if not b"".join(cells).translate(None, self._not_masks):
            return cells
        return [cell.translate(self._bare) for cell in cells]

    def _cut(self, piece: bytes, lines: list[bytes], column: int) -> list[bytes]:
        """One cell of each line, as it stands."""
        delimiter, width = self.delimiter, self.width
        if width == 1:
            return lines
        if 0 < column < width - 1 < _NARROW:
            # Last and first cells come as one.
            return piece.split(delimiter)[column :: width - 1]
        if column < width / 2:
            return [line.split(delimiter, column + 1)[column] for line in lines]
        return [line.rsplit(delimiter, width - column)[column - width] for line in lines]

    def _by_reader(self, piece: bytes) -> tuple[bytes, bytes]:
        """Recode the rows that csv reads; also what stands at the end of a row that has not ended."""
        own, codes, days = list[bytes](), list[str](), list[str]()
        lines = [*io.StringIO(piece.decode("latin-1"), newline="")]
        bare = piece.splitlines()
        before, taken, ended = self._line, 0, False

        def end() -> Iterator[str]:
            nonlocal ended
            ended = True
            yield from ()

        reader = csv.reader(chain(lines, end()), delimiter=self.dialect.delimiter, strict=True)
        try:
            for row in reader:
                last = reader.line_num - 1
                if cells := cells_of(row, self.dialect, before + taken + 1):
                    text = "".join(lines[taken:last]).encode("latin-1") + bare[last] if taken < last else bare[last]
                    # A single cell is quoted where it holds what will stand between it and the answer.
                    own.append(_spelt(cells[0]) if self.width == 1 and self.between in text else text)
                    codes.append(cells[self.code])
                    if self.day is not None:
                        days.append(cells[self.day])
                taken = last + 1
        except csv.Error:
            if not ended:
                raise malformed(before + taken + 1) from None
        self._line += taken
        return self._answered(own, codes, days), "".join(lines[taken:]).encode("latin-1")

    def _answered(self, lines: list[bytes], codes: Sequence[bytes | str], days: Sequence[bytes | str]) -> bytes:
        """Rows with their answers behind them, given the cells that decide."""
        keys: Sequence[Any] = codes
        if self.day is not None:
            keys = [*zip(codes, map(self._spans.__getitem__, days), strict=True)]
        self._times.update(keys)
        answers = [*map(self._answers.__getitem__, keys)]
        if self._shares:
            return b"".join([line + one for line, every in zip(lines, answers, strict=True) for one in every])
        written = [b""] * (2 * len(lines))
        written[::2], written[1::2] = lines, answers
        return b"".join(written)

    def _means(self, key: Any) -> tuple[str, int]:
        """A code and its entry, by the cell of the code, and the span of its day where days decide."""
        cell, span = key if self.day is not None else (key, 0)
        code = self._text(cell)
        return code, self.lookup.entry_in(code, span)

    def _text(self, cell: bytes | str) -> str:
        """What a cell says: one that stands so in the file, or the Latin-1 of its bytes, which csv has read."""
        raw = cell if isinstance(cell, bytes) else cell.encode("latin-1")
        text = raw.decode(self.encoding, "socle-windows" if self.encoding == "cp1252" else "strict")
        return text[1:-1].replace('""', '"') if raw is cell and text.startswith('"') else text

    def _end(self, cell: Cell) -> bytes:
        """An answer as the end of a row."""
        cell = _writable(cell, self.dialect.encoding)
        written = []
        for text in cell[: len(self.lookup.plan.added)]:
            written.append('"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text)
        return "".join(self.dialect.between + text for text in written).encode(self.encoding) + self.end


def _repeats(marks: bytes, row: bytes) -> bool:
    return marks == row * (len(marks) // len(row))


def _spelt(cell: str) -> bytes:
    """A cell as it stands in quotes."""
    return ('"' + cell.replace('"', '""') + '"').encode("latin-1")


def _writable(cell: Cell, encoding: str) -> Cell:
    """A cell as the file's encoding can say it: labels lose what it lacks, codes must not.

    :raises Invalid: if it can't write a code.
    """
    if encoding.startswith("utf"):
        return cell
    try:
        cell.code.encode(encoding)
    except UnicodeEncodeError:
        message = "un code de la cible ne s'écrit pas dans l'encodage du fichier"
        raise unreadable(message, accepted="le fichier en UTF-8") from None
    plain = cell.label.replace("\u202f", "\u00a0").replace("\u2011", "-").replace("\u2212", "-")
    return cell._replace(label=plain.encode(encoding, "replace").decode(encoding))
