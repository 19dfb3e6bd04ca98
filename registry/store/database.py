"""Connections, transactions and the schema's version, for SQLite and PostgreSQL alike.

SQLite: WAL, ``synchronous=FULL``, foreign keys, recursive triggers, a busy timeout; every unit of work that may write
begins IMMEDIATE, since a deferred transaction that upgrades loses updates. PostgreSQL: whatever allots a number takes
an advisory lock first. Reads run without a transaction: what is published never changes, so no two of them disagree.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Select, create_engine, event, exc, make_url, select, table, text

from registry.errors import Busy, Conflict, Damaged, Invalid, Problem

SCHEMA = "0006"
"""The migration that this code needs, as Alembic names it."""

WRITERS = 3
_LOCK = 0x50C1E
_PRAGMAS = (
    "PRAGMA busy_timeout = 30000",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA recursive_triggers = ON",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA journal_size_limit = 67108864",
)

_POSTGRESQL = (
    "statement_timeout=15000",
    "lock_timeout=5000",
    "timezone=UTC",
    # Compiling a statement takes longer than all but the longest of ours; that one sorts and hashes by the megabyte.
    "jit=off",
    "work_mem=16MB",
)


# What it meets while it closes a connection that broke, it logs with a traceback: whoever broke it was told already.
logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)


def make_engine(url: str) -> Engine:
    """An engine with the settings that keep data whole; the SQLite file's folder is made if it is missing."""
    if make_url(url).get_backend_name() == "sqlite":
        path = make_url(url).database
        if path:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(url, connect_args={"isolation_level": None, "timeout": 30})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    return create_engine(
        url,
        pool_pre_ping=True,
        connect_args={"options": " ".join(f"-c {setting}" for setting in _POSTGRESQL)},
    )


def _unceremonious(url: str) -> Engine:
    """An engine for PostgreSQL whose connections are neither tried before use nor in a transaction."""
    options = {"options": " ".join(f"-c {setting}" for setting in _POSTGRESQL)}
    return create_engine(url, connect_args=options, isolation_level="AUTOCOMMIT", pool_reset_on_return=None)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(pragma)
    cursor.close()
    # PostgreSQL counts bits by itself.
    connection.create_function("in_common", 2, _in_common, deterministic=True)


def _in_common(one: bytes, other: bytes) -> int:
    return (int.from_bytes(one, "little") & int.from_bytes(other, "little")).bit_count()


def _begin_sqlite(connection: Connection) -> None:
    if connection.get_execution_options().get("writes"):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


class _Written(NamedTuple):
    """A statement as its database reads it: the text, the order of its parameters if they have none of their own."""

    text: str
    order: Sequence[str] | None
    fixed: Mapping[str, Any]

    def values(self, bound: Mapping[str, Any]) -> Any:
        given = {**self.fixed, **bound}
        return given if self.order is None else [given[name] for name in self.order]


def _written(statement: Select[Any], engine: Engine) -> _Written:
    compiled = statement.compile(engine)
    return _Written(str(compiled), compiled.positiontup, compiled.params)


