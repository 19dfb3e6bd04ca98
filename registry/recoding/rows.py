"""Rows recoded one after another in memory, and what a file comes to: its rows and codes, status by status."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from registry.errors import Invalid, Problem
from registry.formats.spreadsheet import Fault, Row
from registry.recoding.files import unreadable
from registry.recoding.rule import Lookup

EXAMPLES = 5
"""How many codes a report shows of each status."""


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
        entries = self.lookup.entries
        if self.lookup.plan.on_many == "error":
            refuse_many(sorted({code for code, entry in self._seen if entries[entry][0].status == "ambiguous"})[:100])
        by_status: dict[str, dict[str, int]] = {}
        pairs = set()
        for (code, entry), times in self._seen.items():
            first = entries[entry][0]
            codes = by_status.setdefault(first.status, {})
            codes[code] = codes.get(code, 0) + times
            pairs.add((code, first.code))
        counts = {
            status: Count(
                sum(codes.values()),
                len(codes),
                tuple(
                    sorted(((code, n) for code, n in codes.items() if code), key=lambda one: (-one[1], one[0]))[
                        :EXAMPLES
                    ]
                ),
            )
            for status, codes in by_status.items()
        }
        one_to_one = len(pairs) == len({code for code, _ in pairs}) == len({target for _, target in pairs})
        rows = sum(count.rows for count in counts.values())
        out = sum(times * len(entries[entry]) for (_, entry), times in self._seen.items())
        return Tally(rows, out, counts, bool(rows) and set(counts) == {"exact"} and one_to_one)
