"""Data files: what a CSV file is, the reading of one in memory, and an output that comes to be whole or never.

An output has no name until it is whole and on the disk: a process that is killed leaves none, nor any temporary file.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import io
import os
import secrets
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, cast

from registry.errors import Invalid, Problem, TooLarge

Kind = Literal["csv", "parquet", "xlsx"]
Progress = Callable[[str, float], None]
"""Told what is being done, and how much of it, from 0 to 1."""

COLUMNS_RULE = "data_file_columns"
LONGEST_CELL = 1 << 21
CHUNK = 1 << 20
_RULE = "data_file_is_readable"
_HEAD = 1 << 20
_DELIMITERS = ";,\t"
_BOM = b"\xef\xbb\xbf"
_WIDE = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


def unreadable(message: str, *, where: str = "", accepted: str = "", rule: str = _RULE) -> Invalid:
    """What can't be recoded, and why; never with a value of the data."""
    return Invalid([Problem(rule, message, where=where, accepted=accepted)])


def kind_of(data: Path) -> tuple[Kind, bool]:
    """What a file is, by its first bytes, whatever it is called; and whether it is CSV under gzip."""
    with data.open("rb") as file:
        first = file.read(4)
    if first == b"PAR1":
        return "parquet", False
    # A workbook of another kind is read as well; what comes out is XLSX.
    if first in (b"PK\x03\x04", b"\xd0\xcf\x11\xe0"):
        return "xlsx", False
    return "csv", first[:2] == b"\x1f\x8b"


# Where the output comes to be


@contextmanager
def whole(out: Path) -> Iterator[int]:
    """A file to write that gets its name, in place of what had it, once all is written and on the disk; or never.

    Where the file system can, it has no name until then, so that a process that is killed leaves nothing.
    """
    folder = os.open(out.parent, os.O_RDONLY | os.O_DIRECTORY)
    temporary = f".{out.name[:100]}.{secrets.token_hex(6)}"
    try:
        try:
            file = os.open(out.parent, os.O_TMPFILE | os.O_RDWR, 0o666)
            named = False
        except OSError:
            file = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666, dir_fd=folder)
            named = True
        try:
            yield file
            os.fsync(file)
            if not named:
                os.link(f"/proc/self/fd/{file}", temporary, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=True)
                named = True
            os.rename(temporary, out.name, src_dir_fd=folder, dst_dir_fd=folder)
            named = False
            os.fsync(folder)
        finally:
            os.close(file)
            if named:
                with suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=folder)
    finally:
        os.close(folder)


def nameless(folder: Path, stack: ExitStack) -> IO[bytes]:
    """A file to write and read that has no name and is gone with the process."""
    return stack.enter_context(cast(IO[bytes], tempfile.TemporaryFile(dir=folder, prefix=".socle-")))


def passing_folder(stack: ExitStack) -> Path:
    """A folder of the system's, for its owner alone, that is gone when the stack ends."""
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="socle-")))


def path_of(file: int) -> str:
    """How this process, and DuckDB inside it, opens a file that it has open already."""
    return f"/proc/self/fd/{file}"


# What a CSV file is


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a CSV file is written, and its header. ``head`` is the header's own bytes, without their line end.

    A file of one column shows no delimiter: it is read as if tabs were it, so that codes may hold others; where columns
    are added, ``between`` stands between them. Rows begin after ``start`` bytes, in UTF-8 where the file is UTF-16.
    """

    encoding: str
    delimiter: str
    between: str
    line_end: bytes
    header: tuple[str, ...]
    head: bytes
    start: int

    @property
    def marked(self) -> bool:
        """Whether the file begins with a mark of its encoding."""
        return self.head.startswith((_BOM, *_WIDE))

    @property
    def wide(self) -> bool:
        """Whether the file is UTF-16, which is read and written by way of UTF-8."""
        return self.encoding.startswith("utf-16")


class Digest:
    """Bytes that are read or written, and their SHA-256."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.sha256 = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """The next bytes of the file."""
        data = self.file.read(size)
        self.sha256.update(data)
        return data

    def write(self, data: bytes | memoryview) -> int:
        """Write all of some bytes to the file, past its buffer."""
        self.sha256.update(data)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self.file.fileno(), rest) :]
        return len(data)


def chunks(file: Any) -> Iterator[bytes]:
    """A file's bytes from where it stands, piece by piece."""
    while chunk := file.read(CHUNK):
        yield chunk


