"""A real OpenRefine without a window, driven by the same commands as its own pages send.

``python -m tests.openrefine`` says whether it is there.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import requests

_PATIENCE = 120
"""Seconds: a Java program starts slowly on a busy machine."""


def program() -> str:
    """The path of OpenRefine.

    :raises RuntimeError: saying what to install, if there is none.
    """
    found = shutil.which("openrefine")
    if found is None:
        raise RuntimeError("no OpenRefine: the tests of reconciliation need it; on Debian, apt-get install openrefine")
    return found


class Project:
    """A table in OpenRefine."""

    def __init__(self, address: str, number: str) -> None:
        self._address, self._number = address, number

    def reconcile(self, column: str, service: Mapping[str, Any], url: str) -> None:
        """Reconcile a column with a service that describes itself so at the URL; return once every cell is judged."""
        config = {
            "mode": "standard-service",
            "service": url,
            "identifierSpace": service["identifierSpace"],
            "schemaSpace": service["schemaSpace"],
            "type": service["defaultTypes"][0],
            "autoMatch": True,
            "columnDetails": [],
        }
        self._do("reconcile", columnName=column, config=orjson.dumps(config).decode())

    def extend(self, column: str, service: Mapping[str, Any], url: str, properties: Sequence[str]) -> None:
        """Add a column for each property of the concepts to which the cells of a column are matched."""
        extension = {"properties": [{"id": name, "name": name} for name in properties]}
        self._do(
            "extend-data",
            baseColumnName=column,
            endpoint=url,
            identifierSpace=service["identifierSpace"],
            schemaSpace=service["schemaSpace"],
            columnInsertIndex="1",
            extension=orjson.dumps(extension).decode(),
        )

    def rows(self) -> list[list[dict[str, Any]]]:
        """The cells of each row: ``v`` its value, ``r`` what it was reconciled with."""
        given = {"project": self._number, "start": "0", "limit": "1000"}
        found = requests.post(f"{self._address}/get-rows", params=given, timeout=_PATIENCE).json()
        judged = found["pool"]["recons"]
        return [
            [{**(cell or {}), "r": judged.get((cell or {}).get("r", ""), {})} for cell in row["cells"]]
            for row in found["rows"]
        ]

    def _do(self, command: str, **given: str) -> None:
        params = {"project": self._number, "csrf_token": _token(self._address)}
        data = {**given, "engine": '{"facets":[],"mode":"row-based"}'}
        answer = requests.post(f"{self._address}/{command}", params=params, data=data, timeout=_PATIENCE).json()
        assert answer["code"] in ("ok", "pending"), answer
        deadline = time.monotonic() + _PATIENCE
        while self._processes():
            assert time.monotonic() < deadline, f"{command} does not end"
            time.sleep(0.1)

    def _processes(self) -> list[Any]:
        found = requests.get(f"{self._address}/get-processes", params={"project": self._number}, timeout=_PATIENCE)
        processes: list[Any] = found.json()["processes"]
        return processes


class OpenRefine:
    """A running OpenRefine."""

    def __init__(self, address: str) -> None:
        self._address = f"{address}/command/core"

    def project(self, table: bytes) -> Project:
        """A new project from CSV, every cell a text."""
        options = {"separator": ",", "encoding": "UTF-8", "guessCellValueTypes": False}
        params = {
            "csrf_token": _token(self._address),
            "options": orjson.dumps(options).decode(),
            "format": "text/line-based/*sv",
            "projectName": "Essai",
        }
        answer = requests.post(
            f"{self._address}/create-project-from-upload",
            params=params,
            files={"project-file": ("essai.csv", table, "text/csv")},
            timeout=_PATIENCE,
            allow_redirects=False,
        )
        return Project(self._address, answer.headers["Location"].rpartition("project=")[2])


def _token(address: str) -> str:
    token: str = requests.get(f"{address}/get-csrf-token", timeout=_PATIENCE).json()["token"]
    return token


@contextmanager
def running(folder: Path) -> Iterator[OpenRefine]:
    """OpenRefine on a free port of this machine, its projects in a folder of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [program(), "-p", str(port), "-i", "127.0.0.1", "-m", "512M", "-d", str(folder)]
    quiet = ("-x", "refine.headless=true", "-x", "refine.autosave=60")
    said = (folder / "said").open("wb")
    with said, subprocess.Popen([*command, *quiet], stdout=said, stderr=said, start_new_session=True) as process:
        try:
            _wait(f"http://127.0.0.1:{port}/command/core/get-version", process)
            yield OpenRefine(f"http://127.0.0.1:{port}")
        finally:
            # The command is a shell that waits for Java; both are in the session that was begun for them.
            os.killpg(process.pid, signal.SIGKILL)


def _wait(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if requests.get(address, timeout=5).ok:
                return
        except requests.RequestException:
            time.sleep(0.2)
    raise RuntimeError("OpenRefine does not answer")


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{program()}\n")
    except RuntimeError as error:
        sys.exit(str(error))
