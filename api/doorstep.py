"""What is kept of answers, and the doorstep where it is given before Flask sees a request.

An answer is kept under all that it depends on, as it was sent. Of those that differ in one code alone, the first leaves
what the others need: its headers, and what makes a body of a code.
"""

from __future__ import annotations

import gzip
import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import brotli

from api import negotiation
from registry.errors import SocleError
from registry.model import today
from registry.signing import sha256
from registry.store import Store

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

KEPT_BYTES = 32_000_000
LARGEST_KEPT = 1_000_000
_SMALLEST_COMPRESSED = 500
_FAMILIES = 256
_ONE_CODE = re.compile(
    r"(?P<before>(?:(?!code=)[^&]*&)*)code=(?P<code>[A-Za-z0-9._~-]{1,300})(?P<after>(?:&(?!code=)[^&]*)*)"
)
"""A query with one parameter ``code``, whose value reads the same however it is read."""
PACKED = ("application/zip", "application/vnd.openxmlformats", "application/vnd.apache.parquet", "font/", "image/png")
"""Media types of bytes that are compressed already, by how they begin: doing it again costs, and gains nothing."""
OTHERWISE = ("HTTP_ACCEPT_DATETIME", "HTTP_PREFER")
"""What asks for another state, or to be read otherwise, in WSGI's words: its answer is neither kept nor a kept one."""
_OF_ITS_OWN = ("HTTP_AUTHORIZATION", "HTTP_COOKIE", "HTTP_RANGE", *OTHERWISE)
"""What a request says of who sends it, or of which part or state it wants: Flask looks at these."""
_OF_A_BODY = ("content-type", "content-length", "content-encoding", "last-modified")

Headers = list[tuple[str, str]]


class Answer(NamedTuple):
    """An answer as it was sent, but for the request's id; ``version`` is what ``reads`` said when it was rendered.

    Of what is too large to be kept there is no body: that it has not changed is known all the same. ``releases`` are
    those that count as read by whoever gets it and says who they are.
    """

    body: bytes | None
    headers: Headers
    unchanged: Headers
    etag: str
    stamp: Any
    version: str = ""
    reads: Callable[[Store], str] | None = None
    releases: frozenset[tuple[str, str]] = frozenset()


class Family(NamedTuple):
    """Answers that differ in one parameter of their address alone: their headers, and what makes a body of its value.

    The headers are those of the first of them, before it was encoded.
    """

    headers: Headers
    stamp: Any
    made: Callable[[str], bytes]
    releases: frozenset[tuple[str, str]]

    def answer(self, value: str, coding: str) -> Answer:
        """The answer for a value, in a content coding, as Flask would send it."""
        body = self.made(value)
        etag, packed = sha256(body), packed_body(body, dict(self.headers)["Content-Type"], coding)
        own: Headers = [("Content-Encoding", coding)] if packed else []
        etag = tag_of(etag, coding) if packed else etag
        body = packed or body
        values = {"ETag": f'"{etag}"', "Content-Length": str(len(body))}
        headers = [*((name, values.get(name, value)) for name, value in self.headers), *own]
        return Answer(body, headers, headers_of_304(headers), etag, self.stamp, releases=self.releases)


class Kept:
    """Rendered answers, the least recently used forgotten first; bounded in bytes. Thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._answers: OrderedDict[tuple[str, ...], Answer] = OrderedDict()
        self._families: OrderedDict[tuple[str, ...], Family] = OrderedDict()
        self._lock = threading.Lock()
        self._size = 0

    def get(self, key: tuple[str, ...]) -> Answer | None:
        """The answer that is kept under a key, right or not any more; None if there is none."""
        with self._lock:
            found = self._answers.get(key)
            if found is not None:
                self._answers.move_to_end(key)
            return found

    def keep(self, key: tuple[str, ...], answer: Answer) -> None:
        """Keep an answer in the place of the one before, and forget whatever has no room any more."""
        with self._lock:
            replaced = self._answers.pop(key, None)
            self._size += _weight(answer) - (_weight(replaced) if replaced else 0)
            self._answers[key] = answer
            while self._size > KEPT_BYTES:
                _, forgotten = self._answers.popitem(last=False)
                self._size -= _weight(forgotten)

    def family(self, key: tuple[str, ...]) -> tuple[Family, str] | None:
        """The family that an answer is of, and its value of what they differ in; None if none is known."""
        if not self._families or (found := _split(key)) is None:
            return None
        family = self._families.get(found[0])
        return None if family is None else (family, found[1])

    def keep_family(self, key: tuple[str, ...], family: Family) -> None:
        """Keep a family by one of its answers, if its address is so plain that no other reading of it is possible."""
        if (found := _split(key)) is not None:
            with self._lock:
                self._families[found[0]] = family
                while len(self._families) > _FAMILIES:
                    self._families.popitem(last=False)

    def stamp(self) -> tuple[str, tuple[int, ...]]:
        """What changes whenever an answer that is not pinned may: the day in Paris, and the registry's stamp."""
        return today().isoformat(), self._store.stamp_of_all()

    def still_right(self, key: tuple[str, ...], found: Answer, stamp: Any) -> Answer | None:
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


