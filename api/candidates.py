"""Likely concepts for local labels: proposals for a referent, never mappings."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from flask import Response

from api import access, current
from api.caching import answer
from api.reading import Routes
from api.schemas import CandidateSchema, CandidatesSchema
from api.schemas import listing as listing_schema
from api.search import PlaceQuery, index_of, iri_of
from registry.candidates import MOST_LABELS, candidates
from registry.formats.document import candidate_document

blueprint = Routes("candidates", __name__, description="Likely concepts for local labels, to be confirmed")

_LABEL = ma.validate.Length(1, 1000)


class CandidatesQuery(PlaceQuery):
    """Where to look, and how far."""

    limit = ma.fields.Integer(
        load_default=5, validate=ma.validate.Range(1, 50), metadata={"description": "How many a label at most"}
    )


class CandidatesOfOneQuery(CandidatesQuery):
    """What one local code is called, and where to look."""

    label = ma.fields.String(
        required=True, validate=_LABEL, metadata={"description": "What the local list calls its code"}
    )


class CandidatesOfManyBody(CandidatesQuery):
    """What local codes are called, and where to look."""

    labels = ma.fields.List(
        ma.fields.String(validate=_LABEL), required=True, validate=ma.validate.Length(0, MOST_LABELS)
    )


@blueprint.get("/candidates")
@blueprint.arguments(CandidatesOfOneQuery, location="query")
@blueprint.response(200, listing_schema(CandidateSchema))
def of_one(query: dict[str, Any]) -> Response:
    """Propose concepts for a local label, the likeliest first; nothing is mapped by it."""
    items = _items(query, query["label"])
    return answer({"items": items, "total": len(items), "cursor": None})


@blueprint.post("/candidates")
@access.needs(access.OPEN)
@blueprint.arguments(CandidatesOfManyBody)
@blueprint.response(200, listing_schema(CandidatesSchema))
def of_many(body: dict[str, Any]) -> Response:
    """Propose concepts for up to 1,000 local labels, in their order."""
    items = [{"label": label, "items": _items(body, label)} for label in body["labels"]]
    return answer({"items": items, "total": len(items), "cursor": None})


def _items(query: dict[str, Any], label: str) -> list[dict[str, Any]]:
    slug = query.get("nomenclature")
    if slug is not None:
        current.store().nomenclature(slug)
    found = candidates(index_of(query), label, nomenclature=slug, limit=query["limit"])
    return [candidate_document(one, iri_of(one.document)) for one in found]
