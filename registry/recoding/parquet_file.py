# ruff: noqa: S608 # Names and texts are quoted by _named and _quoted; values never stand in a statement.
"""Recoding a Parquet file with DuckDB: rows are counted, then written with the columns added, in their order.

DuckDB keeps the types of columns and works in bounded memory; it may open the file at hand and nothing else, and what
it says of a file's content is never repeated. Rows are not joined to what they are recoded by, since a join loses their
order. Where codes alone decide and a file has few, the codes that counting has seen make an enumeration, and a code's
place there is its answer's place in a list. Elsewhere keys lie in lists, each at the place that its hash says; where
two fall on one place, one of them lies in the next list, under another hash. A cast to an enumeration must never fail:
it would make up a message with all codes for each row.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry.errors import TooLarge
from registry.recoding.files import (
    CHUNK,
    COLUMNS_RULE,
    Digest,
    Progress,
    check_header,
    chunks,
    nameless,
    passing_folder,
    path_of,
    unreadable,
)
from registry.recoding.rows import Done, tally
from registry.recoding.rule import DATE_MISSING, DATE_UNREADABLE, MISSING, NO_RELEASE, UNKNOWN, Cell, Lookup

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Place = Callable[[str], str]
"""The expression that finds the entry of a key, which is an expression too; null if there is none."""

_MEMORY = "384MB"
_MOST_SPILLED = "64GB"
_FETCHED = 10_000
_KEY_COLUMNS = "entry: 'INTEGER', key: 'VARCHAR'"
_CELL_COLUMNS = "entry: 'INTEGER', nth: 'INTEGER', " + ", ".join(f"{name}: 'VARCHAR'" for name in Cell._fields)
_SEPARATOR = "\x1f"
_ROOM = 8
"""How many places there are for each key: the more, the fewer keys fall on one place."""
_MOST_NAMED = 50_000
"""How many codes an enumeration may hold."""
_MOST_SAID = 5_000
"""How many texts of a field may be written as an enumeration."""
_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9:.,Z+-]*)?"
_FRENCH_DAY = r"[0-9]{1,2}/[0-9]{1,2}/[0-9]{4}([T ][0-9:.,Z+-]*)?"
_COMPRESSIONS = ("UNCOMPRESSED", "SNAPPY", "GZIP", "ZSTD", "BROTLI", "LZ4_RAW")


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
    connection.execute(f"SET allowed_paths = [{', '.join(map(_quoted, allowed))}]")
    connection.execute("SET enable_progress_bar = false")
    connection.execute("SET python_enable_replacements = false")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _named(name: str) -> str:
    """A column's name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def _quoted(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


class _NotRead(Exception):
    """DuckDB could not read the data."""


def _run(connection: DuckDBPyConnection, statement: str) -> DuckDBPyConnection:
    """Run a statement; what goes wrong is told without a word of the data, which DuckDB's own messages quote.

    :raises _NotRead: if the data can't be read.
    :raises TooLarge: if memory, or the disk that it may use besides, does not do.
    """
    import duckdb

    try:
        return connection.execute(statement)
    except duckdb.OutOfMemoryException:
        raise TooLarge(f"recodage : plus de {_MEMORY} de mémoire et {_MOST_SPILLED} de disque") from None
    except duckdb.Error:
        raise _NotRead from None


