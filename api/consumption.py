"""Counting which releases are read by those who say who they are: after the answer, in memory, by organisation."""

from __future__ import annotations

import re
import threading

from flask import Flask, Response, g, request

from api import current
from registry.consumers import Tally

_READ = re.compile(
    r"/api/v1/nomenclatures/([a-z0-9][a-z0-9-]{0,62})/(?:concepts|tree|export|diff|releases/([0-9.]{1,20}))(?:/|\Z)"
)
_FEEDS = ("/api/v1/changes", "/api/v1/changes.atom", "/api/v1/log/checkpoint")
_VERSION = re.compile(r"[0-9]{1,6}\.[0-9]{1,6}")
_RELEASE = re.compile(r"[?&]release=([0-9.]{1,20})(?:&|\Z)|/releases/([0-9.]{1,20})(?:[/?]|\Z)")
_LONGEST_TOKEN = 200
_NOTED = "socle_read"


def install(app: Flask) -> None:
    """Count each read of a release by a bearer token, and write the counts now and then, beside the requests."""
    tally = Tally()
    app.extensions["socle.tally"] = tally

    def after(response: Response) -> Response:
        token = _token()
        if token and response.status_code in (200, 206, 304):
            read = _read(response) if request.method == "GET" else None
            for one in noted().union((read,) if read else ()):
                tally.note(token, *one)
        if tally.is_due:
            threading.Thread(target=tally.write, args=(current.store(),), daemon=True).start()
        return response

    app.after_request(after)


def note(*releases: tuple[str, str]) -> None:
    """Say that this request reads releases: for the doors, whose addresses do not tell as those of the API do."""
    setattr(g, _NOTED, noted().union(releases))


def noted() -> frozenset[tuple[str, str]]:
    """The releases that this request was said to read."""
    found: frozenset[tuple[str, str]] = g.get(_NOTED, frozenset())
    return found


def _token() -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" and len(token) <= _LONGEST_TOKEN else ""


def _read(response: Response) -> tuple[str, str] | None:
    """The nomenclature and release that were read (empty: whichever is the last), None if none was."""
    if request.path in _FEEDS:
        return request.args.get("nomenclature", ""), ""
    match = _READ.match(request.path)
    if match is None:
        return None
    named = _RELEASE.search(response.headers.get("Content-Location", ""))
    told = match[2] or request.args.get("to") or request.args.get("release") or ""
    if not _VERSION.fullmatch(told):
        told = (named[1] or named[2]) if named else ""
    return match[1], told
