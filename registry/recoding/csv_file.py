"""Recoding a CSV file of any size: read once, recoded piece by piece by processes of our own, written in order.

A piece ends where a line ends. That line may end within a cell: the row is then recoded with the next piece.
"""

from __future__ import annotations

import csv
import gc
import gzip
import io
import mmap
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from itertools import chain, cycle, islice
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, cast

from registry.errors import Conflict
from registry.recoding.csv_rows import MOST_WRITTEN, NotUtf8, Piece, Rows
from registry.recoding.files import (
    CHUNK,
    LONGEST_CELL,
    NUL,
    TEXT,
    Dialect,
    Digest,
    Progress,
    check_header,
    chunks,
    dialect_of,
    lines_of,
    malformed,
    narrowed,
    unreadable,
    unzipped,
    wide_encoding,
)
from registry.recoding.rows import Counted, Done, tally
from registry.recoding.rule import Lookup

_FEW_PIECES = 4
"""A file of fewer pieces is recoded where it is read: processes would take longer to start."""
_MOST_PROCESSES = 4
_SYNCED_AT_ONCE = 1 << 26


def recode_csv(data: Path, out: int, lookup: Lookup, *, gz: bool, folder: Path, progress: Progress, most: int) -> Done:
    """Recode a CSV file into the open file ``out``; temporary files come to be, without names, in ``folder``.

    :raises Invalid: if the file can't be read, lacks the columns or has those that are added, or the plan refuses it.
    :raises TooLarge: if it is larger than ``most`` bytes once it is decompressed.
    :raises Conflict: if somebody changes the file meanwhile.
    :raises OSError: if the disk is full, or a process that recodes is ended.
    """
    with data.open("rb", buffering=0) as raw, ExitStack() as stack:
        before = os.fstat(raw.fileno())

        def tell() -> None:
            if raw.tell() > before.st_size:
                raise Conflict("the data file grows while it is read")
            progress("recodage", min(1.0, raw.tell() / max(1, before.st_size)))

        try:
            done = _through(raw, out, lookup, Counted(folder, stack), gz=gz, most=most, tell=tell, ansi=False)
        except NotUtf8:
            done = _through(raw, out, lookup, Counted(folder, stack), gz=gz, most=most, tell=tell, ansi=True)
        after = os.fstat(raw.fileno())
        if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
            raise Conflict("the data file was changed while it was read")
        return done


def _through(
    raw: IO[bytes],
    out: int,
    lookup: Lookup,
    counted: Counted,
    *,
    gz: bool,
    most: int,
    tell: Callable[[], None],
    ansi: bool,
) -> Done:
    plan = lookup.plan
    raw.seek(0)
    read = Digest(raw)
    stream = unzipped(read, most) if gz else chunks(read)
    first = next(stream, b"")
    wide = wide_encoding(first)
    stream = chain([first], stream)
    if wide:
        stream = narrowed(stream, wide)
        first = next(stream, b"")
        stream = chain([first], stream)
    if b"\0" in first:
        raise unreadable(NUL, accepted=TEXT)
    wanted = [plan.column, *([plan.date_column] if plan.date_column else [])]
    dialect = dialect_of(first, wanted, wide=wide, ansi=ansi, whole=len(first) < CHUNK)
    check_header(dialect.header, (), plan.added)
    rows = Rows(lookup, dialect)
    os.ftruncate(out, 0)
    os.lseek(out, 0, os.SEEK_SET)
    with os.fdopen(os.dup(out), "wb", buffering=0) as file:
        written = Digest(file)
        with _written(written, gz=gz) as write:
            write(dialect.head + _header(plan.added, dialect))
            pieces = recoded(rows, _pieces(stream, dialect, rows.at_once), lines_of(first[: dialect.start]))
            # What is written goes to the disk meanwhile: all of it has to be there in the end.
            with closing(pieces), ThreadPoolExecutor(1) as another:
                last, synced = 0, None
                for piece in pieces:
                    write(bytes(piece.rows).decode().encode(wide) if wide else piece.rows)
                    if file.tell() - last > _SYNCED_AT_ONCE:
                        if synced:
                            synced.result()
                        last, synced = file.tell(), another.submit(os.fdatasync, out)
                    counted.add(piece.counted)
                    tell()
                if synced:
                    synced.result()
        return Done(tally(lookup, counted), read.sha256.hexdigest(), written.sha256.hexdigest())


@contextmanager
def _written(digest: Digest, *, gz: bool) -> Iterator[Callable[[bytes | memoryview], object]]:
    if not gz:
        yield digest.write
        return
    with gzip.GzipFile("", "wb", 6, cast(IO[bytes], digest), mtime=0) as stream:
        yield stream.write


def _header(added: Sequence[str], dialect: Dialect) -> bytes:
    """The names of the columns that are added, as the end of the header."""
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=dialect.between, lineterminator="\r\n").writerow(added)
    text = dialect.between + buffer.getvalue().removesuffix("\r\n") + dialect.line_end.decode()
    try:
        return text.encode(dialect.encoding)
    except UnicodeEncodeError:
        accepted = "un fichier en UTF-8"
        raise unreadable("nom de colonne impossible dans l'encodage du fichier", accepted=accepted) from None


