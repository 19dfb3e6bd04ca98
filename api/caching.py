"""Entity tags, conditional requests, compression, and the answers that are kept rendered.

Every GET answers from the registry's state alone. What is pinned to a release never changes, so its rendered answer is
kept and given again as it is; what is not is given again only while the registry's stamp and the day are the same.
"""

from __future__ import annotations

import gzip
import threading
from collections import OrderedDict
from datetime import datetime
from typing import Any, NamedTuple

import brotli
import orjson
from flask import Flask, Response, g, request
from werkzeug.http import http_date, parse_date

from api import current, negotiation, sessions
from registry.model import today
from registry.signing import sha256

PINNED = "public, max-age=31536000, immutable"
KEPT_BYTES = 32_000_000
LARGEST_KEPT = 1_000_000
_SMALLEST_COMPRESSED = 500
_KEY_LENGTH = 2_000
_KEPT_UNDER = (
    *("/api/v1/", "/nomenclatures", "/recherche", "/plan-du-site", "/static/"),
    *("/catalog", "/.well-known/", "/fhir/", "/sdmx/", "/rest/"),
)


class _Answer(NamedTuple):
    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...]
    etag: str
    stamp: Any


class _Kept:
    """Rendered answers, the least recently used forgotten first; bounded in bytes. Thread-safe."""

    def __init__(self) -> None:
        self._answers: OrderedDict[tuple[str, ...], _Answer] = OrderedDict()
        self._lock = threading.Lock()
        self._size = 0

    def get(self, key: tuple[str, ...]) -> _Answer | None:
        with self._lock:
            found = self._answers.get(key)
            if found is not None:
                self._answers.move_to_end(key)
            return found

    def keep(self, key: tuple[str, ...], answer: _Answer) -> None:
        with self._lock:
            replaced = self._answers.pop(key, None)
            self._size += _weight(answer) - (_weight(replaced) if replaced else 0)
            self._answers[key] = answer
            while self._size > KEPT_BYTES:
                _, forgotten = self._answers.popitem(last=False)
                self._size -= _weight(forgotten)


def _weight(answer: _Answer) -> int:
    return len(answer.body) + 3_000


def install(app: Flask) -> None:
    """Answer from what is kept where that is right, and keep what may be given again."""
    kept = _Kept()

    def before() -> Response | None:
        # What routing refuses, such as a Host that is not trusted, is raised after this: nothing kept may come first.
        mine = request.path.startswith(_KEPT_UNDER) or request.path == "/"
        # A page says who is signed in: nothing that was kept is theirs, and nothing of theirs is kept.
        mine = mine and request.routing_exception is None and not sessions.is_personal()
        if request.method not in ("GET", "HEAD") or not mine:
            return None
        url = request.full_path
        if len(url) > _KEY_LENGTH:
            return None
        key = (url, request.headers.get("Accept", ""), _encoding())
        found = kept.get(key)
        if found is not None and found.stamp is None:
            return _given_again(found)
        # Taken before the view reads: a change that comes in between only costs another rendering.
        stamp = _stamp()
        if found is not None and found.stamp == stamp:
            return _given_again(found)
        g.cache_key, g.stamp = key, stamp
        return None

    def after(response: Response) -> Response:
        key = g.get("cache_key")
        if key is None or response.status_code != 200 or response.direct_passthrough or "etag" not in g:
            return response
        body = response.get_data()
        etag = g.etag
        if len(body) >= _SMALLEST_COMPRESSED and key[2]:
            body = brotli.compress(body, quality=5) if key[2] == "br" else gzip.compress(body, 6, mtime=0)
            etag = f"{etag}-{'br' if key[2] == 'br' else 'gz'}"
            response.set_data(body)
            response.headers["Content-Encoding"] = key[2]
        response.headers["ETag"] = f'"{etag}"'
        if len(body) <= LARGEST_KEPT:
            pinned = response.headers.get("Cache-Control") == PINNED
            headers = tuple(response.headers.items())
            kept.keep(key, _Answer(response.status_code, body, headers, etag, None if pinned else g.stamp))
        return conditional(response, etag)

    app.before_request(before)
    app.after_request(after)


def answer(
    body: Any,
    *,
    media_type: str = "application/json",
    pinned: bool = False,
    modified: datetime | None = None,
    links: dict[str, str] | None = None,
    location: str = "",
) -> Response:
    """A 200 answer with its validators; ``body`` is bytes, or what becomes JSON.

    ``pinned`` says that this address will give these bytes for ever. ``links`` are target by relation (RFC 8288).
    ``location`` is where the same bytes are pinned (Content-Location).
    """
    negotiation.check(media_type)
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    response = Response(data, mimetype=media_type)
    headers = response.headers
    g.etag = sha256(data)
    headers["ETag"] = f'"{g.etag}"'
    headers["Cache-Control"] = PINNED if pinned else "no-cache"
    headers["Vary"] = "Accept, Accept-Encoding"
    if modified:
        headers["Last-Modified"] = http_date(modified)
    if location:
        headers["Content-Location"] = location
    for relation, target in (links or {}).items():
        headers.add("Link", f'<{target}>; rel="{relation}"')
    return response


def _not_modified(etag: str) -> bool:
    """Whether the client holds this representation already (If-None-Match compares weakly, RFC 9110 section 13.1.2)."""
    asked = request.headers.get("If-None-Match")
    if asked is None:
        return False
    if asked.strip() == "*":
        return True
    return any(_opaque(tag) == etag for tag in asked.split(","))


def _opaque(tag: str) -> str:
    return tag.strip().removeprefix("W/").strip('"')


def conditional(response: Response, etag: str) -> Response:
    """The answer, or a 304 with the headers that a 200 would have had (RFC 9110 section 15.4.5)."""
    unchanged = _not_modified(etag)
    # A date says nothing of an answer that moves: another release may come into force without being newer.
    if request.headers.get("If-None-Match") is None and response.headers.get("Cache-Control") == PINNED:
        since = parse_date(request.headers.get("If-Modified-Since"))
        modified = parse_date(response.headers.get("Last-Modified"))
        unchanged = bool(since and modified and modified <= since)
    if unchanged:
        response.close()
        response.status_code = 304
        response.direct_passthrough = False
        response.set_data(b"")
        for name in ("Content-Length", "Content-Encoding", "Content-Type"):
            response.headers.pop(name, None)
    return response


def _encoding() -> str:
    """The content coding to use: br, gzip, or none."""
    asked = request.headers.get("Accept-Encoding", "")
    if "br" not in asked and "gzip" not in asked:
        return ""
    accepted = request.accept_encodings
    return next((coding for coding in ("br", "gzip") if accepted[coding] > 0), "")


def _stamp() -> tuple[str, tuple[int, ...]]:
    return today().isoformat(), current.store().stamp_of_all()


def stamp_taken() -> tuple[int, ...] | None:
    """The registry's stamp as it was taken before this request's view, None if it was not."""
    found: tuple[str, tuple[int, ...]] | None = g.get("stamp")
    return found[1] if found else None


def _given_again(found: _Answer) -> Response:
    return conditional(Response(found.body, found.status, found.headers), found.etag)
