"""Nomenclatures: what there is, how it hangs together, what changed between two releases, and its files."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from flask import Response

from api import current, memento, negotiation, releases
from api.caching import answer
from api.reading import (
    IS_VERSION,
    PageQuery,
    Query,
    ReleaseQuery,
    Routes,
    cursor,
    listing,
    next_link,
    pinned_address,
    position,
    reading,
)
from api.schemas import (
    ChangeSchema,
    GroupChangesSchema,
    HeadingSchema,
    LinkSchema,
    NomenclatureSchema,
    ReleaseFileSchema,
    TreeSchema,
)
from api.schemas import listing as listing_schema
from registry.archive import ARCHIVE
from registry.changes import least_version, link_shapes
from registry.errors import NotFound
from registry.feed import FEED_FORMATS, delta, passage_document
from registry.formats import FORMATS
from registry.formats.document import change_document, nomenclature_document
from registry.model import Nomenclature
from registry.store.states import Row

blueprint = Routes("nomenclatures", __name__, description="Nomenclatures, their trees, differences and files")


@blueprint.get("/nomenclatures")
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, listing_schema(NomenclatureSchema))
def nomenclatures(query: dict[str, Any]) -> Response:
    """List the nomenclatures of the registry."""
    after = position(query) or ""
    known = current.store().nomenclatures()
    page = [item for item in known if item.slug > after][: query["limit"]]
    last = page[-1].slug if page and page[-1].slug != known[-1].slug else None
    token = cursor(last) if last else None
    return answer(listing([described(item) for item in page], len(known), token), links=next_link(token))


@blueprint.get("/nomenclatures/<slug>")
@blueprint.arguments(Query, location="query")
@blueprint.response(200, NomenclatureSchema)
@blueprint.alt_response(302, description="With `Accept-Datetime`: to the release in force then (RFC 7089)")
def nomenclature(query: dict[str, Any], slug: str) -> Response:
    """Describe a nomenclature: title, steward, licence, the release in force and the last one."""
    found = memento.gate(slug)
    if found is not None:
        return found
    document = described(current.store().nomenclature(slug))
    releases_ = f"/api/v1/nomenclatures/{slug}/releases"
    links = {"version-history": releases_, **memento.origin(slug)}
    if document["latest"]:
        links["latest-version"] = f"{releases_}/latest"
    response = answer(document, links=links)
    response.headers["Vary"] = memento.VARY
    return response


@blueprint.get("/nomenclatures/<slug>/timemap")
@blueprint.arguments(Query, location="query")
@blueprint.response(200, {"type": "string"}, content_type=memento.LINK_FORMAT)
def timemap(query: dict[str, Any], slug: str) -> Response:
    """List the releases by the moment from which they are in force, as links (a TimeMap of RFC 7089)."""
    return answer(memento.timemap(slug), media_type=memento.LINK_FORMAT)


def described(item: Nomenclature) -> dict[str, Any]:
    """A nomenclature as JSON, described as its release in force (else its last, else its creation) does."""
    found: dict[str, str | None] = {"current": None, "latest": None}
    for name in found:
        try:
            found[name] = reading(item.slug, {"release": name}).edition.version
        except NotFound:
            continue
    version = found["current"] or found["latest"]
    heading = current.store().heading(item.slug, version) if version else item
    return nomenclature_document(heading, current=found["current"], latest=found["latest"])


@blueprint.get("/nomenclatures/<slug>/tree")
@blueprint.arguments(ReleaseQuery, location="query")
@blueprint.response(200, TreeSchema)
def tree(query: dict[str, Any], slug: str) -> Response:
    """Give the whole hierarchy of a release, broader concepts first.

    A concept with several broader ones stands under each of them; what is under it is shown the first time only, and
    it bears `repeated` the other times.
    """
    read = reading(slug, query)
    rows = current.store().tree(slug, read.edition.version)
    under: dict[str, list[Row]] = {}
    for row in rows:
        for parent in row.broader or ("",):
            under.setdefault(parent, []).append(row)

    shown: set[str] = set()

    def node(row: Row) -> dict[str, Any]:
        brief = {"code": row.code, "prefLabel": dict(row.pref_label), "status": row.status}
        # Shown under each of its paths, a concept under layers of several broader ones would come thousands of times.
        if row.code in shown:
            return {**brief, "narrower": [], "repeated": True}
        shown.add(row.code)
        return {**brief, "narrower": [node(child) for child in under.get(row.code, ())]}

    document = {
        "nomenclature": slug,
        "release": read.edition.version,
        "items": [node(row) for row in under.get("", ())],
        "total": len(rows),
    }
    return answer(document, pinned=read.pinned, modified=read.edition.issued, location=pinned_address(read.edition))


_DIFFERENCES = {"json": "application/json", "ndjson": FEED_FORMATS["ndjson"].media_type}


class DifferenceQuery(PageQuery):
    """Which two releases, and which page of their changes."""

    from_ = ma.fields.String(
        data_key="from", required=True, validate=IS_VERSION, metadata={"description": "A version, such as 1.0"}
    )
    to = ma.fields.String(required=True, validate=IS_VERSION, metadata={"description": "A version, such as 2.0"})
    kind = ma.fields.String(metadata={"description": "Only changes of this kind, such as split"})
    format = ma.fields.String(
        validate=ma.validate.OneOf(list(_DIFFERENCES)),
        metadata={"description": "`json`, a page; or `ndjson`, the whole delta in one answer, in the feed's own lines"},
    )


@blueprint.get("/nomenclatures/<slug>/diff")
@blueprint.arguments(DifferenceQuery, location="query")
@blueprint.response(
    200,
    listing_schema(
        ChangeSchema,
        "Difference",
        from_=ma.fields.String(required=True, data_key="from"),
        to=ma.fields.String(required=True),
        nomenclature=ma.fields.String(required=True),
        compatibility=ma.fields.String(required=True),
        leastVersion=ma.fields.String(metadata={"description": "The least version that the changes deserve"}),
        counts=ma.fields.Dict(keys=ma.fields.String(), values=ma.fields.Integer()),
        release=ma.fields.String(metadata={"description": "The same as `to`"}),
        validFrom=ma.fields.Date(),
        contentSha256=ma.fields.String(metadata={"description": "That of the canonical form of `to`"}),
        heading=ma.fields.Nested(HeadingSchema),
        groups=ma.fields.Nested(GroupChangesSchema),
        lineageRemoved=ma.fields.List(ma.fields.Nested(LinkSchema)),
    ),
)
def difference(query: dict[str, Any], slug: str) -> Response:
    """Say what changed between two releases, code by code: facts, compatibility, states before and after, lineage."""
    changes = current.store().difference(slug, query["from_"], query["to"])
    edition = current.store().edition(slug, query["to"])
    chosen = negotiation.chosen_name(_DIFFERENCES, query.get("format"))
    if chosen != "json":
        body = FEED_FORMATS[chosen].write(delta(current.store(), changes, edition))
        return answer(body, media_type=_DIFFERENCES[chosen], pinned=True, modified=edition.issued)
    shapes = link_shapes(changes.links_added)
    kind = query.get("kind")
    kept = [change for change in changes.changes if kind is None or kind in change.kinds]
    after = position(query) or ""
    page = [change for change in kept if change.code > after][: query["limit"]]
    token = cursor(page[-1].code) if page and page[-1].code != kept[-1].code else None
    document = {
        "nomenclature": slug,
        "from": query["from_"],
        "to": query["to"],
        **passage_document(changes, edition),
        "compatibility": changes.compatibility,
        "leastVersion": str(least_version(query["from_"], changes.compatibility)),
        "counts": changes.counts,
        **listing([change_document(change, shapes) for change in page], len(kept), token),
    }
    return answer(document, pinned=True, modified=edition.issued, links=next_link(token))


class ExportQuery(ReleaseQuery):
    """Which release, in which format."""

    format = ma.fields.String(
        validate=ma.validate.OneOf([*FORMATS, ARCHIVE.name]),
        metadata={"description": "A format; without it, `Accept` decides. `archive` is all formats and their proof"},
    )


@blueprint.get("/nomenclatures/<slug>/export")
@blueprint.arguments(ExportQuery, location="query")
@releases.in_parts
@blueprint.response(200, ReleaseFileSchema)
def export(query: dict[str, Any], slug: str) -> Response:
    """Download a whole release, the bytes that were written when it was published."""
    read = reading(slug, query)
    if query.get("format") == ARCHIVE.name:
        return releases.archive_answer(read.edition, pinned=read.pinned)
    chosen = negotiation.chosen(releases.EXPORTS, query.get("format"))
    return releases.file_answer(read.edition, chosen, pinned=read.pinned)
