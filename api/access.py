"""Who sends a request, what a route needs of them, and on what conditions a write is done."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import nullcontext
from functools import wraps
from typing import Any, TypeVar, cast

import orjson
from flask import Response, abort, g, make_response, request
from flask_smorest import Blueprint
from webargs.flaskparser import abort as refuse

from api import caching, current, negotiation, sessions
from registry import access
from registry.access import Actor
from registry.errors import Stale, Unauthenticated
from registry.model import SLUG, today
from registry.signing import sha256
from registry.store.people import KeptAnswer

OPEN = "open"
"""What a route that reads by POST declares to need."""

OPERATION, ORGANISATION, IF_MATCH, IDEMPOTENT = "x-operation", "x-organisation", "x-if-match", "x-idempotent"
"""What a route's description says of the operation it does and its conditions, beside the standard's members."""

_KEY = re.compile(r"[\x21-\x7e]{1,200}")
_CODING = re.compile(r'-(br|gz)"$')
_REPEATED = ("Content-Type", "ETag", "Location")
_CONDITIONAL = "If-Match is needed, with the ETag of what was read"
_OR_NEW = "; or If-None-Match: * for what is not there yet"

_View = TypeVar("_View", bound=Callable[..., Any])


def actor() -> Actor:
    """Who sends this request: the owner of its bearer token, whoever is signed in by its cookie, or anybody.

    :raises Unauthenticated: if it carries an Authorization that is not a good token.
    """
    if "actor" not in g:
        g.actor = _actor()
    return cast(Actor, g.actor)


def _actor() -> Actor:
    given = request.headers.get("Authorization", "")
    origin = access.network(request.remote_addr or "")
    if not given:
        return sessions.actor() or Actor(origin=origin, request=g.request_id)
    scheme, _, token = given[:200].partition(" ")
    if scheme.lower() != "bearer" or len(given) > 200:
        raise Unauthenticated("Authorization: accepted is a bearer token")
    return access.token_actor(current.store(), token, today(), origin=origin, request=g.request_id)


def needs(
    operation: str, *, organisation: str = "", if_match: bool = False, or_new: bool = False
) -> Callable[[_View], _View]:
    """Say which of ``access.OPERATIONS`` a view does (or that it is ``open``), and refuse whoever may not.

    It stands right under the route, above ``arguments``: whoever may not is told so before the body is looked at.
    ``organisation`` is the view's argument that names the organisation, where the role must be held in it.
    ``if_match`` asks for the header If-Match, which the view then compares by ``unchanged``; with ``or_new`` a client
    that makes something new sends ``If-None-Match: *`` instead.

    What is private to those who may is in no shared cache, nor kept by this application. The description of the
    operation says all this; the tests try each write, described so, in every role.
    """

    def decorated(view: _View) -> _View:
        @wraps(view)
        def checked(*args: Any, **kwargs: Any) -> Any:
            if operation == OPEN:
                return view(*args, **kwargs)
            one = kwargs.get(organisation, "")
            with access.refusing(current.store(), actor(), operation, _named(kwargs), organisation=one):
                if request.method not in ("GET", "HEAD"):
                    negotiation.check("application/json")
                new = or_new and request.headers.get("If-None-Match") == "*"
                if if_match and "If-Match" not in request.headers and not new:
                    abort(428, description=_CONDITIONAL + (_OR_NEW if or_new else ""))
                g.pop("cache_key", None)
                return _private(make_response(view(*args, **kwargs)))

        described: dict[str, Any] = {OPERATION: operation}
        if operation != OPEN:
            described["security"] = [{"bearer": []}] if access.OPERATIONS[operation] else [{}, {"bearer": []}]
        if organisation:
            described[ORGANISATION] = organisation
        if if_match:
            described[IF_MATCH] = "or new" if or_new else "always"
        return cast(_View, Blueprint.doc(**described)(checked))

    return decorated


def operation_of(view: Callable[..., Any]) -> str:
    """The operation that a view declared to need; empty if it declared none."""
    return str(getattr(view, "_apidoc", {}).get("manual_doc", {}).get(OPERATION, ""))


def _named(arguments: dict[str, Any]) -> str:
    """The request as the journal names it: its route, and those arguments that can be nobody's name or address."""
    known = " ".join(str(value) for value in arguments.values() if SLUG.fullmatch(str(value)))
    return f"{request.method} {request.url_rule} {known}".strip()


