"""Commands that read: concepts, their history, differences, exports, changes, the log."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from tempfile import TemporaryFile
from typing import IO, Any

import click

from cli import current, output, values
from cli.values import ConceptName, ReleaseName
from registry import feed, signing
from registry.changes import Change, ChangeSet
from registry.formats import FORMATS
from registry.formats.document import change_set_document, concept_document
from registry.model import Edition, preferred
from registry.store import Store
from registry.store.concepts import ConceptView

KINDS = {
    "added": "ajouté",
    "removed": "retiré",
    "relabelled": "libellé modifié",
    "redefined": "définition modifiée",
    "moved": "déplacé",
    "annotated": "annoté",
    "deprecated": "déprécié",
    "reinstated": "rétabli",
    "replaced": "remplacé",
    "split": "scindé",
    "merged": "fusionné",
    "reshaped": "recomposé",
    "widened": "élargi",
    "narrowed": "restreint",
    "shifted": "sens déplacé",
}
LINKS = {"same": "même sens", "wider": "plus large", "narrower": "plus étroit", "overlaps": "recouvrement partiel"}
COMPATIBILITY = {"compatible": "compatible", "breaking": "incompatible"}
STATUS = {"active": "actif", "deprecated": "déprécié"}
NOTES = {
    "definition": "définition",
    "scope_note": "note d'application",
    "inclusion_note": "comprend",
    "exclusion_note": "exclut",
    "example": "exemple",
    "history_note": "note historique",
}


@click.command()
@click.argument("concept", type=values.CONCEPT)
@click.option("--release", type=values.RELEASE, help="The release to read; in force today unless said otherwise.")
@current.release_options
@output.json_option
def show(concept: ConceptName, release: str | None, at: date | None, known_at: datetime | None) -> None:
    """Show a concept, as in types-aide/TA-AUT-110, in one release."""
    registry = current.store()
    edition = current.edition(registry, concept.slug, release, at, known_at)
    view = registry.concept(concept.slug, edition.version, concept.code)
    output.answer(_concept_document(view), _concept_lines(view))


@click.command()
@click.argument("concept", type=values.CONCEPT)
@output.json_option
def history(concept: ConceptName) -> None:
    """Show what each release changed in a concept, oldest first."""
    registry = current.store()
    found = registry.history(concept.slug, concept.code)
    items = [
        {"release": edition.version, **_dates(edition), **entry}
        for edition, changes in found
        for entry in change_set_document(changes)
        if entry["code"] == concept.code
    ]
    lines = (line for edition, changes in found for line in _release_lines(registry, edition, changes, concept.code))
    output.listing(items, lines)


@click.command()
@click.argument("slug", metavar="N")
@click.argument("old", metavar="V1", type=values.RELEASE)
@click.argument("new", metavar="V2", type=values.RELEASE)
@output.json_option
def diff(slug: str, old: str, new: str) -> None:
    """Show what leads from the release V1 of the nomenclature N to its release V2, either way."""
    registry = current.store()
    before, after = (current.edition(registry, slug, release).version for release in (old, new))
    found = registry.difference(slug, before, after)
    ends = {"nomenclature": slug, "from": before, "to": after}
    output.answer({**ends, **difference_document(found)}, difference_lines(found))


@click.command()
@click.argument("release", metavar="N[@V]", type=values.NAMED_RELEASE)
@click.option("--format", type=click.Choice([*FORMATS, "archive"]), required=True, help="The format.")
@click.option("-o", "--output", "out", type=click.File("wb", lazy=True, atomic=True), default="-", help="The file.")
@current.release_options
def export(release: ReleaseName, format: str, out: IO[bytes], at: date | None, known_at: datetime | None) -> None:
    """Write a release in a format, the very bytes that were published; in force today unless V says otherwise.

    V may be `latest` too. The bytes are checked before anything is written. The format `archive` is a zip of all
    formats and of what proves them, which `socle verify` verifies, and so does the verifier inside.
    """
    registry = current.store()
    edition = current.edition(registry, release.slug, release.release, at, known_at)
    with _exported(registry, edition, format) as stream:
        shutil.copyfileobj(stream, out)


def _exported(registry: Store, edition: Edition, format: str) -> IO[bytes]:
    if format != "archive":
        return registry.rendition(edition.nomenclature, edition.version, format)[1].open("rb")
    from registry import archive

    stream = TemporaryFile()  # noqa: SIM115 -- whoever asked closes it.
    archive.write(registry, edition.nomenclature, edition.version, stream)
    stream.seek(0)
    return stream


@click.command()
@click.option(
    "--since", metavar="CURSOR", default="", help="What the call before gave as cursor; empty: from the start."
)
@click.option("--in", "slug", metavar="N", help="Only of this nomenclature.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="How many changes at most.")
@output.json_option
def changes(since: str, slug: str | None, limit: int) -> None:
    """List every change since a cursor, in order, exactly once; the last line is the cursor to resume from."""
    registry = current.store()
    try:
        start = feed.Position.of(since)
    except ValueError as error:
        raise click.BadParameter("not a cursor that `socle changes` gave", param_hint="--since") from error
    page = feed.page(registry, start, slug=slug, limit=limit)
    cursor = page.position.cursor()
    output.listing(page.items, [*_feed_lines(registry, page.items), f"curseur : {cursor}"], cursor=cursor)


# --- Concepts ---------------------------------------------------------------------------------------------------


def _concept_document(view: ConceptView) -> dict[str, Any]:
    return concept_document(
        view.concept,
        iri=view.nomenclature.iri,
        slug=view.nomenclature.slug,
        version=view.edition.version,
        label_of=lambda code: view.labels[code],
        narrower=view.narrower,
        links_from=view.links_from,
        links_to=view.links_to,
    )


def _concept_lines(view: ConceptView) -> Iterator[str]:
    concept, edition = view.concept, view.edition

    def named(code: str) -> str:
        return f"{code} {preferred(view.labels[code])}"

    yield f"{concept.code}  {concept.label}"
    yield f"  {_heading(edition)}, {STATUS[concept.status]}"
    yield f"  {view.nomenclature.iri}/{concept.code}"
    if concept.alt_label:
        yield f"  autres libellés : {', '.join(text for _, text in concept.alt_label)}"
    for name, word in NOTES.items():
        yield from (f"  {word} : {text}" for _, text in getattr(concept, name))
    for word, codes in (("sous", concept.broader), ("précise", view.narrower), ("voir aussi", concept.related)):
        yield from (f"  {word} : {named(code)}" for code in codes)
    for link in view.links_from:
        yield f"  remplacé par : {named(link.new)} ({LINKS[link.kind]}, {link.date})"
    for link in view.links_to:
        yield f"  remplace : {named(link.old)} ({LINKS[link.kind]}, {link.date})"
    yield from (f"  référence : {text}" for text in concept.legal_basis)
    if concept.valid_from or concept.valid_until:
        yield f"  dates légales : {concept.valid_from or '…'} – {concept.valid_until or '…'}"


# --- Changes ----------------------------------------------------------------------------------------------------


def difference_document(changes: ChangeSet) -> dict[str, Any]:
    """A change set as JSON."""
    items = change_set_document(changes)
    return {"compatibility": changes.compatibility, "counts": changes.counts, "items": items, "total": len(items)}


def difference_lines(changes: ChangeSet) -> Iterator[str]:
    """A change set in words, a code a line."""
    labels = {change.code: _label(change) for change in changes.changes}
    for change in changes.changes:
        yield _change_line(change, labels)
    counts = ", ".join(f"{KINDS[kind]} {count}" for kind, count in changes.counts.items()) or "rien"
    yield f"{len(changes.changes)} codes touchés, {COMPATIBILITY[changes.compatibility]} : {counts}"


def _release_lines(registry: Store, edition: Edition, changes: ChangeSet, code: str | None = None) -> Iterator[str]:
    withdrawn = f", {told}" if (told := output.withdrawal(edition)) else ""
    yield f"{_heading(edition)}{withdrawn}"
    ends = {code for link in changes.links_added for code in (link.old, link.new)}
    found = registry.labels(edition.nomenclature, edition.version, ends)
    labels = {code: concept.label for code, concept in found.items()}
    labels |= {change.code: _label(change) for change in changes.changes if change.before or change.after}
    yield from (f"  {_change_line(change, labels)}" for change in changes.changes if code in (None, change.code))


def _heading(edition: Edition) -> str:
    return f"{edition.nomenclature}@{edition.version}, en vigueur à partir du {edition.valid_from}"


def _label(change: Change) -> str:
    concept = change.after or change.before
    return concept.label if concept else ""


def _change_line(change: Change, labels: dict[str, str]) -> str:
    kinds = ", ".join(KINDS[kind] for kind in change.kinds) or "filiation"
    ends = [(" → ", link.new, link) for link in change.lineage if link.old == change.code]
    ends += [(" ← ", link.old, link) for link in change.lineage if link.new == change.code != link.old]
    links = "".join(f"{way}{end} {labels.get(end, '')} ({LINKS[link.kind]}, {link.date})" for way, end, link in ends)
    return f"{change.code} {labels.get(change.code, '')} : {kinds} ({COMPATIBILITY[change.compatibility]}){links}"


def _feed_lines(registry: Store, items: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The feed in words: a line for each release that came, one for each change, in the release that it came with."""
    for item in items:
        if item["type"] == "release":
            yield f"{item['nomenclature']}@{item['release']}, en vigueur à partir du {item['validFrom']}"
            continue
        if item["type"] == "withdrawal":
            yield f"{item['nomenclature']}@{item['release']}, RETIRÉE : {item['why']}"
            continue
        ends = {end for link in item["lineage"] for end in (link["old"], link["new"])} | {item["code"]}
        labels = {code: one.label for code, one in registry.labels(item["nomenclature"], item["release"], ends).items()}
        kinds = ", ".join(KINDS[kind] for kind in item["kinds"]) or "filiation"
        links = "".join(
            f" → {link['new']} {labels.get(link['new'], '')} ({LINKS[link['kind']]}, {link['date']})"
            for link in item["lineage"]
            if link["old"] == item["code"]
        )
        name = f"{item['code']} {labels.get(item['code'], '')}"
        yield f"  {name} : {kinds} ({COMPATIBILITY[item['compatibility']]}){links}"


def _dates(edition: Edition) -> dict[str, str]:
    return {"validFrom": edition.valid_from.isoformat(), "issued": signing.instant(edition.issued)}
