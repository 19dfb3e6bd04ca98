"""Data files: what a CSV file is, plain copies of what is not plain, and an output that comes to be whole or never.

What would not be read exactly as it stands is first written anew as plain CSV, as a stream, into a file without a
name: cp1252, gzip, mixed line ends, spaces around quotes. A process that is killed leaves no such file; nor does it
leave an output, which has no name until it is whole and on the disk.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import io
import os
import re
import secrets
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, cast

from registry.errors import Invalid, Problem, TooLarge

Kind = Literal["csv", "parquet", "xlsx"]

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
    are added, ``between`` stands between them.
    """

    encoding: str
    delimiter: str
    between: str
    line_end: bytes
    header: tuple[str, ...]
    head: bytes

    @property
    def marked(self) -> bool:
        """Whether the file begins with a mark of its encoding."""
        return self.head.startswith((_BOM, *_WIDE))


class Looks(NamedTuple):
    """What going through a CSV file once tells.

    Whether it is UTF-8, whether DuckDB would read it exactly, two characters that it does not hold, and how many
    lines and delimiters it has.
    """

    is_utf8: bool
    plain: bool
    marks: str
    lines: int
    delimiters: dict[str, int]

    def bare(self, dialect: Dialect, rows: int) -> bool:
        """Whether every row stands on one line and no cell holds a delimiter, given how many rows it was read as.

        Then, and then only, it has as many lines as rows, and as many delimiters as stand between their cells.
        """
        between = len(dialect.header) - 1
        one_line = b"\n" not in dialect.head and self.lines == rows + 1
        return one_line and between > 0 and self.delimiters.get(dialect.delimiter) == between * (rows + 1)


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


def looked_at(file: Any) -> Looks:
    """Go through a file once.

    :raises Invalid: if it holds NUL characters, as UTF-16 without its mark does, or the separators of old teletypes.
    """
    marks = [b"\x1c", b"\x1d", b"\x1e", b"\x1f"]
    decoder = codecs.getincrementaldecoder("utf-8")()
    is_utf8, feeds, pairs, returns, spaced, pending, last = True, 0, 0, 0, False, False, b""
    delimiters: dict[str, int] = {}
    for chunk in chunks(file):
        if b"\0" in chunk:
            raise unreadable(
                "caractère nul", accepted="du texte en UTF-8, en cp1252 (Windows) ou en UTF-16 avec sa marque"
            )
        marks = [mark for mark in marks if mark not in chunk]
        if is_utf8 and (pending or not chunk.isascii()):
            try:
                decoder.decode(chunk)
                pending = bool(decoder.getstate()[0])
            except UnicodeDecodeError:
                is_utf8 = False
        feeds += chunk.count(b"\n")
        if not delimiters:
            # Counting takes as long as there is to count: only what stands in the header can be a delimiter.
            delimiters = {one: 0 for one in _DELIMITERS if one.encode() in chunk.partition(b"\n")[0]}
        for delimiter in delimiters:
            delimiters[delimiter] += chunk.count(delimiter.encode())
        if b"\r" in chunk or last == b"\r":
            returns += chunk.count(b"\r")
            pairs += chunk.count(b"\r\n") + (last == b"\r" and chunk[:1] == b"\n")
        spaced = spaced or _has_spaced_quote(last + chunk)
        last = chunk[-1:]
    if len(marks) < 2:
        raise unreadable("caractères de commande", accepted="un texte sans les caractères U+001C à U+001F")
    uniform = returns == pairs and pairs in (0, feeds)
    lines = feeds + (last not in (b"", b"\n"))
    plain = uniform and not spaced and last != b" "
    return Looks(is_utf8 and not pending, plain, b"".join(marks[:2]).decode(), lines, delimiters)


_SPACE_QUOTE, _SPACE_DELIMITER = re.compile(rb' "'), re.compile(rb" [;,\t\r\n]")
# Both begin with a space: where there are quotes everywhere, looking for those first takes ten times as long.


def _has_spaced_quote(chunk: bytes) -> bool:
    """Whether spaces may stand between a delimiter and a quote: DuckDB drops them, and they are part of the value.

    Where spaces reach the beginning of the chunk, what stands before them may be anything.
    """
    if b" " not in chunk:
        return False
    return any(
        chunk[max(0, found.start() - 200) : found.start()].rstrip(b" ")[-1:] in before
        for pattern, before in ((_SPACE_QUOTE, b";,\t\r\n"), (_SPACE_DELIMITER, b'"'))
        for found in pattern.finditer(chunk)
    )


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


def dialect_of(file: IO[bytes], looks: Looks, wanted: Sequence[str]) -> Dialect:
    """How a CSV file is written: the delimiter is the one under which its header has the columns that are wanted.

    :raises Invalid: if its header lacks a column, or can't be read.
    """
    file.seek(0)
    head = file.read(_HEAD)
    encoding = "utf-8" if looks.is_utf8 else "cp1252"
    body = head.removeprefix(_BOM)
    text = codecs.getincrementaldecoder(encoding)("socle-windows" if encoding == "cp1252" else "strict").decode(body)
    csv.field_size_limit(LONGEST_CELL)
    found: list[tuple[bool, int, str, list[str], int]] = []
    for delimiter in _DELIMITERS:
        lines = io.StringIO(text, newline="")
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        try:
            header = next(reader, [])
        except csv.Error:
            continue
        found.append((set(wanted) <= set(header), len(header), delimiter, header, reader.line_num))
    if not found or not text:
        raise unreadable("en-tête illisible", where="ligne 1", accepted="une ligne d'en-tête en CSV")
    _, _, delimiter, header, lines_read = max(found, key=lambda one: one[:2])
    raw = b"".join(body.splitlines(keepends=True)[:lines_read]) if b"\r" not in body else _first_lines(body, lines_read)
    prefix = head[: len(head) - len(body)]
    check_header(header, wanted)
    between, delimiter = (delimiter, delimiter) if len(header) > 1 else (";", "\t")
    line_end = b"\r\n" if raw.endswith(b"\r\n") else b"\n"
    return Dialect(encoding, delimiter, between, line_end, tuple(header), prefix + raw.rstrip(b"\r\n"))


