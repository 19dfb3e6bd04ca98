"""The feed: every change of every release, in order, exactly once, resumable."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from flask import Response

from api import current
from api.caching import answer
from api.reading import Query, Routes, listing, position
from api.schemas import FeedItemSchema
from api.schemas import listing as listing_schema
from registry import feed

blueprint = Routes("changes", __name__, description="What changed since")


class ChangesQuery(Query):
    """Since when, of what."""

    since = ma.fields.String(
        data_key="since",
        validate=ma.validate.Length(max=500),
        metadata={"description": "The `cursor` of the last answer; without it, from the beginning"},
    )
    nomenclature = ma.fields.String(metadata={"description": "Only this nomenclature"})
    limit = ma.fields.Integer(load_default=100, validate=ma.validate.Range(1, 1000))


@blueprint.get("/changes")
@blueprint.arguments(ChangesQuery, location="query")
@blueprint.response(
    200,
    listing_schema(
        FeedItemSchema,
        more=ma.fields.Boolean(required=True, metadata={"description": "Whether the next page has anything yet"}),
    ),
)
def changes(query: dict[str, Any]) -> Response:
    """Give what came after a cursor: each release, then its changes by code. The cursor never expires."""
    start = position(query, feed.Position.read, name="since") or feed.BEGINNING
    page = feed.page(current.store(), start, slug=query.get("nomenclature"), limit=query["limit"])
    return answer({**listing(page.items, None, page.position.cursor()), "more": page.more})
