# ruff: noqa: S608 # Names and texts are quoted by _named and _quoted; values never stand in a statement.
"""DuckDB at work on one data file: rows are counted, then written with the columns added, in their order.

DuckDB reads and writes CSV as text and Parquet in its types, in bounded memory. It guesses nothing, since the dialect
is told; it may open the files at hand and nothing else; and what it says of a file's content is never repeated. Rows
are not joined to what they are recoded by, since a join loses their order: a code is cast to an enumeration of the
known ones, and its place there is its place in a list of answers, which stands beside every row. In CSV an answer is
one text, looked up once a row: its delimiters and quotes are two characters that the file does not hold, and become
what they stand for on the way to the output.
"""

from __future__ import annotations

import codecs
import csv
import fcntl
import gzip
import hashlib
import io
import os
import re
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple, cast

from registry.errors import Conflict, TooLarge
from registry.recoding.files import (
    CHUNK,
    COLUMNS_RULE,
    LONGEST_CELL,
    Dialect,
    Digest,
    check_header,
    chunks,
    copy_in_utf8,
    dialect_of,
    looked_at,
    nameless,
    path_of,
    rewrite,
    unreadable,
    unzip,
)
from registry.recoding.rows import EXAMPLES, Count, Tally, refuse_many
from registry.recoding.rule import DATE_MISSING, DATE_UNREADABLE, MISSING, NO_RELEASE, UNKNOWN, Cell, Lookup

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Progress = Callable[[str, float], None]
"""Told what is being done, and how much of it, from 0 to 1."""

_MEMORY = "384MB"
_MOST_SPILLED = "64GB"
_SAMPLE = 16
"""Of how many chunks one has its lines counted, to say about how far the writing has come."""
_SEPARATOR = "\x1f"
_NO_CODE = "\x1e"
_CELL_FIELDS = Cell._fields
_KEY_COLUMNS = "place: 'INTEGER', key: 'VARCHAR'"
_CELL_COLUMNS = "place: 'INTEGER', nth: 'INTEGER', tail: 'VARCHAR', " + ", ".join(
    f"{name}: 'VARCHAR'" for name in _CELL_FIELDS
)
_QUOTED = re.compile(r'[",;\s]')
"""What has a cell quoted, whichever delimiter its file has."""


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
    connection.execute(f"SET allowed_paths = [{', '.join(_quoted(path) for path in allowed)}]")
    connection.execute("SET enable_progress_bar = false")
    connection.execute("SET python_enable_replacements = false")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _quoted(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


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


def _read_csv(path: str, dialect: Dialect) -> str:
    columns = ", ".join(f"'c{place}': 'VARCHAR'" for place in range(len(dialect.header)))
    return (
        f"read_csv({_quoted(path)}, auto_detect = false, delim = {_quoted(dialect.delimiter)}, quote = '\"', "
        f"escape = '\"', header = true, columns = {{{columns}}}, nullstr = '', allow_quoted_nulls = false, "
        f"strict_mode = true, max_line_size = {LONGEST_CELL}, compression = 'none')"
    )


_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9:.,Z+-]*)?"
_FRENCH_DAY = r"[0-9]{2}/[0-9]{2}/[0-9]{4}"


def _place_sql(lookup: Lookup, code: str, day: str) -> str:
    """The expression that says where a row's answer stands, as ``Lookup.entry`` says: at its key's enum code."""

    def place(key: str) -> str:
        return f"enum_code(TRY_CAST({key} AS known))"

    if not lookup.starts:
        key = f"coalesce({code}, '')"
        return f"coalesce({place(key)}, {UNKNOWN})"
    separator = f"chr({ord(_SEPARATOR)})"
    read = (
        f"CASE WHEN regexp_full_match({day}, '{_DAY}') THEN TRY_CAST(substr({day}, 1, 10) AS DATE) "
        f"WHEN regexp_full_match({day}, '{_FRENCH_DAY}') THEN "
        f"TRY_CAST(concat({day}[7:10], '-', {day}[4:5], '-', {day}[1:2]) AS DATE) END"
    )
    periods = " ".join(
        f"WHEN {read} >= DATE '{start.isoformat()}' THEN {period if period in lookup.open else -1}"
        for period, start in reversed([*enumerate(lookup.starts)])
    )
    period = f"CASE {periods} ELSE -1 END"
    varying = f"{place(f'concat({period}, {separator}, {code})')}, " if lookup.varying else ""
    return (
        f"CASE WHEN {code} IS NULL OR {code} = '' THEN {MISSING} WHEN {day} IS NULL OR {day} = '' THEN {DATE_MISSING} "
        f"WHEN {read} IS NULL OR {read} < DATE '0001-01-01' THEN {DATE_UNREADABLE} "
        f"WHEN {period} < 0 THEN {NO_RELEASE} "
        f"ELSE coalesce({varying}{place(f'concat({separator}, {code})')}, {UNKNOWN}) END"
    )