def _first_lines(body: bytes, count: int) -> bytes:
    lines = io.TextIOWrapper(io.BytesIO(body), "latin-1", newline="")
    return "".join(line for line, _ in zip(lines, range(count), strict=False)).encode("latin-1")


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


def table_of(data: IO[bytes], wanted: Sequence[str], stack: ExitStack) -> tuple[Dialect, Iterator[list[str]]]:
    """A small CSV file in memory: how it is written, and its rows one by one.

    :raises Invalid: if it can't be read, or lacks a column.
    """
    plain, dialect, _ = in_utf8(data, data, wanted, lambda: stack.enter_context(io.BytesIO()))
    return dialect, rows_of_csv(plain, dialect)


# Plain copies


def unzip(file: Any, into: IO[bytes], most: int) -> None:
    """Copy a gzip file's content.

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
                into.write(chunk)
    except (OSError, EOFError, zlib.error) as error:
        if isinstance(error, OSError) and not isinstance(error, gzip.BadGzipFile):
            raise
        raise unreadable("gzip illisible ou tronqué", accepted="un fichier CSV compressé par gzip, entier") from None


def guessed(file: IO[bytes], wanted: Sequence[str]) -> tuple[Dialect, Looks] | None:
    """What a CSV file in UTF-8 seems to be by its first piece; nothing where that shows something else already."""
    file.seek(0)
    piece = file.read(CHUNK)
    file.seek(0)
    begun = io.BytesIO(piece[: piece.rfind(b"\n") + 1])
    with suppress(Invalid):
        looks = looked_at(begun)
        if looks.is_utf8 and looks.plain:
            return dialect_of(begun, looks, wanted), looks
    return None


def in_utf8(
    file: IO[bytes], source: Any, wanted: Sequence[str], new: Callable[[], IO[bytes]]
) -> tuple[IO[bytes], Dialect, Looks]:
    """A CSV file in UTF-8, which is the file itself where it can be; how it was written, and what it looks like.

    ``source`` gives the same bytes as ``file``, to be gone through once; ``new`` makes a file to copy into.

    :raises Invalid: if it can't be read, or lacks a column that is wanted.
    """
    file.seek(0)
    wide = _WIDE.get(file.read(2), "")
    file.seek(0)
    if wide:
        # As a spreadsheet's "Unicode text" is written.
        file = source = _copied(source, new(), wide)
    looks = looked_at(source)
    dialect = dialect_of(file, looks, wanted)
    if wide:
        return file, replace(dialect, encoding=wide, head=dialect.head.decode().encode(wide)), looks
    if dialect.encoding != "utf-8":
        file.seek(0)
        file = _copied(file, new(), dialect.encoding)
    return file, dialect, looks


def _copied(file: Any, into: IO[bytes], encoding: str) -> IO[bytes]:
    """What is to come of a file copied from another encoding to UTF-8, its mark included, to be read from the start.

    :raises Invalid: if it is not of that encoding.
    """
    decoder = codecs.getincrementaldecoder(encoding)("socle-windows" if encoding == "cp1252" else "strict")
    try:
        for chunk in chunks(file):
            into.write(decoder.decode(chunk).encode())
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise unreadable("UTF-16 illisible ou tronqué", accepted="un fichier entier, ou en UTF-8") from None
    into.flush()
    into.seek(0)
    return into


def rows_of_csv(file: IO[bytes], dialect: Dialect) -> Iterator[list[str]]:
    """The rows of a CSV file in UTF-8 under its header, each cell exactly as it is.

    :raises Invalid: with the line that can't be read, and never with what stands there.
    """
    file.seek(0)
    text = io.TextIOWrapper(file, "utf-8-sig", newline="")
    csv.field_size_limit(LONGEST_CELL)
    reader = csv.reader(text, delimiter=dialect.delimiter, strict=True)
    width, line = len(dialect.header), 0
    try:
        next(reader)
        for row in reader:
            line = reader.line_num
            if not row:
                # A blank line is no row; where there is one column only, it is an empty cell.
                if width > 1:
                    continue
                row = [""]
            if len(row) != width:
                message = f"{len(row)} cellules pour {width} colonnes"
                accepted = "autant de cellules que l'en-tête a de colonnes"
                raise unreadable(message, where=f"ligne {line}", accepted=accepted)
            yield row
    except csv.Error:
        accepted = "des guillemets fermés, doublés à l'intérieur d'une cellule"
        raise unreadable("CSV illisible", where=f"ligne {reader.line_num}", accepted=accepted) from None
    finally:
        text.detach()


def rewrite(file: IO[bytes], dialect: Dialect, into: IO[bytes]) -> None:
    """Write a CSV file in UTF-8 anew, so that any reader reads it alike: values stay exact, quoting is made regular.

    :raises Invalid: with the line that can't be read.
    """
    text = io.TextIOWrapper(into, "utf-8", newline="", write_through=False)
    writer = csv.writer(text, delimiter=dialect.delimiter, lineterminator="\r\n")
    # With this line end, Python quotes cells that hold a part of it.
    writer.writerow([f"c{place}" for place in range(len(dialect.header))])
    writer.writerows(rows_of_csv(file, dialect))
    text.flush()
    text.detach()
