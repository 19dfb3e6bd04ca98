"""What every request must respect before a view sees it, and what every answer carries."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable
from io import BytesIO
from typing import IO, Any, NoReturn

from flask import Flask, Request, Response, abort, current_app, g, request
from flask.globals import request_ctx
from flask.json.provider import DefaultJSONProvider
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import RoutingException

from api import access, sessions
from registry.access import BY_SESSION
from registry.settings import Settings

MAX_BODY = 5_000_000
_MAX_QUERY = 16_000
_MAX_DEPTH = 50
_MAX_INTEGER = 2**53
_API = "/api/"
_FOR_SOFTWARE = (_API, "/reconcile/", "/fhir/", "/sdmx/", "/rest/", "/catalog", "/.well-known/")
"""What is for other programs, on pages of any origin too: no form of ours sends anything there."""
_READS = ("GET", "HEAD", "OPTIONS")

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; manifest-src 'self'"
)


class StrictJSON(DefaultJSONProvider):
    """JSON that refuses what readers disagree about: repeated keys, huge integers, NaN, deep nesting."""

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        """The value of a JSON text in UTF-8.

        :raises ValueError: if it is not JSON, or is refused.
        """
        text = s.decode("utf-8") if isinstance(s, bytes) else s
        try:
            value = json.loads(text, object_pairs_hook=_once, parse_int=_integer, parse_constant=_refuse)
        except RecursionError as error:
            raise ValueError("nested too deep") from error
        level, depth = [value], 0
        while level := [inner for outer in level if isinstance(outer, list | dict) for inner in _inside(outer)]:
            depth += 1
            if depth > _MAX_DEPTH:
                raise ValueError(f"nested deeper than {_MAX_DEPTH}")
            if not all(_is_text(inner) for inner in level if isinstance(inner, str)):
                raise ValueError("a text holds NUL or half a surrogate pair")
        return value


def _inside(value: list[Any] | dict[str, Any]) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value


_NO_TEXT = re.compile("[\x00\ud800-\udfff]")


def _is_text(value: str) -> bool:
    """Whether both databases can be asked about it: PostgreSQL refuses NUL, and neither takes a lone surrogate."""
    return _NO_TEXT.search(value) is None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is repeated")
    return found


def _integer(text: str) -> int:
    if len(text) > 17 or abs(int(text)) > _MAX_INTEGER:
        raise ValueError("an integer is beyond 2^53")
    return int(text)


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)


class InMemory(Request):
    """A request whose files stay in memory: the body bounds them, and what people send has no place on a disk."""

    def _get_file_stream(
        self,
        total_content_length: int | None,
        content_type: str | None,
        filename: str | None = None,
        content_length: int | None = None,
    ) -> IO[bytes]:
        return BytesIO()


def protect(app: Flask, settings: Settings) -> None:
    """Check requests and dress answers, on the whole application."""
    app.request_class = InMemory
    app.config["MAX_CONTENT_LENGTH"] = app.config["MAX_FORM_MEMORY_SIZE"] = MAX_BODY
    if settings.trusted_hosts:
        app.config["TRUSTED_HOSTS"] = list(settings.trusted_hosts)
    if settings.proxies:
        # The address alone: what the service is called, SOCLE_PUBLIC_URL says.
        behind = ProxyFix(app.wsgi_app, x_for=settings.proxies, x_proto=0, x_host=0)
        app.wsgi_app = behind  # type: ignore[method-assign] # Flask's own way to wrap.
    app.before_request(_check_request)
    app.after_request(_dress)


def _check_request() -> None:
    g.request_id = secrets.token_hex(8)
    if len(request.query_string) > _MAX_QUERY:
        abort(414)
    if not all(_is_text(text) for text in (request.path, *(part for pair in _asked() for part in pair))):
        abort(400, "the address holds NUL or half a surrogate pair")
    if request.path.startswith(_API) and "Authorization" in request.headers:
        # Even what is open to all is refused to a token that is not good: whoever sent it counts on it.
        access.actor()
    if request.method not in _READS and request.routing_exception is None:
        _check_body()
        # Other sites' pages can have a browser send its cookies, and never a token: what a form sends is meant if it
        # holds what our form held. Whoever reads by POST changes nothing.
        if not request.path.startswith(_FOR_SOFTWARE) or (
            access.actor().door == BY_SESSION and not _is_open(request.method)
        ):
            sessions.check_meant()


def _check_body() -> None:
    # Granian hands over what it has of a chunked or unfinished body as if it were whole.
    if request.headers.get("Transfer-Encoding"):
        abort(411, "a body is sent whole, with its Content-Length, and never in chunks")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        abort(415, "Content-Encoding is not accepted")
    if request.content_length is None:
        # Neither has a body then (RFC 9112, section 6.3): a view that wants one says that it is empty.
        if request.method not in ("DELETE", "PUT"):
            abort(411, f"{request.method} needs a Content-Length, be it 0")
    elif request.content_length > MAX_BODY:
        abort(413)
    elif len(request.get_data(cache=True)) != request.content_length:
        abort(400, "the body is shorter than Content-Length")


def _asked() -> Iterable[tuple[str, str]]:
    return request.args.items(multi=True)


def _dress(response: Response) -> Response:
    headers = response.headers
    headers.setdefault("Content-Security-Policy", POLICY)
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "same-origin"
    headers["X-Request-Id"] = g.get("request_id", "")
    if response.status_code == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="socle"'
    if request.path.startswith(_FOR_SOFTWARE):
        headers.setdefault("Vary", "Accept, Accept-Encoding")
    # The IRIs of concepts and of what belongs to them lead there, wherever the page is that follows them.
    if (request.path.startswith(_FOR_SOFTWARE) or request.blueprint == "linked_data") and _is_open(request.method):
        headers["Access-Control-Allow-Origin"] = "*"
        headers["Access-Control-Expose-Headers"] = "ETag, Link, Location, Content-Location, X-Request-Id"
        if request.method == "OPTIONS":
            allowed = [method.strip() for method in headers.get("Allow", "GET, HEAD, OPTIONS").split(",")]
            headers["Access-Control-Allow-Methods"] = ", ".join(method for method in allowed if _is_open(method))
            headers["Access-Control-Allow-Headers"] = "Accept, Content-Type, If-None-Match, If-Modified-Since"
            headers["Access-Control-Max-Age"] = "86400"
    return response


def _is_open(method: str) -> bool:
    """Whether pages of other origins may send this request: they may read, by POST too where a view says so."""
    if method in _READS:
        return True
    routes = request_ctx.url_adapter
    if routes is None:  # The Host is not a trusted one.
        return False
    try:
        endpoint, _ = routes.match(request.path, method)
    except (HTTPException, RoutingException):
        return False
    return access.operation_of(current_app.view_functions[endpoint]) == access.OPEN
