"""What a process tree uses: processor time and memory, read from /proc, so on Linux only."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
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
    """User and system time that processes have used so far, together."""
    used = 0
    for process in processes:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        used += int(fields[11]) + int(fields[12])
    return used / _TICKS


def _resident(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0  # It has ended since it was listed.
