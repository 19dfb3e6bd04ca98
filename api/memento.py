"""A nomenclature through time, in the Web's own words: Memento (RFC 7089) and links between versions (RFC 5829).

The address of a nomenclature is its own TimeGate: ``Accept-Datetime`` leads to the release in force then.
A release is as it was from the day on which it came into force, at midnight in Paris: that is its ``Memento-Datetime``.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

from flask import Response, abort, redirect, request, url_for
from werkzeug.http import http_date

from api import current, negotiation
from registry.errors import NotFound
from registry.model import Edition

LINK_FORMAT = "application/link-format"
ACCEPT = "Accept-Datetime"
VARY = f"Accept, Accept-Encoding, {ACCEPT}"
_LAST_YEAR = 9_000
_PARIS = ZoneInfo("Europe/Paris")


def gate(slug: str) -> Response | None:
    """Where ``Accept-Datetime`` leads: 302 to the release in force then, or to the first if none was; else None.

    :raises NotFound: if there is no such nomenclature, or no release of it is or will be in force.
    """
    if ACCEPT not in request.headers:
        return None
    instant = negotiation.date_of(ACCEPT)
    if instant is None or instant.year > _LAST_YEAR:
        abort(400, f"{ACCEPT}: accepted is a date such as Thu, 01 Jan 2026 00:00:00 GMT")
    response = redirect(_address(_in_force(slug, instant.astimezone(_PARIS).date())), 302)
    response.headers["Cache-Control"] = "no-cache"
    response.headers["Vary"] = VARY
    for relation, target in origin(slug).items():
        response.headers.add("Link", f'<{target}>; rel="{relation}"')
    return response  # type: ignore[return-value] # werkzeug's Response is Flask's here.


def _in_force(slug: str, day: date) -> Edition:
    try:
        return current.store().in_force(slug, day)
    except NotFound:
        if first := next(iter(_known(slug)), None):
            return first
        raise


def _known(slug: str) -> list[Edition]:
    """The releases that are not withdrawn, by the day from which they are in force."""
    kept = [edition for edition in current.store().editions(slug) if edition.withdrawn_at is None]
    return sorted(kept, key=lambda edition: (edition.valid_from, edition.number))


def _address(edition: Edition) -> str:
    return url_for("releases.release", slug=edition.nomenclature, version=edition.version)


def moment(edition: Edition) -> str:
    """``Memento-Datetime``: when a release came, or comes, into force."""
    # Midnight in Paris is the day before elsewhere, and there is none before the first of all days.
    midnight = datetime.combine(edition.valid_from, time(), _PARIS if edition.valid_from > date.min else UTC)
    return http_date(midnight)


def origin(slug: str) -> dict[str, str]:
    """Links to what a release is a memento of, and to the list of all of them."""
    whole = url_for("nomenclatures.nomenclature", slug=slug)
    return {"original timegate": whole, "timemap": url_for("nomenclatures.timemap", slug=slug)}


def versions(edition: Edition) -> dict[str, str]:
    """Links from a release to others, as far as they never change: its successor is not known when it is published."""
    releases = url_for("releases.releases", slug=edition.nomenclature)
    before = {"predecessor-version": f"{releases}/{edition.predecessor}"} if edition.predecessor else {}
    return {"latest-version": f"{releases}/latest", **before, "version-history": releases}


def as_memento(response: Response, edition: Edition) -> Response:
    """An answer that gives the whole of a release, with what says of when it is."""
    response.headers["Memento-Datetime"] = moment(edition)
    for relation, target in origin(edition.nomenclature).items():
        response.headers.add("Link", f'<{target}>; rel="{relation}"')
    return response


def timemap(slug: str) -> bytes:
    """Every release with the moment from which it is in force, as links (RFC 6690).

    :raises NotFound: if there is no such nomenclature.
    """
    known, links = _known(slug), origin(slug)
    span = f'; from="{moment(known[0])}"; until="{moment(known[-1])}"' if known else ""
    lines = [
        f'<{links["original timegate"]}>; rel="original timegate"',
        f'<{links["timemap"]}>; rel="self"; type="{LINK_FORMAT}"{span}',
    ]
    for place, edition in enumerate(known):
        ends = ("first ",) * (place == 0) + ("last ",) * (place == len(known) - 1)
        lines.append(f'<{_address(edition)}>; rel="{"".join(ends)}memento"; datetime="{moment(edition)}"')
    return ",\n".join(lines).encode() + b"\n"
