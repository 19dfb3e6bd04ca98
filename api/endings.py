"""What goes away: one table, and the headers that say so wherever it is answered (RFC 9745, RFC 8594)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from flask import Flask, Response, request
from werkzeug.http import http_date


class Ending(NamedTuple):
    """An endpoint, as Flask names it, that is better no longer used, and until when it answers."""

    endpoint: str
    deprecated: datetime
    sunset: datetime
    instead: str


ENDINGS: tuple[Ending, ...] = ()
"""Nothing goes away now. A line here is all that it takes, at least a year before the sunset."""


def install(app: Flask, endings: Sequence[Ending] = ENDINGS) -> None:
    """Say of each answer of these endpoints since when it is deprecated, when it ends and what to use instead."""
    known = {ending.endpoint: ending for ending in endings}

    def after(response: Response) -> Response:
        ending = known.get(request.endpoint or "")
        if ending is not None:
            response.headers["Deprecation"] = f"@{int(ending.deprecated.timestamp())}"
            response.headers["Sunset"] = http_date(ending.sunset)
            for relation in ("deprecation", "successor-version"):
                response.headers.add("Link", f'<{ending.instead}>; rel="{relation}"')
        return response

    if known:
        app.after_request(after)