def _pieces(stream: Iterator[bytes], dialect: Dialect, size: int) -> Iterator[bytes]:
    """The rows of a file in pieces of some size that end where a line ends.

    :raises Invalid: if a line is too long.
    """
    rest, start = b"", dialect.start
    for chunk in stream:
        rest += chunk[start:]
        start = 0
        while len(rest) - start >= size and (cut := _cut(rest, start, size)):
            if cut - start > LONGEST_CELL:
                break
            yield rest[start:cut]
            start = cut
        rest, start = rest[start:], 0
        if len(rest) > LONGEST_CELL:
            raise unreadable("ligne trop longue", accepted="des lignes de 2 Mio au plus")
    if rest:
        yield rest if rest.endswith((b"\n", b"\r")) else rest + dialect.line_end


def _cut(data: bytes, start: int, size: int) -> int:
    """Where the last line ends of so many bytes, or else the next one; 0 if none does."""
    # Old Macintosh files have no line feeds; a CR that comes last may be half of a line end.
    for mark, end in ((b"\n", len(data)), (b"\r", len(data) - 1)):
        last = min(start + size, end)
        if cut := data.rfind(mark, start, last) + 1 or data.find(mark, last, end) + 1:
            return cut
    return 0


def recoded(rows: Rows, pieces: Iterator[bytes], line: int) -> Generator[Piece, None, None]:
    """The pieces recoded, in order; ``line`` is how many lines stand before them.

    :raises Invalid: if a row can't be read.
    """
    few = [*islice(pieces, _FEW_PIECES)]
    if len(few) < _FEW_PIECES:
        tried: Generator[tuple[bytes, Piece | None], None, None] = ((piece, None) for piece in few)
    else:
        tried = _by_processes(rows, chain(few, pieces))
    rest = b""
    with closing(tried):
        for piece, told in tried:
            if rest:
                piece, told = rest + piece, None
            # What a process could not read is read again here, where it is known on which line it stands.
            told = told or rows.recode(piece, line)
            rest = piece[len(piece) - told.left :]
            if len(rest) > LONGEST_CELL:
                break
            line += told.lines
            yield told
    if rest:
        raise malformed(line + 1)


def _by_processes(rows: Rows, pieces: Iterator[bytes]) -> Generator[tuple[bytes, Piece | None], None, None]:
    """The pieces in order, as processes recoded them that each have one in hand; nothing of one that can't be read.

    :raises OSError: if somebody ends a process.
    """
    with ExitStack() as stack:
        crew = [_Process(rows, stack) for _ in range(min(_MOST_PROCESSES, len(os.sched_getaffinity(0))))]
        waiting: deque[tuple[_Process, bytes]] = deque()
        for nth, piece in enumerate(pieces):
            process, done = crew[nth % len(crew)], None
            if len(waiting) == len(crew):
                _, given = waiting.popleft()
                done = given, process.received()
            process.send(piece)
            waiting.append((process, piece))
            if done:
                yield done
        for process, piece in waiting:
            yield piece, process.received()


class _Process:
    """A process that recodes the pieces that it is sent, one by one, until the stack ends or this process does.

    What it writes lies in memory that both see, at one of two places in turn: it stays until two pieces later.
    """

    def __init__(self, rows: Rows, stack: ExitStack) -> None:
        self.connection, theirs = multiprocessing.Pipe()
        self._places = cycle([mmap.mmap(-1, MOST_WRITTEN) for _ in range(2)])
        process = multiprocessing.get_context("fork").Process(target=self._work, args=(rows, theirs), daemon=True)
        process.start()
        theirs.close()
        stack.callback(process.join)
        stack.enter_context(self.connection)

    def send(self, piece: bytes) -> None:
        """Have a piece recoded."""
        with _running():
            self.connection.send_bytes(piece)

    def received(self) -> Piece | None:
        """What came of the piece that was sent last; nothing if it can't be read."""
        told: Piece | None
        with _running():
            told, size = self.connection.recv()
        place = next(self._places)
        return told and told._replace(rows=told.rows or memoryview(place)[:size])

    def _work(self, rows: Rows, theirs: Connection) -> None:
        self.connection.close()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        gc.disable()  # What was copied with this process, database connections too, is not for it to close.
        with suppress(EOFError, OSError):
            while True:
                told, size = _tried(rows, theirs.recv_bytes()), 0
                place = next(self._places)
                if told and len(told.rows) <= MOST_WRITTEN:
                    size = len(told.rows)
                    place[:size] = told.rows
                    told = told._replace(rows=b"")
                theirs.send((told, size))


@contextmanager
def _running() -> Iterator[None]:
    try:
        yield
    except (EOFError, OSError):
        raise ChildProcessError("a process that recodes was ended") from None


def _tried(rows: Rows, piece: bytes) -> Piece | None:
    try:
        return rows.recode(piece)
    except Exception:
        return None  # It comes again where it is told.
