"""Opening the registry that the settings name, and preparing it the first time.

A database that is missing while release files are there was lost: it is said, and never replaced by an empty one.
"""

from __future__ import annotations

import fcntl
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from registry.errors import Damaged, WrongSetting
from registry.keys import Keys, generate
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


def keys(settings: Settings, store: Store) -> tuple[Keys, bool]:
    """The keys that sign for a registry, made if it never had any; return them, and whether they were made.

    :raises KeyRefused: if its keys are missing, or somebody but their owner may read them.
    """
    if not store.key_sets() and not (settings.keys / "1.json").exists():
        return generate(settings.keys, settings.base_iri), True
    return Keys.opened(settings.keys), False


def secret(path: Path) -> bytes:
    """The secret in a file that is for its owner alone, made if there is none; all processes get the same.

    :raises WrongSetting: if somebody else may read the file, or it holds too little.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        # Written whole under another name, then linked: whoever is second finds the first one's.
        draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(32))
        with suppress(FileExistsError):
            path.hardlink_to(draft)
        draft.unlink()
    found = private(path)
    if len(found) < 32:
        raise WrongSetting(f"{path} holds no secret: remove it, and another is made")
    return found


def private(path: Path) -> bytes:
    """What a file holds that is for its owner alone, without blanks around it.

    :raises WrongSetting: if it is not there, or somebody else may read it.
    """
    try:
        mode, found = path.stat().st_mode, path.read_bytes().strip()
    except OSError as error:
        raise WrongSetting(f"{path} can't be read: {error.strerror}") from error
    if mode & 0o077:
        raise WrongSetting(f"{path} can be read by others: run chmod 600")
    return found


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
