"""A private PostgreSQL cluster for the tests, on a Unix socket, gone when they are, however they end.

PostgreSQL refuses to run as root, so there the server runs as ``postgres`` or ``nobody``. A shell between us
and the server waits for its standard input to end, which happens when we close it and also when we are killed;
it then stops the server and removes the folder. Nothing else has to be remembered.
"""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql

# The oldest that Socle supports.
_OLDEST = 15

# A busy machine may need long to start the server; one where it never starts should say so soon.
_START_SECONDS = 30

# The template is a few megabytes, and then writing its pages to the log (32 ms) beats copying its files (36 ms, or
# 147 ms against 57 ms where fsync is on), because a file copy asks for two checkpoints.
_COPY = sql.SQL("CREATE DATABASE {copy} TEMPLATE {template} STRATEGY WAL_LOG")

_SUPERVISE = """
programs=$1 folder=$2 fsync=$3
cd "$folder" || exit 1
if "$programs/initdb" -D data -U socle -A trust --locale=C --encoding=UTF8 --no-sync >log 2>&1; then
    "$programs/postgres" -D data -k "$folder" -c listen_addresses= -c fsync="$fsync" -c max_connections=50 \
        -c dynamic_shared_memory_type=mmap >>log 2>&1 &
    server=$!
    read -r _
    kill -QUIT "$server" 2>/dev/null
    wait "$server"
else
    touch failed
    read -r _
fi
cd / && rm -rf "$folder"
"""


class NoServer(RuntimeError):
    """PostgreSQL is not installed, or did not start: a failure, for half of what the tests promise is about it."""


@dataclass
class Cluster:
    """A running server, and the databases that are copied from templates in it."""

    folder: Path
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def url(self, database: str) -> str:
        """Where SQLAlchemy finds one database."""
        return f"postgresql+psycopg:///{database}?host={self.folder}&user=socle"

    def make(self, database: str, fill: Callable[[str], None]) -> None:
        """Create a database and have ``fill`` fill it; it can be copied once no connection to it is open."""
        self._run(sql.SQL("CREATE DATABASE {name}").format(name=sql.Identifier(database)))
        fill(self.url(database))

    @contextmanager
    def copy(self, template: str) -> Iterator[str]:
        """The URL of a fresh copy of a database, dropped at the end even if connections to it are still open."""
        name = f"{template}_{next(self._numbers)}"
        self._run(_COPY.format(copy=sql.Identifier(name), template=sql.Identifier(template)))
        try:
            yield self.url(name)
        finally:
            self._run(sql.SQL("DROP DATABASE {name} WITH (FORCE)").format(name=sql.Identifier(name)))

    def _run(self, statement: sql.Composed) -> None:
        with _connection(self.folder) as connection:
            connection.execute(statement)


@contextmanager
def running_cluster(*, fsync: bool = False) -> Iterator[Cluster]:
    """Start a server in a folder of its own (about 1.2 s), and stop and remove it at the end.

    :raises NoServer: when PostgreSQL is not installed or does not start, with the end of its log.
    """
    programs = server_programs()
    owner = _server_account()
    # Not under pytest's folder: a socket's path may hold 107 bytes only, and the server's account must get there.
    folder = Path(tempfile.mkdtemp(prefix="socle-pg-", dir="/tmp"))
    if owner:
        shutil.chown(folder, owner.pw_uid, owner.pw_gid)
    supervisor = subprocess.Popen(
        ["/bin/sh", "-c", _SUPERVISE, "sh", programs, folder, "on" if fsync else "off"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        start_new_session=True,  # Ctrl-C in the terminal is for pytest, which then ends the cluster in good order.
        user=owner.pw_uid if owner else None,
        group=owner.pw_gid if owner else None,
        extra_groups=[] if owner else None,
    )
    with supervisor:  # Leaving closes its standard input and waits for it.
        _wait_for_server(folder)
        yield Cluster(folder)


def server_programs() -> Path:
    """The folder of ``initdb`` and ``postgres``: the newest of Debian's, else what PATH finds.

    :raises NoServer: when there is none, with what to install.
    """
    debian = {float(path.parts[-3]): path for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")}
    newest = max(debian, default=0.0)
    initdb = debian[newest] if newest >= _OLDEST else shutil.which("initdb")
    if not initdb:
        raise NoServer(
            f"The tests need the PostgreSQL server, version {_OLDEST} or later: initdb and postgres are neither in "
            "/usr/lib/postgresql/*/bin nor on PATH. On Debian and Ubuntu: sudo apt-get install postgresql"
        )
    return Path(initdb).resolve().parent


def _server_account() -> pwd.struct_passwd | None:
    """Whom the server runs as: us, unless we are root."""
    if os.geteuid() != 0:
        return None
    accounts = {account.pw_name: account for account in pwd.getpwall()}
    return accounts.get("postgres") or accounts["nobody"]


def _connection(folder: Path) -> psycopg.Connection:
    return psycopg.connect(host=str(folder), user="socle", dbname="postgres", autocommit=True)


def _wait_for_server(folder: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            _connection(folder).close()
        except psycopg.OperationalError as refusal:
            if (folder / "failed").exists() or time.monotonic() > deadline:
                log = folder / "log"
                said = log.read_text(errors="replace")[-2000:] if log.exists() else "(no log)"
                raise NoServer(f"PostgreSQL did not start in {folder}: {refusal}\n{said}") from refusal
            time.sleep(0.02)
        else:
            return


# `make test` asks before the tests do, to install what is missing or to say it plainly.
if __name__ == "__main__":
    try:
        server_programs()
    except NoServer as missing:
        sys.exit(str(missing))
