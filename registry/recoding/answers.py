# ruff: noqa: S608 # Texts are quoted, and values never stand in a statement: tables hold them.
"""What a lookup answers, as DuckDB asks it row by row: tables of keys and cells, and the expressions that read them.

Rows are not joined to their answers, since a join loses their order. Where codes alone decide and a file has few, the
codes that counting has seen make an enumeration, and a code's place there is its answer's place in a list. Elsewhere
keys lie in lists, each at the place that its hash says; where two fall on one place, one of them lies in the next list,
under another hash. A cast to an enumeration must never fail: it would make up a message with all codes for each row.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, NamedTuple

from registry.recoding.files import nameless, path_of, unreadable
from registry.recoding.rule import DATE_MISSING, DATE_UNREADABLE, MISSING, NO_RELEASE, UNKNOWN, Cell, Lookup

Run = Callable[[str], list[tuple[int, ...]]]
"""Runs a statement and gives its rows."""
Place = Callable[[str], str]
"""The expression that finds the entry of a key, which is an expression too; null if there is none."""

CELL_FIELDS = Cell._fields
_KEY_COLUMNS = "entry: 'INTEGER', raw: 'BOOLEAN', key: 'VARCHAR'"
_CELL_COLUMNS = "entry: 'INTEGER', nth: 'INTEGER', marked: 'VARCHAR', bare: 'VARCHAR', " + ", ".join(
    f"{name}: 'VARCHAR'" for name in CELL_FIELDS
)
_SEPARATOR = "\x1f"
_QUOTED = re.compile(r'[",;\s]')
"""What has a cell quoted, whichever delimiter its file has."""
_ROOM = 8
"""How many places there are for each key: the more, the fewer keys fall on one place."""
_MOST_NAMED = 50_000
"""How many codes an enumeration may hold."""
_MOST_SAID = 5_000
"""How many texts of a field may be written as an enumeration."""
_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9:.,Z+-]*)?"
_FRENCH_DAY = r"[0-9]{1,2}/[0-9]{1,2}/[0-9]{4}([T ][0-9:.,Z+-]*)?"


class Ends(NamedTuple):
    """How an answer is written at the end of a CSV row: the delimiter, the quote, and what comes last."""

    delimiter: str
    quote: str
    last: str = ""


def quoted(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


class Answers:
    """The answers of a lookup in DuckDB.

    ``marked`` and ``bare`` say how they end a CSV row: with characters that stand for delimiter and quote, and with
    these themselves. In Parquet, where there is neither, they are columns.
    """

    def __init__(self, lookup: Lookup, encoding: str = "utf-8", marked: Ends | None = None, bare: Ends | None = None):
        self.lookup, self.encoding, self.marked, self.bare = lookup, encoding, marked, bare
        self.shares = any(len(cells) > 1 for cells in lookup.entries)
        self._named, self._sizes = False, list[int]()

    def files(self, folder: Path, stack: ExitStack) -> tuple[str, str]:
        """The keys and the cells, as CSV files that DuckDB reads."""
        keys, cells = nameless(folder, stack), nameless(folder, stack)
        _write_table(keys, _keys(self.lookup, raw=self.bare is not None))
        _write_table(
            cells,
            (
                (entry, nth, self._tail(cell, self.marked), self._tail(cell, self.bare), *cell)
                for entry, found in enumerate(self.lookup.entries)
                for nth, cell in enumerate(_writable(cell, self.encoding) for cell in found)
            ),
        )
        return path_of(keys.fileno()), path_of(cells.fileno())

    def _tail(self, cell: Cell, ends: Ends | None) -> str:
        """The cells of one answer as the end of a CSV row."""
        if not ends:
            return ""
        delimiter, quote, _ = ends
        texts = cell[: len(self.lookup.plan.added)]
        between = self.bare.delimiter if self.bare else delimiter
        written = []
        for text in texts:
            if _QUOTED.search(text):
                text = quote + text.replace('"', 2 * quote) + quote
            written.append(text.replace(between, delimiter))
        return delimiter.join(written)

    def load(self, run: Run, keys: str, cells: str) -> None:
        """Make the tables ``known`` and ``cell``, which the counting of rows reads."""
        run(f"CREATE TABLE cell AS FROM {_read_table(cells, _CELL_COLUMNS)}")
        run(f"CREATE TABLE known AS FROM {_read_table(keys, _KEY_COLUMNS)}")

    def spread(self, run: Run, *, raw: bool) -> None:
        """Make the lists that the writing of rows reads; ``raw`` keys are codes as CSV has them, quoted or not."""
        column = ("bare" if raw else "marked") if self.bare else ""
        struct = "" if column else "{" + ", ".join(f"'{name}': {_said(run, name)}" for name in CELL_FIELDS) + "}"
        last = f" || {quoted(self.bare.last)}" if self.bare and raw else ""
        answer = f"coalesce({column}, ''){last}" if column else struct
        cell = f"SELECT entry, {answer} AS cell FROM cell"
        if self.shares:
            cell = f"SELECT entry, list({answer} ORDER BY nth) AS cell FROM cell GROUP BY entry"
        if not self.lookup.starts and run("SELECT count(*) FROM seen")[0][0] <= _MOST_NAMED:
            # Empty cells were counted apart from quoted ones, and an enumeration drops what it has already.
            run("CREATE VIEW once AS SELECT code, min(entry) AS entry FROM seen GROUP BY code")
            bare = "SELECT code AS key, entry FROM once"
            spelt = "SELECT concat('\"', replace(code, '\"', '\"\"'), '\"') AS key, entry FROM once"
            keys = f"{bare} WHERE NOT starts_with(code, '\"') UNION ALL {spelt}" if raw else bare
            run(f"CREATE TABLE named AS SELECT key, entry, row_number() OVER () AS place FROM ({keys})")
            run("CREATE TYPE code_seen AS ENUM (SELECT key FROM named ORDER BY place)")
            run(
                f"CREATE TABLE answers AS "
                f"SELECT list(cell ORDER BY place) AS cells FROM named JOIN ({cell}) USING (entry)"
            )
            self._named = True
            return
        run(f"CREATE TABLE answers AS SELECT list(cell ORDER BY entry) AS cells FROM ({cell})")
        run(f"CREATE TABLE rest AS SELECT coalesce(key, '') AS key, entry FROM known WHERE raw = {raw}")
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

    def cell(self, code: str, day: str, *, raw: bool) -> str:
        """The expression of a row's answer, once they are spread."""
        if self._named:
            key = code if raw else f"coalesce({code}, '')"
            return f"answers.cells[enum_code(CAST({key} AS code_seen)) + 1]"
        return f"answers.cells[{self.entry(code, day, self._spread_place, raw=raw)} + 1]"

    def _spread_place(self, key: str) -> str:
        """Where a key's entry lies, in the lists."""
        found = []
        for nth, size in enumerate(self._sizes):
            slot = _slot(key, nth, size)
            found.append(f"WHEN answers.keys{nth}[{slot}] = {key} THEN answers.entries{nth}[{slot}]")
        return f"CASE {' '.join(found)} END"

    def entry(self, code: str, day: str, place: Place, *, raw: bool = False) -> str:
        """The expression that says which entry is a row's, as ``Lookup.entry`` does; ``raw`` cells may be quoted."""
        lookup = self.lookup
        if not lookup.starts:
            # Raw cells are never null.
            key = code if raw else f"coalesce({code}, '')"
            return f"coalesce({place(key)}, {UNKNOWN})"
        if raw:
            day = f"CASE WHEN starts_with({day}, '\"') THEN substr({day}, 2, length({day}) - 2) ELSE {day} END"
        day = f"trim({day}, ' ')"
        no_code = f"{code} IS NULL OR {code} = ''" + (f" OR {code} = '\"\"'" if raw else "")
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
            f"CASE WHEN {no_code} THEN {MISSING} WHEN {day} IS NULL OR {day} = '' THEN {DATE_MISSING} "
            f"WHEN {read} IS NULL OR {read} < DATE '0001-01-01' THEN {DATE_UNREADABLE} "
            f"WHEN {period} < 0 THEN {NO_RELEASE} "
            f"ELSE coalesce({varying}{place(f'concat({separator}, {code})')}, {UNKNOWN}) END"
        )


