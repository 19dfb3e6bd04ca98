# ruff: noqa: S608 # Names and texts are quoted by _named and _quoted; values never stand in a statement.
"""DuckDB at work on one data file: rows are counted, then written with the columns added, in their order.

DuckDB reads and writes CSV as text and Parquet in its types, in bounded memory. It guesses nothing, since the dialect
is told; it may open the files at hand and nothing else; and what it says of a file's content is never repeated. Rows
are not joined to what they are recoded by, since a join loses their order (``answers``). In CSV an answer is one text,
looked up once a row. Where each row stands on one line and no cell holds a delimiter, which is most files, and which
counting tells, rows are read and written without regard to quotes, as they stand. Elsewhere an answer's delimiters and
quotes are two characters that the file does not hold, and become what they stand for on the way to the output.
"""

from __future__ import annotations

import codecs
import csv
import fcntl
import gzip
import hashlib
import io
import os
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast

from registry.errors import Conflict, TooLarge
from registry.recoding.answers import CELL_FIELDS, Answers, Ends, joined_place, quoted
from registry.recoding.files import (
    CHUNK,
    COLUMNS_RULE,
    LONGEST_CELL,
    Dialect,
    Digest,
    Looks,
    check_header,
    chunks,
    guessed,
    in_utf8,
    nameless,
    path_of,
    rewrite,
    unreadable,
    unzip,
)
from registry.recoding.rows import EXAMPLES, Count, Tally, refuse_many
from registry.recoding.rule import Lookup

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Progress = Callable[[str, float], None]
"""Told what is being done, and how much of it, from 0 to 1."""

_MEMORY = "384MB"
_MOST_SPILLED = "64GB"
_SAMPLE = 16
"""Of how many chunks one has its lines counted, to say about how far the writing has come."""


class Done(NamedTuple):
    """A file that was recoded: what it came to, and the SHA-256 of what was read and of what was written."""

    tally: Tally
    read: str
    written: str


def _connected(allowed: Sequence[str], spill: Path) -> DuckDBPyConnection:
    """DuckDB in memory, with two threads and a bound on memory, that can open the files at hand and nothing else."""
    import duckdb  # It takes long to import and much memory, and only recoding needs it.

    connection = duckdb.connect(
        config={
            "threads": 2,
            "memory_limit": _MEMORY,
            "allow_community_extensions": False,
            "allow_unsigned_extensions": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "temp_directory": str(spill),
            "max_temp_directory_size": _MOST_SPILLED,
            "temp_file_encryption": True,
            "preserve_insertion_order": True,
        }
    )
    connection.execute(f"SET allowed_paths = [{', '.join(quoted(path) for path in allowed)}]")
    connection.execute("SET enable_progress_bar = false")
    connection.execute("SET python_enable_replacements = false")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _named(name: str) -> str:
    """A column's name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def _run(connection: DuckDBPyConnection, statement: str) -> DuckDBPyConnection:
    """Run a statement; what goes wrong is told without a word of the data, which DuckDB's own messages quote.

    :raises Invalid: if the data can't be read.
    :raises TooLarge: if memory, or the disk that it may use besides, does not do.
    """
    import duckdb

    try:
        return connection.execute(statement)
    except duckdb.OutOfMemoryException:
        raise TooLarge(f"recodage : plus de {_MEMORY} de mémoire et {_MOST_SPILLED} de disque") from None
    except duckdb.Error:
        raise _NotRead from None


class _NotRead(Exception):
    """DuckDB could not read the data."""


class _NotGuessed(Exception):
    """A file is not what its beginning seemed to be."""


def _read_csv(path: str, dialect: Dialect) -> str:
    """The file's cells, as columns c0, c1 and so on."""
    columns = [f"c{place}" for place in range(len(dialect.header))]
    return _read(path, columns, dialect.delimiter, '"', "")


def _read_lines(path: str, marks: str) -> str:
    """The file's lines as they stand, as the column ``line``; ``marks`` are two characters that it does not hold."""
    return _read(path, ["line"], marks[0], "", marks[1])


