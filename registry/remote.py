"""What another registry shows to a verifier, fetched over HTTP: its log, signatures, keys, head and archives."""

from __future__ import annotations

import http.client
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO, Any
from urllib.parse import quote, urlencode, urlsplit

import orjson

from registry import verification
from registry.errors import Busy, NotFound, TooLarge
from registry.verification import Trust, Unverified, Verified

MOST_BYTES = 64 << 20
MOST_ARCHIVE_BYTES = 2 << 30
_SECONDS = 60
_RELEASE = re.compile(r"/nomenclatures/([a-z0-9-]+)/releases/([0-9.]+)\Z")


def verify(url: str, trust: Trust) -> Iterator[tuple[str, Verified]]:
    """Verify what an address gives, one by one with its name: an archive, a release, or a whole registry.

    A whole registry is its log first, then the archive of every release in it.

    :raises Unverified: naming what is not what was signed.
    :raises Busy: if the address does not answer.
    """
    if "format=archive" in urlsplit(url).query:
        yield url, _archive(url, trust)
        return
    parts = urlsplit(url)
    release = _RELEASE.search(parts.path.rstrip("/"))
    path = parts.path[: release.start()] if release else parts.path
    root = f"{parts.scheme}://{parts.netloc}{path.rstrip('/').removesuffix('/api/v1')}/api/v1"
    if release:
        yield f"{release[1]}@{release[2]}", _archive(_address(root, release[1], release[2]), trust)
        return
    log = _log(root, trust)
    yield "journal", log
    for entry in log.entries:
        if entry["type"] == "release":
            slug = entry["nomenclature"].rpartition("/")[2]
            found = _archive(_address(root, slug, entry["version"]), Trust(trust.keyids, trust.key_sets))
            if found.entries != log.entries[: len(found.entries)]:
                raise Unverified(f"{slug}@{entry['version']} : son archive n'a pas le journal du registre")
            yield f"{slug}@{entry['version']}", found


def _address(root: str, slug: str, version: str) -> str:
    return f"{root}/nomenclatures/{quote(slug)}/export?{urlencode({'release': version, 'format': 'archive'})}"


def _log(root: str, trust: Trust) -> Verified:
    items: list[dict[str, Any]] = []
    cursor: str | None = ""
    try:
        while cursor is not None:
            page = _json(f"{root}/log?{urlencode({'limit': 1000, **({'cursor': cursor} if cursor else {})})}")
            items += page["items"]
            cursor = page["cursor"] if page["items"] else None
        sets = [verification.canonical(one) for one in _json(f"{root}/keys")["items"]]
        entries = [one["entry"].encode() for one in items]
        envelopes = [verification.canonical(one["envelope"]) for one in items]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unverified(f"{root}/log : n'est pas le journal d'un registre") from error
    with _fetched(f"{root}/log/checkpoint", MOST_BYTES) as answer:
        return verification.verify_log(entries, envelopes, answer.read(), sets, trust)


def _archive(url: str, trust: Trust) -> Verified:
    with TemporaryDirectory() as folder, _fetched(url, MOST_ARCHIVE_BYTES) as answer:
        path = Path(folder) / "archive.zip"
        with path.open("wb") as stream:
            shutil.copyfileobj(answer, stream)
        return verification.verify_archive(path, trust)


def _json(url: str) -> Any:
    with _fetched(url, MOST_BYTES) as answer:
        return orjson.loads(answer.read())


@contextmanager
def _fetched(url: str, most: int) -> Iterator[IO[bytes]]:
    """What an address answers, by HTTP alone: neither a file nor FTP, wherever it redirects to.

    :raises NotFound: if there is nothing there.
    :raises Busy: if it does not answer, or breaks off.
    """
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.HTTPRedirectHandler,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    try:
        with opener.open(url, timeout=_SECONDS) as answer, TemporaryFile() as kept:
            while chunk := answer.read(1 << 20):
                kept.write(chunk)
                if kept.tell() > most:
                    raise TooLarge(f"{url}: more than {most >> 20} MiB")
            kept.seek(0)
            yield kept
    except urllib.error.HTTPError as error:
        if error.code == HTTPStatus.NOT_FOUND:
            raise NotFound("address", url) from error
        raise Busy(f"{url}: {error.code} {error.reason}") from error
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise Busy(f"{url}: {error}") from error
