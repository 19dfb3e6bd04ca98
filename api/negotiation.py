"""What a request asks for: a format (``format`` decides, else ``Accept``, else JSON), a content coding, a date."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache

from flask import abort, request
from werkzeug.datastructures import Accept, MIMEAccept
from werkzeug.http import parse_accept_header, parse_date

from registry.formats import FORMATS, Format

_ITEMS = 30
_SAYS_NOTHING_HERE = re.compile(
    r';\s*(?:charset=[^;,\s]*|profile=(?:"[^"]*"|[^;,\s]*)|fhirVersion="?4\.0(?:\.1)?"?)\s*(?=[;,]|$)', re.IGNORECASE
)
"""Parameters of media types that clients send and no answer of ours depends on: all are UTF-8, and FHIR is R4."""


def chosen(names: Sequence[str], given: str | None) -> Format:
    """The format to answer in, among those named, the first being what a client without preference gets.

    Aborts with 406 where nothing that is offered is accepted, and where ``Accept`` is longer than any client's.
    """
    if given:
        return FORMATS[given]
    offered = {FORMATS[name].media_type: FORMATS[name] for name in reversed(names)}
    return offered[_best([*reversed(offered)])]


def chosen_name(offered: Mapping[str, str], given: str | None) -> str:
    """The name of the format to answer in, among media types by name, the first being what is got without preference.

    Aborts as ``chosen`` does.
    """
    if given:
        return given
    names = {media_type: name for name, media_type in reversed([*offered.items()])}
    return names[_best([*reversed(names)])]


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
    best = accepted().best_match(offered)
    if best is None:
        abort(406, f"Accept: offered here are {', '.join(offered)}")
    return best


def accepted() -> MIMEAccept:
    """The media types that the client takes, without the parameters that no answer depends on."""
    asked = request.headers.get("Accept", "")
    plain = _SAYS_NOTHING_HERE.sub("", asked) if ";" in asked else asked
    return request.accept_mimetypes if plain == asked else parse_accept_header(plain, MIMEAccept)


def date_of(header: str) -> datetime | None:
    """The date that a header of the request gives, None if it gives none that there is."""
    try:
        return parse_date(request.headers.get(header))
    except OverflowError:  # Of a year, an hour or a zone that no machine counts to.
        return None


@lru_cache(maxsize=256)
def coding(asked: str) -> str:
    """The content coding that ``Accept-Encoding`` asks for among ours: br, gzip, or none."""
    if asked.count(",") > _ITEMS:
        return ""
    accepted = parse_accept_header(asked, Accept)
    return next((one for one in ("br", "gzip") if accepted[one] > 0), "")
