"""A template as an answer with its validators, and which page of a list is asked for."""

from __future__ import annotations

from typing import Any

from flask import Response, render_template, request

from api.caching import answer


def page(template: str, **context: Any) -> Response:
    """The rendered template, to be asked for again each time and answered by 304 while it is the same."""
    return answer(render_template(template, **context).encode(), media_type="text/html")


def form(template: str, status: int = 200, **context: Any) -> Response:
    """The rendered template with a form that is this browser's alone, so that it is not kept."""
    response = Response(render_template(template, **context), status, mimetype="text/html")
    response.headers["Cache-Control"] = "no-store"
    return response


def refused(template: str, **context: Any) -> Response:
    """The rendered template where a form is to be mended, which says so by its status and is not kept."""
    return form(template, 422, **context)


def page_number() -> int:
    """Which page of a list the request asks for; the first, if it asks for nothing that makes sense."""
    text = request.args.get("page", "")
    return int(text) if text.isascii() and text.isdigit() and 0 < len(text) < 6 and int(text) else 1
