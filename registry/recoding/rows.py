"""Rows recoded one after another in memory, and what a file comes to: its rows and codes, status by status."""

from __future__ import annotations

import json
from bisect import insort
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from heapq import merge
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import IO, NamedTuple

from registry.errors import Invalid, Problem
from registry.formats.spreadsheet import Fault, Row
from registry.recoding.files import nameless, unreadable
from registry.recoding.rule import Lookup

EXAMPLES = 5
"""How many codes a report shows of each status."""
_MOST_TOLD = 100
"""How many codes with several targets are told of."""
_MOST_IN_MEMORY = 500_000
_BLOCK = 10_000


class Done(NamedTuple):
    """A file that was recoded: what it came to, and the SHA-256 of what was read and of what was written."""

    tally: Tally
    read: str
    written: str


class Count(NamedTuple):
    """How many rows and distinct codes have a status, and the most frequent codes with their rows."""

    rows: int
    codes: int
    examples: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Tally:
    """What recoding a file came to, by status; ``reversible`` says that every row is exact and codes are one to one."""

    rows: int
    rows_out: int
    counts: dict[str, Count]
    reversible: bool


def refuse_many(codes: Sequence[str]) -> None:
    """Do nothing if no code has several targets.

    :raises Invalid: with the codes that have.
    """
    if codes:
        accepted = "une correspondance tranchée, une case vide ou plusieurs lignes (--on-many empty ou rows)"
        message = "plusieurs codes possibles"
        raise Invalid([Problem("recoding_has_one_target", message, (code,), accepted=accepted) for code in codes])


def texts_of(row: Row, header: Sequence[str], read: Collection[str]) -> list[str]:
    """The texts of a workbook's row, as many as the header has; an error such as ``#N/A`` is the text that one sees.

    :raises Invalid: with the place alone of what can't be read, or is an error in one of the columns that are ``read``.
    """
    width = len(header)
    cells = []
    for column, cell in enumerate(row.cells):
        if isinstance(cell, Fault):
            if column < width and header[column] not in read and cell.value.startswith("#"):
                cells.append(cell.value)
                continue
            raise unreadable(cell.message, where=f"{row.place}, cellule {column + 1}", accepted=cell.accepted)
        if column >= width and cell:
            accepted = "un nom de colonne dans l'en-tête, ou une cellule vide"
            raise unreadable("cellule hors du tableau", where=row.place, accepted=accepted)
        cells.append(cell)
    return [*cells[:width], *[""] * (width - len(cells))]


class Recoder:
    """Recodes rows one after another, in memory, and tells what they came to: the same answer, for small files."""

    def __init__(self, lookup: Lookup, header: Sequence[str]) -> None:
        plan = lookup.plan
        self.lookup = lookup
        self._code = header.index(plan.column)
        self._day = header.index(plan.date_column) if plan.date_column else -1
        self._seen: dict[tuple[str, int], int] = {}
        self._width = len(plan.added)

    def rows(self, rows: Iterable[Sequence[str]]) -> Iterator[list[str]]:
        """The rows with their added cells; one for each target where they are shared out."""
        lookup, seen, width = self.lookup, self._seen, self._width
        for row in rows:
            code = row[self._code]
            entry = lookup.entry(code, row[self._day] if self._day >= 0 else "")
            seen[code, entry] = seen.get((code, entry), 0) + 1
            for cell in lookup.entries[entry]:
                yield [*row, *cell[:width]]

    def tally(self) -> Tally:
        """What the rows that were asked for came to.

        :raises Invalid: if a code has several targets and the plan refuses that.
        """
        return tally(self.lookup, sorted((code, entry, times) for (code, entry), times in self._seen.items()))


class Counted:
    """How many rows have each code and entry: in memory while these are few, in sorted runs on the disk beyond."""

    def __init__(self, folder: Path, stack: ExitStack, most: int = _MOST_IN_MEMORY) -> None:
        self.folder, self.stack, self.most = folder, stack, most
        self._seen: dict[tuple[str, int], int] = {}
        self._runs: list[IO[bytes]] = []

    def add(self, counted: Mapping[tuple[str, int], int]) -> None:
        """Count some rows."""
        seen = self._seen
        for key, times in counted.items():
            seen[key] = seen.get(key, 0) + times
        if len(seen) > self.most:
            run = nameless(self.folder, self.stack)
            rows = iter(self._sorted())
            while block := list(islice(rows, _BLOCK)):
                run.write(json.dumps(block).encode() + b"\n")
            self._runs.append(run)
            seen.clear()

    def __iter__(self) -> Iterator[tuple[str, int, int]]:
        """Code, entry and rows, by code; those that were counted at several times may come several times."""
        return merge(self._sorted(), *map(_run, self._runs))

    def _sorted(self) -> list[tuple[str, int, int]]:
        return sorted((code, entry, times) for (code, entry), times in self._seen.items())


def _run(file: IO[bytes]) -> Iterator[tuple[str, int, int]]:
    file.seek(0)
    for line in file:
        yield from map(tuple, json.loads(line))


def _keep(best: list[tuple[int, str]], one: tuple[int, str]) -> None:
    """Put one in its place among the best few, if it is one of them."""
    if len(best) < EXAMPLES or one < best[-1]:
        insort(best, one)
        del best[EXAMPLES:]


def tally(lookup: Lookup, counted: Iterable[tuple[str, int, int]]) -> Tally:
    """What rows came to, given code, entry and number of rows, by code; memory is bounded by the codes that are known.

    :raises Invalid: if a code has several targets and the plan refuses that.
    """
    sums = [0] * len(lookup.entries)
    codes: dict[str, int] = {}
    examples: dict[str, list[tuple[int, str]]] = {}
    ambiguous: list[str] = []
    sources, pairs, targets, exact = 0, 0, set[str](), True
    for code, group in groupby(counted, itemgetter(0)):
        statuses, reached = dict[str, int](), set[str]()
        for _, entry, times in group:
            sums[entry] += times
            first = lookup.entries[entry][0]
            statuses[first.status] = statuses.get(first.status, 0) + times
            reached.add(first.code)
        sources += 1
        pairs += len(reached)
        exact = exact and {*statuses} == {"exact"}
        if exact:  # What is not known must not be kept: there may be any number of it.
            targets |= reached
        for status, times in statuses.items():
            codes[status] = codes.get(status, 0) + 1
            if code:
                _keep(examples.setdefault(status, []), (-times, code))
        if "ambiguous" in statuses and len(ambiguous) < _MOST_TOLD:
            ambiguous.append(code)
    if lookup.plan.on_many == "error":
        refuse_many(ambiguous)
    rows = dict.fromkeys(codes, 0)
    for times, cells in zip(sums, lookup.entries, strict=True):
        if times:
            rows[cells[0].status] += times
    counts = {
        status: Count(rows[status], number, tuple((code, -less) for less, code in examples.get(status, ())))
        for status, number in codes.items()
    }
    out = sum(times * len(cells) for times, cells in zip(sums, lookup.entries, strict=True))
    reversible = sources > 0 and exact and sources == pairs == len(targets)
    return Tally(sum(rows.values()), out, counts, reversible)
