"""Search and suggestion over the releases in force."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
import orjson
from flask import Response, request

from api import current
from api.caching import answer
from api.reading import PageQuery, Query, Routes, cursor, listing, next_link, position
from api.schemas import HitSchema
from api.schemas import listing as listing_schema
from registry.search import Hit

blueprint = Routes("search", __name__, description="Search and suggestion; each hit says why it matched")

_DEEPEST = 1_000


class SearchQuery(PageQuery):
    """What is looked for, and where."""

    q = ma.fields.String(required=True, metadata={"description": "Words, a code, an acronym; typing errors are mended"})
    nomenclature = ma.fields.String(metadata={"description": "Only this nomenclature"})
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
    ),
)
def search(query: dict[str, Any]) -> Response:
    """Find concepts in the releases in force today, the likeliest first."""
    offset = min(position(query, int) or 0, _DEEPEST)
    found = current.index().search(
        query["q"],
        nomenclature=query.get("nomenclature"),
        status=query.get("status"),
        limit=query["limit"],
        offset=max(offset, 0),
    )
    after = offset + len(found.hits)
    token = cursor(str(after)) if found.hits and after < min(found.total, _DEEPEST) else None
    document = {
        **listing([hit_document(hit) for hit in found.hits], found.total, token),
        "understoodAs": found.understood_as,
        "near": list(found.near),
    }
    return answer(document, links=next_link(token))


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
    opensearch = "application/x-suggestions+json"
    if query.get("format") == "opensearch" or request.headers.get("Accept") == opensearch:
        labels = [hit.document.pref_label for hit in hits]
        codes = [f"{hit.document.nomenclature}/{hit.document.code}" for hit in hits]
        return answer(orjson.dumps([query["q"], labels, codes]), media_type=opensearch)
    return answer(listing([hit_document(hit) for hit in hits], len(hits), None))


def hit_document(hit: Hit) -> dict[str, Any]:
    """A hit as JSON: the concept in brief, the labels above it, the score and the reason."""
    found = hit.document
    iri = current.store().heading(found.nomenclature, found.version).iri
    return {
        "code": found.code,
        "iri": f"{iri}/{found.code}",
        "nomenclature": found.nomenclature,
        "release": found.version,
        "status": found.status,
        "prefLabel": {"fr": found.pref_label},
        "path": list(found.path),
        "score": round(hit.score, 4),
        "why": {
            "kind": hit.why.kind,
            "text": hit.why.text,
            "correction": hit.why.correction,
            "highlights": [list(pair) for pair in hit.why.highlights],
        },
    }