def _read(path: str, columns: Sequence[str], delimiter: str, quote: str, null: str) -> str:
    typed = ", ".join(f"'{column}': 'VARCHAR'" for column in columns)
    return (
        f"read_csv({quoted(path)}, auto_detect = false, delim = {quoted(delimiter)}, quote = '{quote}', "
        f"escape = '{quote}', header = true, columns = {{{typed}}}, nullstr = '{null}', allow_quoted_nulls = false, "
        f"strict_mode = true, max_line_size = {LONGEST_CELL}, compression = 'none')"
    )


class _Engine:
    """One data file in DuckDB: what its rows come to is counted, then they are written with the columns added."""

    def __init__(self, connection: DuckDBPyConnection, answers: Answers, source: str, code: str, day: str) -> None:
        """``source`` reads the file, ``code`` and ``day`` are its columns, all three in SQL."""
        self.connection, self.answers, self.source = connection, answers, source
        self.code, self.day = code, day or "''"

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement, and give its rows."""
        return _run(self.connection, statement).fetchall()

    def count(self) -> Tally:
        """What the rows come to, in one pass over the columns that count.

        :raises Invalid: if a code has several targets and the plan refuses that.
        """
        # Codes and days are few beside rows: what they come to is looked up once for each pair.
        entry = self.answers.entry("code", "day", joined_place)
        self.ask(
            f"CREATE TABLE seen AS SELECT coalesce(code, '') AS code, {entry} AS entry, times FROM "
            f"(SELECT {self.code} AS code, {self.day} AS day, count(*) AS times FROM {self.source} GROUP BY ALL)"
        )
        self.ask(
            "CREATE VIEW told AS SELECT seen.code, seen.times, cell.status, cell.code AS target, "
            "1 + (SELECT count(*) FROM cell AS more WHERE more.entry = seen.entry AND more.nth > 0) AS shares "
            "FROM seen JOIN cell ON cell.entry = seen.entry AND cell.nth = 0"
        )
        counted = self.ask("SELECT status, sum(times)::BIGINT, count(DISTINCT code) FROM told GROUP BY status")
        examples: dict[str, list[tuple[str, int]]] = {}
        for status, code, times in self.ask(
            "SELECT status, code, together FROM (SELECT status, code, sum(times)::BIGINT AS together FROM told "
            "WHERE code <> '' GROUP BY status, code) "
            f"QUALIFY row_number() OVER (PARTITION BY status ORDER BY together DESC, code) <= {EXAMPLES} "
            "ORDER BY status, together DESC, code"
        ):
            examples.setdefault(status, []).append((code, times))
        [(rows, out, others, sources, targets, pairs)] = self.ask(
            "SELECT coalesce(sum(times), 0)::BIGINT, coalesce(sum(times * shares), 0)::BIGINT, "
            "count(*) FILTER (status <> 'exact'), count(DISTINCT code), count(DISTINCT target), "
            "count(DISTINCT (code, target)) FROM told"
        )
        if self.answers.lookup.plan.on_many == "error":
            refuse_many(self._ambiguous())
        counts = {status: Count(times, codes, tuple(examples.get(status, ()))) for status, times, codes in counted}
        return Tally(rows, out, counts, bool(rows) and not others and sources == targets == pairs)

    def _ambiguous(self) -> list[str]:
        """The codes of the file that have several targets, a hundred at most."""
        query = "SELECT DISTINCT code FROM told WHERE status = 'ambiguous' ORDER BY code LIMIT 100"
        return [code for (code,) in self.ask(query)]

    def rows(self, columns: str, names: Sequence[str] = (), *, verbatim: bool = False) -> str:
        """The query of the rows as they are written, in their order; the columns added bear the names given, if any.

        ``verbatim`` says that the source gives cells as they stand, quotes and all; rows are written so then.
        """
        self.answers.spread(self.ask, raw=verbatim)
        cell = self.answers.cell(self.code, self.day, raw=verbatim)
        if self.answers.shares:
            cell = f"unnest({cell})"
        source = f"{self.source} AS data_, answers"
        if not names:
            return f"SELECT {columns}, {cell} FROM {source}"
        added = ", ".join(f"cell_.{field} AS {_named(name)}" for field, name in zip(CELL_FIELDS, names, strict=False))
        return f"SELECT {columns}, {added} FROM (SELECT data_.*, {cell} AS cell_ FROM {source})"


class _LineEnds:
    """Turns the line feeds that end rows into another line end, and leaves those inside quotes."""

    def __init__(self) -> None:
        self.inside = False

    def __call__(self, chunk: bytes) -> bytes:
        if b'"' not in chunk:
            return chunk if self.inside else chunk.replace(b"\n", b"\r\n")
        parts = chunk.split(b'"')
        for place in range(int(self.inside), len(parts), 2):
            parts[place] = parts[place].replace(b"\n", b"\r\n")
        self.inside ^= len(parts) % 2 == 0
        return b'"'.join(parts)


class _Pump(threading.Thread):
    """Takes rows from a pipe to the output: in the file's own encoding and line ends, compressed, hashed, counted."""

    verbatim = False
    """Whether rows come with their own delimiters, quotes and line ends, or with marks and line feeds."""

    def __init__(self, pipe: int, out: int, dialect: Dialect, added: Sequence[str], marks: str, *, gz: bool) -> None:
        super().__init__(daemon=True)
        self.pipe, self.out, self.dialect, self.gz = pipe, out, dialect, gz
        self.table = bytes.maketrans(marks.encode(), f'{dialect.between}"'.encode())
        self.lines, self.sha256, self.error = 0, "", None
        buffer = io.StringIO()
        csv.writer(buffer, delimiter=dialect.between, lineterminator="\r\n").writerow(added)
        more = dialect.between + buffer.getvalue().removesuffix("\r\n") + dialect.line_end.decode()
        try:
            self.header = dialect.head + more.encode(dialect.encoding)
        except UnicodeEncodeError:
            raise unreadable(
                "nom de colonne impossible dans l'encodage du fichier", accepted="un fichier en UTF-8"
            ) from None

    error: BaseException | None

    def run(self) -> None:
        try:
            with os.fdopen(os.dup(self.out), "wb", buffering=0) as file:
                digest = Digest(file)
                if self.gz:
                    with gzip.GzipFile("", "wb", 6, cast(IO[bytes], digest), mtime=0) as stream:
                        self._copy(stream.write)
                else:
                    self._copy(digest.write)
                self.sha256 = digest.sha256.hexdigest()
        except BaseException as error:
            self.error = error
        finally:
            os.close(self.pipe)

    def _copy(self, write: Callable[[bytes | memoryview], object]) -> None:
        write(self.header)
        ends = _LineEnds() if self.dialect.line_end == b"\r\n" else None
        decoder = codecs.getincrementaldecoder("utf-8")() if self.dialect.encoding != "utf-8" else None
        # One piece of memory for all that passes: a new one each time costs more than what is done with it.
        buffer = bytearray(CHUNK)
        turn = 0
        while count := os.readv(self.pipe, [buffer]):
            chunk: bytes | memoryview = memoryview(buffer)[:count]
            if turn % _SAMPLE == 0:
                self.lines += buffer.count(b"\n", 0, count) * _SAMPLE
            turn += 1
            if not self.verbatim:
                chunk = bytes(chunk).translate(self.table)
                if ends:
                    chunk = ends(chunk)
            if decoder:
                chunk = decoder.decode(chunk).encode(self.dialect.encoding, "socle-windows")
            write(chunk)