def _keys(lookup: Lookup) -> Iterator[tuple[str, int]]:
    """What is looked up, with the entry that answers; the first ones stand where ``_place_sql`` says."""
    if not lookup.starts:
        yield from ((_NO_CODE, UNKNOWN), ("", MISSING), *lookup.known.items())
        return
    # No row has these keys, since there is a separator in all that is looked up.
    yield from ((f"{_NO_CODE}{entry}", entry) for entry in range(NO_RELEASE + 1))
    yield from ((f"{_SEPARATOR}{code}", entry) for code, entry in lookup.known.items())
    yield from ((f"{period}{_SEPARATOR}{code}", entry) for (period, code), entry in lookup.varying.items())


class _Engine:
    """One data file in DuckDB: what its rows come to is counted, then they are written with the columns added."""

    def __init__(
        self,
        lookup: Lookup,
        source: str,
        code: str,
        day: str,
        encoding: str = "utf-8",
        marks: str = "",
        between: str = "",
    ) -> None:
        """``source`` reads the file, ``code`` and ``day`` are its columns, all three in SQL.

        In CSV ``marks`` stand for the delimiter ``between`` and the quote; without them, answers are columns.
        """
        self.lookup, self.source, self.encoding = lookup, source, encoding
        self.marks, self.between = marks, between
        self.code = f"CAST({code} AS VARCHAR)"
        self.day = f"trim(CAST({day} AS VARCHAR), ' ')" if day else "''"
        self.place = _place_sql(lookup, self.code, self.day)
        self.shares = any(len(cells) > 1 for cells in lookup.entries)

    def files(self, folder: Path, stack: ExitStack) -> tuple[str, str]:
        """What is looked up, as CSV files that DuckDB reads: the keys, and the cells of each."""
        keys, cells = nameless(folder, stack), nameless(folder, stack)
        entries = self.lookup.entries
        writable = [[_writable(cell, self.encoding) for cell in found] for found in entries]
        _write_table(keys, ((place, key) for place, (key, _) in enumerate(_keys(self.lookup))))
        _write_table(
            cells,
            (
                (place, nth, self._tail(cell), *cell)
                for place, (_, entry) in enumerate(_keys(self.lookup))
                for nth, cell in enumerate(writable[entry])
            ),
        )
        return path_of(keys.fileno()), path_of(cells.fileno())

    def load(self, connection: DuckDBPyConnection, keys: str, cells: str) -> None:
        """Make ready what is looked up."""
        struct = "{" + ", ".join(f"'{name}': nullif({name}, '')" for name in _CELL_FIELDS) + "}"
        answer = "coalesce(tail, '')" if self.marks else struct
        if self.shares:
            cell = f"SELECT place, list({answer} ORDER BY nth) AS cell FROM cell GROUP BY place"
        else:
            cell = f"SELECT place, {answer} AS cell FROM cell"
        for statement in (
            f"CREATE TABLE cell AS FROM {_read_table(cells, _CELL_COLUMNS)}",
            f"CREATE TYPE known AS ENUM (SELECT key FROM {_read_table(keys, _KEY_COLUMNS)} ORDER BY place)",
            f"CREATE TABLE known_cells AS SELECT list(cell ORDER BY place) AS cells FROM ({cell})",
        ):
            _run(connection, statement)

    def _tail(self, cell: Cell) -> str:
        """The cells of one answer as the end of a CSV row, its delimiters and quotes marked."""
        if not self.marks:
            return ""
        delimiter, quote = self.marks[0], self.marks[1]
        texts = (text.replace('"', 2 * quote) for text in cell[: len(self.lookup.plan.added)])
        quoted = (f"{quote}{text}{quote}" if _QUOTED.search(text) or quote in text else text for text in texts)
        return delimiter.join(text.replace(self.between, delimiter) for text in quoted)

    def count(self, connection: DuckDBPyConnection) -> Tally:
        """What the rows come to, in one pass over the columns that count."""
        # Codes and days are few beside rows: what they come to is looked up once for each pair.
        place = _place_sql(self.lookup, "code", "day")
        _run(
            connection,
            f"CREATE TABLE seen AS SELECT coalesce(code, '') AS code, {place} AS place, times FROM "
            f"(SELECT {self.code} AS code, {self.day} AS day, count(*) AS times FROM {self.source} GROUP BY ALL)",
        )
        _run(
            connection,
            "CREATE VIEW told AS SELECT seen.code, seen.times, cell.status, cell.code AS target, "
            "1 + (SELECT count(*) FROM cell AS more WHERE more.place = seen.place AND more.nth > 0) AS shares "
            "FROM seen JOIN cell ON cell.place = seen.place AND cell.nth = 0",
        )
        counted = _run(
            connection, "SELECT status, sum(times)::BIGINT, count(DISTINCT code) FROM told GROUP BY status"
        ).fetchall()
        examples: dict[str, list[tuple[str, int]]] = {}
        for status, code, times in _run(
            connection,
            "SELECT status, code, together FROM (SELECT status, code, sum(times)::BIGINT AS together FROM told "
            "WHERE code <> '' GROUP BY status, code) "
            f"QUALIFY row_number() OVER (PARTITION BY status ORDER BY together DESC, code) <= {EXAMPLES} "
            "ORDER BY status, together DESC, code",
        ).fetchall():
            examples.setdefault(status, []).append((code, times))
        rows, out, others, sources, targets, pairs = _run(
            connection,
            "SELECT coalesce(sum(times), 0)::BIGINT, coalesce(sum(times * shares), 0)::BIGINT, "
            "count(*) FILTER (status <> 'exact'), count(DISTINCT code), count(DISTINCT target), "
            "count(DISTINCT (code, target)) FROM told",
        ).fetchall()[0]
        counts = {status: Count(times, codes, tuple(examples.get(status, ()))) for status, times, codes in counted}
        return Tally(rows, out, counts, bool(rows) and not others and sources == targets == pairs)

    def ambiguous(self, connection: DuckDBPyConnection) -> list[str]:
        """The codes of the file that have several targets, a hundred at most."""
        query = "SELECT DISTINCT code FROM told WHERE status = 'ambiguous' ORDER BY code LIMIT 100"
        return [code for (code,) in _run(connection, query).fetchall()]

    def rows(self, columns: str, names: Sequence[str]) -> str:
        """The query of the rows as they are written, in their order; the columns added bear the names given."""
        cell = f"known_.cells[{self.place} + 1]"
        if self.shares:
            cell = f"unnest({cell})"
        source = f"{self.source} AS data_, known_cells AS known_"
        if self.marks:
            return f"SELECT {columns}, {cell} FROM {source}"
        added = ", ".join(f"cell_.{field} AS {_named(name)}" for field, name in zip(_CELL_FIELDS, names, strict=False))
        return f"SELECT {columns}, {added} FROM (SELECT data_.*, {cell} AS cell_ FROM {source})"