class _Engine:
    """One data file in DuckDB: what its rows come to is counted, then they are written with the columns added.

    The answers of the lookup are tables of keys and cells there, and lists once they are spread.
    """

    def __init__(self, connection: DuckDBPyConnection, lookup: Lookup, source: str, code: str, day: str) -> None:
        """``source`` reads the file, ``code`` and ``day`` are its columns, all three in SQL."""
        self.connection, self.lookup, self.source = connection, lookup, source
        self.code, self.day = code, day or "''"
        self.shares = any(len(cells) > 1 for cells in lookup.entries)
        self._named, self._sizes = False, list[int]()

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement, and give its rows."""
        return _run(self.connection, statement).fetchall()

    def load(self, keys: str, cells: str) -> None:
        """Make the tables ``known`` and ``cell`` of two files."""
        self.ask(f"CREATE TABLE cell AS FROM {_read_table(cells, _CELL_COLUMNS)}")
        self.ask(f"CREATE TABLE known AS FROM {_read_table(keys, _KEY_COLUMNS)}")

    def count(self) -> Iterator[tuple[str, int, int]]:
        """Code, entry and number of rows, by code, in one pass over the columns that count."""
        # Codes and days are few beside rows: what they come to is looked up once for each pair.
        self.ask(
            f"CREATE TABLE seen AS SELECT coalesce(code, '') AS code, {self._entry('code', 'day', _joined_place)} "
            "AS entry, times FROM "
            f"(SELECT {self.code} AS code, {self.day} AS day, count(*) AS times FROM {self.source} GROUP BY ALL)"
        )
        told = "SELECT code, entry, sum(times)::BIGINT FROM seen GROUP BY code, entry ORDER BY code, entry"
        rows = _run(self.connection, told)
        while found := rows.fetchmany(_FETCHED):
            yield from found

    def rows(self, columns: str, names: Sequence[str]) -> str:
        """The query of the rows as they are written, in their order; the columns added bear the names given."""
        self._spread()
        cell = "answers.cells["
        if self._named:
            cell += f"enum_code(CAST(coalesce({self.code}, '') AS code_seen)) + 1]"
        else:
            cell += f"{self._entry(self.code, self.day, self._spread_place)} + 1]"
        if self.shares:
            cell = f"unnest({cell})"
        added = ", ".join(f"cell_.{field} AS {_named(name)}" for field, name in zip(Cell._fields, names, strict=False))
        return f"SELECT {columns}, {added} FROM (SELECT data_.*, {cell} AS cell_ FROM {self.source} AS data_, answers)"

    def _spread(self) -> None:
        """Make the lists that the writing of rows reads."""
        run = self.ask
        answer = "{" + ", ".join(f"'{name}': {self._said(name)}" for name in Cell._fields) + "}"
        cell = f"SELECT entry, {answer} AS cell FROM cell"
        if self.shares:
            cell = f"SELECT entry, list({answer} ORDER BY nth) AS cell FROM cell GROUP BY entry"
        if not self.lookup.starts and run("SELECT count(*) FROM seen")[0][0] <= _MOST_NAMED:
            # Empty codes were counted apart from absent ones.
            run(
                "CREATE TABLE named AS SELECT code, entry, row_number() OVER () AS place "
                "FROM (SELECT code, min(entry) AS entry FROM seen GROUP BY code)"
            )
            run("CREATE TYPE code_seen AS ENUM (SELECT code FROM named ORDER BY place)")
            run(
                "CREATE TABLE answers AS "
                f"SELECT list(cell ORDER BY place) AS cells FROM named JOIN ({cell}) USING (entry)"
            )
            self._named = True
            return
        run(f"CREATE TABLE answers AS SELECT list(cell ORDER BY entry) AS cells FROM ({cell})")
        run("CREATE TABLE rest AS SELECT coalesce(key, '') AS key, entry FROM known")
        lists = 0
        while (count := run("SELECT count(*) FROM rest")[0][0]) > 0:
            size = 1 << (_ROOM * count).bit_length()
            run(
                f"CREATE TABLE kept AS SELECT {_slot('key', lists, size)} AS slot, min(key) AS key, "
                "min_by(entry, key) AS entry FROM rest GROUP BY slot"
            )
            run(
                f"CREATE OR REPLACE TABLE answers AS SELECT * FROM answers, "
                f"(SELECT list(key ORDER BY slot) AS keys{lists}, list(entry ORDER BY slot) AS entries{lists} "
                f"FROM range(1, {size} + 1) AS slots(slot) LEFT JOIN kept USING (slot))"
            )
            run("DELETE FROM rest WHERE key IN (SELECT key FROM kept)")
            run("DROP TABLE kept")
            lists += 1
            self._sizes.append(size)

    def _said(self, name: str) -> str:
        """A field of the cells, null where it is empty; of few texts, as an enumeration, written in half the time.

        Parquet has it as text all the same, each text once in every group of rows.
        """
        text = f"nullif({name}, '')"
        if not 0 < self.ask(f"SELECT count(DISTINCT {text}) FROM cell")[0][0] <= _MOST_SAID:
            return text
        texts = f"SELECT DISTINCT {name} FROM cell WHERE {name} <> '' ORDER BY {name}"
        self.ask(f"CREATE TYPE said_{name} AS ENUM ({texts})")
        return f"CAST({text} AS said_{name})"

    def _spread_place(self, key: str) -> str:
        """Where a key's entry lies, in the lists."""
        found = []
        for nth, size in enumerate(self._sizes):
            slot = _slot(key, nth, size)
            found.append(f"WHEN answers.keys{nth}[{slot}] = {key} THEN answers.entries{nth}[{slot}]")
        return f"CASE {' '.join(found)} END"

    def _entry(self, code: str, day: str, place: Place) -> str:
        """The expression that says which entry is a row's, as ``Lookup.entry`` does."""
        lookup = self.lookup
        if not lookup.starts:
            key = f"coalesce({code}, '')"
            return f"coalesce({place(key)}, {UNKNOWN})"
        day = f"trim({day}, ' ')"
        separator = f"chr({ord(_SEPARATOR)})"
        read = (
            f"CASE WHEN regexp_full_match({day}, '{_DAY}') THEN TRY_CAST(substr({day}, 1, 10) AS DATE) "
            f"WHEN regexp_full_match({day}, '{_FRENCH_DAY}') THEN "
            f"CAST(try_strptime(regexp_extract({day}, '^[0-9/]+'), '%d/%m/%Y') AS DATE) END"
        )
        periods = " ".join(
            f"WHEN {read} >= DATE '{start.isoformat()}' THEN {period if period in lookup.open else -1}"
            for period, start in reversed([*enumerate(lookup.starts)])
        )
        period = f"CASE {periods} ELSE -1 END"
        varying = f"{place(f'concat({period}, {separator}, {code})')}, " if lookup.varying else ""
        return (
            f"CASE WHEN {code} IS NULL OR {code} = '' THEN {MISSING} WHEN {day} IS NULL OR {day} = '' "
            f"THEN {DATE_MISSING} WHEN {read} IS NULL OR {read} < DATE '0001-01-01' THEN {DATE_UNREADABLE} "
            f"WHEN {period} < 0 THEN {NO_RELEASE} "
            f"ELSE coalesce({varying}{place(f'concat({separator}, {code})')}, {UNKNOWN}) END"
        )


