"""Entity tags, conditional requests, compression, ranges, and the answers that are kept rendered.

Every GET answers from the registry's state alone. What is pinned to a release never changes, so its rendered answer is
kept and given again as it is; what is not is given again only while the registry's stamp and the day are the same, or
while it still reads the same release. What is kept is kept as it was sent, all headers included: a request that names
nobody gets it before Flask sees the request (``Doorstep``), any other from within.
"""

from __future__ import annotations

import gzip
import secrets
import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import brotli
import orjson
from flask import Flask, Response, g, request
from werkzeug.http import http_date, parse_date

from api import current, negotiation, ranges, sessions
from registry.errors import SocleError
from registry.model import today
from registry.signing import sha256
from registry.store import Store

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PINNED = "public, max-age=31536000, immutable"
KEPT_BYTES = 32_000_000
LARGEST_KEPT = 1_000_000
_SMALLEST_COMPRESSED = 500
_KEY_LENGTH = 2_000
_KEPT_UNDER = (
    *("/api/v1/", "/nomenclatures", "/recherche", "/plan-du-site", "/static/"),
    *("/catalog", "/.well-known/", "/fhir/", "/sdmx/", "/rest/"),
)
_PACKED = ("application/zip", "application/vnd.openxmlformats", "application/vnd.apache.parquet", "font/", "image/png")
"""Media types of bytes that are compressed already, by how they begin: doing it again costs, and gains nothing."""
_OF_ITS_OWN = ("HTTP_AUTHORIZATION", "HTTP_COOKIE", "HTTP_RANGE", "HTTP_ACCEPT_DATETIME")
"""What a request says of who sends it, or of which part or state it wants, in WSGI's words: Flask looks at these."""
_OF_A_BODY = ("content-type", "content-length", "content-encoding", "last-modified")

_Headers = list[tuple[str, str]]


class _Answer(NamedTuple):
    """An answer as it was sent, but for the request's id; ``version`` is what ``reads`` said when it was rendered.

    Of what is too large to be kept there is no body: that it has not changed is known all the same.
    """

    body: bytes | None
    headers: _Headers
    unchanged: _Headers
    etag: str
    stamp: Any
    version: str = ""
    reads: Callable[[Store], str] | None = None


class _Kept:
    """Rendered answers, the least recently used forgotten first; bounded in bytes. Thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store
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

    def stamp(self) -> tuple[str, tuple[int, ...]]:
        """What changes whenever an answer that is not pinned may: the day in Paris, and the registry's stamp."""
        return today().isoformat(), self._store.stamp_of_all()

    def still_right(self, key: tuple[str, ...], found: _Answer, stamp: Any) -> _Answer | None:
        """The answer if it is right at this stamp: nothing changed, or not which release it reads."""
        if found.stamp == stamp:
            return found
        try:
            if found.reads is None or found.reads(self._store) != found.version:
                return None
        except SocleError:  # There is no such release any more: the view says so in its own words.
            return None
        renewed = found._replace(stamp=stamp)
        self.keep(key, renewed)
        return renewed


def _weight(answer: _Answer) -> int:
    return len(answer.body or b"") + 5_000


