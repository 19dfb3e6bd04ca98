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
    offered = {FORMATS[name].media_type: FORMATS[name] for name in reversed(names)}
    return offered[_best([*reversed(offered)])]


def check(media_type: str) -> None:
    """Abort with 406 where the answer comes in one media type, and ``Accept`` does not take it."""
    if not request.args.get("format"):
        _best([media_type])


def _best(offered: Sequence[str]) -> str:
    asked = request.headers.get("Accept")
    if not asked:
        return offered[0]
    if asked.count(",") > _ITEMS:
        abort(406, f"Accept: at most {_ITEMS} items")
    best = request.accept_mimetypes.best_match(offered)
    if best is None:
        abort(406, f"Accept: offered here are {', '.join(offered)}")
    return best
