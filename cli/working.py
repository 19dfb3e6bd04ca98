"""The command that does what is due, and how the service keeps one such process running."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import click

from cli import committee, current
from registry import webhooks
from registry.errors import SocleError

SECONDS_BETWEEN = 15
SECONDS_TO_FINISH = 25
SECONDS_TO_RESTART = 5
_PROGRAM = "from cli.main import main; main()"


@click.command()
@click.option("--once", is_flag=True, help="Do what is due now, and end.")
@click.option(
    "--every",
    type=click.IntRange(1, 3600),
    default=SECONDS_BETWEEN,
    show_default=True,
    help="Seconds between two looks at what is due.",
)
@click.option("--for", "parent", type=int, hidden=True, help="End when the process of this number is not the parent.")
def work(once: bool, every: int, parent: int | None) -> None:
    """Do what is due until it is told to stop (Ctrl-C or SIGTERM), which is a success.

    Publishes drafts whose instant has come, closes votes that are over, warns those who pull a list of what will break
    in it, sends to webhooks, and forgets proposals that nobody confirmed. What can't be done now is said, and tried
    again. `socle serve` runs one by itself.
    """
    if once:
        _done()
        count = webhooks.deliver(current.store(), current.settings())
        if count:
            click.echo(f"{count} envoi(s) à des webhooks")
        return
    # Beside the rest: whoever is slow to answer keeps no publication waiting.
    sending = webhooks.Sending(current.store(), current.settings())
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    while not stop.is_set() and parent in (None, os.getppid()):
        try:
            _done()
            sending.go()
        except (SocleError, OSError) as error:
            click.echo(f"{type(error).__name__}: {error}", err=True)
        _rest(stop, every, parent)


def _done() -> None:
    for line in committee.due(current.store()):
        click.echo(line)


def _rest(stop: threading.Event, seconds: int, parent: int | None) -> None:
    """Wait, but no longer than the parent lives."""
    for _ in range(seconds):
        if stop.wait(1) or parent not in (None, os.getppid()):
            return


@contextlib.contextmanager
def supervised() -> Iterator[None]:
    """Keep one `socle work` running beside the service: it is started again when it ends, and stopped with it."""
    stop = threading.Event()
    watcher = threading.Thread(target=_watch, args=(stop,), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join(SECONDS_TO_FINISH)


def _watch(stop: threading.Event) -> None:
    # The service is to answer first: nothing is so due that it could not wait these seconds.
    while not stop.wait(SECONDS_TO_RESTART):
        # Without -P a folder `cli` in the working folder would be taken for ours.
        program = [sys.executable, "-P", "-c", _PROGRAM, "work", "--for", str(os.getpid())]
        # A session of its own: a terminal's Ctrl-C is for the service, which then tells it to stop.
        with subprocess.Popen(program, start_new_session=True) as process:  # noqa: S603 -- our own program.
            while process.poll() is None and not stop.wait(0.5):
                pass
            process.terminate()
