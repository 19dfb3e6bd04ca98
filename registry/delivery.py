"""Posting to an address that somebody else chose, so that it can do no harm to this machine or its network.

The name is resolved once, and what it resolves to is what is connected to: a name that answers differently the second
time gains nothing. Whatever is not an address of the public Internet is refused before a packet is sent. No proxy is
used, no redirect is followed, and of the answer no more is read than its first line, within a time for all of it.
"""

from __future__ import annotations

import ipaddress
import queue
import re
import socket
import ssl
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import SplitResult, urlsplit

from registry.settings import LOOPBACK

SECONDS = 10.0
"""For resolving the name, connecting, sending and the first line of the answer together."""

URL_LENGTH = 500
MOST_LOOK_UPS = 8
"""Names that are being resolved at once; a resolver that does not answer holds these many threads and no more."""

_MOST_ADDRESSES = 4
_MOST_HEAD = 16_384
_DRAINED, _DRAINED_SECONDS = 16_384, 0.5
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\]")
_REST = re.compile(r"[\x21-\x7e]*")
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})[ \r\n]")

_IPV6 = ipaddress.ip_network("2000::/3")
"""All of IPv6 that is routed; mapped and translated IPv4 addresses lie outside."""

_INWARD = tuple(
    ipaddress.ip_network(network)
    for network in (
        "192.88.99.0/24",  # Relays of 6to4,
        "2002::/16",  # which carries any IPv4 address inside,
        "2001::/23",  # as Teredo does.
        "168.63.129.16/32",  # A provider's own metadata, at an address that looks public.
    )
)


_look_ups = threading.BoundedSemaphore(MOST_LOOK_UPS)
_Address = tuple[socket.AddressFamily, tuple[str, int]]


class Answer(NamedTuple):
    """What came of posting: the status (0: none came) and why it failed; no fault means that it was taken.

    A fault is one of ``address`` (refused before connecting), ``name``, ``connection``, ``tls``, ``time``, ``answer``
    (not HTTP), ``redirect``, ``status``.
    """

    status: int
    fault: str


