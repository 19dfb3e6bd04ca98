"""Commands on crosswalks: importing an edition, what is mapped, and exporting one."""

from __future__ import annotations

from datetime import date
from typing import IO, Any

import click

from cli import current, output, values
from cli.values import ListName
from registry import crosswalks, editions
from registry.crosswalks import CodeList, CrosswalkEdition, Organisation
from registry.model import today
from registry.store import Store

LICENCE_OUVERTE = "https://www.etalab.gouv.fr/licence-ouverte-open-licence"
KINDS = ("departement", "metropole", "ccas", "editeur", "etat", "comite")


@click.group()
def crosswalk() -> None:
    """Map the codes of a local list to a nomenclature."""


@crosswalk.command("import")
@click.argument("name", metavar="ORG/LIST", type=values.LIST)
@click.argument("nomenclature", metavar="N")
@click.argument("file", type=click.File("rb"))
@click.option("--list", "codes", type=click.File("rb"), help="The local list's codes (CSV), where they are new.")
@click.option("--title", default="", help="The title of a new list; its name unless given.")
@click.option("--organisation-name", default="", help="The name of a new organisation.")
@click.option("--kind", default="departement", show_default=True, help=f"What it is: {', '.join(KINDS)}…")
@click.option(
    "--release", type=values.RELEASE, help="The release that the targets are of; in force today unless given."
)
@click.option("--edition", "number", type=click.IntRange(1, 2**31 - 1), help="The edition; the next one unless given.")
@click.option("--valid-from", type=values.DAY, help="The day from which it applies; today unless given.")
@click.option("--author", required=True, help="Who stands for the mappings.")
@click.option("--license", default=LICENCE_OUVERTE, show_default=True, help="The licence of the crosswalk.")
@output.json_option
def import_(
    name: ListName, nomenclature: str, file: IO[bytes], release: str | None, valid_from: date | None, **options: Any
) -> None:
    """Publish an edition of a crosswalk from CSV (local_code, relation, target_code, …): whole, or not at all."""
    registry = current.store()
    version = current.edition(registry, nomenclature, release).version
    mappings = crosswalks.read_mappings(current.contents(file))
    edition, warnings = editions.publish(
        registry,
        _source(name, options),
        nomenclature,
        mappings,
        release=version,
        valid_from=valid_from or today(),
        author=options["author"],
        license=options["license"],
        number=options["number"],
    )
    output.warn(warnings)
    told = f"publié : {_title(edition)}, {edition.mappings} correspondances"
    output.answer(crosswalks.edition_document(edition), [told])


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
        (one, _counts(registry, one)) for one in registry.crosswalk_editions(organisation=organisation, code_list=slug)
    ]
    rows = ((_title(one), one.codes, *counts.values()) for one, counts in found)
    header = ("table de correspondance", "codes", "avec cible", "sans équivalent", "à examiner")
    output.listing([crosswalks.edition_document(one) | counts for one, counts in found], output.table([header, *rows]))


@crosswalk.command()
@click.argument("name", metavar="ORG/LIST[@E]", type=values.LIST)
@click.argument("nomenclature", metavar="N")
@click.option("-o", "--output", "out", type=click.File("wb", lazy=True, atomic=True), default="-", help="The file.")
def export(name: ListName, nomenclature: str, out: IO[bytes]) -> None:
    """Write an edition of a crosswalk as CSV; the one that applies today unless E says otherwise."""
    registry = current.store()
    edition = registry.crosswalk_edition(
        name.organisation, name.slug, nomenclature, edition=name.edition, at=None if name.edition else today()
    )
    out.write(crosswalks.crosswalk_csv(mapping for mapping, _ in registry.mappings(edition)))


def _source(name: ListName, options: dict[str, Any]) -> editions.Source:
    """Whose codes are mapped, as the options say."""
    codes = crosswalks.read_list(current.contents(options["codes"])) if options["codes"] else None
    organisation = (
        Organisation(name.organisation, options["organisation_name"], options["kind"])
        if options["organisation_name"]
        else None
    )
    code_list = CodeList(name.organisation, name.slug, options["title"] or name.slug, license=options["license"])
    return editions.Source(code_list, codes, organisation)


def _counts(registry: Store, edition: CrosswalkEdition) -> dict[str, int]:
    """How many local codes are in each state; the three are never mixed up."""
    relations: dict[str, str] = {}
    for mapping, _ in registry.mappings(edition):
        relations[mapping.local_code] = mapping.relation
    none = sum(relation == "noMatch" for relation in relations.values())
    return {"mapped": len(relations) - none, "noMatch": none, "unreviewed": edition.codes - len(relations)}


def _title(edition: CrosswalkEdition) -> str:
    name = f"{edition.organisation}/{edition.code_list}@{edition.edition}"
    return f"{name} → {edition.nomenclature}@{edition.release}"