def _weight(answer: Answer) -> int:
    return len(answer.body or b"") + 5_000


class Doorstep:
    """WSGI around the application: a request that names nobody gets what is kept for it here, with no more ado.

    A poll that finds nothing new is most of what a registry is asked, and all that Flask does for it comes to the same
    each time: routing, hooks, dressing. What is given here was checked and dressed once, by Flask, for a request that
    differs in nothing that an answer depends on: the host (where only some are trusted), the address, ``Accept``, the
    coding. Whoever sends a token, a cookie, ``Range``, ``Prefer`` or ``Accept-Datetime`` is let in, and so is any other
    method.
    """

    def __init__(self, application: WSGIApplication, kept: Kept, *, hosts: bool) -> None:
        self._application, self._kept, self._hosts = application, kept, hosts

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer from what is kept, or let the application answer."""
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD") or any(name in environ for name in _OF_ITS_OWN):
            return self._application(environ, start_response)
        found = self._found(key_of(environ, hosts=self._hosts))
        if found is None:
            return self._application(environ, start_response)
        identity = ("X-Request-Id", secrets.token_hex(8))
        asked = environ.get("HTTP_IF_NONE_MATCH")
        if asked is not None and names(asked, found.etag):
            start_response("304 NOT MODIFIED", [*found.unchanged, identity])
            return ()
        if found.body is None or (asked is None and "HTTP_IF_MODIFIED_SINCE" in environ):
            return self._application(environ, start_response)
        start_response("200 OK", [*found.headers, identity])
        return (found.body,) if environ["REQUEST_METHOD"] == "GET" else ()

    def _found(self, key: tuple[str, ...]) -> Answer | None:
        found = self._kept.get(key)
        if found is not None and found.stamp is None:
            return found
        try:
            if found is None:
                return self._made(key)
            return self._kept.still_right(key, found, self._kept.stamp())
        except SocleError:  # The database is away, or the answer is a refusal: the application says so.
            return None

    def _made(self, key: tuple[str, ...]) -> Answer | None:
        """The answer of a family of which another one was given before, made and kept."""
        known = self._kept.family(key)
        if known is None or (known[0].stamp is not None and known[0].stamp != self._kept.stamp()):
            return None
        family, value = known
        found = family.answer(value, key[-1])
        if len(found.body or b"") <= LARGEST_KEPT:
            self._kept.keep(key, found)
        return found


def key_of(environ: WSGIEnvironment, *, hosts: bool) -> tuple[str, ...]:
    """All that an answer to anybody depends on; the content coding comes last."""
    return (
        environ.get("HTTP_HOST", "") if hosts else "",
        # A path may hold a question mark of its own: it is not where the query begins.
        environ["PATH_INFO"],
        environ.get("QUERY_STRING", ""),
        environ.get("HTTP_ACCEPT", ""),
        # A part is one of the bytes as they are: a coding may come out otherwise one day, and parts would not fit.
        "" if "HTTP_RANGE" in environ else negotiation.coding(environ.get("HTTP_ACCEPT_ENCODING", "")),
    )


def _split(key: tuple[str, ...]) -> tuple[tuple[str, ...], str] | None:
    """An address without its one value of ``code``, and that value; None if it is not a plain one."""
    match = _ONE_CODE.fullmatch(key[2])
    return match and ((*key[:2], match["before"], match["after"], *key[3:]), match["code"])


def packed_body(body: bytes, media_type: str, coding: str) -> bytes:
    """The body in a content coding; nothing if it is not worth it."""
    if not coding or len(body) < _SMALLEST_COMPRESSED or media_type.startswith(PACKED):
        return b""
    return brotli.compress(body, quality=5) if coding == "br" else gzip.compress(body, 6, mtime=0)


def tag_of(etag: str, coding: str) -> str:
    """The entity tag of what has another tag as it is plain, in a content coding."""
    return f"{etag}-{'br' if coding == 'br' else 'gz'}"


def headers_of_304(headers: Headers) -> Headers:
    """The headers of an answer without those that only a body has."""
    return [pair for pair in headers if pair[0].lower() not in _OF_A_BODY]


def names(asked: str, etag: str) -> bool:
    """Whether If-None-Match names this representation; it compares weakly (RFC 9110 section 13.1.2)."""
    if asked.strip() == "*":
        return True
    return any(_opaque(tag) == etag for tag in asked.split(","))


def _opaque(tag: str) -> str:
    return tag.strip().removeprefix("W/").strip('"')