def _read_table(path: str, columns: str) -> str:
    return (
        f"read_csv({_quoted(path)}, auto_detect = false, delim = ',', quote = '\"', escape = '\"', header = false, "
        f"nullstr = '', allow_quoted_nulls = false, columns = {{{columns}}})"
    )


def _write_table(file: IO[bytes], rows: Iterable[Sequence[object]]) -> None:
    text = io.TextIOWrapper(file, "utf-8", newline="")
    csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(rows)
    text.flush()
    text.detach()
    file.flush()


def _writable(cell: Cell, encoding: str) -> Cell:
    """A cell as the file's encoding can say it: labels lose what it lacks, codes must not.

    :raises Invalid: if it can't write a code.
    """
    if encoding == "utf-8":
        return cell
    try:
        cell.code.encode(encoding)
    except UnicodeEncodeError:
        message = "un code de la cible ne s'écrit pas dans l'encodage du fichier"
        raise unreadable(message, accepted="le fichier en UTF-8") from None
    plain = cell.label.replace("\u202f", "\u00a0").replace("\u2011", "-").replace("\u2212", "-")
    return cell._replace(label=plain.encode(encoding, "replace").decode(encoding))


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

    def __init__(self, pipe: int, out: int, dialect: Dialect, added: Sequence[str], marks: str, *, gz: bool) -> None:
        super().__init__(daemon=True)
        self.pipe, self.out, self.dialect, self.gz = pipe, out, dialect, gz
        self.table = bytes.maketrans(marks.encode(), f'{dialect.between}"'.encode())
        self.lines, self.sha256, self.error = 0, "", None
        buffer = io.StringIO()
        csv.writer(buffer, delimiter=dialect.between, lineterminator="\r\n").writerow(added)
        try:
            more = buffer.getvalue().removesuffix("\r\n").encode(dialect.encoding)
        except UnicodeEncodeError:
            raise unreadable(
                "nom de colonne impossible dans l'encodage du fichier", accepted="un fichier en UTF-8"
            ) from None
        self.header = dialect.head + dialect.between.encode() + more + dialect.line_end

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

    def _copy(self, write: Callable[[bytes], object]) -> None:
        write(self.header)
        ends = _LineEnds() if self.dialect.line_end == b"\r\n" else None
        decoder = codecs.getincrementaldecoder("utf-8")() if self.dialect.encoding != "utf-8" else None
        turn = 0
        while chunk := os.read(self.pipe, CHUNK):
            if turn % _SAMPLE == 0:
                self.lines += chunk.count(b"\n") * _SAMPLE
            turn += 1
            chunk = chunk.translate(self.table)
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
            looks = looked_at(plain)
        else:
            looks = looked_at(digest)
        dialect = dialect_of(plain, looks, wanted)
        check_header(dialect.header, (), plan.added)
        if dialect.encoding != "utf-8":
            transcoded = nameless(folder, stack)
            copy_in_utf8(plain, transcoded)
            transcoded.flush()
            plain = transcoded
        again = not looks.plain
        while True:
            if again:
                rewritten = nameless(folder, stack)
                rewrite(plain, dialect, rewritten)
                rewritten.flush()
                plain = rewritten
            try:
                done = _through_csv(plain, out, lookup, dialect, looks.marks, folder, progress, gz=gz)
                break
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
    marks: str,
    folder: Path,
    progress: Progress,
    *,
    gz: bool,
) -> tuple[Tally, str]:
    plan = lookup.plan
    source = _read_csv(path_of(plain.fileno()), dialect)
    code = f"c{dialect.header.index(plan.column)}"
    day = f"c{dialect.header.index(plan.date_column)}" if plan.date_column else ""
    engine = _Engine(lookup, source, code, day, dialect.encoding, marks, dialect.between)
    with ExitStack() as stack:
        spill = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="socle-")))
        files = engine.files(folder, stack)
        reader, writer = os.pipe()
        with suppress(OSError):  # A larger pipe only saves turns.
            fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, CHUNK)
        try:
            pump = _Pump(reader, out, dialect, plan.added, marks, gz=gz)
            allowed = [path_of(plain.fileno()), *files, path_of(writer)]
            connection = stack.enter_context(_connected(allowed, spill))
            engine.load(connection, *files)
            tally = _counted(engine, connection)
        except BaseException:
            os.close(reader)
            os.close(writer)
            raise
        pump.start()
        watching = _Watch(pump, tally.rows_out, progress)
        watching.start()
        try:
            columns = ", ".join(f"c{place}" for place in range(len(dialect.header)))
            _run(
                connection,
                f"COPY ({engine.rows(columns, plan.added)}) TO {_quoted(path_of(writer))} (FORMAT csv, HEADER false, "
                f"DELIMITER {_quoted(dialect.between)}, QUOTE '\"', ESCAPE '\"', NULLSTR '', USE_TMP_FILE false)",
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


class _Watch(threading.Thread):
    """Says how far the writing has come, a few times a second."""

    def __init__(self, pump: _Pump, rows: int, progress: Progress) -> None:
        super().__init__(daemon=True)
        self.pump, self.rows, self.progress, self.over = pump, rows, progress, threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.2):
            self.progress("écriture", min(1.0, self.pump.lines / max(1, self.rows)))


