"""What another registry shows to a verifier, fetched over HTTP: its log, signatures, keys, head and archives."""

from __future__ import annotations

import http.client
import re
import shutil
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO, Any
from urllib.parse import quote, urlencode, urlsplit

import orjson

from registry import verification
from registry.errors import Busy, NotFound, TooLarge
from registry.settings import LOOPBACK
from registry.verification import Trust, Unverified, Verified

MOST_BYTES = 64 << 20
MOST_LOG_BYTES = 128 << 20
MOST_ARCHIVE_BYTES = 2 << 30
SLOWEST = 1024
"""Bytes a second below which an answer is given up, once it has had a minute."""

_SECONDS = 60
_RELEASE = re.compile(r"/nomenclatures/([a-z0-9-]+)/releases/([0-9.]+)\Z")


class NotModified(Exception):
    """What is at an address is what was known of it."""


def root_of(url: str) -> str:
    """Where the API of the registry at an address is, without a final slash."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix('/api/v1')}/api/v1"


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
    root = root_of(f"{parts.scheme}://{parts.netloc}{path}")
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
    with fetched(f"{root}/log/checkpoint", MOST_BYTES) as answer:
        note = answer.read()
    size = verification.read_checkpoint(note, "tête du journal").size
    entries, envelopes = entries_since(root, 0, size)
    return verification.verify_log(entries, envelopes, note, key_sets(root, entries), trust)


def entries_since(root: str, known: int, size: int, *, token: str = "") -> tuple[list[bytes], list[bytes]]:
    """The entries of a registry's log after those that are known, up to a size; and the envelope of each.

    :raises Unverified: if it is no log, or not as long.
    """
    entries: list[bytes] = []
    envelopes: list[bytes] = []
    taken = 0
    while known + len(entries) < size:
        url = f"{root}/log?{urlencode({'limit': 1000, 'after': known + len(entries)})}"
        with _about(url):
            items = _json(url, token)["items"][: size - known - len(entries)]
            entries += [one["entry"].encode() for one in items]
            envelopes += [verification.canonical(one["envelope"]) for one in items]
        taken += sum(map(len, entries[-len(items) :])) if items else 0
        if not items or taken > MOST_LOG_BYTES:
            why = "plus court que ne le dit sa tête" if not items else "plus long qu'il n'est accepté"
            raise Unverified(f"{root}/log : {why}")
    return entries, envelopes


def key_sets(root: str, entries: Iterable[bytes], *, token: str = "") -> list[bytes]:
    """The key sets of a registry that the entries of its log name.

    :raises Unverified: if they are none.
    """
    with _about(f"{root}/keys"):
        named = 1 + sum(orjson.loads(entry)["type"] == "keys" for entry in entries)
        return [verification.canonical(one) for one in _json(f"{root}/keys", token)["items"][:named]]


@contextmanager
def _about(url: str) -> Iterator[None]:
    """Whatever has another shape than a registry's answer is not that."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unverified(f"{url} : n'est pas ce que répond un registre") from error


def _archive(url: str, trust: Trust) -> Verified:
    with TemporaryDirectory() as folder, fetched(url, MOST_ARCHIVE_BYTES) as answer:
        path = Path(folder) / "archive.zip"
        with path.open("wb") as stream:
            shutil.copyfileobj(answer, stream)
        return verification.verify_archive(path, trust)


def _json(url: str, token: str) -> Any:
    with fetched(url, MOST_BYTES, token=token) as answer:
        return orjson.loads(answer.read())


class _Prompt(http.client.HTTPConnection):
    """A connection whose answer must begin in time, however slowly its first lines trickle."""

    def getresponse(self) -> http.client.HTTPResponse:
        """The answer's beginning; the connection is cut where it does not come.

        :raises TimeoutError: if it was cut.
        """
        late = threading.Event()
        watch = threading.Timer(_SECONDS, self._cut, [late])
        watch.daemon = True
        watch.start()
        try:
            answer = super().getresponse()
        finally:
            watch.cancel()
        # What was cut short looks like an answer that ended.
        if late.is_set():
            answer.close()
            raise TimeoutError("the answer does not begin")
        return answer

    def _cut(self, late: threading.Event) -> None:
        late.set()
        with suppress(OSError, AttributeError):
            self.sock.shutdown(socket.SHUT_RDWR)


class _PromptTLS(_Prompt, http.client.HTTPSConnection):
    """The same over TLS."""


class _HTTP(urllib.request.HTTPHandler):
    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        """Ask over such a connection."""
        return self.do_open(_Prompt, request)


class _HTTPS(urllib.request.HTTPSHandler):
    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        """Ask over such a connection, whose certificate is checked."""
        return self.do_open(_PromptTLS, request)


def _receive(answer: http.client.HTTPResponse, kept: IO[bytes], url: str, most: int) -> None:
    """Take an answer to its end into a file, which is then read from its beginning."""
    begun = time.monotonic()
    while chunk := answer.read1(1 << 16):
        kept.write(chunk)
        if kept.tell() > most:
            raise TooLarge(f"{url}: more than {most} bytes")
        spent = time.monotonic() - begun
        if spent > _SECONDS and kept.tell() < spent * SLOWEST:
            raise Busy(f"{url}: slower than {SLOWEST} bytes a second")
    if answer.length:
        raise Busy(f"{url}: broke off, {answer.length} bytes are missing")
    kept.seek(0)


@contextmanager
def fetched(url: str, most: int, *, known: str = "", token: str = "") -> Iterator[IO[bytes]]:
    """What an address answers, by HTTP alone: neither a file nor FTP, wherever it redirects to.

    ``known`` is the entity tag of what is there already. ``token`` says who asks; it goes to this address alone, not to
    where that redirects, and is in no message.

    :raises NotModified: if that is what there is still.
    :raises NotFound: if there is nothing there.
    :raises TooLarge: if it is more than ``most`` bytes.
    :raises Busy: if it does not answer, breaks off, or is slower than any line.
    """
    opener = urllib.request.OpenerDirector()
    # What is on this machine is asked without a proxy, which would be another machine that reads the token.
    opener.add_handler(urllib.request.ProxyHandler({} if urlsplit(url).hostname in LOOPBACK else None))
    for handler in (
        _HTTP,
        _HTTPS,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.HTTPRedirectHandler,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    request = urllib.request.Request(url, headers={"If-None-Match": known} if known else {})  # noqa: S310 -- HTTP alone.
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    try:
        with opener.open(request, timeout=_SECONDS) as answer, TemporaryFile() as kept:
            _receive(answer, kept, url, most)
            yield kept
    except urllib.error.HTTPError as error:
        error.close()
        if known and error.code == HTTPStatus.NOT_MODIFIED:
            raise NotModified(url) from error
        if error.code == HTTPStatus.NOT_FOUND:
            raise NotFound("address", url) from error
        raise Busy(f"{url}: {error.code} {error.reason}") from error
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise Busy(f"{url}: its certificate is refused: {reason.verify_message}") from error
        raise Busy(f"{url}: {reason}") from error
