"""The command that runs the service."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import click
from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server import Server

from cli import current, working
from cli.operations import make_ready
from registry.errors import Conflict, NotFound
from registry.model import today
from registry.store import Store

APPLICATION = "api:create_app"
"""Named, not imported: only the worker processes load the API."""

THREADS = 4
"""A worker's; more would wait for one another, and for connections to the database."""

SECONDS_TO_FINISH = 25
_PR_SET_PDEATHSIG = 1


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), help="The port to listen on (SOCLE_PORT).")
@click.option("--workers", type=click.IntRange(1, 64), help="Processes that answer requests (SOCLE_WORKERS).")
@click.option("--init", "ready_first", is_flag=True, help="Make the registry ready first, as `socle init` does.")
def serve(port: int | None, workers: int | None, ready_first: bool) -> None:
    """Run the service until it is told to stop (Ctrl-C or SIGTERM), which is a success.

    Refuses a port on which something answers already, and a registry that is not ready.
    """
    settings = current.settings()
    port = port or settings.port
    _refuse_taken(settings.host, port)
    if ready_first:
        make_ready()
    registry = current.store()
    addresses = _addresses(f"http://{settings.host}:{port}", registry)
    registry.close()  # No connection may be open when the workers are forked.
    server = _server(settings.host, port, workers or settings.workers)
    server.on_startup(lambda: click.echo("\n".join(addresses)))
    with working.supervised():
        server.serve(target_loader=partial(_load, os.getpid()), wrap_loader=True)


def _server(host: str, port: int, workers: int) -> Any:
    return Server(
        APPLICATION,
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=workers,
        blocking_threads=THREADS,
        workers_kill_timeout=SECONDS_TO_FINISH,
        respawn_failed_workers=True,
        log_level=LogLevels.warning,
    )


def _load(parent: int, target: str) -> Callable[..., Any]:
    """The application, in a worker process that from now on ends when the main process does."""
    # A terminal sends Ctrl-C to its whole session, and a worker that is told twice to stop never does: the main
    # process alone is to hear it.
    os.setsid()
    if sys.platform == "linux":
        # A worker left behind would keep the port and answer from a registry that nobody supervises.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit(1)
    gc.disable()  # As in `cli.main`; and what is there before the first request is out of all later rounds.
    module, _, factory = target.partition(":")
    # Granian would lose a signal that comes before the application is there, and kill the worker half a minute later.
    before = signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    application: Callable[..., Any] = getattr(import_module(module), factory)()
    signal.signal(signal.SIGTERM, before)
    gc.freeze()
    gc.enable()
    return application


def _refuse_taken(host: str, port: int) -> None:
    """Granian would share the port with whoever has it, and each would answer half of the requests."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
        raise Conflict(f"{host}:{port} answers already: stop what runs there, or choose another with --port")


def _addresses(root: str, registry: Store) -> list[str]:
    nomenclatures = f"{root}/api/v1/nomenclatures"
    lines = [f"Pages       {root}/", f"API         {root}/api/docs"]
    for nomenclature in registry.nomenclatures():
        with contextlib.suppress(NotFound):
            edition = registry.in_force(nomenclature.slug, today())
            concepts, _ = registry.concepts(nomenclature.slug, edition.version, status="active", limit=2)
            if concepts:
                return [*lines, f"Un concept  {nomenclatures}/{nomenclature.slug}/concepts/{concepts[-1].code}"]
    return lines