def _told(error: UnicodeDecodeError) -> tuple[str, int]:
    """The five bytes that cp1252 leaves undefined stand for the controls of Latin-1, as Windows reads them."""
    return error.object[error.start : error.end].decode("latin-1"), error.end


def _back(error: UnicodeError) -> tuple[bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return error.object[error.start : error.end].encode("latin-1"), error.end


def _either(error: UnicodeError) -> tuple[str | bytes, int]:
    return _told(error) if isinstance(error, UnicodeDecodeError) else _back(error)


codecs.register_error("socle-windows", _either)


def wide_encoding(first: bytes) -> str:
    """Which UTF-16 a file is by its first two bytes, as a spreadsheet's "Unicode text" is written; empty if none."""
    return _WIDE.get(first[:2], "")


def dialect_of(
    head: bytes, wanted: Sequence[str], *, wide: str = "", ansi: bool = False, whole: bool = False
) -> Dialect:
    """How a CSV file is written, by its first bytes, or by all that there is if ``whole``.

    The delimiter is the one under which its header has the columns that are wanted. What is not UTF-8, or is said to be
    ``ansi``, is cp1252. A file that is ``wide`` was brought from that encoding to UTF-8.

    :raises Invalid: if its header lacks a column, or can't be read.
    """
    body = head.removeprefix(_BOM)
    text, encoding = None, "utf-8"
    if not ansi:
        with suppress(UnicodeDecodeError):
            text = codecs.getincrementaldecoder("utf-8")().decode(body, final=whole)
    if text is None:
        text, encoding = body.decode("cp1252", "socle-windows"), "cp1252"
    csv.field_size_limit(LONGEST_CELL)
    found: list[tuple[bool, int, str, list[str], int]] = []
    for delimiter in _DELIMITERS:
        reader = csv.reader(io.StringIO(text[:_HEAD], newline=""), delimiter=delimiter, strict=True)
        try:
            header = next(reader, [])
        except csv.Error:
            continue
        found.append((set(wanted) <= set(header), len(header), delimiter, header, reader.line_num))
    if not found or not text:
        raise unreadable("en-tête illisible", where="ligne 1", accepted="une ligne d'en-tête en CSV")
    _, _, delimiter, header, lines_read = max(found, key=lambda one: one[:2])
    check_header(header, wanted)
    raw = b"".join(body[:_HEAD].splitlines(keepends=True)[:lines_read])
    start = len(head) - len(body) + len(raw)
    if len(raw) == _HEAD and not raw.endswith((b"\n", b"\r")):
        raise unreadable("en-tête trop long", where="ligne 1", accepted="un en-tête de moins d'un mébioctet")
    between, delimiter = (delimiter, delimiter) if len(header) > 1 else (";", "\t")
    line_end = b"\r\n" if raw.endswith(b"\r\n") else b"\n"
    own = head[:start].rstrip(b"\r\n")
    if wide:
        own, encoding = own.decode().encode(wide), wide
    return Dialect(encoding, delimiter, between, line_end, tuple(header), own, start)


def check_header(header: Sequence[str], wanted: Sequence[str], added: Sequence[str] = ()) -> None:
    """Do nothing if a header has each wanted column once, and none of those that are to be added.

    :raises Invalid: naming the columns.
    """
    for name in wanted:
        if header.count(name) != 1:
            message = "colonne répétée" if name in header else "colonne absente"
            names = ", ".join(repr(one) for one in list(header)[:50])
            raise Invalid([Problem(COLUMNS_RULE, message, where="en-tête", value=name, accepted=names)])
    present = {name.casefold() for name in header}
    if clashing := [name for name in added if name.casefold() in present]:
        raise Invalid(
            [
                Problem(
                    COLUMNS_RULE,
                    "le fichier a déjà cette colonne, que le recodage ajoute",
                    where="en-tête",
                    value=name,
                    accepted="un fichier sans elle",
                )
                for name in clashing
            ]
        )


def check_only(header: Sequence[str], wanted: Sequence[str]) -> None:
    """Do nothing if a header has the wanted columns and no other.

    :raises Invalid: naming what is accepted, and how many columns are too many.
    """
    if more := len(header) - len(wanted):
        accepted = ", ".join(wanted)
        raise Invalid([Problem(COLUMNS_RULE, f"{more} colonne(s) de trop", where="en-tête", accepted=accepted)])


NUL = "caractère nul"
TEXT = "du texte en UTF-8, en cp1252 (Windows) ou en UTF-16 avec sa marque"


def table_of(data: bytes, wanted: Sequence[str]) -> tuple[Dialect, Iterator[list[str]]]:
    """A small CSV file in memory: how it is written, and its rows one by one.

    :raises Invalid: if it can't be read, or lacks a column.
    """
    wide = wide_encoding(data)
    if wide:
        data = b"".join(narrowed([data], wide))
    if b"\0" in data:
        raise unreadable(NUL, accepted=TEXT)
    dialect = dialect_of(data, wanted, wide=wide, whole=True)
    return dialect, _rows(data, dialect)


def narrowed(pieces: Iterable[bytes], wide: str) -> Iterator[bytes]:
    """A file in UTF-16, its mark included, as UTF-8, piece by piece.

    :raises Invalid: if it is not of that encoding.
    """
    decoder = codecs.getincrementaldecoder(wide)()
    try:
        for piece in pieces:
            yield decoder.decode(piece).encode()
        decoder.decode(b"", final=True)
    except UnicodeError:
        raise unreadable("UTF-16 illisible ou tronqué", accepted="un fichier entier, ou en UTF-8") from None


def unzipped(file: Any, most: int) -> Iterator[bytes]:
    """A gzip file's content, piece by piece.

    :raises TooLarge: if it has more bytes than ``most``.
    :raises Invalid: if it is damaged or cut short.
    """
    total = 0
    try:
        with gzip.GzipFile(fileobj=file) as stream:
            for chunk in chunks(stream):
                total += len(chunk)
                if total > most:
                    raise TooLarge(f"fichier gzip : au plus {most >> 30} Gio une fois décompressé")
                yield chunk
    except (OSError, EOFError, zlib.error) as error:
        if isinstance(error, OSError) and not isinstance(error, gzip.BadGzipFile):
            raise
        raise unreadable("gzip illisible ou tronqué", accepted="un fichier CSV compressé par gzip, entier") from None


def _rows(data: bytes, dialect: Dialect) -> Iterator[list[str]]:
    """The rows of a CSV file under its header, each cell exactly as it is.

    :raises Invalid: with the line that can't be read, and never with what stands there.
    """
    encoding = "utf-8" if dialect.wide else dialect.encoding
    text = data[dialect.start :].decode(encoding, "socle-windows" if encoding == "cp1252" else "strict")
    line, ended = lines_of(data[: dialect.start]), 0
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=dialect.delimiter, strict=True)
    try:
        for row in reader:
            if cells := cells_of(row, dialect, line + ended + 1):
                yield cells
            ended = reader.line_num
    except csv.Error:
        raise malformed(line + ended + 1) from None


def lines_of(data: bytes) -> int:
    """How many lines there are, as CSV counts them: LF, CRLF or a CR of its own ends one."""
    return len(data.splitlines())


def cells_of(row: list[str], dialect: Dialect, line: int) -> list[str]:
    """A row's cells; nothing of a blank line, which is no row, but an empty cell where there is one column only.

    :raises Invalid: if it has not as many as the header, with the line on which it begins.
    """
    width = len(dialect.header)
    if not row:
        return [""] if width == 1 else []
    if len(row) != width:
        message = f"{len(row)} cellules pour {width} colonnes"
        accepted = "autant de cellules que l'en-tête a de colonnes"
        raise unreadable(message, where=f"ligne {line}", accepted=accepted)
    return row


def malformed(line: int) -> Invalid:
    """A row that can't be read as CSV, with the line on which it begins."""
    accepted = "des guillemets fermés, doublés à l'intérieur d'une cellule de 2 Mio au plus"
    return unreadable("CSV illisible", where=f"ligne {line}", accepted=accepted)
