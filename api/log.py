"""The release log as it was sealed and signed, its head, and the keys: all that a verifier needs but the files."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
import orjson
from flask import Response

from api import current
from api.caching import answer
from api.reading import PageQuery, Query, Routes, cursor, listing, next_link, position
from api.schemas import EnvelopeSchema, LogEntrySchema
from api.schemas import listing as listing_schema

blueprint = Routes("log", __name__, description="The release log, its signatures, its head and the public keys")


class LogQuery(PageQuery):
    """Which page of the log."""

    after = ma.fields.Integer(
        strict=False,
        load_default=0,
        validate=ma.validate.Range(0, 2**31 - 1),
        metadata={"description": "The number of the last entry that is known; a `cursor` counts before it"},
    )


@blueprint.get("/log")
@blueprint.arguments(LogQuery, location="query")
@blueprint.response(200, listing_schema(LogEntrySchema))
def log(query: dict[str, Any]) -> Response:
    """Give the release log: each entry as the text that was sealed, byte for byte, with its signed envelope."""
    after = min(max(position(query, int) or query["after"], 0), 2**31 - 1)
    entries = current.store().sealed_entries(after, query["limit"])
    total = current.store().head()
    token = cursor(str(after + len(entries))) if entries and after + len(entries) < total else None
    items = [
        {"seq": seq, "entry": one.entry.decode(), "envelope": orjson.Fragment(one.envelope or b"null")}
        for seq, one in enumerate(entries, after + 1)
    ]
    return answer(listing(items, total, token), links=next_link(token))


class CheckpointQuery(Query):
    """The head of the log as it was at which size."""

    size = ma.fields.Integer(
        strict=False,
        validate=ma.validate.Range(1, 2**31 - 1),
        metadata={"description": "The log's size then; without it, as it is now"},
    )


@blueprint.get("/log/checkpoint")
@blueprint.arguments(CheckpointQuery, location="query")
@blueprint.response(200, {"type": "string"}, content_type="text/plain")
def checkpoint(query: dict[str, Any]) -> Response:
    """Give the signed head of the log (C2SP checkpoint): keep it, and a later log that does not grow from it shows."""
    size = query.get("size")
    return answer(current.store().checkpoint(size), media_type="text/plain")


@blueprint.get("/keys")
@blueprint.arguments(Query, location="query")
@blueprint.response(200, listing_schema(EnvelopeSchema, "KeySetList"))
def keys(query: dict[str, Any]) -> Response:
    """Give the public key sets from the first, each in its envelope, signed by root keys."""
    sets = [orjson.Fragment(envelope) for envelope in current.store().key_sets()]
    return answer(listing(sets, len(sets), None))
