"""The feed: every change of every release, in order, exactly once, resumable; and its releases as Atom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import marshmallow as ma
from flask import Response, request

from api import current, negotiation
from api.caching import answer
from api.pages import wording
from api.reading import Query, Routes, listing, next_link, position
from api.schemas import FeedItemSchema
from api.schemas import listing as listing_schema
from registry import feed
from registry.model import preferred
from registry.signing import instant

blueprint = Routes("changes", __name__, description="What changed since")

_OFFERED = {"json": "application/json", **{name: one.media_type for name, one in feed.FEED_FORMATS.items()}}

_ATOM = "application/atom+xml"
_NEWS = 20


class ChangesQuery(Query):
    """Since when, of what."""

    since = ma.fields.String(
        data_key="since",
        validate=ma.validate.Length(max=500),
        metadata={
            "description": "The `cursor` of the last answer, or of its last item; without it, from the beginning"
        },
    )
    nomenclature = ma.fields.String(metadata={"description": "Only this nomenclature"})
    limit = ma.fields.Integer(load_default=100, validate=ma.validate.Range(1, 1000))
    format = ma.fields.String(
        validate=ma.validate.OneOf(list(_OFFERED)),
        metadata={"description": "`json`, or lines that each have their cursor: `ndjson`, `csv` (a row a field)"},
    )


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
    chosen = negotiation.chosen_name(_OFFERED, query.get("format"))
    page = feed.page(current.store(), start, slug=query.get("nomenclature"), limit=query["limit"])
    token = page.position.cursor()
    links = next_link(token, "since") if page.more else {}
    if chosen in feed.FEED_FORMATS:
        lines = feed.FEED_FORMATS[chosen]
        return answer(lines.write(page.items), media_type=lines.media_type, links=links)
    return answer({**listing(page.items, None, token), "more": page.more}, links=links)


class NewsQuery(Query):
    """Of what, and which page."""

    nomenclature = ma.fields.String(metadata={"description": "Only this nomenclature"})
    cursor = ma.fields.String(
        validate=ma.validate.Length(max=500), metadata={"description": "What the page before gave as its `next` link"}
    )


@blueprint.get("/changes.atom")
@blueprint.arguments(NewsQuery, location="query")
@blueprint.response(200, {"type": "string"}, content_type=_ATOM)
def news(query: dict[str, Any]) -> Response:
    """Give the releases and withdrawals as an Atom feed, the newest first, to be followed by any reader of news."""
    slug, before = query.get("nomenclature"), position(query, feed.Position.read)
    found = feed.news(current.store(), slug=slug, before=before.seq if before else None, limit=_NEWS + 1)
    token = feed.Position(found[_NEWS - 1].seq, "").cursor() if len(found) > _NEWS else None
    links = next_link(token)
    return answer(_atom(found[:_NEWS], slug, links), media_type=_ATOM, links=links)


def _atom(found: Sequence[feed.News], slug: str | None, links: Mapping[str, str]) -> bytes:
    """The feed of RFC 4287; addresses are absolute, since readers keep entries far from where they came from."""
    settings = current.settings()
    root = settings.address.rstrip("/")
    whole = ElementTree.Element("feed", {"xmlns": "http://www.w3.org/2005/Atom", "xml:lang": "fr"})
    _element(whole, "id", f"{settings.base_iri}{slug or ''}")
    _element(whole, "title", f"Versions publiées : {slug}" if slug else "Socle : versions publiées")
    # The instant of the newest entry, and not of this answer: the same news are the same bytes.
    _element(whole, "updated", instant(found[0].at) if found else "1970-01-01T00:00:00Z")
    _element(_element(whole, "author"), "name", "Socle")
    for relation, target in {"self": request.full_path.rstrip("?"), **links}.items():
        _element(whole, "link", rel=relation, href=root + target)
    for one in found:
        _entry(whole, one, root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(whole, encoding="unicode")}\n'.encode()


def _entry(whole: ElementTree.Element, one: feed.News, root: str) -> None:
    """An entry: its id is never given again, and what it says was known when it was published."""
    edition, heading = one.edition, one.heading
    entry = _element(whole, "entry")
    _element(entry, "id", f"{heading.iri}/-/{'withdrawal' if one.withdrawal else 'release'}/{edition.version}")
    _element(entry, "title", f"{preferred(heading.title)}, version {edition.version}{' retirée' * one.withdrawal}")
    for name in ("published", "updated"):
        _element(entry, name, instant(one.at))
    pages = f"{root}/nomenclatures/{edition.nomenclature}"
    _element(entry, "link", rel="alternate", type="text/html", href=f"{pages}?release={edition.version}")
    if edition.predecessor and not one.withdrawal:
        ends = urlencode({"from": edition.predecessor, "to": edition.version})
        delta = f"{root}/api/v1/nomenclatures/{edition.nomenclature}/diff?{ends}"
        _element(entry, "link", rel="related", type="application/json", href=delta)
    _element(entry, "category", term="withdrawal" if one.withdrawal else "release")
    _element(entry, "content", _said(one), type="text")


def _said(one: feed.News) -> str:
    edition = one.edition
    if one.withdrawal:
        return f"Version retirée : {edition.withdrawn_why}"
    valid = f"En vigueur à partir du {edition.valid_from.isoformat()}."
    if one.changes is None:
        return f"{valid} Première version : {edition.concepts} concepts."
    breaking = " Incompatible : des codes enregistrés sont à revoir." if one.changes.compatibility == "breaking" else ""
    mends = f" Corrige la version {edition.corrects}." if edition.corrects else ""
    return f"{valid}{mends} {wording.summary(one.changes.counts).capitalize()}.{breaking}"


def _element(parent: ElementTree.Element, name: str, text: str | None = None, **attributes: str) -> ElementTree.Element:
    found = ElementTree.SubElement(parent, name, attributes)
    found.text = text
    return found
