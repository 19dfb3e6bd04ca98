"""Requests over HTTP to a real server: processor time of the server per request, beside an empty route's."""

from __future__ import annotations

import http.client
import itertools
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from flask import Flask, Response, send_file

from benchmarks.measuring import processor_seconds, tree

EMPTY, STATIC = "/-/empty", "/-/file"
_START_SECONDS = 120
_LEAST_SECONDS = 0.4
_FILE = "BENCHMARK_FILE"


class Answer(NamedTuple):
    """What the server answered."""

    status: int
    etag: str
    body: bytes


class Cost(NamedTuple):
    """Processor time of the server per request, in milliseconds, and over how many requests."""

    milliseconds: float
    requests: int


def application() -> Callable[..., Iterable[bytes]]:
    """Socle, and beside it an empty Flask application that shares nothing with it but the process."""
    from api import create_app

    socle, bare = create_app(), Flask("bare", static_folder=None)
    bare.add_url_rule(EMPTY, view_func=lambda: Response(b""))
    bare.add_url_rule(STATIC, view_func=lambda: send_file(os.environ[_FILE], mimetype="text/turtle"), endpoint="file")

    def answer(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        return (bare if environ["PATH_INFO"].startswith("/-/") else socle)(environ, start)

    return answer


class Served:
    """A running server, to be asked over one connection that stays open."""

    def __init__(self, port: int, process: int) -> None:
        self._client, self._process = http.client.HTTPConnection("127.0.0.1", port, timeout=_START_SECONDS), process

    def ask(self, url: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Ask once."""
        self._client.request("GET", url, headers=dict(headers or {}))
        response = self._client.getresponse()
        return Answer(response.status, response.headers.get("ETag", ""), response.read())

    def cost(
        self, urls: Iterable[str], *, headers: Mapping[str, str] | None = None, expect: int = 200, most: int = 3_000
    ) -> Cost:
        """Ask for one address after the other, until there is enough to measure, and say what one costs.

        :raises RuntimeError: if an answer has another status than the one expected.
        """
        processes = tree(self._process)
        before, count, begun = processor_seconds(processes), 0, time.monotonic()
        for url in itertools.islice(urls, most):
            status = self.ask(url, headers).status
            if status != expect:
                raise RuntimeError(f"{url} answers {status}, not {expect}")
            count += 1
            if count % 50 == 0 and time.monotonic() - begun > 10 * _LEAST_SECONDS:
                break
        return Cost((processor_seconds(processes) - before) * 1000 / count, count)


@contextmanager
def served(database: str, folder: Path, *, file: Path | None = None) -> Iterator[Served]:
    """Serve a registry with Granian and one worker, as ``socle serve`` does, on a port of its own.

    ``file`` is what the bare application gives at ``STATIC``.

    :raises RuntimeError: if the server does not answer in two minutes.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--factory", "--workers", "1"]
    command += ["--blocking-threads", "4", "--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SOCLE_")}
    environment |= {"SOCLE_DATA_DIR": str(folder), "SOCLE_DATABASE_URL": database, _FILE: str(file or "")}
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(
            [*command, "benchmarks.serving:application"], env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            _wait(server, port, log)
            yield Served(port, server.pid)
        finally:
            server.terminate()
            server.wait(_START_SECONDS)


def _wait(server: subprocess.Popen[bytes], port: int, log: Any) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if Served(port, server.pid).ask(EMPTY).status == 200:
                return
        except OSError:
            time.sleep(0.05)
    log.seek(0)
    raise RuntimeError(f"the server does not answer: {log.read().decode(errors='replace')[-2000:]}")
