"""Commands that prepare a release and publish it."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import IO

import click

from cli import current, output, values
from cli.reading import difference_document, difference_lines
from registry import drafts, publishing, rules
from registry.formats import FORMATS, of_file
from registry.formats.document import edition_document
from registry.model import Acceptance, Content, Decision
from registry.sandbox import OPERATOR_LIMITS
from registry.store import Store

READABLE = [format.name for format in FORMATS.values() if format.read]


@click.group()
def draft() -> None:
    """Prepare a release: a draft is the last release plus what a file, or an earlier release, says."""


@draft.command()
@click.argument("slug", metavar="N")
@click.argument("file", type=click.File("rb"), required=False)
@click.option("--from-release", metavar="V", type=values.RELEASE, help="Take the content of this release instead.")
@click.option("--format", type=click.Choice(READABLE), help="The file's format; told by its name unless it is -.")
@click.option(
    "--same-meaning", metavar="CODE", multiple=True, help="Its text changed, its meaning did not. Repeatable."
)
@click.option("--accept", type=values.ACCEPTANCE, multiple=True, help="Accept a warning in writing. Repeatable.")
@click.option("--basis", metavar="TEXT", default="", help="On what ground the release is made: goes into the manifest.")
@output.json_option
def new(
    slug: str,
    file: IO[bytes] | None,
    from_release: str | None,
    format: str | None,
    same_meaning: tuple[str, ...],
    accept: tuple[Acceptance, ...],
    basis: str,
) -> None:
    """Make a draft of the nomenclature N from a FILE that holds its whole content, or from a release of it."""
    registry = current.store()
    if (file is None) == (from_release is None):
        raise click.UsageError("give a FILE, or --from-release V: one of the two")
    content = _read(registry, slug, file, format) if file else _restored(registry, slug, from_release)
    number = drafts.from_content(registry, slug, content, decision=Decision(basis, same_meaning, accept))
    found = drafts.changes(registry, number)
    counts = {
        "draft": number,
        "nomenclature": slug,
        "base": found.before.version or None,
        "changes": len(found.changes),
    }
    output.answer(counts, [f"projet {number} de {slug} : {len(found.changes)} codes touchés"])


@draft.command()
@click.argument("number", metavar="DRAFT", type=click.IntRange(1, 2**31 - 1))
@output.json_option
def check(number: int) -> None:
    """Check a draft by every rule; ends with exit code 1 if publishing it would be refused.

    A warning counts until it is accepted in writing (`draft new --accept`).
    """
    rules.refuse(drafts.problems(current.store(), number))
    output.answer({"problems": [], "total": 0}, [f"projet {number} : aucun problème"])


@draft.command()
@click.argument("number", metavar="DRAFT", type=click.IntRange(1, 2**31 - 1))
@output.json_option
def diff(number: int) -> None:
    """Show what a draft changes in the release that it rests on."""
    found = drafts.changes(current.store(), number)
    ends = {"draft": number, "nomenclature": found.after.nomenclature.slug, "from": found.before.version or None}
    output.answer({**ends, **difference_document(found)}, difference_lines(found))


@click.command()
@click.argument("number", metavar="DRAFT", type=click.IntRange(1, 2**31 - 1))
@click.option("--version", type=values.VERSION, required=True, help="The version that the release bears.")
@click.option("--valid-from", type=values.DAY, required=True, help="The day from which it applies.")
@click.option("--corrects", metavar="V", type=values.VERSION, help="The release that this erratum mends.")
@output.json_option
def publish(number: int, version: str, valid_from: date, corrects: str | None) -> None:
    """Turn a draft into a release that never changes again: whole, or not at all."""
    registry = current.store()
    output.progress("Contrôle, écriture des formats, publication…")
    edition = publishing.publish(registry, number, version=version, valid_from=valid_from, corrects=corrects or "")
    name = f"{edition.nomenclature}@{edition.version}"
    output.answer(
        edition_document(edition), [f"publié : {name}, {edition.concepts} concepts, {edition.content_sha256}"]
    )


def _read(registry: Store, slug: str, file: IO[bytes], format: str | None) -> Content:
    """What a file says of a nomenclature, whose last release says how it is described."""
    name = str(getattr(file, "name", "-"))
    if format is None and not Path(name).suffix:
        raise click.UsageError("--format is needed: the file's name does not tell its format")
    last = drafts.last_release(registry, slug)
    read = (FORMATS[format] if format else of_file(name)).read
    if read is None:
        raise click.UsageError(f"this format is not read; these are: {', '.join(READABLE)}")
    described = last.nomenclature if last else registry.nomenclature(slug)
    return read(current.contents(file), described, OPERATOR_LIMITS)


def _restored(registry: Store, slug: str, version: str | None) -> Content:
    """The content of a release, to begin from; lineage only grows, so the last release's stays."""
    release = registry.release(slug, current.edition(registry, slug, version).version)
    return Content(release.concepts, None, release.groups)
