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

# A database that a test has used is emptied and lent to the next one, which costs a tenth of a new copy; what deleted
# rows leave behind would slow it down in the end.
_LENT_AT_MOST = 100

_SCHEMA = """
SELECT md5(string_agg(line, chr(10) ORDER BY line)) FROM (
    SELECT format('%s %s %s', oid, relkind, relrowsecurity) AS line FROM pg_class
        WHERE relnamespace = 'public'::regnamespace
    UNION ALL SELECT format('%s %s %s %s', attrelid, attname, atttypid, attnotnull) FROM pg_attribute
        JOIN pg_class ON pg_class.oid = attrelid
        WHERE relnamespace = 'public'::regnamespace AND attnum > 0
    UNION ALL SELECT format('%s %s %s', tgrelid, tgname, tgenabled) FROM pg_trigger
    UNION ALL SELECT format('%s %s', conrelid, conname) FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT format('%s %s', oid, md5(prosrc)) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT format('%s %s', setdatabase, setconfig) FROM pg_db_role_setting
    UNION ALL SELECT version_num FROM alembic_version
) AS lines
"""

_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
_USED_SEQUENCES = "SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' AND last_value IS NOT NULL"
_OTHERS_ENDED = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""

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
class _Lent:
    """A database that tests use one after the other: its name, its schema in short, and how often it was used."""

    name: str
    schema: str
    times: int = 0


@dataclass
class Cluster:
    """A running server, and the databases that are copied from templates in it."""

    folder: Path
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _idle: dict[str, list[_Lent]] = field(default_factory=dict)

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
        name = self._copied(template)
        try:
            yield self.url(name)
        finally:
            self._drop(name)

    @contextmanager
    def lend(self, template: str) -> Iterator[str]:
        """The URL of a copy of an empty, migrated database: emptied at the end, or dropped if its schema changed."""
        idle = self._idle.setdefault(template, [])
        lent = idle.pop() if idle else None
        if lent is None:
            name = self._copied(template)
            with _connection(self.folder, name) as connection:
                lent = _Lent(name, _schema(connection))
        try:
            yield self.url(lent.name)
        finally:
            lent.times += 1
            if lent.times < _LENT_AT_MOST and self._emptied(lent):
                idle.append(lent)
            else:
                self._drop(lent.name)

    def _emptied(self, lent: _Lent) -> bool:
        """Take out what a test has left, and say whether the database is as it was."""
        try:
            with _connection(self.folder, lent.name) as connection:
                while connection.execute(_OTHERS_ENDED).fetchone() is not None:
                    time.sleep(0.005)
                if _schema(connection) != lent.schema:
                    return False
                tables = [name for (name,) in connection.execute(_TABLES)]
                some = sql.SQL(" UNION ALL ").join(
                    sql.SQL("SELECT {} WHERE EXISTS (SELECT FROM {})").format(name, sql.Identifier(name))
                    for name in tables
                )
                filled = [name for (name,) in connection.execute(some)]
                used = [name for (name,) in connection.execute(_USED_SEQUENCES)]
                statements = [
                    sql.SQL("SET session_replication_role = replica"),  # Neither triggers nor foreign keys have a say.
                    *(sql.SQL("DELETE FROM {}").format(sql.Identifier(name)) for name in filled),
                    *(sql.SQL("ALTER SEQUENCE {} RESTART").format(sql.Identifier(name)) for name in used),
                ]
                connection.execute(sql.SQL("; ").join(statements))
        except psycopg.Error:
            return False
        return True

    def _copied(self, template: str) -> str:
        name = f"{template}_{next(self._numbers)}"
        self._run(_COPY.format(copy=sql.Identifier(name), template=sql.Identifier(template)))
        return name

    def _drop(self, name: str) -> None:
        self._run(sql.SQL("DROP DATABASE IF EXISTS {name} WITH (FORCE)").format(name=sql.Identifier(name)))

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


def _connection(folder: Path, database: str = "postgres") -> psycopg.Connection:
    return psycopg.connect(host=str(folder), user="socle", dbname=database, autocommit=True)


def _schema(connection: psycopg.Connection) -> str:
    [found] = connection.execute(_SCHEMA).fetchone() or [""]
    return str(found)


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
