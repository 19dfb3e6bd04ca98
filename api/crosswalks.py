"""Local code lists of organisations, and the crosswalks from these to nomenclatures."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from flask import Response

from api import caching, current, negotiation
from api.caching import answer
from api.reading import (
    PageQuery,
    Query,
    ReleaseQuery,
    Routes,
    address_with,
    cursor,
    listing,
    next_link,
    position,
    reading,
)
from api.releases import in_parts
from api.schemas import (
    CodeListSchema,
    CrosswalkDifferenceSchema,
    CrosswalkRowsSchema,
    CrosswalkSchema,
    CrosswalkStatusSchema,
    LocalCodeSchema,
    ReviewSchema,
    StaleSchema,
)
from api.schemas import listing as listing_schema
from registry import editions, staleness
from registry.crosswalks import CrosswalkEdition, edition_document
from registry.editions import code_document, said_of
from registry.errors import NotFound
from registry.formats.crosswalks import CROSSWALK_FORMATS
from registry.model import today
from registry.signing import instant
from registry.store import Store
from registry.store.crosswalks import ListEdition

blueprint = Routes("crosswalks", __name__, description="Local code lists and their crosswalks")

_A_NUMBER = ma.validate.Range(1, 2**31 - 1)


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

    edition = ma.fields.Integer(validate=_A_NUMBER, metadata={"description": "Without it, the last one"})


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
    items = [code_document(item) for item in codes[:limit]]
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


ADDRESS = "/crosswalks/<organisation>/<slug>/<nomenclature>"


class CrosswalkQuery(EditionQuery):
    """Which edition, in which format."""

    format = ma.fields.String(validate=ma.validate.OneOf(["json", *CROSSWALK_FORMATS]))


@blueprint.get(ADDRESS)
@blueprint.arguments(CrosswalkQuery, location="query")
@in_parts
@blueprint.response(200, CrosswalkRowsSchema)
def crosswalk(query: dict[str, Any], organisation: str, slug: str, nomenclature: str) -> Response:
    """Give an edition of a crosswalk whole: each local code, its relation, the shared concept and its label."""
    store = current.store()
    edition, pinned = _edition(query, organisation, slug, nomenclature)
    address = address_with("edition", str(edition.edition))
    media_types = {format.name: format.media_type for format in CROSSWALK_FORMATS.values()}
    chosen = negotiation.chosen_name({"json": "application/json", **media_types}, query.get("format"))
    if chosen != "json":
        body = b"".join(CROSSWALK_FORMATS[chosen].write(editions.whole(store, edition)))
        kind = media_types[chosen]
        return answer(body, media_type=kind, pinned=pinned, modified=edition.issued, location=address, parts=True)
    rows = store.mappings(edition)
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
            **said_of(mapping),
        }
        for mapping, label in rows
    ]
    return answer(
        {**edition_document(edition), **listing(items, len(items), None)},
        pinned=pinned,
        modified=edition.issued,
        location=address,
    )


@blueprint.get(f"{ADDRESS}/editions")
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, listing_schema(CrosswalkSchema, "CrosswalkEditionList"))
def crosswalk_editions(query: dict[str, Any], organisation: str, slug: str, nomenclature: str) -> Response:
    """List the editions of a crosswalk, oldest first."""
    store = current.store()
    known = store.crosswalk_editions(organisation=organisation, code_list=slug, nomenclature=nomenclature)
    if not known:
        store.crosswalk_edition(organisation, slug, nomenclature)
    after = min(max(position(query, int) or 0, 0), 2**31 - 1)
    left = [edition for edition in known if edition.edition > after]
    page = left[: query["limit"]]
    token = cursor(str(page[-1].edition)) if len(left) > len(page) else None
    return answer(listing([edition_document(one) for one in page], len(known), token), links=next_link(token))


@blueprint.get(f"{ADDRESS}/status")
@blueprint.arguments(EditionQuery, location="query")
@blueprint.response(200, CrosswalkStatusSchema)
def status(query: dict[str, Any], organisation: str, slug: str, nomenclature: str) -> Response:
    """Say how far an edition covers its list: codes mapped, without equivalent, not reviewed; and by use."""
    edition, pinned = _edition(query, organisation, slug, nomenclature)
    coverage = editions.coverage(editions.content(current.store(), edition))
    return answer(
        {**edition_document(edition), "coverage": coverage.document()},
        pinned=pinned,
        modified=edition.issued,
        location=address_with("edition", str(edition.edition)),
    )


class DifferenceQuery(Query):
    """From which edition to which."""

    before = ma.fields.Integer(required=True, data_key="from", validate=_A_NUMBER)
    after = ma.fields.Integer(required=True, data_key="to", validate=_A_NUMBER)


@blueprint.get(f"{ADDRESS}/diff")
@blueprint.arguments(DifferenceQuery, location="query")
@blueprint.response(200, CrosswalkDifferenceSchema)
def difference(query: dict[str, Any], organisation: str, slug: str, nomenclature: str) -> Response:
    """Give what leads from one edition to another: codes and mappings added, removed, changed."""
    store = current.store()
    before, after = (
        store.crosswalk_edition(organisation, slug, nomenclature, edition=query[end]) for end in ("before", "after")
    )
    found = editions.difference(editions.content(store, before), editions.content(store, after))
    return answer(found.document(), pinned=True, modified=after.issued)


class ReviewQuery(EditionQuery, ReleaseQuery, PageQuery):
    """Which edition, in which release, which page."""


@blueprint.get(f"{ADDRESS}/review")
@blueprint.arguments(ReviewQuery, location="query")
@blueprint.response(200, listing_schema(StaleSchema, "ReviewList", review=ma.fields.Nested(ReviewSchema)))
def review(query: dict[str, Any], organisation: str, slug: str, nomenclature: str) -> Response:
    """List the mappings of an edition whose target was touched up to a release, with what is proposed for each."""
    edition, pinned = _edition(query, organisation, slug, nomenclature)
    read = reading(nomenclature, query)
    found = staleness.review_list(current.store(), edition, read.edition.version)
    start = min(max(position(query, int) or 0, 0), len(found.items))
    page = found.items[start : start + query["limit"]]
    token = cursor(str(start + len(page))) if start + len(page) < len(found.items) else None
    body = {
        **listing(staleness.item_documents(found, page), len(found.items), token),
        "review": staleness.review_document(found),
    }
    return answer(body, pinned=pinned and read.pinned, links=next_link(token))


def _edition(query: dict[str, Any], organisation: str, slug: str, nomenclature: str) -> tuple[CrosswalkEdition, bool]:
    """The edition that the query asks for, else the one that applies today; and whether the address pins it."""
    number = query.get("edition")
    if number:
        return current.store().crosswalk_edition(organisation, slug, nomenclature, edition=number), True

    def found(store: Store) -> CrosswalkEdition:
        return store.crosswalk_edition(organisation, slug, nomenclature, at=today())

    edition = found(current.store())
    caching.follows(str(edition.edition), lambda store: str(found(store).edition))
    return edition, False
