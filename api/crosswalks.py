"""Local code lists of organisations, and the crosswalks from these to nomenclatures."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from flask import Response

from api import current, negotiation
from api.caching import answer
from api.reading import PageQuery, Query, Routes, cursor, listing, next_link, position
from api.schemas import CodeListSchema, CrosswalkRowsSchema, CrosswalkSchema, LocalCodeSchema
from api.schemas import listing as listing_schema
from registry.crosswalks import crosswalk_csv, edition_document
from registry.errors import NotFound
from registry.model import today
from registry.signing import instant
from registry.store.crosswalks import ListEdition

blueprint = Routes("crosswalks", __name__, description="Local code lists and their crosswalks")


def _list_document(edition: ListEdition) -> dict[str, Any]:
    code_list = edition.code_list
    return {
        "organisation": code_list.organisation,
        "slug": code_list.slug,
        "title": code_list.title,
        "source": code_list.source,
        "license": code_list.license,
        "whole": code_list.whole,
        "edition": edition.edition,
        "validFrom": edition.valid_from.isoformat(),
        "issued": instant(edition.issued),
        "codes": edition.codes,
        "sha256": edition.sha256,
    }


class EditionQuery(Query):
    """Which edition."""

    edition = ma.fields.Integer(
        validate=ma.validate.Range(1, 2**31 - 1), metadata={"description": "Without it, the last one"}
    )


def _list_edition(organisation: str, slug: str, number: int | None) -> ListEdition:
    found = current.store().list_editions(organisation, slug)
    kept = [edition for edition in found if number in (None, edition.edition)]
    if not kept:
        raise NotFound("code list", f"{organisation}/{slug}", {"editions": [edition.edition for edition in found]})
    return kept[-1]


@blueprint.get("/code-lists/<organisation>/<slug>")
@blueprint.arguments(EditionQuery, location="query")
@blueprint.response(200, CodeListSchema)
def code_list(query: dict[str, Any], organisation: str, slug: str) -> Response:
    """Describe an edition of a local code list: source, licence, how many codes."""
    return answer(_list_document(_list_edition(organisation, slug, query.get("edition"))))


class CodesQuery(EditionQuery, PageQuery):
    """Which edition, which page."""


@blueprint.get("/code-lists/<organisation>/<slug>/codes")
@blueprint.arguments(CodesQuery, location="query")
@blueprint.response(200, listing_schema(LocalCodeSchema))
def local_codes(query: dict[str, Any], organisation: str, slug: str) -> Response:
    """List the codes of an edition of a local code list, exactly as they came."""
    edition = _list_edition(organisation, slug, query.get("edition"))
    after, limit = position(query) or "", query["limit"]
    codes = current.store().local_codes(organisation, slug, edition.edition, after=after, limit=limit + 1)
    token = cursor(codes[limit - 1].code) if len(codes) > limit else None
    items = [
        {"code": item.code, "label": item.label, "parentCode": item.parent_code, "note": item.note}
        for item in codes[:limit]
    ]
    return answer(listing(items, edition.codes, token), links=next_link(token))


class CrosswalksQuery(PageQuery):
    """Whose, to what, holding which code."""

    organisation = ma.fields.String()
    nomenclature = ma.fields.String()
    code = ma.fields.String(metadata={"description": "Only crosswalks that map something to this shared code"})


@blueprint.get("/crosswalks")
@blueprint.arguments(CrosswalksQuery, location="query")
@blueprint.response(200, listing_schema(CrosswalkSchema))
def crosswalks(query: dict[str, Any]) -> Response:
    """List the editions of crosswalks."""
    store = current.store()
    known = store.crosswalk_editions(organisation=query.get("organisation"), nomenclature=query.get("nomenclature"))
    if "code" in query:
        known = [edition for edition in known if store.mappings(edition, target_codes=[query["code"]])]
    after = position(query, int) or 0
    after = min(max(after, 0), len(known))
    page = known[after : after + query["limit"]]
    token = cursor(str(after + len(page))) if after + len(page) < len(known) else None
    return answer(listing([edition_document(edition) for edition in page], len(known), token), links=next_link(token))


class CrosswalkQuery(EditionQuery):
    """Which edition, in which format."""

    format = ma.fields.String(validate=ma.validate.OneOf(["json", "csv"]))


@blueprint.get("/crosswalks/<organisation>/<slug>/<nomenclature>")
@blueprint.arguments(CrosswalkQuery, location="query")
@blueprint.response(200, CrosswalkRowsSchema)
def crosswalk(query: dict[str, Any], organisation: str, slug: str, nomenclature: str) -> Response:
    """Give an edition of a crosswalk whole: each local code, its relation, the shared concept and its label."""
    store = current.store()
    number = query.get("edition")
    edition = store.crosswalk_edition(organisation, slug, nomenclature, edition=number, at=None if number else today())
    rows = store.mappings(edition)
    chosen = negotiation.chosen(("json", "csv"), query.get("format"))
    pinned = number is not None
    if chosen.name == "csv":
        body = crosswalk_csv(mapping for mapping, _ in rows)
        return answer(body, media_type=chosen.media_type, pinned=pinned, modified=edition.issued)
    concepts = store.labels(nomenclature, edition.release, {mapping.target_code for mapping, _ in rows} - {""})
    items = [
        {
            "code": mapping.local_code,
            "label": label,
            "relation": mapping.relation,
            "target": {
                "code": mapping.target_code,
                "prefLabel": dict(concepts[mapping.target_code].pref_label),
                "status": concepts[mapping.target_code].status,
                "nomenclature": nomenclature,
                "release": edition.release,
            }
            if mapping.target_code
            else None,
            "justification": mapping.justification,
            "confidence": mapping.confidence or None,
            "covers": mapping.covers,
            "weight": mapping.weight or None,
            "comment": mapping.comment,
        }
        for mapping, label in rows
    ]
    return answer(
        {**edition_document(edition), **listing(items, len(items), None)}, pinned=pinned, modified=edition.issued
    )
