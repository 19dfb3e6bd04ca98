"""Who is signed in on the pages, and that what their browser sends was meant: session cookie, CSRF, cookies' flags.

The session is a row of the database, known by the SHA-256 of a random id that the browser keeps. A second cookie, which
Flask signs, holds only what forms and the sign-in at a provider are checked against.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from flask import Flask, Request, Response, current_app, g, request, session
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from flask_wtf.csrf import generate_csrf, validate_csrf
from werkzeug.exceptions import Forbidden, HTTPException, SecurityError
from wtforms import ValidationError

from api import current
from registry import access, opening, sessions
from registry.access import Actor
from registry.errors import SocleError, Unauthenticated
from registry.sessions import SESSION_LASTS, Session
from registry.settings import LOOPBACK, Settings

if TYPE_CHECKING:
    from api.provider import Provider

COOKIE = "socle_session"
FORM_COOKIE = "socle_form"
TOKEN_FIELD, TOKEN_HEADER = "csrf_token", "X-CSRF-Token"
_SAME_FOR_ALL = ("/api/v1/", "/static/")
_LONGEST_SECRET = 100


class NotMeant(Forbidden):
    """What a browser sent lacks the token of a form of ours, or came from another site's page."""


class _FormCookie(SecureCookieSessionInterface):
    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """What the browser's cookie holds; without one, nothing is prepared to read it."""
        return super().open_session(app, request) if FORM_COOKIE in request.cookies else SecureCookieSession()

    def get_cookie_secure(self, app: Flask) -> bool:
        """Whether the browser is to send the cookie over HTTPS alone."""
        return _is_secure()


def install(app: Flask, settings: Settings) -> None:
    """Give the application its sessions.

    :raises WrongSetting: if somebody else may read the file of the secret.
    """
    app.secret_key = opening.secret(settings.secret)
    app.session_interface = _FormCookie()
    app.config.update(
        SESSION_COOKIE_NAME=FORM_COOKIE,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        WTF_CSRF_TIME_LIMIT=int(SESSION_LASTS.total_seconds()),
    )
    app.extensions["socle.provider"] = _provider(settings) if settings.oidc_issuer else None
    app.context_processor(lambda: {"visitor": visitor_name(), "csrf_token": generate_csrf})
    app.after_request(_keep_personal)


def _provider(settings: Settings) -> Provider:
    from api.provider import Provider  # It takes long to import, and only a registry with a provider needs it.

    return Provider(settings)


def provider() -> Provider | None:
    """The OpenID provider by which people sign in; None where they do by printed links."""
    return cast("Provider | None", current_app.extensions["socle.provider"])


def actor() -> Actor | None:
    """Who is signed in by this request's cookie; None if nobody is, or not any more."""
    secret = request.cookies.get(COOKIE, "")
    if not secret or len(secret) > _LONGEST_SECRET:
        return None
    try:
        found, g.session = sessions.session_actor(
            current.store(), secret, origin=access.network(request.remote_addr or ""), request=g.request_id
        )
    except Unauthenticated:
        return None
    return found


def signed_in() -> Session | None:
    """The session of this request; None if nobody is signed in."""
    if "session" not in g:
        g.session = None
        actor()
    return cast("Session | None", g.session)


def visitor_name() -> str:
    """What the person who is signed in is called; empty if nobody is, or it can't be known now."""
    if not is_personal():
        return ""
    try:
        found = signed_in()
        return current.store().person(found.person).name if found else ""
    except (SocleError, HTTPException):
        return ""  # An error page is shown too while the database is away.


def is_personal() -> bool:
    """Whether the answer may depend on who is signed in, so that it is nobody else's."""
    return COOKIE in request.cookies and not request.path.startswith(_SAME_FOR_ALL)


def _keep_personal(response: Response) -> Response:
    if is_personal():
        for name in ("ETag", "Last-Modified"):
            response.headers.pop(name, None)
        response.headers["Cache-Control"] = "private, no-store"
        response.headers["Vary"] = "Cookie"
    return response


def check_meant() -> None:
    """Go on only if this write was sent by a page of ours.

    :raises NotMeant: if it comes from another site, or without the token that our forms carry.
    """
    own = {request.host, urlsplit(current.settings().address).netloc}
    if (origin := request.headers.get("Origin")) is not None and _site(origin) not in own:
        raise NotMeant("the Origin is another site's")
    given = request.headers.get(TOKEN_HEADER) or request.form.get(TOKEN_FIELD)
    try:
        validate_csrf(given)
    except ValidationError as error:
        raise NotMeant(f"{TOKEN_HEADER} or {TOKEN_FIELD}: {error}") from error


def _site(origin: str) -> str:
    """The host and port of an origin; empty if it has none, or is no address at all."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def begin(made: Session, response: Response) -> Response:
    """Let the browser keep a new session; what it had before, of this site's, is over."""
    sessions.end_session(current.store(), request.cookies.get(COOKIE, "")[:_LONGEST_SECRET])
    session.clear()
    g.pop("csrf_token", None)
    response.set_cookie(
        COOKIE,
        made.secret,
        max_age=int(SESSION_LASTS.total_seconds()),
        secure=_is_secure(),
        httponly=True,
        samesite="Lax",
        path="/",
    )
    response.headers["Cache-Control"] = "private, no-store"
    return response


def end(response: Response) -> Response:
    """Let the browser forget its session."""
    session.clear()
    g.pop("csrf_token", None)
    response.delete_cookie(COOKIE, secure=_is_secure(), httponly=True, samesite="Lax", path="/")
    return response


def _is_secure() -> bool:
    """Whether cookies go over HTTPS alone: always, but on the machine itself without it."""
    try:
        host = urlsplit(f"//{request.host}").hostname
    except (SecurityError, ValueError):  # A Host that is not trusted, or none, is refused with 400.
        return True
    return not (request.scheme == "http" and host in LOOPBACK)