def _counted(engine: _Engine, connection: DuckDBPyConnection) -> Tally:
    """What the rows come to.

    :raises Invalid: if a code has several targets and the plan refuses that.
    """
    tally = engine.count(connection)
    if engine.lookup.plan.on_many == "error":
        refuse_many(engine.ambiguous(connection))
    return tally


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
        read = f"read_parquet({_quoted(source)}, hive_partitioning = false)"
        engine = _Engine(lookup, read, _named(plan.column), _named(plan.date_column) if plan.date_column else "")
        files = engine.files(folder, stack)
        connection = stack.enter_context(_connected([source, *files, path_of(out)], spill))
        try:
            described = _run(connection, f"DESCRIBE FROM {read}").fetchall()
            names = [str(row[0]) for row in described]
            own = _run(connection, f"SELECT name FROM parquet_schema({_quoted(source)})").fetchall()
            if not set(names) <= {name for (name,) in own}:
                accepted = "des noms qui ne diffèrent pas que par la casse"
                raise unreadable("deux colonnes du même nom", accepted=accepted, rule=COLUMNS_RULE)
            wanted = [plan.column, *([plan.date_column] if plan.date_column else [])]
            check_header(names, wanted, [*plan.added, "cell_"])
            [(compression,)] = _run(
                connection, f"SELECT coalesce(min(compression), 'SNAPPY') FROM parquet_metadata({_quoted(source)})"
            ).fetchall()
            engine.load(connection, *files)
            tally = _counted(engine, connection)
            progress("écriture", 0)
            columns = ", ".join(_named(name) for name in names)
            codec = compression if compression in _COMPRESSIONS else "ZSTD"
            _run(
                connection,
                f"COPY ({engine.rows(columns, plan.added)}) TO {_quoted(path_of(out))} "
                f"(FORMAT parquet, COMPRESSION {codec}, USE_TMP_FILE false)",
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
