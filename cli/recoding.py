"""The command that recodes a data file."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from cli import current, output, values
from registry import recoding
from registry.recoding import Report

_WRITTEN: dict[str, Callable[[Report], str]] = {
    ".txt": lambda report: "\n".join(report.lines()) + "\n",
    ".json": lambda report: json.dumps(report.document(), ensure_ascii=False, indent=2) + "\n",
    ".html": lambda report: report.page(),
}
"""The report as a file, by the ending of its name."""


def _one_column(_context: click.Context, _parameter: click.Parameter, columns: tuple[str, ...]) -> str:
    """The column, where one is named; the last of several would otherwise be taken without a word."""
    if len(columns) != 1:
        raise click.BadParameter("one at a time; recode the file that comes out for the next one")
    return columns[0]


@click.command()
@click.argument("data", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--column",
    required=True,
    multiple=True,
    callback=_one_column,
    metavar="C",
    help="The column that holds the codes; for several, recode what came out again, column by column.",
)
@click.option("--from", "source", required=True, metavar="END", help="What the codes are of: ORG/LIST[@E] or N@V.")
@click.option("--to", "target", required=True, metavar="END", help="What they become: N[@V] or ORG/LIST.")
@click.option(
    "-o", "--output", "out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The file to write."
)
@click.option("--level", type=click.IntRange(1, 50), help="Roll codes up to this level of the target; 1 is the top.")
@click.option("--date-column", default="", metavar="C", help="The column of dates: 2024-03-01 or 01/03/2024.")
@click.option(
    "--by",
    type=click.Choice(("release", "law")),
    default="release",
    show_default=True,
    help="What a row's date decides: the releases in force on it, or how far lineage is followed.",
)
@click.option(
    "--on-many",
    type=click.Choice(("empty", "rows", "error")),
    default="empty",
    show_default=True,
    help="Where a code has several targets: an empty cell, one row for each with a weight, or nothing is written.",
)
@click.option(
    "--weights",
    type=click.Choice(("published", "equal")),
    default="published",
    show_default=True,
    help="With --on-many rows: the crosswalk's weights, or the same for each.",
)
@click.option(
    "--mask-under", type=click.IntRange(0), default=0, metavar="N", help="Hide counts under N rows in the report."
)
@click.option("--at", type=values.DAY, help="The day on which an end without version or edition is read; today.")
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the report: as text, JSON or a page by the name's ending (.txt, .json, .html).",
)
@output.json_option
def recode(data: Path, out: Path, report: Path | None, **asked: Any) -> None:
    """Turn the codes of a data file into those of another list, in a new file beside it.

    DATA is CSV (UTF-8, cp1252 or UTF-16 with its mark; semicolon, comma or tab; gzip too), Parquet or XLSX (ODS and
    XLS too, written as XLSX); OUT is of the same format, with the same rows and columns and, for the codes in column
    C, the columns C_<nomenclature>, C_label, C_release, C_relation and C_status. The report says what became of
    every row.
    """
    if report is not None and report.suffix.lower() not in _WRITTEN:
        raise click.BadParameter(f"accepted are names that end in {', '.join(_WRITTEN)}", param_hint="--report")
    if report is not None and report.resolve() in (data.resolve(), out.resolve()):
        raise click.BadParameter("it would take the place of the data", param_hint="--report")
    at = asked.pop("at")
    plan = recoding.Plan(**asked, **({"at": at} if at else {}))
    found = recoding.recode(current.store(), plan, data, out, progress=_Progress())
    output.progress("")  # The line of the progress ends here.
    if report is not None:
        report.write_text(_WRITTEN[report.suffix.lower()](found), encoding="utf-8")
    output.answer(found.document(), found.lines())


class _Progress:
    """One line on a terminal that says how far it is; nothing elsewhere."""

    def __call__(self, step: str, share: float) -> None:
        """Say what is being done, and how much of it."""
        if sys.stderr.isatty():
            click.echo(f"\r{step} {share:4.0%} ", err=True, nl=False)
