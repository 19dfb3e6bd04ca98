"""Parts of an answer (RFC 9110, section 14): a download that broke off goes on where it was."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO, NamedTuple

from flask import Response, request
from werkzeug.http import parse_date

from api import negotiation
from api.errors import problem

_CHUNK = 1 << 16
# Longer numbers are no place in a file; several ranges are answered with the whole, as the standard allows.
_ASKED = re.compile(r"bytes=\s*([0-9]{0,18})-([0-9]{0,18})\s*", re.IGNORECASE)


class _Part(NamedTuple):
    first: int
    length: int


class Streamed:
    """The bytes of a file, some at a time; ``part`` is what is sent of them."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self.part = file, _Part(0, size)

    def __iter__(self) -> Iterator[bytes]:
        """Read the part, and close the file after it."""
        first, left = self.part
        with self._file:
            self._file.seek(first)
            while left and (piece := self._file.read(min(_CHUNK, left))):
                left -= len(piece)
                yield piece

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def part(response: Response) -> Response:
    """The answer; or, where it may be had in parts and the request asks for one, that part: 206, or 416 without bytes.

    What is not understood, or asks for a part of other bytes (``If-Range``), gets the whole.
    """
    asked = request.headers.get("Range")
    if asked is None or request.method != "GET" or "Accept-Ranges" not in response.headers or not _same(response):
        return response
    match, size = _ASKED.fullmatch(asked), response.content_length or 0
    if match is None or match[1] == match[2] == "" or (match[1] and match[2] and int(match[1]) > int(match[2])):
        return response
    if match[1]:
        first, last = int(match[1]), min(int(match[2] or size), size - 1)
    else:
        first, last = max(size - int(match[2]), 0), size - 1
    if first > last:
        return _beyond(response, size)
    found = _Part(first, last - first + 1)
    if isinstance(response.response, Streamed):
        response.response.part = found
    else:
        response.set_data(response.get_data()[first : last + 1])
    response.status_code = 206
    response.headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    response.headers["Content-Length"] = str(found.length)
    return response


def _same(response: Response) -> bool:
    """Whether the part is asked of these very bytes: ``If-Range`` compares strongly, or by the exact date."""
    asked = request.headers.get("If-Range")
    if asked is None or asked == response.headers.get("ETag"):
        return True
    modified = parse_date(response.headers.get("Last-Modified"))
    return modified is not None and modified == negotiation.date_of("If-Range")


def _beyond(response: Response, size: int) -> Response:
    response.close()
    found = problem(416, "range", "No such part", f"Range: there are {size} bytes")
    # What other hooks put there stays, but for what tells of the bytes.
    told = {"content-type", "content-length", "content-location", "content-encoding", "content-disposition"}
    told |= {"etag", "last-modified", "cache-control", "accept-ranges", "link"}
    for name, value in response.headers.items():
        if name.lower() not in told:
            found.headers.add(name, value)
    found.headers["Content-Range"] = f"bytes */{size}"
    return found