def url_fault(url: str, trusted: Collection[str]) -> str:
    """Why nothing can be posted to an address, in French; empty if it can. ``trusted`` are hosts without conditions."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return "adresse mal formée"
    host = parts.hostname or ""
    bare = parts.netloc.rpartition(":")[0] if parts.port is not None else parts.netloc
    if len(url) > URL_LENGTH or not _REST.fullmatch(url) or not _HOST.fullmatch(bare.lower()) or parts.fragment:
        return "adresse mal formée"
    if parts.scheme not in (("https", "http") if host in trusted else ("https",)):
        return "https est demandé"
    if host not in trusted and (host in LOOPBACK or host.endswith((".localhost", ".local", ".internal"))):
        return "adresse interne"
    with suppress(ValueError):
        if host not in trusted and not is_public(host):
            return "adresse interne"
    return ""


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public Internet's.

    :raises ValueError: if it is no IP address.
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    if not found.is_global or found.is_multicast or found.is_reserved:
        return False
    if isinstance(found, ipaddress.IPv6Address) and found not in _IPV6:
        return False
    return not any(found in network for network in _INWARD if network.version == found.version)


def post(url: str, headers: Mapping[str, str], body: bytes, *, trusted: Collection[str] = ()) -> Answer:
    """Post JSON to an address; nothing is raised, whatever is there."""
    deadline = time.monotonic() + SECONDS
    if url_fault(url, trusted):
        return Answer(0, "address")
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        addresses = _addresses(host, parts.port or (443 if parts.scheme == "https" else 80), deadline)
    except TimeoutError:
        return Answer(0, "time")
    except (OSError, UnicodeError):
        return Answer(0, "name")
    if host not in trusted and not all(is_public(address[0]) for _, address in addresses):
        return Answer(0, "address")
    try:
        with _connected(addresses, deadline) as raw:
            return _asked(raw, parts, headers, body, deadline)
    except TimeoutError:
        return Answer(0, "time")
    except ssl.SSLError:
        return Answer(0, "tls")
    except OSError:
        return Answer(0, "connection")
    except ValueError:
        return Answer(0, "answer")


def _addresses(host: str, port: int, deadline: float) -> list[_Address]:
    """What a name resolves to, asked beside this thread, since the system's resolver takes no time limit.

    :raises TimeoutError: if it does not answer in time, or too many names are being resolved already.
    :raises OSError, UnicodeError: if it resolves to nothing.
    """
    told: queue.SimpleQueue[Sequence[Any] | OSError | UnicodeError] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            told.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            told.put(error)
        finally:
            _look_ups.release()

    if not _look_ups.acquire(timeout=_left(deadline)):
        raise TimeoutError
    try:
        threading.Thread(target=look_up, daemon=True).start()
    except RuntimeError:  # No thread is to be had.
        _look_ups.release()
        raise TimeoutError from None
    try:
        found = told.get(timeout=_left(deadline))
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(found, OSError | UnicodeError):
        raise found
    unique: dict[_Address, None] = dict.fromkeys(
        (family, (str(address[0]), port)) for family, _, _, _, address in found
    )
    return list(unique)[:_MOST_ADDRESSES]


def _connected(addresses: list[_Address], deadline: float) -> socket.socket:
    """A connection to the first of the addresses that takes one."""
    last: OSError = ConnectionError("no address")
    for family, address in addresses:
        raw = socket.socket(family, socket.SOCK_STREAM)
        try:
            raw.settimeout(_left(deadline))
            raw.connect(address)
        except OSError as error:
            raw.close()
            last = error
        else:
            return raw
    raise last


def _asked(raw: socket.socket, parts: SplitResult, headers: Mapping[str, str], body: bytes, deadline: float) -> Answer:
    host = parts.netloc
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    given = {
        "Host": host,
        "User-Agent": "Socle",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Connection": "close",
        **headers,
    }
    head = "".join([f"POST {target} HTTP/1.1\r\n", *(f"{name}: {value}\r\n" for name, value in given.items()), "\r\n"])
    raw.settimeout(_left(deadline))
    connection = _context().wrap_socket(raw, server_hostname=parts.hostname) if parts.scheme == "https" else raw
    with connection:
        connection.settimeout(_left(deadline))
        connection.sendall(head.encode("ascii") + body)
        status = _status(connection, deadline)
        _drain(connection)
    if 300 <= status < 400:
        return Answer(status, "redirect")
    return Answer(status, "" if 200 <= status < 300 else "status")


def _status(connection: socket.socket, deadline: float) -> int:
    """The status of the answer; interim answers are passed over.

    :raises ValueError: if what comes is no answer of HTTP/1, or too much comes before it is one.
    """
    read, seen = 0, b""
    while read < _MOST_HEAD:
        if b"\n" in seen:
            match = _STATUS.match(seen)
            if match is None:
                raise ValueError("no status line")
            status = int(match[1])
            if not 100 <= status < 200:
                return status
            if b"\r\n\r\n" in seen:
                seen = seen.partition(b"\r\n\r\n")[2]
                continue
        connection.settimeout(_left(deadline))
        some = connection.recv(4096)
        if not some:
            raise ValueError("the answer ended")
        seen, read = seen + some, read + len(some)
    raise ValueError("too long")


def _drain(connection: socket.socket) -> None:
    """Let a short answer come to its end, so that its sender sees no broken connection; it is thrown away."""
    read, deadline = 0, time.monotonic() + _DRAINED_SECONDS
    with suppress(OSError, ValueError):
        while read < _DRAINED:
            connection.settimeout(_left(deadline))
            some = connection.recv(4096)
            if not some:
                return
            read += len(some)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


@cache
def _context() -> ssl.SSLContext:
    return ssl.create_default_context()
