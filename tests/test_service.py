"""The real service: ``socle serve`` under Granian on 127.0.0.1, with what clients do to a socket."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest

from registry.settings import Settings

GOOD = orjson.dumps({"from": "mon-suivi-social/types-accompagnement", "to": "types-aide", "codes": ["Puma"]})


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def command(settings: Settings, port: int, *options: str) -> subprocess.Popen[bytes]:
    """``socle serve`` as people start it."""
    program = [sys.executable, "-c", "from cli.main import main; main()", "serve", "--port", str(port), *options]
    environment = {**os.environ, "SOCLE_DATA_DIR": str(settings.data_dir), "PYTHONPATH": str(Path.cwd())}
    return subprocess.Popen(
        program, env=environment, cwd=settings.data_dir, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def exchanged(port: int, *parts: bytes, pause: float = 0.0) -> bytes:
    """What comes back for bytes sent in parts, until the service closes or says nothing for ten seconds."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        for part in parts:
            connection.sendall(part)
            time.sleep(pause)
        if b"Content-Length: 999" in parts[0]:
            connection.shutdown(socket.SHUT_WR)
        received = b""
        while piece := connection.recv(65536):
            received += piece
    return received


def request(method: str, path: str, body: bytes = b"", *headers: str) -> bytes:
    """A request as it goes over the wire; the connection closes after it."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def status_of(response: bytes) -> int:
    """The status of a response; 0 for a connection that was closed without one."""
    return int(response.split(b" ", 2)[1]) if response else 0


@contextmanager
def serving(settings: Settings, *options: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """The service's port and process, once it answers; stopped at the end."""
    port = free_port()
    with command(settings, port, *options) as process:
        try:
            deadline = time.monotonic() + 60
            while True:
                assert process.poll() is None, process.stdout.read() if process.stdout else b""
                assert time.monotonic() < deadline
                try:
                    if status_of(exchanged(port, request("GET", "/readyz"))) == 200:
                        break
                except OSError:
                    time.sleep(0.1)
            yield port, process
        finally:
            process.terminate()
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()


def test_the_service_withstands_what_clients_do_to_a_socket(shipped_settings: Settings) -> None:
    with serving(shipped_settings, "--workers", "2") as (port, process):
        kind = "Content-Type: application/json"
        translated = exchanged(port, request("POST", "/api/v1/translate", GOOD, kind, f"Content-Length: {len(GOOD)}"))
        chunk = f"{len(GOOD):x}\r\n".encode() + GOOD + b"\r\n0\r\n\r\n"
        chunked = exchanged(port, request("POST", "/api/v1/translate", chunk, kind, "Transfer-Encoding: chunked"))
        short = exchanged(port, request("POST", "/api/v1/translate", GOOD, kind, "Content-Length: 999"))
        large = exchanged(port, request("POST", "/api/v1/translate", b"{", kind, "Content-Length: 5000001"))
        whole = request("GET", "/api/v1/nomenclatures/mesures/concepts?release=1.0")
        at_once = exchanged(port, whole)
        slow = exchanged(port, *(whole[n : n + 20] for n in range(0, len(whole), 20)), pause=0.05)
        tags = {
            line
            for _ in range(12)
            for line in exchanged(port, whole).partition(b"\r\n\r\n")[0].lower().splitlines()
            if line.startswith(b"etag:")
        }
        with command(shipped_settings, port) as second:
            said = second.communicate(timeout=60)[0].decode()

        process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        code = process.wait(40)
        took = time.monotonic() - started

    assert status_of(translated) == 200
    assert b'"mapped"' in translated
    assert status_of(chunked) in (411, 413)
    assert status_of(short) in (0, 400)
    assert status_of(large) in (0, 413)
    assert at_once.partition(b"\r\n\r\n")[2] == slow.partition(b"\r\n\r\n")[2]
    assert len(tags) == 1
    assert second.returncode == 4, said
    assert str(port) in said
    assert (code, took < 30) == (0, True)


def test_a_registry_that_is_not_there_is_not_served(tmp_path: Path, shipped_settings: Settings) -> None:
    for file in shipped_settings.data_dir.glob("socle.db*"):
        file.unlink()

    with command(shipped_settings, free_port()) as process:
        said = process.communicate(timeout=60)[0].decode()

    assert process.returncode == 5, said
    assert "Traceback" not in said
    assert not list(shipped_settings.data_dir.glob("socle.db*"))


@pytest.mark.parametrize("variable", ["SOCLE_PORT=x", "SOCLE_NONE=1"])
def test_a_wrong_setting_stops_the_start_with_one_line_that_names_it(variable: str, tmp_path: Path) -> None:
    name, _, value = variable.partition("=")

    done = subprocess.run(
        [sys.executable, "-c", "from cli.main import main; main()", "serve"],
        env={**os.environ, name: value, "PYTHONPATH": str(Path.cwd())},
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )

    assert done.returncode == 2
    assert name in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()
