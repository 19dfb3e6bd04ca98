"""Recoding a small table of codes, and perhaps dates, that is sent: nothing of it is kept, and none of it is logged."""

from __future__ import annotations

import csv
import io
from typing import Any, get_args

import marshmallow as ma
import orjson
from flask import Response, abort, request
from flask_smorest import Blueprint

from api import access, current, negotiation
from api.reading import A_DAY, Query, Routes
from registry import recoding
from registry.model import today
from registry.recoding import By, OnMany, Plan, Recoded, Weights

blueprint = Routes("recode", __name__, description="Codes of a table as codes of another list")

_END = ma.validate.Length(1, 300)
_COLUMN = ma.validate.Length(1, 200)
_FORMATS = ("csv", "json")


class RecodeQuery(Query):
    """From where, to where, which columns, and what to do in doubt."""

    from_ = ma.fields.String(
        data_key="from",
        required=True,
        validate=_END,
        metadata={"description": "What the codes are of: ORG/LIST, ORG/LIST@EDITION, N or N@VERSION"},
    )
    to = ma.fields.String(
        required=True, validate=_END, metadata={"description": "What they become: N, N@VERSION or a local list"}
    )
    column = ma.fields.String(required=True, validate=_COLUMN, metadata={"description": "The column of codes"})
    dateColumn = ma.fields.String(validate=_COLUMN, metadata={"description": "The column of dates, where dates decide"})
    by = ma.fields.String(
        load_default="release",
        validate=ma.validate.OneOf(get_args(By)),
        metadata={"description": "What a row's date decides: the releases in force, or how far lineage is followed"},
    )
    level = ma.fields.Integer(
        validate=ma.validate.Range(1, 50), metadata={"description": "Roll codes up to this level; 1 is the top"}
    )
    onMany = ma.fields.String(
        load_default="empty",
        validate=ma.validate.OneOf(get_args(OnMany)),
        metadata={"description": "Where a code has several targets: an empty cell, a row for each, or a refusal"},
    )
    weights = ma.fields.String(load_default="published", validate=ma.validate.OneOf(get_args(Weights)))
    maskUnder = ma.fields.Integer(
        load_default=0,
        validate=ma.validate.Range(0, 1_000_000),
        metadata={"description": "Hide counts under so many rows in the report"},
    )
    at = ma.fields.Date(error_messages=A_DAY, metadata={"description": "The day on which what is not pinned is read"})
    format = ma.fields.String(validate=ma.validate.OneOf(_FORMATS))


class RecodedSchema(ma.Schema):
    """The table with the columns added, and the report to cite."""

    columns = ma.fields.List(ma.fields.String(), required=True)
    rows = ma.fields.List(ma.fields.List(ma.fields.String()), required=True)
    report = ma.fields.Dict(required=True)


@blueprint.post("/recode")
@access.needs(access.OPEN)
@blueprint.arguments(RecodeQuery, location="query")
@blueprint.response(200, RecodedSchema)
@Blueprint.doc(requestBody={"required": True, "content": {"text/csv": {"schema": {"type": "string"}}}})
def recode(query: dict[str, Any]) -> Response:
    """Recode a CSV file of up to 100,000 rows that has the column of codes, and perhaps one of dates, and no other.

    The answer is CSV, or JSON with the rows and the report, as `Accept` or `format` says. Nothing of the file is kept
    or logged: send no other column, and recode larger files on your own machine with `socle recode`.
    """
    chosen = negotiation.chosen(_FORMATS, query.get("format"))
    if request.mimetype != "text/csv":
        abort(415, "Content-Type: accepted is text/csv")
    plan = Plan(
        query["column"],
        query["from_"],
        query["to"],
        level=query.get("level"),
        date_column=query.get("dateColumn", ""),
        by=query["by"],
        on_many=query["onMany"],
        weights=query["weights"],
        mask_under=query["maskUnder"],
        at=query.get("at") or today(),
    )
    found = recoding.recode_table(current.store(), plan, io.BytesIO(request.get_data(cache=True)))
    if chosen.name == "csv":
        response = Response(_table(found), mimetype=chosen.media_type)
    else:
        document = {"columns": found.header, "rows": found.rows, "report": found.report.document()}
        response = Response(orjson.dumps(document), mimetype=chosen.media_type)
    response.headers["Cache-Control"] = "no-store"
    response.headers["Vary"] = "Accept, Accept-Encoding"
    return response


def _table(found: Recoded) -> bytes:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(found.header)
    writer.writerows(found.rows)
    return buffer.getvalue().encode()
