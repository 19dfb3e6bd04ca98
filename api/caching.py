"""Entity tags, conditional requests, compression, ranges, and the answers that are kept rendered.

Every GET answers from the registry's state alone. What is pinned to a release never changes, so its rendered answer is
kept and given again as it is; what is not is given again only while the registry's stamp and the day are the same, or
while it still reads the same release. What is kept is kept as it was sent, all headers included: a request that names
nobody gets it before Flask sees the request (``Doorstep``), any other from within.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import IO, Any

import brotli
import orjson
from flask import Flask, Response, g, request
from werkzeug.http import http_date, parse_date

from api import consumption, current, negotiation, ranges, sessions
from api.doorstep import (
    LARGEST_KEPT,
    OTHERWISE,
    PACKED,
    Answer,
    Doorstep,
    Family,
    Headers,
    Kept,
    headers_of_304,
    key_of,
    names,
    packed_body,
    tag_of,
)
from registry.signing import sha256
from registry.store import Store

PINNED = "public, max-age=31536000, immutable"
_KEY_LENGTH = 2_000
_KEPT_UNDER = (
    *("/api/v1/", "/nomenclatures", "/recherche", "/plan-du-site", "/static/"),
    *("/catalog", "/.well-known/", "/fhir/", "/sdmx/", "/rest/"),
)


def install(app: Flask) -> None:
    """Answer from what is kept where that is right, and keep what may be given again."""
    with app.app_context():
        kept, hosts = Kept(current.store()), bool(current.settings().trusted_hosts)

    def before() -> Response | None:
        key = key_of(request.environ, hosts=hosts)
        if not _may_be_kept() or sum(map(len, key)) > _KEY_LENGTH:
            return None
        found = kept.get(key)
        # Taken before the view reads: a change that comes in between only costs another rendering.
        stamp = None if found is not None and found.stamp is None else kept.stamp()
        if found is not None and (right := kept.still_right(key, found, stamp)):
            consumption.note(*right.releases)
            if right.body is not None:
                return conditional(Response(right.body, 200, right.headers), right.etag)
            if names(request.headers.get("If-None-Match", ""), right.etag):
                return Response(b"", 304, right.unchanged)
        g.cache_key, g.stamp = key, stamp
        return None

    def after(response: Response) -> Response:
        if response.status_code != 200 or "ETag" not in response.headers or "etag" not in g:
            return response
        # What sets a cookie is somebody's, whatever its address.
        key = None if "Set-Cookie" in response.headers else g.get("cache_key")
        etag = g.etag if key is None else _keep(kept, key, response)
        return conditional(response, etag) if request.method in ("GET", "HEAD") else response

    app.before_request(before)
    # It comes after every other hook, which Flask calls in turn from the last: what is kept is what is sent.
    app.after_request_funcs.setdefault(None, []).insert(0, after)
    app.wsgi_app = Doorstep(app.wsgi_app, kept, hosts=hosts)  # type: ignore[method-assign] # Flask's own way to wrap.


def _may_be_kept() -> bool:
    """Whether this request's answer follows from its address, ``Accept``, the coding and the registry alone."""
    mine = request.path.startswith(_KEPT_UNDER) or request.path == "/"
    # What routing refuses, such as a Host that is not trusted, is raised after this: nothing kept may come first.
    mine = mine and request.routing_exception is None and request.method in ("GET", "HEAD")
    # A page says who is signed in: nothing that was kept is theirs, and nothing of theirs is kept.
    return mine and not sessions.is_personal() and not any(name in request.environ for name in OTHERWISE)


def _keep(kept: Kept, key: tuple[str, ...], response: Response) -> str:
    """Keep an answer for whoever asks the same, in the coding that was asked for, and say what its tag is then."""
    if response.direct_passthrough:
        etag = _coded_as_it_is_sent(response, g.etag, key[-1])
        kept.keep(key, _as_sent(response, None, etag))
        return etag
    headers = _headers(response)
    body, etag = _coded(response, g.etag, key[-1])
    if "made" in g:
        stamp = None if _is_pinned(response) else g.stamp
        kept.keep_family(key, Family(headers, stamp, g.made, consumption.noted()))
    kept.keep(key, _as_sent(response, body if len(body) <= LARGEST_KEPT else None, etag))
    return etag


def _coded(response: Response, etag: str, coding: str) -> tuple[bytes, str]:
    """The body in the content coding that is asked for, if it is worth it, and its tag; the answer is changed to it."""
    body = response.get_data()
    if packed := packed_body(body, response.mimetype or "", coding):
        body = packed
        response.set_data(body)
        etag = _tagged(response, etag, coding)
    return body, etag


def _tagged(response: Response, etag: str, coding: str) -> str:
    """The tag of an answer in a coding, which is another representation than the plain one; its headers say so."""
    etag = tag_of(etag, coding)
    response.headers["ETag"] = f'"{etag}"'
    response.headers["Content-Encoding"] = coding
    return etag


class _Compressed:
    """The bytes of an answer, compressed as they are sent: quickly, since it is done for each request."""

    def __init__(self, plain: ranges.Streamed, coding: str) -> None:
        self._plain, self._coding = plain, coding

    def __iter__(self) -> Iterator[bytes]:
        """Compress piece by piece."""
        if self._coding == "br":
            stream = brotli.Compressor(quality=1)
            add, finish = stream.process, stream.finish
        else:
            deflate = zlib.compressobj(1, wbits=31)
            add, finish = deflate.compress, deflate.flush
        yield from filter(None, map(add, self._plain))
        yield finish()

    def close(self) -> None:
        """Close the file."""
        self._plain.close()


