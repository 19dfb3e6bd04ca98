"""Which release a request reads, and pages of lists: questions that every read asks in the same words."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import UTC, date
from typing import Any, NamedTuple
from urllib.parse import urlencode

import marshmallow as ma
from flask import Request, Response, abort, current_app, redirect, request, url_for
from flask_smorest import Blueprint
from webargs.flaskparser import FlaskParser
from webargs.flaskparser import abort as refuse

from api import caching, current
from registry.model import Edition, today
from registry.store import Store

MOVING = ("latest", "current")


VERSION = r"(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})"
IS_VERSION = ma.validate.Regexp(rf"^{VERSION}\Z", error="accepted is a version such as 2.0")
A_DAY: dict[str, Any] = {"invalid": "accepted is a day, such as 2024-03-01"}
_AN_INSTANT: dict[str, Any] = {"invalid": "accepted is an instant, such as 2024-03-01T12:00:00Z"}


class _StrictParser(FlaskParser):
    """webargs drops unknown query parameters before the schema can refuse them; this one leaves them to it.

    It also reads bodies with the standard library's JSON, which takes whatever readers disagree about; this one with
    the application's.
    """

    def __init__(self) -> None:
        super().__init__()
        self.DEFAULT_UNKNOWN_BY_LOCATION = {**self.DEFAULT_UNKNOWN_BY_LOCATION, "query": None}

    def _raw_load_json(self, req: Request) -> Any:
        if not req.is_json:
            abort(415, "Content-Type: accepted is application/json")
        try:
            return current_app.json.loads(req.get_data(cache=True))
        except ValueError as error:
            abort(400, f"the body is not acceptable JSON: {error}"[:500])


class Routes(Blueprint):
    """A blueprint whose routes refuse parameters that they do not declare."""

    ARGUMENTS_PARSER = _StrictParser()


class Query(ma.Schema):
    """Query parameters: an unknown one is refused, since a misspelt ``relase=2.0`` must not read today's release."""

    class Meta:
        """Refuse what is not declared."""

        unknown = ma.RAISE


class ReleaseQuery(Query):
    """Which release: pinned, moving, or in force on a day."""

    release = ma.fields.String(
        validate=ma.validate.Regexp(
            rf"^(latest|current|{VERSION})\Z", error="accepted is a version such as 2.0, `latest` or `current`"
        ),
        metadata={"description": "A version such as 2.0 (pinned), `latest` (the last issued) or `current`"},
    )
    at = ma.fields.Date(
        error_messages=A_DAY, metadata={"description": "The release in force on this day (Europe/Paris)"}
    )
    knownAt = ma.fields.AwareDateTime(
        default_timezone=UTC,
        error_messages=_AN_INSTANT,
        metadata={"description": "… as it was known at this instant"},
    )

    @ma.validates_schema
    def _one_way(self, data: dict[str, Any], **_: Any) -> None:
        if "release" in data and ("at" in data or "knownAt" in data):
            raise ma.ValidationError("`release` is refused beside `at` and `knownAt`", "release")


class PageQuery(Query):
    """Which page of a list."""

    limit = ma.fields.Integer(
        strict=False,
        load_default=100,
        validate=ma.validate.Range(1, 1000),
        metadata={"description": "How many items at most"},
    )
    cursor = ma.fields.String(
        validate=ma.validate.Length(max=500), metadata={"description": "What the page before gave as `cursor`"}
    )


class Reading(NamedTuple):
    """The release that a request reads; ``pinned`` if its address names it, so that the answer never changes."""

    edition: Edition
    pinned: bool


def reading(slug: str, query: dict[str, Any]) -> Reading:
    """The release that the query asks for: ``release``, ``at`` with ``knownAt``, else in force today.

    :raises NotFound: if there is no such nomenclature or release, or none is in force.
    """
    asked = query.get("release")
    if asked and asked not in MOVING:
        return Reading(current.store().edition(slug, asked), True)

    def found(store: Store) -> Edition:
        if asked == "latest":
            return store.latest(slug)
        return store.in_force(slug, query.get("at") or today(), query.get("knownAt"))

    edition = found(current.store())
    caching.follows(edition.version, lambda store: found(store).version)
    return Reading(edition, False)


def moving(slug: str, version: str, endpoint: str) -> Response | None:
    """A redirect to the pinned address where the path says ``latest`` or ``current``, else None.

    :raises NotFound: if there is no such nomenclature, or no such release.
    """
    if version not in MOVING:
        return None
    edition = reading(slug, {"release": version}).edition
    target = url_for(endpoint, slug=slug, version=edition.version)
    query = request.query_string.decode("ascii", "replace")
    response = redirect(f"{target}?{query}" if query else target, 302)
    response.headers["Cache-Control"] = "no-cache"
    response.headers["Vary"] = "Accept, Accept-Encoding"
    return response  # type: ignore[return-value] # werkzeug's Response is Flask's here.


def pinned_address(edition: Edition) -> str:
    """The address of what is read now, pinned to the release that it was read in."""
    return address_with("release", edition.version, without=("at", "knownAt"))


def address_with(name: str, value: str, *, without: Sequence[str] = ()) -> str:
    """The address that is asked for, with another value of one parameter, at its end."""
    kept = [pair for pair in request.args.items(multi=True) if pair[0] not in (name, *without)]
    return f"{request.path}?{urlencode([*kept, (name, value)])}"


def cursor(position: str) -> str:
    """A position in a list as an opaque cursor."""
    return base64.urlsafe_b64encode(position.encode()).decode().rstrip("=")


def position(query: dict[str, Any], read: Callable[[str], Any] = str, *, name: str = "cursor") -> Any:
    """The position that the query's cursor tells, None without one; a cursor that is not ours is refused with 422."""
    given = query.get(name)
    if not given:
        return None
    try:
        told = base64.b64decode(given + "=" * (-len(given) % 4), b"-_", validate=True).decode()
        if "\x00" in told:
            raise ValueError(told)
        return read(told)
    except (ValueError, binascii.Error, UnicodeDecodeError):
        refuse(422, messages={"query": {name: ["accepted is what the page before gave as `cursor`"]}})


def next_link(cursor_: str | None, name: str = "cursor") -> dict[str, str]:
    """The Link header's target of the next page, if there is one; ``name`` is the parameter that takes the cursor."""
    if cursor_ is None:
        return {}
    return {"next": address_with(name, cursor_)}


def listing(items: list[Any], total: int | None, cursor_: str | None) -> dict[str, Any]:
    """A list as every route gives it."""
    return {"items": items, "total": total, "cursor": cursor_}


def day(value: date | None) -> str | None:
    """A day as JSON."""
    return value.isoformat() if value else None
