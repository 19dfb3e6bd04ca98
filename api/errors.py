"""What went wrong, as ``application/problem+json`` (RFC 9457): one table from error to status."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import orjson
from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from api import negotiation
from registry.errors import (
    AlreadyPublished,
    Busy,
    Conflict,
    Damaged,
    Forbidden,
    Invalid,
    KeyRefused,
    NotFound,
    Problem,
    SocleError,
    Stale,
    TooLarge,
    Unauthenticated,
    Unverified,
    VotesMissing,
)

STATUS: tuple[tuple[type[SocleError], int, str, str, str], ...] = (
    (Invalid, 422, "invalid", "The content breaks rules", "Le contenu ne respecte pas les règles"),
    (NotFound, 404, "not-found", "Not found", "Introuvable"),
    (
        VotesMissing,
        409,
        "votes-missing",
        "The committee has not approved this",
        "Contenu non approuvé par le comité",
    ),
    (Unauthenticated, 401, "unauthenticated", "Who acts is not known", "Authentification nécessaire"),
    (Forbidden, 403, "forbidden", "This needs another role", "Rôle insuffisant"),
    (Stale, 412, "stale", "It has changed since it was read", "Modifié entre-temps"),
    (KeyRefused, 500, "key-refused", "The signing key can't be used", "Clé de signature inutilisable"),
    (Unverified, 422, "unverified", "Verification failed", "Vérification en échec"),
    (AlreadyPublished, 409, "already-published", "Already published", "Déjà publié"),
    (Conflict, 409, "conflict", "Conflict", "Conflit : quelqu'un est passé avant"),
    (TooLarge, 413, "too-large", "Too large", "Trop volumineux"),
    (Busy, 503, "busy", "Try again later", "Réessayez plus tard"),
    (Damaged, 500, "integrity", "Stored content is damaged", "Intégrité : contenu enregistré altéré"),
)
"""(error, status, last part of the type, title, French title); the first class that fits decides."""

WORDS = {
    400: ("Bad request", "Requête mal formée"),
    401: ("Unauthorized", "Authentification nécessaire"),
    403: ("Forbidden", "Rôle insuffisant"),
    404: ("Not found", "Introuvable"),
    405: ("Method not allowed", "Méthode non admise à cette adresse"),
    406: ("Not acceptable", "Aucun des formats acceptés n'est proposé"),
    408: ("Request timeout", "La requête n'est pas arrivée entière"),
    409: ("Conflict", "Conflit : quelqu'un est passé avant"),
    411: ("Length required", "Content-Length est exigé"),
    412: ("Precondition failed", "Modifié entre-temps"),
    413: ("Too large", "Trop volumineux"),
    414: ("URI too long", "Adresse trop longue"),
    415: ("Unsupported media type", "Type de contenu non admis"),
    416: ("No such part", "Aucune partie à cet endroit"),
    422: ("Parameters are refused", "Paramètres refusés"),
    428: ("Precondition required", "If-Match est exigé"),
    431: ("Headers too large", "En-têtes trop longs"),
    500: ("Internal error", "Erreur du service"),
    503: ("Try again later", "Réessayez plus tard"),
}
"""Title and French title by status; our own, since types are made of them and ``http.HTTPStatus`` changes its mind."""

PROBLEM = "application/problem+json"

_log = logging.getLogger("socle")


FOR_SOFTWARE = ("/api/", "/reconcile/", "/catalog", "/.well-known/", "/livez", "/readyz", "/metrics")
"""What begins so answers errors with problems; people read pages elsewhere."""


def handle(
    app: Flask,
    page: Callable[[Exception, Response], Response],
    doors: Mapping[str, Callable[[Response], Response]],
) -> None:
    """Answer every error of the application with a problem, or with what is made of it: a ``page`` where people read.

    ``doors`` are by the beginning of their addresses: each tells a problem in the shape that its clients know.
    """

    def told(answer: Callable[[Any], Response]) -> Callable[[Any], Response]:
        def response(error: Exception) -> Response:
            found = answer(error)
            for beginning, shape in doors.items():
                if f"{request.path}/".startswith(beginning) and found.mimetype == PROBLEM:
                    return _reshaped(found, shape(found))
            if found.mimetype != PROBLEM or request.path.startswith(FOR_SOFTWARE) or not _reads_pages():
                return found
            return page(error, found)

        return response

    app.register_error_handler(SocleError, told(_socle_error))
    app.register_error_handler(HTTPException, told(_http_error))
    app.register_error_handler(UnicodeError, told(lambda error: problem(400, "bad-request", "Bad request", str(error))))
    app.register_error_handler(Exception, told(_unexpected))


def _reshaped(problem: Response, shaped: Response) -> Response:
    """A problem in another shape, with the status and the headers that it had."""
    shaped.status_code = problem.status_code
    for name, value in problem.headers.items():
        if name not in ("Content-Type", "Content-Length"):
            shaped.headers.setdefault(name, value)
    return shaped


def _reads_pages() -> bool:
    """Whether the client takes HTML before JSON: a browser does, and so does whoever does not say."""
    return negotiation.accepted().best_match(["text/html", PROBLEM, "application/json"]) in ("text/html", None)


def problem(status: int, kind: str, title: str, detail: str = "", *, french: str = "", **more: Any) -> Response:
    """A problem as a response. ``kind`` is the last part of its type; ``more`` are members beside the standard's."""
    body = {
        "type": f"urn:socle:problem:{kind}",
        "title": title,
        "titleFr": french or WORDS.get(status, ("", title))[1],
        "status": status,
        **({"detail": detail} if detail else {}),
        **more,
        "request_id": g.get("request_id", ""),
    }
    response = Response(orjson.dumps(body, default=str), status, mimetype=PROBLEM)
    response.headers["Cache-Control"] = "no-cache" if status == 404 else "no-store"
    if status == 503:
        response.headers["Retry-After"] = "2"
    return response


