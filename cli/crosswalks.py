"""Commands on crosswalks: what is mapped, what differs between editions, and exporting one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

import click

from cli import current, output, values
from cli.draft_editions import COMMANDS, share_of_uses, title
from cli.translation import compose
from cli.values import ListName
from registry import access, crosswalks, draft_editions, editions
from registry.formats.crosswalks import CROSSWALK_FORMATS, of_crosswalk_file
from registry.model import today
from registry.store.draft_editions import CrosswalkName


@click.group()
def crosswalk() -> None:
    """Map the codes of a local list to a nomenclature."""


crosswalk.add_command(compose)
for command in COMMANDS:
    crosswalk.add_command(command)


@crosswalk.command()
@click.argument("name", metavar="[ORG/LIST]", type=values.LIST, required=False)
@output.json_option
def status(name: ListName | None) -> None:
    """List the editions of crosswalks, and how many local codes are mapped, without equivalent, or to be reviewed."""
    registry = current.store()
    organisation, slug = (name.organisation, name.slug) if name else (None, None)
    if organisation:
        registry.organisation(organisation)
    found = [
        (one, editions.coverage(editions.content(registry, one)))
        for one in registry.crosswalk_editions(organisation=organisation, code_list=slug)
    ]
    rows = ((title(one), one.codes, *covered.codes, _uses(covered)) for one, covered in found)
    header = ("table de correspondance", "codes", "avec cible", "sans équivalent", "à examiner", "usages examinés")
    items = [
        crosswalks.edition_document(one)
        | {name: count for name, count in covered.codes.document().items() if name != "total"}
        | {"uses": covered.uses.document() if covered.uses else None}
        for one, covered in found
    ]
    output.listing(items, output.table([header, *rows]))


@crosswalk.command()
@click.argument("name", metavar="ORG/LIST", type=values.LIST)
@click.argument("nomenclature", metavar="N")
@click.argument("editions_", metavar="[E1 E2]", type=click.IntRange(1, 2**31 - 1), nargs=-1)
@output.json_option
def diff(name: ListName, nomenclature: str, editions_: tuple[int, ...]) -> None:
    """Show what leads from one edition of a crosswalk to another; without numbers, from the last one to the draft."""
    registry, place = current.store(), CrosswalkName(name.organisation, name.slug, nomenclature)
    if not editions_:
        actor = access.standing_in(current.actor(), name.organisation, "mapper")
        found = draft_editions.difference(registry, draft_editions.draft(registry, place, actor=actor))
    elif len(editions_) == 2:
        before, after = (registry.crosswalk_edition(*place, edition=number) for number in editions_)
        found = editions.difference(editions.content(registry, before), editions.content(registry, after))
    else:
        raise click.UsageError("give two editions, or none")
    output.answer(found.document(), _difference_lines(found))


def _difference_lines(found: editions.Difference) -> Iterator[str]:
    for sign, codes, mappings in (
        ("+", found.codes_added, found.mappings_added),
        ("-", found.codes_removed, found.mappings_removed),
    ):
        yield from (f"{sign} {code.code}  {code.label}" for code in codes)
        yield from (f"{sign} {one.local_code} {one.relation} {one.target_code}".rstrip() for one in mappings)
    for old, new in found.codes_changed:
        yield f"~ {new.code}  {old.label} → {new.label}"
    for was, now in found.mappings_changed:
        yield f"~ {now.local_code} {was.relation} → {now.relation} {now.target_code}".rstrip()


@crosswalk.command()
@click.argument("name", metavar="ORG/LIST[@E]", type=values.LIST)
@click.argument("nomenclature", metavar="N")
@click.option("-o", "--output", "out", type=click.File("wb", lazy=True, atomic=True), default="-", help="The file.")
@click.option(
    "--format", type=click.Choice(list(CROSSWALK_FORMATS)), help="The format; told by the file's name, else CSV."
)
@click.option("--draft", "of_draft", is_flag=True, help="The draft, to be edited in a file and imported again.")
def export(name: ListName, nomenclature: str, out: IO[bytes], format: str | None, of_draft: bool) -> None:
    """Write an edition of a crosswalk, or its draft, to a file; the one that applies today unless E says otherwise."""
    registry = current.store()
    file = getattr(out, "name", "-")
    chosen = CROSSWALK_FORMATS[format or "csv"] if format or file in ("-", "<stdout>") else of_crosswalk_file(file)
    if of_draft:
        place = CrosswalkName(name.organisation, name.slug, nomenclature)
        actor = access.standing_in(current.actor(), name.organisation, "mapper")
        whole = draft_editions.whole(registry, draft_editions.draft(registry, place, actor=actor))
    else:
        edition = registry.crosswalk_edition(
            name.organisation, name.slug, nomenclature, edition=name.edition, at=None if name.edition else today()
        )
        whole = editions.whole(registry, edition)
    for part in chosen.write(whole):
        out.write(part)


def _uses(covered: editions.Coverage) -> str:
    if covered.uses is None or not sum(covered.uses):
        return "-"
    return share_of_uses(covered.uses)
