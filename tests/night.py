"""Processes of a vendor's night, to be killed: ``python -m tests.night FOLDER PORT COPY``.

For each line that it reads, ``serve`` or ``sync``, it starts a process and says its number: the registry of a folder on
a port, or one run of ``socle sync`` of it into a copy. Everything is imported before, so each begins at once.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from werkzeug.serving import make_server

import cli.sync  # noqa: F401 -- for those who come.
from api import create_app
from cli.main import main
from tests.browser import QuietRequests
from tests.conftest import settings_for


def serve(folder: Path, port: int) -> None:
    """Serve the registry of a folder until somebody kills this process."""
    app = create_app(settings_for(folder))
    make_server("127.0.0.1", port, app, threaded=True, request_handler=QuietRequests).serve_forever()


def sync(port: int, copy: Path) -> None:
    """Run ``socle sync``, and leave its exit code beside the copy if it comes to its end."""
    try:
        main(["sync", f"http://127.0.0.1:{port}", str(copy)])
    except SystemExit as end:
        copy.with_suffix(".exit").write_text(str(end.code or 0))


def began(work: str, folder: Path, port: int, copy: Path, alive: tuple[int, int]) -> int:
    """Start a process that does the work, and ends with this one; its number."""
    if number := os.fork():
        return number
    os.close(alive[1])
    threading.Thread(target=lambda: os.read(alive[0], 1) or os._exit(0), daemon=True).start()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(copy.with_suffix(".said"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    try:
        serve(folder, port) if work == "serve" else sync(port, copy)
    finally:
        os._exit(0)


if __name__ == "__main__":
    # Whoever ends is forgotten by the system at once: nobody waits for them here.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    ends = os.pipe()
    for line in sys.stdin:
        number = began(line.strip(), Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), ends)
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
