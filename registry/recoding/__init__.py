"""Recoding a data file: its local codes into shared ones, or one version's into another's, in a file beside it.

``rule`` says which code a row gets; ``csv_file`` and ``parquet_file`` read and write files of any size in bounded
memory; ``report`` tells what came of it, to be filed with a study. Other columns are copied, never looked at; rows stay
in their order, and none is lost.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from importlib.metadata import version
from itertools import chain, islice
from pathlib import Path
from typing import IO, NamedTuple

from registry.errors import TooLarge
from registry.formats import spreadsheet
from registry.recoding import csv_file, parquet_file
from registry.recoding import files as files
from registry.recoding.files import Progress
from registry.recoding.report import Report
from registry.recoding.rows import Done, Recoder, texts_of
from registry.recoding.rule import By, Lookup, OnMany, Plan, Weights, lookup
from registry.sandbox import OPERATOR_LIMITS
from registry.store import Store

__all__ = ["By", "OnMany", "Plan", "Recoded", "Report", "Weights", "recode", "recode_table"]

MOST_ROWS = 100_000
"""How many rows a table in memory may have."""
MOST_ROWS_OUT = 300_000
"""How many it may become where rows are shared out."""
MOST_EXPANDED = 256 << 30
"""How many bytes a gzip file may hold; what is free on the disk is the nearer bound."""

_SUFFIXES: dict[files.Kind, tuple[str, ...]] = {
    "csv": (".csv", ".tsv", ".txt", ".gz"),
    "parquet": (".parquet",),
    "xlsx": (".xlsx",),
}
_FORMATS: dict[files.Kind, str] = {"csv": "du CSV", "parquet": "du Parquet", "xlsx": "un classeur .xlsx"}


def _quiet(step: str, share: float) -> None:
    """Nobody watches."""


def recode(store: Store, plan: Plan, data: Path, out: Path, *, progress: Progress = _quiet) -> Report:
    """Write a data file anew with the columns that recoding adds, in its own format, and tell what came of it.

    ``out`` comes to be when all of it is written and on the disk, or not at all; a file of that name is replaced.

    :raises Invalid: if the file can't be read, lacks a column or has one that is to be added, ``out`` is the file
        itself or is called as another format, or the plan refuses what it finds.
    :raises NotFound: if an end of the plan does not exist.
    :raises TooLarge: if a workbook or a gzip file is larger than an operator may give.
    :raises Conflict: if somebody changes the file meanwhile.
    :raises OSError: if the disk is full, or a file can't be opened.
    """
    kind, gz = files.kind_of(data)
    _check_names(data, out, kind, gz=gz)
    progress("correspondances", 0)
    found = lookup(store, plan)
    with files.whole(out) as written:
        if kind == "parquet":
            done = parquet_file.recode_parquet(data, written, found, folder=out.parent, progress=progress)
        elif kind == "xlsx":
            done = _workbook(data, written, found)
        else:
            done = csv_file.recode_csv(
                data, written, found, gz=gz, folder=out.parent, progress=progress, most=MOST_EXPANDED
            )
    return Report(plan, found.readings, done, data.name, version("socle"))


def _check_names(data: Path, out: Path, kind: files.Kind, *, gz: bool) -> None:
    if out.exists() and out.samefile(data):
        raise files.unreadable("la sortie est le fichier lui-même", where="sortie", accepted="un autre nom")
    known = {".ods", ".xls"}.union(*_SUFFIXES.values())
    mine = (".gz",) if gz else tuple(suffix for suffix in _SUFFIXES[kind] if suffix != ".gz")
    if out.suffix.lower() in known and out.suffix.lower() not in mine:
        message = f"la sortie sera {'du CSV sous gzip' if gz else _FORMATS[kind]}, et son nom dit autre chose"
        raise files.unreadable(message, where="sortie", accepted=" ou ".join(mine))


def _workbook(data: Path, out: int, found: Lookup) -> Done:
    limits = OPERATOR_LIMITS
    raw = data.read_bytes()
    plan = found.plan
    wanted = [plan.column, *([plan.date_column] if plan.date_column else [])]
    rows = spreadsheet.rows_of(raw, wanted, limits=limits).rows
    first = next(rows, None)
    if first is None:
        raise files.unreadable("aucune ligne", accepted="une ligne d'en-tête")
    header = [cell if isinstance(cell, str) else "" for cell in first.cells]
    files.check_header(header, wanted, plan.added)
    body = (texts_of(row, header, wanted) for row in rows)
    recoder = Recoder(found, header)
    digest = hashlib.sha256()
    with os.fdopen(os.dup(out), "wb") as file:
        for chunk in spreadsheet.write_rows(chain([[*header, *plan.added]], recoder.rows(body)), "Données"):
            digest.update(chunk)
            file.write(chunk)
    return Done(recoder.tally(), hashlib.sha256(raw).hexdigest(), digest.hexdigest())


class Recoded(NamedTuple):
    """A small table that was recoded in memory: its header, its rows, and the report."""

    header: Sequence[str]
    rows: list[list[str]]
    report: Report


def recode_table(store: Store, plan: Plan, data: IO[bytes]) -> Recoded:
    """Recode a small CSV file of which only the column of codes, and of dates, may be there; nothing of it is kept.

    :raises Invalid: if it can't be read, has other columns, or the plan refuses what it finds.
    :raises NotFound: if an end of the plan does not exist.
    :raises TooLarge: if it has more rows than ``MOST_ROWS``.
    """
    wanted = [plan.column, *([plan.date_column] if plan.date_column else [])]
    raw = data.read()
    dialect, lines = files.table_of(raw, wanted)
    header = dialect.header
    files.check_only(header, wanted)
    rows = list(islice(lines, MOST_ROWS + 1))
    if len(rows) > MOST_ROWS:
        raise TooLarge(f"au plus {MOST_ROWS} lignes")
    place = header.index(plan.column)
    found = lookup(store, plan, {row[place] for row in rows} - {""})
    recoder = Recoder(found, header)
    told = list(islice(recoder.rows(rows), MOST_ROWS_OUT + 1))
    if len(told) > MOST_ROWS_OUT:
        raise TooLarge(f"au plus {MOST_ROWS_OUT} lignes réparties")
    done = Done(recoder.tally(), hashlib.sha256(raw).hexdigest(), "")
    return Recoded([*header, *plan.added], told, Report(plan, found.readings, done, "", version("socle")))
