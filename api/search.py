"""Search and suggestion over the releases in force, or over any other; and how a browser searches here."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape

import marshmallow as ma
import orjson
from flask import Blueprint, Response, request

from api import current
from api.caching import answer
from api.reading import PageQuery, Query, ReleaseQuery, Routes, cursor, listing, next_link, position, reading
from api.schemas import FacetsSchema, HitSchema
from api.schemas import listing as listing_schema
from registry import finding
from registry.formats.document import hit_document
from registry.model import Edition, today
from registry.search import Document, Index

blueprint = Routes("search", __name__, description="Search and suggestion; each hit says why it matched")

opensearch = Blueprint("opensearch", __name__)

_DEEPEST = 1_000


class PlaceQuery(ReleaseQuery):
    """Where to look: in the releases in force today unless something else is said."""

    nomenclature = ma.fields.String(metadata={"description": "Only this nomenclature"})

    @ma.validates_schema
    def _of_what(self, data: dict[str, Any], **_: Any) -> None:
        if "release" in data and "nomenclature" not in data:
            raise ma.ValidationError("`release` needs `nomenclature`: each has releases of its own", "release")


class SearchQuery(PlaceQuery, PageQuery):
    """What is looked for, and where."""

    q = ma.fields.String(required=True, metadata={"description": "Words, a code, an acronym; typing errors are mended"})
    status = ma.fields.String(validate=ma.validate.OneOf(["active", "deprecated"]))
    limit = ma.fields.Integer(load_default=10, validate=ma.validate.Range(1, 100))


@blueprint.get("/search")
@blueprint.arguments(SearchQuery, location="query")
@blueprint.response(
    200,
    listing_schema(
        HitSchema,
        "SearchResults",
        understoodAs=ma.fields.String(metadata={"description": "The query after correction, where it was corrected"}),
        near=ma.fields.List(ma.fields.String(), metadata={"description": "Near spellings, where nothing was found"}),
        facets=ma.fields.Nested(FacetsSchema),
    ),
)
def search(query: dict[str, Any]) -> Response:
    """Find concepts in the releases in force today, or in any other, the likeliest first."""
    offset = min(max(position(query, int) or 0, 0), _DEEPEST)
    found = index_of(query).search(
        query["q"],
        nomenclature=query.get("nomenclature"),
        status=query.get("status"),
        limit=query["limit"],
        offset=offset,
    )
    after = offset + len(found.hits)
    token = cursor(str(after)) if found.hits and after < min(found.total, _DEEPEST) else None
    document = {
        **listing([hit_document(hit, iri_of(hit.document)) for hit in found.hits], found.total, token),
        "understoodAs": found.understood_as,
        "near": list(found.near),
        "facets": {name: dict(found.facets.get(name, {})) for name in ("nomenclature", "status")},
    }
    return answer(document, links=next_link(token))


def editions_of(query: dict[str, Any]) -> list[Edition]:
    """The releases that a query asks for: of its nomenclature, else of each that has one on the day.

    :raises NotFound: if there is no such nomenclature or release, or none of it is in force.
    """
    if "nomenclature" in query:
        return [reading(query["nomenclature"], query).edition]
    return finding.in_force(current.store(), query.get("at") or today(), query.get("knownAt"))


def index_of(query: dict[str, Any]) -> Index:
    """The index of the releases that a query asks for; who searches it names the query's nomenclature, if it has one.

    :raises NotFound: if there is no such nomenclature or release, or none is in force.
    """
    if not query.keys() & {"release", "at", "knownAt"}:
        return current.index()
    return finding.index_of(current.store(), current.settings().index, editions_of(query), today())


def iri_of(found: Document) -> str:
    """The IRI of a found concept's nomenclature, as the release that holds it says it."""
    return current.store().heading(found.nomenclature, found.version).iri


class SuggestQuery(Query):
    """What was typed so far, and where to look."""

    q = ma.fields.String(required=True, metadata={"description": "What was typed so far"})
    nomenclature = ma.fields.String(metadata={"description": "Only this nomenclature"})
    limit = ma.fields.Integer(load_default=10, validate=ma.validate.Range(1, 50))
    format = ma.fields.String(
        validate=ma.validate.OneOf(["json", "opensearch"]),
        metadata={"description": "`opensearch` gives the array that browsers read"},
    )


@blueprint.get("/suggest")
@blueprint.arguments(SuggestQuery, location="query")
@blueprint.response(200, listing_schema(HitSchema))
def suggest(query: dict[str, Any]) -> Response:
    """Suggest concepts as one types: by the beginning of a label or an acronym."""
    hits = current.index().suggest(query["q"], nomenclature=query.get("nomenclature"), limit=query["limit"])
    suggestions = "application/x-suggestions+json"
    if query.get("format") == "opensearch" or request.headers.get("Accept") == suggestions:
        labels = [hit.document.pref_label for hit in hits]
        codes = [f"{hit.document.nomenclature}/{hit.document.code}" for hit in hits]
        return answer(orjson.dumps([query["q"], labels, codes]), media_type=suggestions)
    return answer(listing([hit_document(hit, iri_of(hit.document)) for hit in hits], len(hits), None))


@opensearch.get("/opensearch.xml")
def opensearch_description() -> Response:
    """Tell a browser or a search engine how to search here: the OpenSearch 1.1 description document."""
    root = request.host_url
    lines = (
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<OpenSearchDescription xmlns="http://a9.com/-/spec/opensearch/1.1/">',
        "  <ShortName>Socle</ShortName>",
        "  <Description>Nomenclatures des services sociaux : aides, accompagnements, mesures</Description>",
        "  <Language>fr</Language>",
        "  <InputEncoding>UTF-8</InputEncoding>",
        "  <OutputEncoding>UTF-8</OutputEncoding>",
        f'  <Url type="text/html" template="{escape(root)}recherche?q={{searchTerms}}"/>',
        '  <Url type="application/x-suggestions+json" rel="suggestions"',
        f'       template="{escape(root)}api/v1/suggest?q={{searchTerms}}&amp;format=opensearch"/>',
        f'  <Url type="application/json" rel="results" template="{escape(root)}api/v1/search?q={{searchTerms}}"/>',
        "</OpenSearchDescription>",
    )
    text = "\n".join(lines) + "\n"
    return answer(text.encode(), media_type="application/opensearchdescription+xml")
