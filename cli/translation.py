"""Commands that translate codes, and that compose two crosswalks into a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import date
from typing import IO

import click

from cli import current, output, values
from registry import crosswalks, translation
from registry.crosswalks import Mapping
from registry.formats.tabular import decoded
from registry.model import preferred, today
from registry.translation import Half, Route, Translation

_ENDS = "ORG/LIST[@E]|N[@V]"
_AT = click.option("--at", type=values.DAY, help="The day on which what is not pinned is read; today unless given.")
_THROUGH = click.option(
    "--through", metavar="N", default="", help="The nomenclature in which two local lists meet, if there are several."
)
_STATES = {
    "mapped": "",
    "deprecated": "abandonné, sans successeur",
    "noMatch": "sans équivalent",
    "refused": "rien de sûr",
    "unreviewed": "à examiner",
    "unmapped": "aucune correspondance de l'autre côté",
    "unknown": "code inconnu",
}


@click.command()
@click.argument("source", metavar=f"FROM:{_ENDS}")
@click.argument("target", metavar=f"TO:{_ENDS}")
@click.argument("codes", metavar="[CODE…|-]", nargs=-1)
@_AT
@_THROUGH
@click.option("--csv", "as_csv", is_flag=True, help="Answer as a CSV table.")
@output.json_option
def translate(source: str, target: str, codes: tuple[str, ...], at: date | None, through: str, as_csv: bool) -> None:
    """Say what codes are in another list or release; every code of FROM unless some are given.

    A - reads codes from standard input, one a line.
    """
    registry = current.store()
    route = translation.route(registry, source, target, at=at or today(), through=through)
    found = translation.translated(registry, route, _codes(codes, route))
    if as_csv:
        click.echo(_csv(found), nl=False)
        return
    items = [translation.document(item) for item in found]
    output.listing(items, _lines(found), route=route.document())


@click.command()
@click.argument("first", metavar=f"A:{_ENDS}")
@click.argument("second", metavar=f"B:{_ENDS}")
@_AT
@_THROUGH
@click.option("-o", "--output", "out", type=click.File("wb", lazy=True, atomic=True), default="-", help="The file.")
@output.json_option
def compose(first: str, second: str, at: date | None, through: str, out: IO[bytes]) -> None:
    """Write what every code of A is in B as a crosswalk (CSV): only what follows soundly is in it.

    How many codes have nothing in it, and why, is told on standard error. With --json, all is told as JSON.
    """
    registry = current.store()
    route = translation.route(registry, first, second, at=at or today(), through=through)
    found = translation.translated(registry, route, route.source_codes())
    if output.as_json():
        items = [translation.document(item) for item in found]
        output.listing(items, (), route=route.document())
        return
    out.write(crosswalks.crosswalk_csv(_mappings(found)))
    for line in _counts(found, route):
        click.echo(line, err=True)


def _codes(given: tuple[str, ...], route: Route) -> Iterable[str]:
    if given == ("-",):
        lines = decoded(current.contents(click.open_file("-", "rb"))).removesuffix("\n").split("\n")
        return [line.removesuffix("\r") for line in lines]
    return given or route.source_codes()


def _mappings(items: Iterable[Translation]) -> Iterator[Mapping]:
    for item in items:
        for one in item.found:
            yield Mapping(
                item.code,
                one.code,
                one.relation,
                one.justification,
                one.confidence,
                one.covers,
                one.weight,
                one.comment,
            )


def _counts(items: Iterable[Translation], route: Route) -> Iterator[str]:
    counts: dict[str, int] = {}
    for item in items:
        counts[item.status] = counts.get(item.status, 0) + 1
    yield f"{route.source.name} → {route.target.name}"
    yield from (f"{counts[state]} {_STATES[state] or 'avec correspondance'}" for state in _STATES if state in counts)


def _lines(items: Iterable[Translation]) -> Iterator[str]:
    for item in items:
        title = f"{item.code}  {item.label or ''}".rstrip()
        yield title + (f"  [{_STATES[item.status]}]" if _STATES[item.status] else "")
        for one in item.found:
            if one.code:
                old = " (déprécié)" if one.status == "deprecated" else ""
                place = translation.place_name(one.read_in)
                yield f"  {one.relation}  {one.code}  {preferred(one.pref_label)}{old}  ({place})"
        for refused in item.refused:
            yield f"  refusé : {_half(refused.first)} / {_half(refused.second)} : {refused.why}"


def _half(half: Half) -> str:
    return f"{half.relation or '?'} {half.path[-1].code}".strip() if half.path else "–"


def _csv(items: Iterable[Translation]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(translation.COLUMNS)
    writer.writerows(translation.table_rows(items))
    return buffer.getvalue()