def recode_csv(data: Path, out: int, lookup: Lookup, *, gz: bool, folder: Path, progress: Progress, most: int) -> Done:
    """Recode a CSV file into the open file ``out``; temporary files come to be, without names, in ``folder``.

    :raises Invalid: if the file can't be read, or lacks the columns.
    :raises TooLarge: if it is larger than ``most`` bytes once it is decompressed.
    :raises Conflict: if somebody changes the file meanwhile.
    """
    plan = lookup.plan
    wanted = [plan.column, *([plan.date_column] if plan.date_column else [])]
    with ExitStack() as stack:
        raw: IO[bytes] = stack.enter_context(data.open("rb"))
        before = os.fstat(raw.fileno())
        progress("lecture", 0)
        digest = Digest(raw)
        plain = raw
        if gz:
            plain = nameless(folder, stack)
            unzip(digest, plain, most)
            plain.flush()
            plain.seek(0)
        source: Any = plain if gz else digest
        guess = guessed(plain, wanted)
        # Going through the file takes one thread: the other one counts meanwhile, as if all were as it begins.
        with ThreadPoolExecutor(1) as another:
            seen = another.submit(in_utf8, plain, source, wanted, lambda: nameless(folder, stack))
            done, again = None, False
            if guess:
                try:
                    done = _through_csv(plain, out, lookup, *guess, folder, progress, gz=gz, again=False, seen=seen)
                except _NotRead:
                    again = True  # The guess was right: it would be read no better a second time.
                except _NotGuessed:
                    pass
            plain, dialect, looks = seen.result()
        again = again or not looks.plain
        while done is None:
            if again:
                rewritten = nameless(folder, stack)
                rewrite(plain, dialect, rewritten)
                rewritten.flush()
                plain = rewritten
            try:
                done = _through_csv(plain, out, lookup, dialect, looks, folder, progress, gz=gz, again=again)
            except _NotRead:
                if again:
                    raise unreadable(
                        "CSV illisible", accepted="un CSV bien formé, en lignes de 2 Mio au plus"
                    ) from None
                # Python's reader takes what DuckDB can't, or else says on which line it stops.
                again = True
        after = os.fstat(raw.fileno())
        if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
            raise Conflict("the data file was changed while it was read")
        return Done(done[0], digest.sha256.hexdigest(), done[1])


