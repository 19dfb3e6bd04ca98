"""Translating codes: local to shared, shared to local, local to local, and from one release to another."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import marshmallow as ma
import orjson
from flask import Response, request
from flask_smorest import Blueprint

from api import access, caching, current, negotiation
from api.caching import answer
from api.concepts import code_of
from api.reading import A_DAY, Query, Routes
from api.schemas import RouteSchema, TranslationSchema
from registry import translation
from registry.errors import Invalid, Problem
from registry.formats import tabular
from registry.model import today
from registry.store import Store
from registry.translation import Route, Translation

blueprint = Routes("translate", __name__, description="Codes of one list as codes of another")

MOST = 10_000
_LONGEST = 300
_FORMATS = ("json", "csv")
_AT_ONCE = 500


class TranslateQuery(Query):
    """From where, to where."""

    from_ = ma.fields.String(
        data_key="from",
        required=True,
        validate=ma.validate.Length(1, _LONGEST),
        metadata={"description": "A local list, ORG/LIST or ORG/LIST@EDITION, or a nomenclature, N or N@VERSION"},
    )
    to = ma.fields.String(
        required=True,
        validate=ma.validate.Length(1, _LONGEST),
        metadata={"description": "A nomenclature, N or N@VERSION, or a local list"},
    )
    at = ma.fields.Date(
        error_messages=A_DAY,
        metadata={"description": "The day on which what is not pinned is read (Europe/Paris); today without it"},
    )
    through = ma.fields.String(
        validate=ma.validate.Length(1, _LONGEST),
        metadata={"description": "The nomenclature in which two local lists meet, where there are several"},
    )


class TranslateOneQuery(TranslateQuery):
    """From where, to where, and which code."""

    code = ma.fields.String(validate=ma.validate.Length(1, _LONGEST))
    uri = ma.fields.String(
        validate=ma.validate.Length(1, 1000), metadata={"description": "A shared concept's IRI, instead of its code"}
    )
    format = ma.fields.String(validate=ma.validate.OneOf(_FORMATS))

    @ma.validates_schema
    def _one_code(self, data: dict[str, Any], **_: Any) -> None:
        if ("code" in data) == ("uri" in data):
            raise ma.ValidationError("exactly one of `code` and `uri`", "code")


class TranslateManyBody(TranslateQuery):
    """From where, to where, and which codes."""

    codes = ma.fields.List(
        ma.fields.String(validate=ma.validate.Length(0, _LONGEST)), required=True, validate=ma.validate.Length(0, MOST)
    )


class TranslateManyQuery(TranslateQuery):
    """In which format; and, where the body is a table, from where to where."""

    from_ = ma.fields.String(data_key="from", validate=ma.validate.Length(1, _LONGEST))
    to = ma.fields.String(validate=ma.validate.Length(1, _LONGEST))
    format = ma.fields.String(validate=ma.validate.OneOf(_FORMATS))


class AnswerSchema(ma.Schema):
    """The translations, and the route that they took: editions, releases, hashes."""

    items = ma.fields.List(ma.fields.Nested(TranslationSchema), required=True)
    total = ma.fields.Integer(required=True)
    route = ma.fields.Nested(RouteSchema, required=True)


@blueprint.get("/translate")
@blueprint.arguments(TranslateOneQuery(), location="query")
@blueprint.response(200, AnswerSchema)
def translate(query: dict[str, Any]) -> Response:
    """Say what one code is on the other side, with relation, path, releases, editions, and what was refused."""
    if "uri" in query:
        slug, _, version = query["from_"].partition("@")
        store = current.store()
        code = code_of(query["uri"], store.heading(slug, version) if version else store.nomenclature(slug))
    else:
        code = query["code"]
    chosen = negotiation.chosen(_FORMATS, query.get("format"))
    asked = _Asked(current.store(), query, caching.stamp_taken())
    if "code" in query:
        caching.alike(lambda code: b"".join(asked.written([code], chosen.name)))
    body = b"".join(asked.written([code], chosen.name))
    return answer(body, media_type=chosen.media_type, pinned=asked.route.pinned)


@blueprint.post("/translate")
@access.needs(access.OPEN)
@blueprint.arguments(TranslateManyQuery, location="query")
@blueprint.response(200, AnswerSchema)
@Blueprint.doc(
    requestBody={
        "required": True,
        "content": {
            "application/json": {"schema": TranslateManyBody},
            "text/csv": {"schema": {"type": "string"}},
        },
    }
)
def translate_many(query: dict[str, Any]) -> Response:
    """Translate up to 10,000 codes, in their order: JSON, or CSV with a column `code`.

    With a CSV body, `from` and `to` are parameters of the address. The answer is JSON or CSV, as `Accept` or `format`
    says.
    """
    chosen = negotiation.chosen(_FORMATS, query.get("format"))
    if request.mimetype == "text/csv":
        asked = query | blueprint.ARGUMENTS_PARSER.parse(TranslateQuery(unknown=ma.EXCLUDE), location="query")
        codes = _codes(request.get_data(cache=True))
    else:
        asked = blueprint.ARGUMENTS_PARSER.parse(TranslateManyBody(), location="json")
        codes = asked["codes"]
    written = _Asked(current.store(), asked, caching.stamp_taken()).written(codes, chosen.name)
    if chosen.name == "json":
        return answer(b"".join(written), media_type=chosen.media_type)
    response = Response(written, mimetype=chosen.media_type)
    response.headers["Cache-Control"] = "no-cache"
    response.headers["Vary"] = "Accept, Accept-Encoding"
    return response


def _codes(data: bytes) -> list[str]:
    """The column ``code`` of a table, whatever else is in it."""
    found: list[str] = []
    for line, row in tabular.rows(data, max_rows=MOST):
        if "code" not in row:
            accepted = "une colonne « code »"
            raise Invalid([Problem("csv_columns", "colonne absente", (), "ligne 1", ", ".join(row)[:200], accepted)])
        if len(row["code"]) > _LONGEST or "\x00" in row["code"]:
            accepted = f"au plus {_LONGEST} caractères"
            raise Invalid([Problem("csv_cell", "code trop long", (), f"ligne {line}, colonne code", "", accepted)])
        found.append(row["code"])
    return found


class _Asked:
    """Which way codes are to go, as a request says; it outlives the request."""

    def __init__(self, store: Store, asked: dict[str, Any], stamp: tuple[int, ...] | None) -> None:
        self._store, self._ends, self._stamp = store, (asked["from_"], asked["to"]), stamp
        self._at, self._through = asked.get("at") or today(), asked.get("through", "")

    @property
    def route(self) -> Route:
        """The route, which the store keeps: whoever holds this does not hold it too."""
        return translation.route(self._store, *self._ends, at=self._at, through=self._through, stamp=self._stamp)

    def written(self, codes: list[str], format: str) -> Iterator[bytes]:
        """The translations in a format, in pieces; all of them are made before the first is given.

        Each is written as soon as it is made: ten thousand of them, kept as objects until the last, would cost the
        collector of garbage as much time as translating them does.
        """
        route, written = self.route, _as_json if format == "json" else _as_rows
        items = translation.each(self._store, route, codes, most=translation.MOST_FOUND)
        by_code = {item.code: written(item) for item in items}
        pieces = [by_code[code] for code in codes]
        if format == "csv":
            return chain(
                [_csv([translation.COLUMNS])],
                (b"".join(pieces[at : at + _AT_ONCE]) for at in range(0, len(pieces), _AT_ONCE)),
            )
        listed = [orjson.Fragment(piece) for piece in pieces]
        return iter([orjson.dumps({"items": listed, "total": len(listed), "route": route.document()})])


def _as_json(item: Translation) -> bytes:
    return orjson.dumps(translation.document(item))


def _as_rows(item: Translation) -> bytes:
    return _csv(translation.table_rows([item]))


def _csv(rows: Iterable[tuple[str, ...]]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer).writerows(rows)
    return buffer.getvalue().encode()