def _coded_as_it_is_sent(response: Response, etag: str, coding: str) -> str:
    """The tag of a stream; the answer is changed to the content coding that is asked for, if it is worth it."""
    plain = response.response
    if not coding or not isinstance(plain, ranges.Streamed) or (response.mimetype or "").startswith(PACKED):
        return etag
    response.response = _Compressed(plain, coding)
    response.headers.pop("Content-Length")  # Nobody knows it before all is sent.
    return _tagged(response, etag, coding)


def _as_sent(response: Response, body: bytes | None, etag: str) -> Answer:
    headers = _headers(response)
    unchanged = headers_of_304(headers)
    if _is_pinned(response):
        return Answer(body, headers, unchanged, etag, None, releases=consumption.noted())
    # What has a Content-Location follows from the one release that it was read in.
    reads = g.get("reads") if "Content-Location" in response.headers else None
    return Answer(body, headers, unchanged, etag, g.stamp, g.get("version", ""), reads, consumption.noted())


def _headers(response: Response) -> Headers:
    return [pair for pair in response.headers.items() if pair[0] != "X-Request-Id"]


def _is_pinned(response: Response) -> bool:
    return response.headers.get("Cache-Control") == PINNED


def alike(made: Callable[[str], bytes]) -> None:
    """Note what makes this answer's body of the value of ``code``, for whoever asks the same of other codes.

    It must give the same bytes as the view: the same status and headers go with them, and nothing but an error of the
    registry's own may come of it.
    """
    if len(request.args.getlist("code")) == 1:
        g.made = made


def follows(version: str, reads: Callable[[Store], str]) -> None:
    """Note which release this request reads, and how to find out whether it would still read that one.

    Of several that it reads, no single one says what the answer follows from.
    """
    g.version, g.reads = version, None if "reads" in g else reads


def answer(
    body: Any,
    *,
    media_type: str = "application/json",
    pinned: bool = False,
    modified: datetime | None = None,
    links: dict[str, str] | None = None,
    location: str = "",
    parts: bool = False,
) -> Response:
    """A 200 answer with its validators; ``body`` is bytes, or what becomes JSON.

    ``pinned`` says that this address will give these bytes for ever. ``links`` are target by relation (RFC 8288).
    ``location`` is where the same bytes are pinned (Content-Location): they follow from the one release that is read.
    ``parts`` says that a client may ask for a range of the bytes.
    """
    negotiation.check(media_type)
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    response = Response(data, mimetype=media_type)
    return _dressed(response, sha256(data), pinned, modified, links, location, parts=parts)


def file_answer(
    file: IO[bytes],
    size: int,
    etag: str,
    *,
    media_type: str,
    pinned: bool,
    modified: datetime,
    links: dict[str, str],
    location: str,
) -> Response:
    """A 200 answer with the bytes of a file, whose hash is known; it is closed once they are sent.

    What is too large to be kept is sent as it is read, and compressed then.
    """
    if size <= LARGEST_KEPT:
        with file:
            data = file.read()
        return answer(
            data, media_type=media_type, pinned=pinned, modified=modified, links=links, location=location, parts=True
        )
    if request.method == "HEAD":
        file.close()  # Nobody reads it.
    response = Response(ranges.Streamed(file, size), mimetype=media_type, direct_passthrough=True)
    response.headers["Content-Length"] = str(size)
    return _dressed(response, etag, pinned, modified, links, location, parts=True)


def _dressed(
    response: Response,
    etag: str,
    pinned: bool,
    modified: datetime | None,
    links: dict[str, str] | None,
    location: str,
    *,
    parts: bool,
) -> Response:
    headers = response.headers
    g.etag = etag
    headers["ETag"] = f'"{etag}"'
    headers["Cache-Control"] = PINNED if pinned else "no-cache"
    headers["Vary"] = "Accept, Accept-Encoding"
    if modified:
        headers["Last-Modified"] = http_date(modified)
    if location:
        headers["Content-Location"] = location
    if parts:
        headers["Accept-Ranges"] = "bytes"
    for relation, target in (links or {}).items():
        headers.add("Link", f'<{target}>; rel="{relation}"')
    return response


def conditional(response: Response, etag: str) -> Response:
    """The answer, or the part of it that is asked for; or a 304 with the headers of a 200 (RFC 9110 section 15.4.5)."""
    asked = request.headers.get("If-None-Match")
    unchanged = asked is not None and names(asked, etag)
    # A date says nothing of an answer that moves: another release may come into force without being newer.
    if asked is None and response.headers.get("Cache-Control") == PINNED:
        since = negotiation.date_of("If-Modified-Since")
        modified = parse_date(response.headers.get("Last-Modified"))
        unchanged = bool(since and modified and modified <= since)
    if not unchanged:
        return ranges.part(response)
    response.close()
    response.status_code = 304
    response.direct_passthrough = False
    response.set_data(b"")
    for name in ("Content-Length", "Content-Encoding", "Content-Type"):
        response.headers.pop(name, None)
    return response


def stamp_taken() -> tuple[int, ...] | None:
    """The registry's stamp as it was taken before this request's view, None if it was not."""
    found: tuple[str, tuple[int, ...]] | None = g.get("stamp")
    return found[1] if found else None
