"""Results of a search: each concept with the reason why it is there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Response, request, url_for

from api import current
from api.pages.rendering import page, page_number
from registry.search import LONGEST_QUERY, Results, Spans

PER_PAGE = 20
_DEEPEST = 1_000


def add_to(pages: Blueprint) -> None:
    """Serve the results."""
    pages.add_url_rule("/recherche", "results", results)


def results() -> Response:
    """What a query finds in the releases in force today; without a query, how to search."""
    query = request.args.get("q", "").strip()[:LONGEST_QUERY]
    headings = {item.slug: item for item in current.store().nomenclatures()}
    filters: dict[str, str] = {}
    if (slug := request.args.get("nomenclature", "")) in headings:
        filters["nomenclature"] = slug
    if (status := request.args.get("etat", "")) in ("active", "deprecated"):
        filters["status"] = status
    number = min(page_number(), _DEEPEST // PER_PAGE)
    found = Results()
    if query:
        found = current.index().search(
            query,
            nomenclature=filters.get("nomenclature"),
            status=filters.get("status"),
            limit=PER_PAGE,
            offset=(number - 1) * PER_PAGE,
        )
    last = -(-min(found.total, _DEEPEST) // PER_PAGE) or 1
    asked: dict[str, Any] = {"q": query, "nomenclature": filters.get("nomenclature"), "etat": filters.get("status")}

    def address(number: int) -> str:
        return url_for("pages.results", **asked, page=number)

    return page(
        "results.html",
        query=query,
        found=found,
        headings=headings,
        filters=filters,
        number=number,
        last=last,
        page_address=address,
    )


def marked(text: str, spans: Spans) -> Iterator[tuple[str, bool]]:
    """The pieces of a text in order, each with whether it is one of the spans; the template writes the marks."""
    place = 0
    for start, end in sorted(spans):
        if place <= start < end <= len(text):
            yield text[place:start], False
            yield text[start:end], True
            place = end
    yield text[place:], False


def excerpt(text: str, spans: Spans, *, around: int = 120) -> dict[str, Any]:
    """The part of a long text that holds the first span, whole words, with its spans."""
    first = min((start for start, _ in spans), default=0)
    start = 0 if first <= around else text.rfind(" ", 0, first - around // 2) + 1
    past = len(text)
    if past - start > 2 * around:
        past = text.rfind(" ", start, start + 2 * around)
        past = past if past > start else start + 2 * around
    kept = tuple((max(a, start) - start, min(b, past) - start) for a, b in spans if a >= start and b <= past)
    return {"text": text[start:past], "spans": kept, "before": start > 0, "after": past < len(text)}
