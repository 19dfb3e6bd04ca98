"""The feed: every change of every release, in order, exactly once, resumable; and the release log."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
import orjson
from flask import Response

from api import current
from api.caching import answer
from api.reading import PageQuery, Query, Routes, cursor, listing, position
from api.schemas import FeedItemSchema
from api.schemas import listing as listing_schema
from registry.changes import link_shapes
from registry.formats.document import change_document
from registry.signing import instant

blueprint = Routes("changes", __name__, description="What changed since, and the release log")


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
@blueprint.response(200, listing_schema(FeedItemSchema))
def changes(query: dict[str, Any]) -> Response:
    """Give what came after a cursor: each release, then its changes by code. The cursor never expires."""
    seq, after = position({"cursor": query.get("since")}, _position) or (0, "")
    slug = query.get("nomenclature")
    if slug is not None:
        current.store().nomenclature(slug)
    items: list[dict[str, Any]] = []
    more = False
    for part in current.store().feed(slug=slug, seq=seq, after=after, limit=query["limit"]):
        edition = part.edition
        read = {
            "nomenclature": edition.nomenclature,
            "release": edition.version,
            "seq": edition.seq,
            "issued": instant(edition.issued),
            "validFrom": edition.valid_from.isoformat(),
        }
        if edition.seq > seq:
            items.append({"type": "release", **read, "compatibility": part.changes.compatibility})
            after = ""
        shapes = link_shapes(part.changes.links_added)
        items += [{"type": "change", **read, **change_document(one, shapes)} for one in part.changes.changes]
        seq, more = edition.seq, part.more
        after = part.changes.changes[-1].code if part.changes.changes else after
    token = cursor(f"{seq}\n{after}")
    return answer({**listing(items, None, token), "more": more})


def _position(text: str) -> tuple[int, str]:
    seq, _, after = text.partition("\n")
    if not 0 <= int(seq) < 2**31 or "\x00" in after:
        raise ValueError(text)
    return int(seq), after


@blueprint.get("/log")
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, listing_schema(ma.Schema.from_dict({}, name="LogEntry")))
def log(query: dict[str, Any]) -> Response:
    """Give the release log, entry by entry, each as it was sealed."""
    after = position(query, int) or 0
    entries = current.store().log_entries(after=min(max(after, 0), 2**31 - 1), limit=query["limit"])
    total = current.store().head()
    token = cursor(str(after + len(entries))) if after + len(entries) < total else None
    return answer(listing([orjson.Fragment(entry) for entry in entries], total, token))
