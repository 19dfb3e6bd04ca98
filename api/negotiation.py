"""Which format to answer in: ``format`` decides, else ``Accept``, else JSON."""

from __future__ import annotations

from collections.abc import Sequence

from flask import abort, request

from registry.formats import FORMATS, Format

_ITEMS = 30


def chosen(names: Sequence[str], given: str | None) -> Format:
    """The format to answer in, among those named, the first being what a client without preference gets.

    Aborts with 406 where nothing that is offered is accepted, and where ``Accept`` is longer than any client's.
    """
    if given:
        return FORMATS[given]
    if not request.headers.get("Accept"):
        return FORMATS[names[0]]
    offered = {FORMATS[name].media_type: FORMATS[name] for name in reversed(names)}
    if request.headers["Accept"].count(",") > _ITEMS:
        abort(406, f"Accept: at most {_ITEMS} items")
    best = request.accept_mimetypes.best_match([*reversed(offered)])
    if best is None:
        abort(406, f"accepted: {', '.join(offered)}")
    return offered[best]