def _through_csv(
    plain: IO[bytes],
    out: int,
    lookup: Lookup,
    dialect: Dialect,
    looks: Looks,
    folder: Path,
    progress: Progress,
    *,
    gz: bool,
    again: bool,
    seen: Future[tuple[IO[bytes], Dialect, Looks]] | None = None,
) -> tuple[Tally, str]:
    """``seen``, if given, will say what the file is, of which the dialect and the looks are a guess until then.

    :raises _NotGuessed: if the guess was wrong; nothing was written.
    :raises _NotRead: if DuckDB can't read the file.
    """
    check_header(dialect.header, (), lookup.plan.added)
    plan, path, between = lookup.plan, path_of(plain.fileno()), dialect.between
    code = f"c{dialect.header.index(plan.column)}"
    day = f"c{dialect.header.index(plan.date_column)}" if plan.date_column else ""
    last = dialect.line_end.decode().removesuffix("\n")
    answers = Answers(lookup, dialect.encoding, Ends(looks.marks[0], looks.marks[1]), Ends(between, '"', last))
    with ExitStack() as stack:
        spill = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="socle-")))
        files = answers.files(folder, stack)
        reader, writer = os.pipe()
        with suppress(OSError):  # A larger pipe only saves turns.
            fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, CHUNK)
        try:
            pump = _Pump(reader, out, dialect, plan.added, looks.marks, gz=gz)
            connection = stack.enter_context(_connected([path, *files, path_of(writer)], spill))
            engine = _Engine(connection, answers, _read_csv(path, dialect), code, day)
            answers.load(engine.ask, *files)
            try:
                tally = engine.count()
            finally:
                # Whatever came of it, it came of the file only if the guess was right.
                looks = _looks_as_guessed(dialect, looks, seen) if seen else looks
            pump.verbatim = not again and looks.bare(dialect, tally.rows)
            quote = "" if pump.verbatim else '"'
            if pump.verbatim:
                # Each row is one cell then: its own cells are cut only where one is looked at.
                engine.source = _read_lines(path, looks.marks)
                engine.code = f"split_part(line, {quoted(between)}, {dialect.header.index(plan.column) + 1})"
                if plan.date_column:
                    place = dialect.header.index(plan.date_column) + 1
                    engine.day = f"split_part(line, {quoted(between)}, {place})"
            columns = "line" if pump.verbatim else ", ".join(f"c{place}" for place in range(len(dialect.header)))
            rows = engine.rows(columns, verbatim=pump.verbatim)
        except BaseException:
            os.close(reader)
            os.close(writer)
            raise
        pump.start()
        watching = _Watch(pump, tally.rows_out, progress)
        watching.start()
        try:
            engine.ask(
                f"COPY ({rows}) TO {quoted(path_of(writer))} (FORMAT csv, HEADER false, DELIMITER {quoted(between)}, "
                f"QUOTE '{quote}', ESCAPE '{quote}', NULLSTR '', USE_TMP_FILE false)"
            )
        except _NotRead:
            if pump.error:
                raise pump.error from None
            raise unreadable("le fichier n'a pas pu être relu", accepted="un fichier que rien ne modifie") from None
        finally:
            os.close(writer)
            pump.join()
            watching.over.set()
            watching.join()
        if pump.error:
            raise pump.error
        return tally, pump.sha256


