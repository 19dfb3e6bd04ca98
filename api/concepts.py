"""Concepts: one by its code, a list of them, and what each release made of one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import marshmallow as ma
from flask import Response
from webargs.flaskparser import abort as refuse

from api import current, negotiation
from api.caching import answer
from api.reading import (
    A_DAY,
    PageQuery,
    Query,
    ReleaseQuery,
    Routes,
    cursor,
    day,
    listing,
    next_link,
    pinned_address,
    position,
    reading,
)
from api.releases import EXPORTS
from api.schemas import ConceptBriefSchema, ConceptSchema, HistoryItemSchema
from api.schemas import listing as listing_schema
from registry.changes import link_shapes
from registry.formats import FORMATS
from registry.formats.document import change_document, concept_document
from registry.model import Concept, Edition, Nomenclature, Release
from registry.signing import instant
from registry.store.concepts import ConceptView

blueprint = Routes("concepts", __name__, description="Concepts, as a release holds them")


class ConceptsQuery(ReleaseQuery, PageQuery):
    """Which release, which of its concepts, which page of them."""

    broader = ma.fields.String(metadata={"description": "Only what is directly under this code; empty: the top"})
    status = ma.fields.String(validate=ma.validate.OneOf(["active", "deprecated"]))
    uri = ma.fields.String(metadata={"description": "Only the concept of this IRI"})
    lawAt = ma.fields.Date(
        error_messages=A_DAY,
        metadata={"description": "Only concepts whose own legal dates hold this day, whatever their status"},
    )


@blueprint.get("/nomenclatures/<slug>/concepts")
@blueprint.arguments(ConceptsQuery, location="query")
@blueprint.response(
    200,
    listing_schema(
        ConceptBriefSchema,
        nomenclature=ma.fields.String(required=True),
        release=ma.fields.String(required=True),
    ),
)
def concepts(query: dict[str, Any], slug: str) -> Response:
    """List the concepts of a release by code."""
    read = reading(slug, query)
    version = read.edition.version
    heading = current.store().heading(slug, version)
    after, limit = position(query) or "", query["limit"]
    if "uri" in query:
        code = code_of(query["uri"], heading)
        found = list(current.store().labels(slug, version, [code]).values())
        total = len(found)
    else:
        found, total = current.store().concepts(
            slug,
            version,
            broader=query.get("broader"),
            status=query.get("status"),
            law_at=query.get("lawAt"),
            after=after,
            limit=limit + 1,
        )
    token = cursor(found[limit - 1].code) if len(found) > limit else None
    items = [brief_document(concept, read.edition, heading) for concept in found[:limit]]
    return answer(
        {"nomenclature": slug, "release": version, **listing(items, total, token)},
        pinned=read.pinned,
        modified=read.edition.issued,
        links=next_link(token),
        location=pinned_address(read.edition),
    )


def brief_document(concept: Concept, edition: Edition, heading: Nomenclature) -> dict[str, Any]:
    """A concept in a list, as JSON: its code stands beside its label and the release that both were read in."""
    return {
        "code": concept.code,
        "iri": f"{heading.iri}/{concept.code}",
        "nomenclature": edition.nomenclature,
        "release": edition.version,
        "status": concept.status,
        "prefLabel": dict(concept.pref_label),
        "broader": list(concept.broader),
        "validFrom": day(concept.valid_from),
        "validUntil": day(concept.valid_until),
    }


def code_of(uri: str, heading: Nomenclature) -> str:
    """The code in a concept's IRI, with or without ``@version``; an IRI of another nomenclature is refused (422)."""
    if not uri.startswith(heading.iri + "/"):
        refuse(422, messages={"query": {"uri": [f"accepted are IRIs that begin with {heading.iri}/"]}})
    return uri.removeprefix(heading.iri + "/").partition("@")[0]


class ConceptQuery(ReleaseQuery):
    """Which release, in which format."""

    format = ma.fields.String(
        validate=ma.validate.OneOf([name for name in EXPORTS if name != "csv"]),
        metadata={"description": "A format; without it, `Accept` decides"},
    )


@blueprint.get("/nomenclatures/<slug>/concepts/<code>")
@blueprint.arguments(ConceptQuery, location="query")
@blueprint.response(200, ConceptSchema)
def concept(query: dict[str, Any], slug: str, code: str) -> Response:
    """Give a concept as a release holds it: labels, notes, neighbours, what it replaces and what replaces it."""
    read = reading(slug, query)
    version = read.edition.version
    view = current.store().concept(slug, version, code)
    chosen = negotiation.chosen([name for name in EXPORTS if name != "csv"], query.get("format"))
    if chosen.name == "json":
        body: Any = view_document(view)
    else:
        body = b"".join(FORMATS[chosen.name].write(alone(view)))
    base = f"/api/v1/nomenclatures/{slug}"
    return answer(
        body,
        media_type=chosen.media_type,
        pinned=read.pinned,
        modified=read.edition.issued,
        links={
            "latest-version": f"{base}/concepts/{code}?release=latest",
            "version-history": f"{base}/concepts/{code}/history",
            "license": view.nomenclature.license,
        },
        location=pinned_address(read.edition),
    )


def alone(view: ConceptView) -> Release:
    """A release that holds one concept alone: what the writers, which take a release, say of it there is the same.

    It declares no levels: the list of those that it has would not be the nomenclature's.
    """
    return Release(
        replace(view.nomenclature, level_titles=()),
        view.edition.version,
        view.edition.valid_from,
        {view.concept.code: view.concept},
        frozenset(view.links_from) | frozenset(view.links_to),
    )


def view_document(view: ConceptView) -> dict[str, Any]:
    """A concept with its neighbours, as JSON."""
    return concept_document(
        view.concept,
        iri=view.nomenclature.iri,
        slug=view.nomenclature.slug,
        version=view.edition.version,
        label_of=view.labels.__getitem__,
        narrower=view.narrower,
        links_from=view.links_from,
        links_to=view.links_to,
    )


@blueprint.get("/nomenclatures/<slug>/concepts/<code>/history")
@blueprint.arguments(Query, location="query")
@blueprint.response(200, listing_schema(HistoryItemSchema))
def history(query: dict[str, Any], slug: str, code: str) -> Response:
    """Say which releases changed a concept, and how, oldest first."""
    store = current.store()
    items = []
    for edition, changes in store.history(slug, code):
        for change in changes.changes:
            named = {end for link in change.lineage for end in (link.old, link.new)}
            labels = store.labels(slug, edition.version, named)
            items.append(
                {
                    "release": edition.version,
                    "validFrom": edition.valid_from.isoformat(),
                    "issued": instant(edition.issued),
                    **change_document(change, link_shapes(changes.links_added)),
                    "labels": {name: dict(concept.pref_label) for name, concept in labels.items()},
                }
            )
    return answer(listing(items, len(items), None))