class Doorstep:
    """WSGI around the application: a request that names nobody gets what is kept for it here, with no more ado.

    A poll that finds nothing new is most of what a registry is asked, and all that Flask does for it comes to the same
    each time: routing, hooks, dressing. What is given here was checked and dressed once, by Flask, for a request that
    differs in nothing that an answer depends on: the host (where only some are trusted), the address, ``Accept``, the
    coding. Whoever sends a token, a cookie, ``Range`` or ``Accept-Datetime`` is let in, and so is any other method.
    """

    def __init__(self, application: WSGIApplication, kept: _Kept, *, hosts: bool) -> None:
        self._application, self._kept, self._hosts = application, kept, hosts

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer from what is kept, or let the application answer."""
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD") or any(name in environ for name in _OF_ITS_OWN):
            return self._application(environ, start_response)
        found = self._found(_key(environ, hosts=self._hosts))
        if found is None:
            return self._application(environ, start_response)
        identity = ("X-Request-Id", secrets.token_hex(8))
        asked = environ.get("HTTP_IF_NONE_MATCH")
        if asked is not None and _names(asked, found.etag):
            start_response("304 NOT MODIFIED", [*found.unchanged, identity])
            return ()
        if found.body is None or (asked is None and "HTTP_IF_MODIFIED_SINCE" in environ):
            return self._application(environ, start_response)
        start_response("200 OK", [*found.headers, identity])
        return (found.body,) if environ["REQUEST_METHOD"] == "GET" else ()

    def _found(self, key: tuple[str, ...]) -> _Answer | None:
        found = self._kept.get(key)
        if found is None or found.stamp is None:
            return found
        try:
            return self._kept.still_right(key, found, self._kept.stamp())
        except SocleError:  # The database is away: the application says so.
            return None


def install(app: Flask) -> None:
    """Answer from what is kept where that is right, and keep what may be given again."""
    with app.app_context():
        kept, hosts = _Kept(current.store()), bool(current.settings().trusted_hosts)

    def before() -> Response | None:
        key = _key(request.environ, hosts=hosts)
        if not _may_be_kept() or sum(map(len, key[:2])) > _KEY_LENGTH:
            return None
        found = kept.get(key)
        # Taken before the view reads: a change that comes in between only costs another rendering.
        stamp = None if found is not None and found.stamp is None else kept.stamp()
        if found is not None and (right := kept.still_right(key, found, stamp)):
            if right.body is not None:
                return conditional(Response(right.body, 200, right.headers), right.etag)
            if _names(request.headers.get("If-None-Match", ""), right.etag):
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
    return mine and not sessions.is_personal() and "Accept-Datetime" not in request.headers


def _keep(kept: _Kept, key: tuple[str, ...], response: Response) -> str:
    """Keep an answer for whoever asks the same, in the coding that was asked for, and say what its tag is then."""
    if response.direct_passthrough:
        etag = _coded_as_it_is_sent(response, g.etag, key[-1])
        kept.keep(key, _as_sent(response, None, etag))
        return etag
    body, etag = _coded(response, g.etag, key[-1])
    kept.keep(key, _as_sent(response, body if len(body) <= LARGEST_KEPT else None, etag))
    return etag


def _coded(response: Response, etag: str, coding: str) -> tuple[bytes, str]:
    """The body in the content coding that is asked for, if it is worth it, and its tag; the answer is changed to it."""
    body = response.get_data()
    if coding and len(body) >= _SMALLEST_COMPRESSED and not (response.mimetype or "").startswith(_PACKED):
        body = brotli.compress(body, quality=5) if coding == "br" else gzip.compress(body, 6, mtime=0)
        response.set_data(body)
        etag = _tagged(response, etag, coding)
    return body, etag


def _tagged(response: Response, etag: str, coding: str) -> str:
    """The tag of an answer in a coding, which is another representation than the plain one; its headers say so."""
    etag = f"{etag}-{'br' if coding == 'br' else 'gz'}"
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
    if not coding or not isinstance(plain, ranges.Streamed) or (response.mimetype or "").startswith(_PACKED):
        return etag
    response.response = _Compressed(plain, coding)
    response.headers.pop("Content-Length")  # Nobody knows it before all is sent.
    return _tagged(response, etag, coding)


def _as_sent(response: Response, body: bytes | None, etag: str) -> _Answer:
    headers = [pair for pair in response.headers.items() if pair[0] != "X-Request-Id"]
    unchanged = [pair for pair in headers if pair[0].lower() not in _OF_A_BODY]
    if response.headers.get("Cache-Control") == PINNED:
        return _Answer(body, headers, unchanged, etag, None)
    # What has a Content-Location follows from the one release that it was read in.
    reads = g.get("reads") if "Content-Location" in response.headers else None
    return _Answer(body, headers, unchanged, etag, g.stamp, g.get("version", ""), reads)


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


def _names(asked: str, etag: str) -> bool:
    """Whether If-None-Match names this representation; it compares weakly (RFC 9110 section 13.1.2)."""
    if asked.strip() == "*":
        return True
    return any(_opaque(tag) == etag for tag in asked.split(","))


def _opaque(tag: str) -> str:
    return tag.strip().removeprefix("W/").strip('"')


def conditional(response: Response, etag: str) -> Response:
    """The answer, or the part of it that is asked for; or a 304 with the headers of a 200 (RFC 9110 section 15.4.5)."""
    asked = request.headers.get("If-None-Match")
    unchanged = asked is not None and _names(asked, etag)
    # A date says nothing of an answer that moves: another release may come into force without being newer.
    if asked is None and response.headers.get("Cache-Control") == PINNED:
        since = parse_date(request.headers.get("If-Modified-Since"))
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


def _key(environ: WSGIEnvironment, *, hosts: bool) -> tuple[str, ...]:
    """All that an answer to anybody depends on; the content coding comes last."""
    return (
        f"{environ.get('HTTP_HOST', '') if hosts else ''}{environ['PATH_INFO']}?{environ.get('QUERY_STRING', '')}",
        environ.get("HTTP_ACCEPT", ""),
        # A part is one of the bytes as they are: a coding may come out otherwise one day, and parts would not fit.
        "" if "HTTP_RANGE" in environ else negotiation.coding(environ.get("HTTP_ACCEPT_ENCODING", "")),
    )


def stamp_taken() -> tuple[int, ...] | None:
    """The registry's stamp as it was taken before this request's view, None if it was not."""
    found: tuple[str, tuple[int, ...]] | None = g.get("stamp")
    return found[1] if found else None
