"""What a process tree uses: processor time and memory, read from /proc, so on Linux only."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_LOOK_EVERY = 0.02


class Ran(NamedTuple):
    """What a process gave on its standard output, and the most memory that its tree held at a time, in MiB."""

    output: str
    peak_mib: float


def run(*arguments: str) -> Ran:
    """Run a module of ours with this interpreter, to its end.

    :raises CalledProcessError: if it fails.
    """
    command = [sys.executable, "-m", *arguments]
    done, peak = threading.Event(), 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:

        def watch() -> None:
            nonlocal peak
            while not done.wait(_LOOK_EVERY):
                peak = max(peak, sum(_resident(one) for one in tree(process.pid)))

        watcher = threading.Thread(target=watch)
        watcher.start()
        output, _ = process.communicate()
        done.set()
        watcher.join()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Ran(output, peak / (1 << 20))


def tree(process: int) -> list[int]:
    """A process and those that it started and that still run, by id."""
    try:
        tasks = list(Path(f"/proc/{process}/task").iterdir())
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return [process]
    return [process, *(found for child in children for found in tree(child))]


def processor_seconds(processes: Sequence[int]) -> float:
    """User and system time that processes have used so far, with that of their children that have ended."""
    used = 0
    for process in processes:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        used += sum(map(int, fields[11:15]))
    return used / _TICKS


def pace() -> float:
    """Processor seconds of a plain loop of a million turns: how fast this machine is just now."""
    started, total = time.process_time(), 0
    for turn in range(1_000_000):
        total += turn * turn % 7
    return time.process_time() - started


def _resident(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0  # It has ended since it was listed.
