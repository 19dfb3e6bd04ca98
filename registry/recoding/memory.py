"""Recoding a small file in memory, as a page does: bytes in, bytes out, and nothing of it on the disk.

What it answers is what ``recoding.recode`` writes of the same file: the same rule, the same columns, the same report.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from itertools import chain, islice
from typing import NamedTuple

from registry.errors import TooLarge
from registry.formats import spreadsheet
from registry.formats.spreadsheet import Row
from registry.recoding import MOST_ROWS, MOST_ROWS_OUT
from registry.recoding import files as files
from registry.recoding.files import Dialect
from registry.recoding.report import Report
from registry.recoding.rows import Done, Recoder, texts_of
from registry.recoding.rule import Plan, lookup
from registry.sandbox import REQUEST_LIMITS, Limits
from registry.store import Store

HEADER_WITHIN = 10
"""The header of a workbook is the fullest of so many first lines: titles stand above it."""

_BOM = "\ufeff"


class Table(NamedTuple):
    """A small file as a table: its header, its rows, each with as many cells, and how it is written (None: XLSX)."""

    header: tuple[str, ...]
    rows: list[list[str]]
    dialect: Dialect | None


class RecodedFile(NamedTuple):
    """A small file that was recoded: its header and rows with the columns added, its bytes, the report."""

    header: tuple[str, ...]
    rows: list[list[str]]
    data: bytes
    media_type: str
    extension: str
    report: Report


def table(data: bytes, wanted: Sequence[str] = (), *, limits: Limits = REQUEST_LIMITS) -> Table:
    """Read a CSV file in any French dialect, or the first sheet of a workbook; every cell is the text that one sees.

    :raises Invalid: if it can't be read, or lacks a column that is wanted.
    :raises TooLarge: if it is larger than ``limits`` allow, or has more rows than ``MOST_ROWS``.
    :raises Busy: if other workbooks are being read and none ends in time.
    """
    limits.check(data)
    if data.startswith((b"\x1f\x8b", b"PAR1")):
        accepted = "un CSV ou un classeur, tel quel ; socle recode, au terminal, lit aussi gzip et Parquet"
        raise files.unreadable("du gzip ou du Parquet", accepted=accepted)
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        found = Table(*_sheet(spreadsheet.rows_of(data, limits=limits).rows, wanted), None)
        files.check_header(found.header, wanted)
    else:
        dialect, lines = files.table_of(data, wanted)
        found = Table(dialect.header, list(islice(lines, MOST_ROWS + 1)), dialect)
    if len(found.rows) > MOST_ROWS:
        raise TooLarge(f"au plus {MOST_ROWS} lignes")
    return found


def recode(store: Store, plan: Plan, data: bytes, *, name: str = "") -> RecodedFile:
    """Recode a small file; it comes back in its own format and dialect, other columns as they are.

    :raises Invalid: if it can't be read, lacks a column or has one that is to be added, or the plan refuses what it
        finds.
    :raises NotFound: if an end of the plan does not exist.
    :raises TooLarge: as ``table`` says, or if rows are shared out into more than ``MOST_ROWS_OUT``.
    :raises Busy: as ``table`` says.
    """
    wanted = [plan.column, *([plan.date_column] if plan.date_column else [])]
    found = table(data, wanted)
    files.check_header(found.header, wanted, plan.added)
    place = found.header.index(plan.column)
    answers = lookup(store, plan, {row[place] for row in found.rows} - {""})
    recoder = Recoder(answers, found.header)
    rows = list(islice(recoder.rows(found.rows), MOST_ROWS_OUT + 1))
    if len(rows) > MOST_ROWS_OUT:
        raise TooLarge(f"au plus {MOST_ROWS_OUT} lignes réparties")
    header = (*found.header, *plan.added)
    tally = recoder.tally()
    if found.dialect is None:
        written = b"".join(spreadsheet.write_rows(chain([header], rows), "Données"))
        media_type, extension = spreadsheet.MEDIA_TYPE, "xlsx"
    else:
        written, encoding = _csv(chain([header], rows), found.dialect)
        media_type, extension = f"text/csv; charset={encoding.replace('cp', 'windows-')}", "csv"
    done = Done(tally, hashlib.sha256(data).hexdigest(), hashlib.sha256(written).hexdigest())
    report = Report(plan, answers.readings, done, name, version("socle"))
    return RecodedFile(header, rows, written, media_type, extension, report)


def _sheet(lines: Iterator[Row], wanted: Sequence[str]) -> tuple[tuple[str, ...], list[list[str]]]:
    """The table of the first sheet: the header is the first of the fullest lines at its top."""
    first = next(lines, None)
    if first is None:
        raise files.unreadable("aucune ligne", accepted="une ligne d'en-tête")
    top = [first, *(row for row in islice(lines, HEADER_WITHIN - 1) if row.sheet == first.sheet)]
    place = max(range(len(top)), key=lambda one: (sum(map(bool, top[one].cells)), -one))
    header = tuple(cell.strip() if isinstance(cell, str) else "" for cell in top[place].cells)
    rows: list[list[str]] = []
    for row in chain(top[place + 1 :], lines):
        if row.sheet != first.sheet:
            break
        rows.append(texts_of(row, header, wanted))
        if len(rows) > MOST_ROWS:
            break
    return header, rows


def _csv(rows: Iterator[Sequence[str]], dialect: Dialect) -> tuple[bytes, str]:
    """Rows in the dialect that they came in, and its encoding: UTF-8 if what was added can't be written else."""
    buffer = io.StringIO(newline="")
    csv.writer(buffer, delimiter=dialect.between, lineterminator=dialect.line_end.decode()).writerows(rows)
    text = (_BOM if dialect.marked else "") + buffer.getvalue()
    try:
        return text.encode(dialect.encoding, "socle-windows"), dialect.encoding
    except UnicodeEncodeError:
        return (_BOM + text).encode(), "utf-8"
