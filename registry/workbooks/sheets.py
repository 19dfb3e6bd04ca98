"""A sheet being read, whatever the format: its bounds, its rows as they go out, how a number is shown."""

from __future__ import annotations

import json
import re
from datetime import datetime, time
from decimal import Decimal
from typing import BinaryIO, NamedTuple, NoReturn

HEADER_WITHIN = 10
"""The header of a sheet stands in one of its first lines; what stands above is a title."""

Cell = str | list[str]
"""A cell's text, or why it can't be read: message, value, what is accepted."""

SAVE_AGAIN = "un classeur que le tableur ouvre, enregistré en .xlsx, .ods ou .xls, sans macro ni mot de passe"
IN_ERROR = ["la cellule est en erreur", "", "une valeur, ou une formule qui se calcule"]
NEVER_COMPUTED = [
    "la formule n'a jamais été calculée",
    "",
    "une valeur ; ou ouvrez et enregistrez le classeur dans un tableur, qui la calculera",
]
PADDED = re.compile(r'((?:"[^"]*"|\\.|[-_.])*)(0+)')
_LONGEST_SHEET = 1_048_576
_TOO_MANY_DIGITS = [
    "le tableur arrondit les nombres de plus de 15 chiffres",
    "",
    "du texte : format de cellule « Texte »",
]
_NOT_A_NUMBER = ["le nombre est illisible", "", "un nombre, ou du texte"]


class Bounds(NamedTuple):
    """The most rows and columns of a sheet, members and expanded bytes of an archive; and the columns wanted, if any.

    With ``wanted`` only the first sheet counts that has a row with all these names among its first lines, from there.
    """

    rows: int
    columns: int
    members: int
    expanded: int
    wanted: tuple[str, ...] = ()


class Unreadable(Exception):
    """The workbook is not acceptable: a French message, the place, the text concerned, and what is accepted."""

    def __init__(
        self, message: str, where: str = "", value: str = "", accepted: str = "", *, too_large: bool = False
    ) -> None:
        super().__init__(message)
        self.message, self.where, self.value = message, where, value
        self.accepted, self.too_large = accepted, too_large


class NoTable(Exception):
    """The sheet being read is not the one that is wanted."""


class Sheet:
    """A sheet being read: what it takes of the rows that come, in order, goes out as JSON.

    ``merged`` says of a cell, by line and column, to which line it is merged downwards: its text counts for each.
    """

    def __init__(self, out: BinaryIO, name: str, bounds: Bounds) -> None:
        self._out, self.name = out, name
        self._wanted = bounds.wanted
        self._rows, self._columns = bounds.rows, bounds.columns
        self.found = not self._wanted
        self.merged: dict[tuple[int, int], int] = {}
        self._filling: dict[int, tuple[int, Cell]] = {}
        self._last, self._count = 0, 0
        if self.found:
            self._write({"sheet": name})

    def row(self, line: int, cells: dict[int, Cell]) -> None:
        """Take a row: its cells that are not empty, by column from 1."""
        if line <= self._last or line > _LONGEST_SHEET:
            self.refuse(line, "les lignes du classeur sont mal numérotées", SAVE_AGAIN)
        self._last = line
        if not self.found:
            if line > HEADER_WITHIN:
                raise NoTable
            names = {cell.strip() for cell in cells.values() if isinstance(cell, str)}
            if not names.issuperset(self._wanted):
                return
            self.found = True
            self._write({"sheet": self.name})
        if not cells:
            return
        if self.merged:
            self._fill(line, cells)
        self._count += 1
        # Where nobody said what the header is called, titles may stand above it.
        if self._count > self._rows + (1 if self._wanted else HEADER_WITHIN):
            self.refuse(line, "trop de lignes", f"{self._rows} lignes au plus sous l'en-tête", too_large=True)
        width = max(cells)
        if width > self._columns:
            self.refuse(line, "trop de colonnes", f"{self._columns} colonnes au plus", too_large=True)
        self._write([line, [cells.get(column, "") for column in range(1, width + 1)]])

    def repeat(self, line: int, cells: dict[int, Cell], times: int) -> None:
        """Take a row that stands as many times in the file; times are only counted where there is nothing in it."""
        for number in range(min(times, self._rows + 2) if cells else 0):
            self.row(line + number, cells)

    def refuse(self, line: int, message: str, accepted: str, *, too_large: bool = False) -> NoReturn:
        """Refuse the workbook for a line of this sheet."""
        raise Unreadable(message, f"feuille {self.name}, ligne {line}", "", accepted, too_large=too_large)

    def _fill(self, line: int, cells: dict[int, Cell]) -> None:
        for column, (until, cell) in self._filling.items():
            if line <= until:
                cells.setdefault(column, cell)
        for column, cell in cells.items():
            if until := self.merged.get((line, column), 0):
                self._filling[column] = (until, cell)

    def _write(self, item: object) -> None:
        self._out.write(json.dumps(item).encode() + b"\n")


def number_shown(text: str, shape: str = "") -> Cell:
    """A number as a spreadsheet shows it: 15 digits, no needless zeros but those that its format asks for."""
    try:
        value = float(text)
    except ValueError:
        return [_NOT_A_NUMBER[0], text, _NOT_A_NUMBER[2]]
    if not abs(value) < 1e15:
        return [_TOO_MANY_DIGITS[0], text, _TOO_MANY_DIGITS[2]]
    if not value.is_integer():
        return format(Decimal(format(value, ".15g")), "f")
    pattern = PADDED.fullmatch(shape)
    if pattern is None or value < 0:
        return str(int(value))
    prefix = re.sub(r'"([^"]*)"|\\(.)', lambda found: found[1] or found[2] or "", pattern[1])
    return prefix + str(int(value)).zfill(len(pattern[2]))


def iso(moment: datetime) -> str:
    """A day as ``AAAA-MM-JJ``, with its hour if it has one."""
    return moment.date().isoformat() if moment.time() == time() else moment.isoformat()
