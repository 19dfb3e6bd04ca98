"""Stylesheets, scripts and icons, under addresses that change with their content: browsers keep them for ever."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from flask import Blueprint, Response, abort

from api.caching import answer
from registry.signing import sha256

_FOLDER = Path(__file__).parent.parent / "static"
_TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".md": "text/plain",
}
"""Only these are served: the folder also holds the script that makes part of it."""


def add_to(pages: Blueprint) -> None:
    """Serve the files."""
    pages.add_url_rule("/static/<digest>/<path:name>", "asset", asset)


def address(name: str) -> str:
    """Where a file is served."""
    return f"/static/{_digest()}/{name}"


def asset(digest: str, name: str) -> Response:
    """A file; under the digest of another version of Socle, today's file, not to be kept."""
    body = _files().get(name)
    if body is None:
        abort(404)
    return answer(body, media_type=_TYPES[Path(name).suffix], pinned=digest == _digest())


@cache
def _files() -> dict[str, bytes]:
    found = (path for path in sorted(_FOLDER.rglob("*")) if path.suffix in _TYPES)
    return {path.relative_to(_FOLDER).as_posix(): path.read_bytes() for path in found}


@cache
def _digest() -> str:
    return sha256(b"".join(name.encode() + body for name, body in _files().items()))[:16]