def _private(response: Response) -> Response:
    if request.method in ("GET", "HEAD") and "etag" in g:
        response.headers["Cache-Control"] = "private, no-cache"
        response.headers["Vary"] = "Accept, Accept-Encoding, Authorization"
        return caching.conditional(response, g.etag)
    response.headers["Cache-Control"] = "no-store"
    return response


def done(document: Any = None, status: int = 200, *, location: str = "") -> Response:
    """What a write answers: the document as it is then, with the entity tag for the next one; nothing with 204."""
    if document is None:
        return Response(status=204)
    body = orjson.dumps(document)
    response = Response(body, status, mimetype="application/json")
    response.headers["ETag"] = f'"{sha256(body)}"'
    if location:
        response.headers["Location"] = location
    return response


def etag(document: Any) -> str:
    """The entity tag of a document that is read as JSON, for ``unchanged``."""
    return sha256(orjson.dumps(document))


def unchanged(etag: str) -> None:
    """Go on only if what is to be changed still has the entity tag that the client read, or sends ``*``.

    Call it in the transaction that changes (``store.at_once``), with the tag that a GET would have now. The codings of
    one representation share what they say, so any of their tags will do.

    :raises Stale: if it has another one.
    """
    if not is_asked(etag):
        raise Stale(f'If-Match: the entity tag is now "{etag}"')


def is_asked(etag: str) -> bool:
    """Whether If-Match names this entity tag, or any."""
    given = request.headers.get("If-Match")
    if given is None:
        abort(428, description=_CONDITIONAL)
    tags = [_CODING.sub('"', tag.strip()) for tag in given.split(",")]
    return "*" in tags or f'"{etag}"' in tags


def once(*, without: str = "", long: bool = False) -> Callable[[_View], _View]:
    """Have a view that creates do so once for each Idempotency-Key: a repeated request gets the first one's answer.

    It stands under ``needs`` and above ``arguments``. The view runs in one transaction with the kept answer, for which
    it must not wait long on anything. Answers are kept for 24 hours, by actor; refusals are not, so that what was
    mended can be sent again. A view that takes ``long`` has no transaction around it, so that others can write
    meanwhile: it must by itself do nothing twice. ``without`` is a member of the JSON answer that is never kept: a
    secret, shown once.

    The same key with another request is refused with 422.
    """

    def decorated(view: _View) -> _View:
        @wraps(view)
        def repeatable(*args: Any, **kwargs: Any) -> Any:
            key = request.headers.get("Idempotency-Key")
            if key is None:
                return view(*args, **kwargs)
            if not _KEY.fullmatch(key):
                refuse(422, messages={"headers": {"Idempotency-Key": ["accepted are 1 to 200 printable characters"]}})
            who = actor().person or f"anonymous {actor().origin}"
            asked = sha256(b"\n".join((request.method.encode(), request.full_path.encode(), request.get_data())))
            store = current.store()
            with nullcontext() if long else store.at_once():
                kept = store.kept_answer(who, key)
                if kept is None:
                    response = make_response(view(*args, **kwargs))
                    if response.status_code < 400:
                        store.keep_answer(who, key, _kept(response, asked, without))
                    return response
            if kept.request != asked:
                refuse(422, messages={"headers": {"Idempotency-Key": ["it was sent with another request"]}})
            return Response(kept.body, kept.status, kept.headers)

        return cast(_View, Blueprint.doc(**{IDEMPOTENT: True})(repeatable))

    return decorated


def _kept(response: Response, asked: str, without: str) -> KeptAnswer:
    headers = {name: response.headers[name] for name in _REPEATED if name in response.headers}
    body = response.get_data()
    if without:
        body = orjson.dumps({**orjson.loads(body), without: None})
    return KeptAnswer(asked, response.status_code, headers, body)
