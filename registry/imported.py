"""What somebody's file of codes was read as: its table, its codes and mappings, and whatever was refused."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from registry.columns import Column, Recognised
from registry.crosswalks import LocalCode, Mapping
from registry.errors import Problem
from registry.formats.spreadsheet import Fault


class Refusal(NamedTuple):
    """A cell of a row that is refused: where it stands, what stands there, which rule it breaks and what would not."""

    sheet: str
    line: int
    column: str
    value: str
    rule: str
    message: str
    accepted: str

    @property
    def problem(self) -> Problem:
        """The refusal as the errors of the registry say it."""
        sheet = f"feuille {self.sheet}, " if self.sheet else ""
        where = f"{sheet}ligne {self.line}, colonne {self.column}"
        return Problem(self.rule, self.message, (), where, self.value, self.accepted)


class Layout(NamedTuple):
    """Where the table of a file stands: its sheet, the line of its header, its headers, and the CSV's delimiter."""

    sheet: str = ""
    line: int = 1
    headers: tuple[str, ...] = ()
    delimiter: str = ""


@dataclass(frozen=True, slots=True)
class Imported:
    """What a file tells: the codes and mappings of the rows accepted, and every refusal.

    ``nomenclature`` (its IRI) and ``release`` are what the file itself says that it maps to, else empty.
    ``target_labels`` are the labels that the file gives to its targets, to be compared and never believed.
    """

    format: str
    columns: tuple[Column, ...]
    unused: tuple[str, ...]
    read: int
    codes: tuple[LocalCode, ...]
    mappings: tuple[Mapping, ...]
    refusals: tuple[Refusal, ...]
    remarks: tuple[str, ...]
    nomenclature: str = ""
    release: str = ""
    target_labels: tuple[tuple[str, str], ...] = ()
    layout: Layout = Layout()

    @property
    def refused(self) -> int:
        """How many rows were refused."""
        return len({(refusal.sheet, refusal.line) for refusal in self.refusals})

    @property
    def accepted(self) -> int:
        """How many rows were accepted."""
        return self.read - self.refused


class Line(NamedTuple):
    """A line of a file that holds something."""

    sheet: str
    line: int
    cells: Sequence[str | Fault]

    def texts(self) -> list[str]:
        """Its cells as they stand, readable or not."""
        return [cell if isinstance(cell, str) else cell.value for cell in self.cells]


class Found(NamedTuple):
    """A table found in a file: where its header stands, what its columns are, its lines below."""

    layout: Layout
    recognised: Recognised
    lines: Iterable[Line]
    above: int