def _slot(key: str, nth: int, size: int) -> str:
    """At which of ``size`` places of a list a key lies, from 1 on."""
    return f"CAST(hash({key}, {nth}) & {size - 1} AS BIGINT) + 1"


def _joined_place(key: str) -> str:
    """Where a key's entry lies, in the table: for a table of few rows, whose order is of no importance."""
    return f"(SELECT min(known.entry) FROM known WHERE coalesce(known.key, '') = {key})"


def _keys(lookup: Lookup) -> Iterator[tuple[int, str]]:
    """The entries with what they are looked up by."""
    before = _SEPARATOR if lookup.starts else ""
    if not lookup.starts:
        yield MISSING, ""
    for code, entry in lookup.known.items():
        yield entry, before + code
    for (period, code), entry in lookup.varying.items():
        yield entry, f"{period}{_SEPARATOR}{code}"


def _read_table(path: str, columns: str) -> str:
    return (
        f"read_csv({_quoted(path)}, auto_detect = false, delim = ',', quote = '\"', escape = '\"', header = false, "
        f"nullstr = '', allow_quoted_nulls = false, columns = {{{columns}}})"
    )


def _table(rows: Iterable[Sequence[object]], folder: Path, stack: ExitStack) -> str:
    """Rows as a file that DuckDB reads: its path."""
    file = nameless(folder, stack)
    text = io.TextIOWrapper(file, "utf-8", newline="")
    csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(rows)
    text.flush()
    text.detach()
    file.flush()
    return path_of(file.fileno())


