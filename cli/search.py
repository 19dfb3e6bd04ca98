"""Commands that find: concepts by what people say, and likely concepts for a local label."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import click

from cli import current, output, values
from registry.formats.document import candidate_document, hit_document
from registry.model import today
from registry.store import Store

if TYPE_CHECKING:
    from registry.candidates import Candidate
    from registry.search import Document, Index, Results

RELATIONS = {
    "exactMatch": "équivalent",
    "closeMatch": "proche",
    "broadMatch": "plus large",
    "narrowMatch": "plus étroit",
}
_RELEASE = click.option("--release", type=values.RELEASE, help="A release of one nomenclature; it needs --in.")
_LIMIT = click.IntRange(1, 1000)


@click.command()
@click.argument("query")
@click.option("--in", "nomenclature", metavar="N", help="Only in this nomenclature.")
@click.option("--status", type=click.Choice(["active", "deprecated"]), help="Only concepts of this status.")
@_RELEASE
@current.release_options
@click.option("--limit", type=_LIMIT, default=10, show_default=True, help="How many at most.")
@output.json_option
def search(
    query: str,
    nomenclature: str | None,
    status: str | None,
    release: str | None,
    at: date | None,
    known_at: datetime | None,
    limit: int,
) -> None:
    """Find concepts by their words, with or without accents or typing errors: today, on a day, or in a release."""
    registry = current.store()
    found = _index(registry, nomenclature, release, at, known_at)
    results = found.search(query, nomenclature=nomenclature, status=status, limit=limit)
    output.answer(_results_document(registry, results), _results_lines(results))


@click.command()
@click.argument("slug", metavar="N")
@click.argument("label")
@_RELEASE
@current.release_options
@click.option("--limit", type=click.IntRange(1, 50), default=5, show_default=True, help="How many at most.")
@output.json_option
def candidates(
    slug: str, label: str, release: str | None, at: date | None, known_at: datetime | None, limit: int
) -> None:
    """Propose concepts of the nomenclature N for a LABEL of a local list, the likeliest first; nothing is mapped."""
    from registry.candidates import candidates as candidates_of  # It imports Whoosh, which takes long.

    registry = current.store()
    found = candidates_of(_index(registry, slug, release, at, known_at), label, nomenclature=slug, limit=limit)
    items = [candidate_document(one, _iri(registry, one.document)) for one in found]
    output.listing(items, _candidates_lines(found))


def _index(
    registry: Store, nomenclature: str | None, release: str | None, at: date | None, known_at: datetime | None
) -> Index:
    """The index of what is asked for: one release, the releases of a day, or those in force today."""
    from registry import finding  # It imports Whoosh, which takes long, and only searches need it.

    if release and not nomenclature:
        raise click.UsageError("--release needs --in: each nomenclature has releases of its own")
    if nomenclature:
        editions = [current.edition(registry, nomenclature, release, at, known_at)]
    else:
        editions = finding.in_force(registry, at or today(), known_at)
    return finding.index_of(registry, current.settings().index, editions, today())


def _results_document(registry: Store, results: Results) -> dict[str, Any]:
    items = [hit_document(hit, _iri(registry, hit.document)) for hit in results.hits]
    more = {"understoodAs": results.understood_as, "near": list(results.near), "facets": results.facets}
    return {"items": items, "total": results.total, **more}


def _iri(registry: Store, found: Document) -> str:
    """The IRI of a found concept's nomenclature, as the release that holds it says it."""
    return registry.heading(found.nomenclature, found.version).iri


def _results_lines(results: Results) -> Iterator[str]:
    if results.understood_as:
        yield f"résultats pour « {results.understood_as} »"
    if not results.hits:
        near = f" ; orthographes proches : {', '.join(results.near)}" if results.near else ""
        yield f"aucun résultat{near}"
    for hit in results.hits:
        yield f"{_name(hit.document)}  [{hit.why.kind} : {hit.why.text}]"


def _candidates_lines(found: Sequence[Candidate]) -> Iterator[str]:
    if not found:
        yield "aucun concept probable"
    for one in found:
        sure = "sûr, " if one.sure else ""
        yield f"{_name(one.document)}  [{sure}{RELATIONS[one.relation]}, {one.score:.2f}]"


def _name(found: Document) -> str:
    old = " (déprécié)" if found.status == "deprecated" else ""
    return f"{found.nomenclature}@{found.version}/{found.code}  {found.pref_label}{old}"