def _socle_error(error: SocleError) -> Response:
    fitting = next((row[1:] for row in STATUS if isinstance(error, row[0])), None)
    if fitting is None:
        return _unexpected(error)
    status, name, title, french = fitting
    more: dict[str, Any] = {}
    if isinstance(error, Invalid):
        more = {"errors": [problem_document(item) for item in error.problems], "total": error.total}
    elif isinstance(error, NotFound) and error.hints:
        more = {key: value for key, value in error.hints.items() if value}
    elif isinstance(error, Conflict):
        more = error.details
    if status >= 500:
        _log.error("%s: %s", _asked(), error)
    # A key's error names the folder of the keys, which is for whoever reads the log.
    detail = "" if isinstance(error, Invalid | KeyRefused) else str(error)
    return problem(status, name, title, detail, french=french, **more)


def problem_document(item: Problem) -> dict[str, Any]:
    """One problem found by the rules or a reader, as JSON."""
    return {
        "pointer": item.where,
        "rule": item.rule,
        "message": item.message,
        "codes": list(item.codes),
        "value": item.value[:500],
        "accepted": item.accepted,
        "severity": item.severity,
    }


def _http_error(error: HTTPException) -> Response:
    if error.response is not None and error.code is not None and error.code < 400:
        return error.response  # type: ignore[return-value] # a redirect that routing made.
    status = error.code or 500
    title, _ = WORDS.get(status) or (HTTPStatus(status).phrase, "")
    kind = title.lower().replace(" ", "-")
    # webargs hangs what it refused on the exception's data.
    messages = (getattr(error, "data", None) or {}).get("messages")
    if messages:
        return problem(status, "parameters", title, errors=list(_refused(messages)))
    detail = (error.description or "") if status != 500 else ""
    response = problem(status, kind, title, detail)
    for name, value in error.get_headers():
        if name in ("Allow", "Retry-After"):
            response.headers[name] = value
    return response


def _refused(messages: Any, pointer: str = "") -> Any:
    if isinstance(messages, dict):
        for key, inner in messages.items():
            yield from _refused(inner, f"{pointer}/{key}")
    elif isinstance(messages, list) and messages and not isinstance(messages[0], str):
        for inner in messages:
            yield from _refused(inner, pointer)
    else:
        text = " ".join(messages) if isinstance(messages, list) else str(messages)
        if text == "Unknown field.":
            text = "no such parameter here: accepted are those that /api/docs lists"
        yield {"pointer": pointer, "rule": "parameter", "accepted": text}


def _unexpected(error: Exception) -> Response:
    _log.exception("%s", _asked(), exc_info=error)
    return problem(500, "internal", "Internal error")


def _asked() -> str:
    """What was asked for, in one line: a path can hold ends of lines, and what looks like another entry of the log."""
    return f"{request.method} {quote(request.path)[:200]}"
