"""Translating codes: from a local list to a nomenclature and back."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from flask import Response

from api import access, current
from api.caching import answer
from api.concepts import code_of
from api.reading import Query, Routes
from api.schemas import CrosswalkSchema, TranslationSchema
from registry import translation
from registry.crosswalks import edition_document
from registry.model import today
from registry.translation import Translation

blueprint = Routes("translate", __name__, description="Codes of one list as codes of another")

MOST = 10_000


class TranslateQuery(Query):
    """From where, to where."""

    from_ = ma.fields.String(
        data_key="from",
        required=True,
        validate=ma.validate.Length(1, 300),
        metadata={"description": "A local list, ORG/LIST or ORG/LIST@EDITION, or a nomenclature, N or N@VERSION"},
    )
    to = ma.fields.String(
        required=True,
        validate=ma.validate.Length(1, 300),
        metadata={"description": "A nomenclature, N or N@VERSION, or a local list"},
    )


class TranslateOneQuery(TranslateQuery):
    """From where, to where, and which code."""

    code = ma.fields.String(validate=ma.validate.Length(1, 300))
    uri = ma.fields.String(
        validate=ma.validate.Length(1, 1000), metadata={"description": "A shared concept's IRI, instead of its code"}
    )

    @ma.validates_schema
    def _one_code(self, data: dict[str, Any], **_: Any) -> None:
        if ("code" in data) == ("uri" in data):
            raise ma.ValidationError("exactly one of `code` and `uri`", "code")


class TranslateManyBody(TranslateQuery):
    """From where, to where, and which codes."""

    codes = ma.fields.List(
        ma.fields.String(validate=ma.validate.Length(0, 300)), required=True, validate=ma.validate.Length(0, MOST)
    )


class AnswerSchema(ma.Schema):
    """The translations, and the crosswalk's edition and releases that they were read in."""

    items = ma.fields.List(ma.fields.Nested(TranslationSchema), required=True)
    total = ma.fields.Integer(required=True)
    crosswalk = ma.fields.Nested(CrosswalkSchema, required=True)


@blueprint.get("/translate")
@blueprint.arguments(TranslateOneQuery, location="query")
@blueprint.response(200, AnswerSchema)
def translate(query: dict[str, Any]) -> Response:
    """Say what one code is on the other side, with the relation, the release and the edition."""
    if "uri" in query:
        slug, _, version = query["from_"].partition("@")
        store = current.store()
        code = code_of(query["uri"], store.heading(slug, version) if version else store.nomenclature(slug))
    else:
        code = query["code"]
    return _answered(query["from_"], query["to"], [code])


@blueprint.post("/translate")
@access.needs(access.OPEN)
@blueprint.arguments(TranslateManyBody)
@blueprint.response(200, AnswerSchema)
def translate_many(body: dict[str, Any]) -> Response:
    """Translate up to 10,000 codes; the answer is in their order."""
    return _answered(body["from_"], body["to"], body["codes"])


def _answered(source: str, target: str, codes: list[str]) -> Response:
    found = translation.translate(current.store(), source, target, codes, at=today())
    items = [_document(item) for item in found.items]
    return answer({"items": items, "total": len(items), "crosswalk": edition_document(found.edition)})


def _document(item: Translation) -> dict[str, Any]:
    return {
        "code": item.code,
        "label": item.label,
        "status": item.status,
        "mappings": [
            {
                "relation": found.relation,
                "target": {
                    "code": found.code,
                    "prefLabel": dict(found.pref_label),
                    "status": found.status or None,
                    **found.read_in,
                }
                if found.code
                else None,
                "justification": found.mapping.justification,
                "confidence": found.mapping.confidence or None,
                "covers": found.mapping.covers,
                "weight": found.mapping.weight or None,
                "comment": found.mapping.comment,
            }
            for found in item.found
        ],
    }