class Database:
    """An engine, and the two ways to use it: ``reading`` and ``writing``."""

    def __init__(self, url: str) -> None:
        self.engine = make_engine(url)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        self._reads = self.engine.execution_options(**({} if self.is_sqlite else {"isolation_level": "AUTOCOMMIT"}))
        self._rows = self.engine if self.is_sqlite else _unceremonious(url)
        self._writers = threading.BoundedSemaphore(WRITERS)
        self._current = threading.local()
        self._written: dict[Select[Any], _Written] = {}

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()
        self._rows.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for reads; within ``writing``, by the same thread, they see what was written there.

        :raises Busy: if the database can't be reached now.
        :raises Damaged: if what answers is not a usable database.
        """
        outer: Connection | None = getattr(self._current, "connection", None)
        if outer is not None:
            yield outer
            return
        with _named_errors(), self._reads.connect() as connection:
            yield connection

    def row(self, statement: Select[Any]) -> tuple[Any, ...]:
        """The one row of a statement without parameters, as ``rows`` gives it.

        :raises Busy: if the database can't be reached now.
        :raises Damaged: if what answers is not a usable database, or there is no row.
        """
        for row in self.rows(statement, {}):
            return row
        raise Damaged("a row that is always there is missing")

    def rows(self, statement: Select[Any], bound: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """The rows of a statement of texts and whole numbers, in a fraction of the time that ``reading`` takes.

        Most of that goes into what surrounds a statement; who asks for one, and no more, is better off here. None of
        its parameters may be a list: its text is written once, when it is first asked for.

        :raises Busy: if the database can't be reached now.
        :raises Damaged: if what answers is not a usable database.
        """
        if getattr(self._current, "connection", None) is None:
            written = self._written.get(statement)
            if written is None:
                written = self._written[statement] = _written(statement, self.engine)
            # Whatever is wrong here is found again below, by what mends it or has a name for it.
            with _named_errors(), suppress(self.engine.dialect.loaded_dbapi.Error):
                pooled = self._rows.raw_connection()
                try:
                    cursor = pooled.cursor()
                    cursor.execute(written.text, written.values(bound))
                    return list(cursor.fetchall())
                except Exception:
                    pooled.invalidate()
                    raise
                finally:
                    pooled.close()
        with self.reading() as connection:
            return list(map(tuple, connection.execute(statement, bound)))

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction that may write, committed whole at the end or not at all; one at a time in a registry.

        What is written within it, by the same thread, is part of it.

        :raises Busy: if too many writers wait already, or the lock is not had in time.
        :raises Conflict: if a constraint refuses what is written.
        """
        outer: Connection | None = getattr(self._current, "connection", None)
        if outer is not None:
            yield outer
            return
        if not self._writers.acquire(timeout=30):
            raise Busy("too many writers")
        undone: list[Callable[[], None]] = []
        self._current.if_undone = undone
        done = False
        try:
            with _named_errors(), self.engine.execution_options(writes=True).begin() as connection:
                if not self.is_sqlite:
                    connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
                self._current.connection = connection
                yield connection
            done = True
        finally:
            self._current.connection = None
            self._writers.release()
            for write in () if done else undone:
                write()

    def if_undone(self, write: Callable[[], None]) -> None:
        """Have something written on its own if the transaction that this thread is in comes to nothing.

        Outside of a transaction there is nothing that could.
        """
        if getattr(self._current, "connection", None) is not None:
            self._current.if_undone.append(write)

    def schema(self) -> str:
        """The version of the schema in the database; the empty string if it has none."""
        try:
            with self.reading() as connection:
                found = connection.execute(select(text("version_num")).select_from(table("alembic_version"))).scalar()
                return str(found or "")
        except Damaged as error:
            if isinstance(error.__cause__, exc.OperationalError | exc.ProgrammingError):
                return ""
            raise


@contextmanager
def _named_errors() -> Iterator[None]:
    """Turn what a driver raises into the registry's own errors."""
    try:
        yield
    except exc.IntegrityError as error:
        raise Conflict(str(error.orig).splitlines()[0]) from error
    except exc.OperationalError as error:
        message = str(error.orig).splitlines()[0] if str(error.orig) else "database"
        if any(sign in message for sign in ("no such table", "no such column", "not a database", "malformed")):
            raise Damaged(message) from error
        raise Busy(message) from error
    except exc.InterfaceError as error:
        raise Busy(str(error.orig)) from error
    except exc.TimeoutError as error:
        raise Busy("too many readers") from error
    except exc.DataError as error:
        message = "valeur que la base de données ne peut pas tenir"
        raise Invalid([Problem("value_is_storable", message, accepted="du texte sans caractère nul")]) from error
    except exc.DBAPIError as error:
        raise Damaged(str(error.orig).splitlines()[0]) from error
    except exc.NoResultFound as error:
        raise Damaged("a row that another one names is missing") from error


def migrate(url: str) -> None:
    """Bring the schema of the database at ``url`` to the version that this code needs; do nothing if it is there.

    A migration that is killed half-way leaves the schema as it was: both databases roll it back.
    """
    # Alembic takes 0.2 s to import, which reads and the service never need.
    from alembic import command
    from alembic.config import Config

    from registry.store import reach

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent.parent / "migrations"))
    engine = make_engine(url)
    try:
        with _named_errors(), engine.execution_options(writes=True).begin() as connection:
            if engine.dialect.name != "sqlite":
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            if config.attributes.get("count_uses"):
                reach.count_again(connection)
    finally:
        engine.dispose()