def _said(run: Run, name: str) -> str:
    """A field of the cells, null where it is empty; of few texts, as an enumeration, which is written in half the time.

    Parquet has it as text all the same, each text once in every group of rows.
    """
    text = f"nullif({name}, '')"
    if not 0 < run(f"SELECT count(DISTINCT {text}) FROM cell")[0][0] <= _MOST_SAID:
        return text
    run(f"CREATE TYPE said_{name} AS ENUM (SELECT DISTINCT {name} FROM cell WHERE {name} <> '' ORDER BY {name})")
    return f"CAST({text} AS said_{name})"


def _slot(key: str, nth: int, size: int) -> str:
    """At which of ``size`` places of a list a key lies, from 1 on."""
    return f"CAST(hash({key}, {nth}) & {size - 1} AS BIGINT) + 1"


def joined_place(key: str) -> str:
    """Where a key's entry lies, in the table: for a table of few rows, whose order is of no importance."""
    return f"(SELECT min(known.entry) FROM known WHERE NOT known.raw AND coalesce(known.key, '') = {key})"


def _keys(lookup: Lookup, *, raw: bool) -> Iterator[tuple[int, bool, str]]:
    """The entries with what they are looked up by; and by codes as CSV writes them, if ``raw`` files are read."""
    for way in (False, True) if raw else (False,):
        for code, entry in lookup.known.items() if lookup.starts else (("", MISSING), *lookup.known.items()):
            for text in _spellings(code, raw=way):
                yield entry, way, f"{_SEPARATOR}{text}" if lookup.starts else text
        for (period, code), entry in lookup.varying.items():
            for text in _spellings(code, raw=way):
                yield entry, way, f"{period}{_SEPARATOR}{text}"


def _spellings(code: str, *, raw: bool) -> tuple[str, ...]:
    """A code as a file may have it: quoted or, unless it begins with a quote, as it is."""
    spelt = '"' + code.replace('"', '""') + '"'
    if not raw:
        return (code,)
    return (spelt,) if code.startswith('"') else (code, spelt)


def _read_table(path: str, columns: str) -> str:
    return (
        f"read_csv({quoted(path)}, auto_detect = false, delim = ',', quote = '\"', escape = '\"', header = false, "
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
    if encoding.startswith("utf"):
        return cell
    try:
        cell.code.encode(encoding)
    except UnicodeEncodeError:
        message = "un code de la cible ne s'écrit pas dans l'encodage du fichier"
        raise unreadable(message, accepted="le fichier en UTF-8") from None
    plain = cell.label.replace("\u202f", "\u00a0").replace("\u2011", "-").replace("\u2212", "-")
    return cell._replace(label=plain.encode(encoding, "replace").decode(encoding))