def _looks_as_guessed(dialect: Dialect, looks: Looks, seen: Future[tuple[IO[bytes], Dialect, Looks]]) -> Looks:
    _, real, found = seen.result()
    if (real, found.plain, found.marks) != (dialect, looks.plain, looks.marks):
        raise _NotGuessed
    return found


class _Watch(threading.Thread):
    """Says how far the writing has come, a few times a second."""

    def __init__(self, pump: _Pump, rows: int, progress: Progress) -> None:
        super().__init__(daemon=True)
        self.pump, self.rows, self.progress, self.over = pump, rows, progress, threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.2):
            self.progress("écriture", min(1.0, self.pump.lines / max(1, self.rows)))


_COMPRESSIONS = ("UNCOMPRESSED", "SNAPPY", "GZIP", "ZSTD", "BROTLI", "LZ4_RAW")


def recode_parquet(data: Path, out: int, lookup: Lookup, *, folder: Path, progress: Progress) -> Done:
    """Recode a Parquet file into the open file ``out``; other columns keep their types.

    :raises Invalid: if the file can't be read, or lacks the columns.
    """
    plan = lookup.plan
    with ExitStack() as stack:
        raw = stack.enter_context(data.open("rb"))
        progress("lecture", 0)
        digest = Digest(raw)
        for _ in chunks(digest):
            pass
        source = path_of(raw.fileno())
        spill = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="socle-")))
        read = f"read_parquet({quoted(source)}, hive_partitioning = false)"
        answers = Answers(lookup)
        files = answers.files(folder, stack)
        connection = stack.enter_context(_connected([source, *files, path_of(out)], spill))
        day = f"CAST({_named(plan.date_column)} AS VARCHAR)" if plan.date_column else ""
        engine = _Engine(connection, answers, read, f"CAST({_named(plan.column)} AS VARCHAR)", day)
        try:
            described = engine.ask(f"DESCRIBE FROM {read}")
            names = [str(row[0]) for row in described]
            if dict(row[:2] for row in described).get(plan.column) in ("FLOAT", "DOUBLE"):
                # Whole numbers of which some were missing, as analysts' tables have them: 12.0 is the code 12.
                engine.code = f"regexp_replace({engine.code}, '\\.0$', '')"
            own = engine.ask(f"SELECT name FROM parquet_schema({quoted(source)})")
            if not set(names) <= {name for (name,) in own}:
                accepted = "des noms qui ne diffèrent pas que par la casse"
                raise unreadable("deux colonnes du même nom", accepted=accepted, rule=COLUMNS_RULE)
            wanted = [plan.column, *([plan.date_column] if plan.date_column else [])]
            check_header(names, wanted, [*plan.added, "cell_"])
            [(compression,)] = engine.ask(
                f"SELECT coalesce(min(compression), 'SNAPPY') FROM parquet_metadata({quoted(source)})"
            )
            answers.load(engine.ask, *files)
            tally = engine.count()
            progress("écriture", 0)
            columns = ", ".join(_named(name) for name in names)
            codec = compression if compression in _COMPRESSIONS else "ZSTD"
            engine.ask(
                f"COPY ({engine.rows(columns, plan.added)}) TO {quoted(path_of(out))} "
                f"(FORMAT parquet, COMPRESSION {codec}, USE_TMP_FILE false)"
            )
        except _NotRead:
            raise unreadable("Parquet illisible", accepted="un fichier Parquet entier") from None
    return Done(tally, digest.sha256.hexdigest(), _sha256(out))


def _sha256(file: int) -> str:
    os.lseek(file, 0, os.SEEK_SET)
    found = hashlib.sha256()
    while chunk := os.read(file, CHUNK):
        found.update(chunk)
    return found.hexdigest()
