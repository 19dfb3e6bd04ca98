"""Releases: what was published, its manifest, its files, and what is known of it today."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import IO, Any, TypeVar

import marshmallow as ma
from flask import Response

from api import caching, current, memento, negotiation
from api.caching import answer
from api.errors import PROBLEM
from api.reading import PageQuery, Query, Routes, cursor, day, listing, moving, next_link, position, reading
from api.schemas import (
    ListedReleaseSchema,
    ProblemSchema,
    ReleaseFileSchema,
    ReleaseSchema,
    ReleaseStatusSchema,
    SealedSchema,
)
from api.schemas import listing as listing_schema
from registry import archive
from registry.archive import Archive
from registry.errors import NotFound
from registry.formats import FORMATS, Format
from registry.formats.document import edition_document, language_map, learnt_document
from registry.model import Edition
from registry.store.blobs import Blob

blueprint = Routes("releases", __name__, description="Published releases, which never change")

EXPORTS = ("json", "turtle", "rdfxml", "jsonld", "ntriples", "csv")
"""Formats by preference of a client that has none; the others are had by ``format`` alone."""

_View = TypeVar("_View", bound=Callable[..., Any])


@blueprint.get("/nomenclatures/<slug>/releases")
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, listing_schema(ListedReleaseSchema))
def releases(query: dict[str, Any], slug: str) -> Response:
    """List the releases of a nomenclature, the first published first."""
    after = position(query, int) or 0
    editions = current.store().editions(slug)
    page = [edition for edition in editions if edition.number > after][: query["limit"]]
    token = cursor(str(page[-1].number)) if page and page[-1].number < editions[-1].number else None
    items = [edition_document(edition) | learnt_document(edition) for edition in page]
    return answer(listing(items, len(editions), token), links=next_link(token))


def in_parts(view: _View) -> _View:
    """Describe a view whose files may be had in parts: with `Range`, 206 or 416."""
    for status, said in ((206, "The part that `Range` asks for, if `If-Range` agrees"), (416, "No such part")):
        schema = {"content_type": PROBLEM, "schema": ProblemSchema} if status == 416 else {}
        view = blueprint.alt_response(status, description=said, **schema)(view)
    return view


class FormatQuery(Query):
    """In which format."""

    format = ma.fields.String(
        validate=ma.validate.OneOf(list(FORMATS)),
        metadata={"description": "A format for the whole release; without it, `Accept` decides"},
    )


@blueprint.get("/nomenclatures/<slug>/releases/<version>")
@blueprint.arguments(FormatQuery, location="query")
@in_parts
@blueprint.response(200, {"anyOf": [ReleaseSchema, ReleaseFileSchema]})
@blueprint.alt_response(302, description="`latest` and `current` redirect to the pinned address")
def release(query: dict[str, Any], slug: str, version: str) -> Response:
    """Describe a release; asked for RDF or CSV, give the whole of it."""
    redirect = moving(slug, version, "releases.release")
    if redirect is not None:
        return redirect
    edition = current.store().edition(slug, version)
    chosen = negotiation.chosen(EXPORTS, query.get("format"))
    if chosen.name != "json" or query.get("format"):
        return file_answer(edition, chosen, pinned=True)
    heading = current.store().heading(slug, version)
    files = [
        {"format": file.format, "mediaType": file.media_type, "size": file.blob.size, "sha256": file.blob.sha256}
        for file in current.store().renditions(slug, version)
    ]
    document = {
        **edition_document(edition),
        "title": language_map(heading.title),
        "license": heading.license,
        "attribution": heading.attribution,
        "files": files,
    }
    links = {**memento.versions(edition), "license": heading.license}
    return memento.as_memento(answer(document, pinned=True, modified=edition.issued, links=links), edition)


@blueprint.get("/nomenclatures/<slug>/releases/<version>/manifest")
@blueprint.arguments(Query, location="query")
@blueprint.response(200, SealedSchema)
@blueprint.alt_response(302, description="`latest` and `current` redirect to the pinned address")
def manifest(query: dict[str, Any], slug: str, version: str) -> Response:
    """Give the manifest: the canonical JSON that the release log holds and `previous` chains to."""
    redirect = moving(slug, version, "releases.manifest")
    if redirect is not None:
        return redirect
    edition = current.store().edition(slug, version)
    return answer(current.store().manifest(slug, version), pinned=True, modified=edition.issued)


@blueprint.get("/nomenclatures/<slug>/releases/<version>/status")
@blueprint.arguments(Query, location="query")
@blueprint.response(200, ReleaseStatusSchema)
@blueprint.alt_response(302, description="`latest` and `current` redirect to the pinned address")
def status(query: dict[str, Any], slug: str, version: str) -> Response:
    """Say what is known today of a release: in force, overtaken, corrected, withdrawn and why."""
    redirect = moving(slug, version, "releases.status")
    if redirect is not None:
        return redirect
    current.store().edition(slug, version)
    editions = current.store().editions(slug)
    edition = next(item for item in editions if item.version == version)
    later = [item for item in editions if item.valid_from > edition.valid_from and item.withdrawn_at is None]
    until = min((item.valid_from for item in later), default=None)
    try:
        in_force = reading(slug, {}).edition.version == version
    except NotFound:
        in_force = False
    after = next((item for item in editions if item.predecessor == version and item.withdrawn_at is None), None)
    links = memento.versions(edition)
    if after:
        links["successor-version"] = f"{links['version-history']}/{after.version}"
    return answer(
        {
            "nomenclature": slug,
            "version": version,
            **learnt_document(edition),
            "correctedBy": [item.version for item in editions if item.corrects == version],
            "validUntil": day(until - timedelta(days=1) if until else None),
            "inForce": in_force,
        },
        links=links,
    )


def file_answer(edition: Edition, format: Format, *, pinned: bool) -> Response:
    """A stored file of a release as a download.

    :raises Damaged: if its bytes are not those that were published.
    """
    rendition, path = current.store().rendition(edition.nomenclature, edition.version, format.name)
    return _download(edition, path.open("rb"), rendition.blob, format, pinned=pinned)


def archive_answer(edition: Edition, *, pinned: bool) -> Response:
    """The archive of a release as a download: its files and all that proves them.

    :raises Damaged: if the bytes of a file are not those that were published.
    """
    blob, stream = archive.kept(current.store(), edition.nomenclature, edition.version)
    return _download(edition, stream, blob, archive.ARCHIVE, pinned=pinned)


def _download(edition: Edition, stream: IO[bytes], blob: Blob, kind: Format | Archive, *, pinned: bool) -> Response:
    """Bytes of a release."""
    base = f"/api/v1/nomenclatures/{edition.nomenclature}"
    if kind.name in FORMATS:
        location = f"{base}/releases/{edition.version}?format={kind.name}"
    else:
        location = f"{base}/export?release={edition.version}&format={kind.name}"
    response = caching.file_answer(
        stream,
        blob.size,
        blob.sha256,
        media_type=kind.media_type,
        pinned=pinned,
        modified=edition.issued,
        links=memento.versions(edition),
        location=location,
    )
    if pinned:
        response = memento.as_memento(response, edition)
    name = f"{edition.nomenclature}-{edition.version}.{kind.extension}"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
