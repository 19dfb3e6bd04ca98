"""Opening the registry that the settings name, and preparing it the first time.

A database that is missing while release files are there was lost: it is said, and never replaced by an empty one.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from registry.errors import Damaged
from registry.settings import Settings
from registry.store import SCHEMA, Store, migrate


def opened(settings: Settings) -> Store:
    """The store of a registry that is there, with the schema that this code needs.

    :raises Damaged: if there is no database, or its schema is another one.
    :raises Busy: if the database can't be reached.
    """
    file = _file(settings)
    if file is not None and _is_missing(file):
        raise Damaged(_lost(settings) if _has_files(settings) else f"no registry at {file} yet: run `socle init`")
    store = Store(settings.database, settings.blobs)
    try:
        store.check_schema()
    except BaseException:
        store.close()
        raise
    return store


def prepare(settings: Settings) -> bool:
    """Make the data folder and bring the schema to the version that this code needs; return whether it was not there.

    :raises Damaged: if the database is lost while release files remain, or is newer than this code.
    :raises Busy: if the database can't be reached.
    """
    file = _file(settings)
    found = "" if file is not None and _is_missing(file) else _schema(settings)
    if found == SCHEMA:
        return False
    if not found and _has_files(settings):
        raise Damaged(_lost(settings))
    if found > SCHEMA:
        raise Damaged(f"schema {found} is newer than this version of Socle, which knows {SCHEMA}: update Socle")
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    migrate(settings.database)
    return True


@contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Prepare a registry while no other process does: the others wait. The lock goes with its process.

    :raises OSError: if the data folder can't be made or written.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with (settings.data_dir / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _file(settings: Settings) -> Path | None:
    """The file of an SQLite database; None for a server."""
    scheme, _, path = settings.database.partition(":///")
    return Path(path.partition("?")[0]) if scheme.startswith("sqlite") and path else None


def _is_missing(file: Path) -> bool:
    """Whether there is no database; an empty file is none, and opening it would already write to it."""
    return not file.exists() or file.stat().st_size == 0


def _schema(settings: Settings) -> str:
    store = Store(settings.database, settings.blobs)
    try:
        return store.database.schema()
    finally:
        store.close()


def _has_files(settings: Settings) -> bool:
    return next(settings.blobs.glob("sha256/*/*"), None) is not None


def _lost(settings: Settings) -> str:
    return (
        f"the database has no registry, but {settings.blobs} holds the files of one: restore the database from a "
        "backup, or move the files away to begin a new registry"
    )