def recode_parquet(data: Path, out: int, lookup: Lookup, *, folder: Path, progress: Progress) -> Done:
    """Recode a Parquet file into the open file ``out``; other columns keep their types.

    Temporary files come to be, without names, in ``folder``, and in a folder of the system's if memory does not do.

    :raises Invalid: if the file can't be read, lacks the columns or has those that are added, or the plan refuses it.
    :raises TooLarge: if neither memory nor the disk do.
    """
    plan = lookup.plan
    with ExitStack() as stack:
        raw = stack.enter_context(data.open("rb"))
        progress("lecture", 0)
        digest = Digest(raw)
        for _ in chunks(digest):
            pass
        source = path_of(raw.fileno())
        spill = passing_folder(stack)
        read = f"read_parquet({_quoted(source)}, hive_partitioning = false)"
        keys = _table(_keys(lookup), folder, stack)
        numbered = ((n, nth, *cell) for n, cells in enumerate(lookup.entries) for nth, cell in enumerate(cells))
        cells = _table(numbered, folder, stack)
        connection = stack.enter_context(_connected([source, keys, cells, path_of(out)], spill))
        day = f"CAST({_named(plan.date_column)} AS VARCHAR)" if plan.date_column else ""
        engine = _Engine(connection, lookup, read, f"CAST({_named(plan.column)} AS VARCHAR)", day)
        try:
            types: dict[str, str] = dict(row[:2] for row in engine.ask(f"DESCRIBE FROM {read}"))
            names = list(types)
            own = engine.ask(f"SELECT name FROM parquet_schema({_quoted(source)})")
            if not set(names) <= {name for (name,) in own}:
                accepted = "des noms qui ne diffèrent pas que par la casse"
                raise unreadable("deux colonnes du même nom", accepted=accepted, rule=COLUMNS_RULE)
            wanted = [plan.column, *([plan.date_column] if plan.date_column else [])]
            check_header(names, wanted, [*plan.added, "cell_"])
            for name in wanted:
                if types[name].endswith("]") or types[name].startswith(("STRUCT", "MAP")):
                    raise unreadable(
                        "plusieurs valeurs par ligne",
                        where=name,
                        accepted="une colonne de textes, de nombres ou de dates",
                    )
            if types[plan.column] in ("FLOAT", "DOUBLE"):
                # Whole numbers of which some were missing, as analysts' tables have them: 12.0 is the code 12.
                engine.code = f"regexp_replace({engine.code}, '\\.0$', '')"
            [(compression,)] = engine.ask(
                f"SELECT coalesce(min(compression), 'SNAPPY') FROM parquet_metadata({_quoted(source)})"
            )
            engine.load(keys, cells)
            told = tally(lookup, engine.count())
            progress("écriture", 0)
            columns = ", ".join(map(_named, names))
            codec = compression if compression in _COMPRESSIONS else "ZSTD"
            engine.ask(
                f"COPY ({engine.rows(columns, plan.added)}) TO {_quoted(path_of(out))} "
                f"(FORMAT parquet, COMPRESSION {codec}, USE_TMP_FILE false)"
            )
        except _NotRead:
            raise unreadable("Parquet illisible", accepted="un fichier Parquet entier") from None
    return Done(told, digest.sha256.hexdigest(), _sha256(out))


def _sha256(file: int) -> str:
    os.lseek(file, 0, os.SEEK_SET)
    found = hashlib.sha256()
    while chunk := os.read(file, CHUNK):
        found.update(chunk)
    return found.hexdigest()
