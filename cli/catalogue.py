"""The command that describes what the registry offers, for catalogues that do not harvest it over HTTP."""

from __future__ import annotations

from typing import IO

import click

from cli import current
from registry.catalogue import FORMATS, linkset, written
from registry.catalogue import catalogue as described


@click.command()
@click.option("--format", type=click.Choice(list(FORMATS)), default="turtle", show_default=True, help="The syntax.")
@click.option("--void", is_flag=True, help="Describe the data sets in VoID, as crawlers of linked data read them.")
@click.option("-o", "--output", "out", type=click.File("wb", lazy=True, atomic=True), default="-", help="The file.")
def catalogue(format: str, void: bool, out: IO[bytes]) -> None:
    """Describe the registry, its nomenclatures, releases and files in DCAT-AP 3, as `/catalog` does.

    Addresses in it begin with SOCLE_PUBLIC_URL.
    """
    describe = linkset if void else described
    out.write(written(describe(current.store(), current.settings().address), format))
