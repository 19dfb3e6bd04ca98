"""What tests of several rooms ask for: an empty, migrated database of each kind that Socle runs on.

Migrating takes longer than most tests. So each worker migrates once, into a template, and a test gets a copy.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from api import create_app
from registry import settings as settings_
from registry import shipped
from registry.settings import Settings
from registry.store import Store, migrate
from tests.factories import keys_of
from tests.postgres import Cluster, running_cluster

_TEMPLATE = "socle_template"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """This worker's PostgreSQL server, with a migrated template; it syncs only for the full fault tests."""
    with running_cluster(fsync=os.environ.get("SOCLE_FAULTS") == "full") as cluster:
        cluster.make(_TEMPLATE, migrate)
        yield cluster


@pytest.fixture
def postgres_url(postgres: Cluster) -> Iterator[str]:
    """The URL of an empty, migrated PostgreSQL database; another test may have used it before."""
    with postgres.lend(_TEMPLATE) as url:
        yield url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, to be copied and never opened."""
    template = tmp_path_factory.mktemp("sqlite") / "template.db"
    migrate(f"sqlite:///{template}")
    assert not template.with_name("template.db-wal").exists(), "migrate left it open: copies would lack writes"
    return template


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """The URL of an empty, migrated SQLite database in the test's own folder."""
    return f"sqlite:///{shutil.copyfile(sqlite_template, tmp_path / 'socle.db')}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty, migrated database: each test that asks for it runs on both kinds."""
    fixture = {"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param]
    url: str = request.getfixturevalue(fixture)
    return url


@pytest.fixture
def store(database_url: str, tmp_path: Path) -> Iterator[Store]:
    """An empty registry, on each kind of database."""
    found = Store(database_url, tmp_path / "blobs")
    yield found
    found.close()


@pytest.fixture(scope="session")
def shipped_folder(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder (``socle.db``, ``blobs``, ``keys``) with all that is shipped, once per worker; copy it to write."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    made = shared / "all-that-is-shipped"
    with (shared / "shipped.lock").open("w") as lock:
        # Whichever worker comes first makes it; the others wait for that, and each has a copy.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            unfinished = tmp_path_factory.mktemp("unfinished")
            shutil.copyfile(sqlite_template, unfinished / "socle.db")
            found = Store(f"sqlite:///{unfinished / 'socle.db'}", unfinished / "blobs")
            shipped.publish(found, keys_of(found))
            found.close()
            unfinished.rename(made)
    return shutil.copytree(made, tmp_path_factory.mktemp("shipped") / "data")


@pytest.fixture(scope="session")
def shipped_store(shipped_folder: Path) -> Iterator[Store]:
    """A registry with all that is shipped, shared by the worker's tests: to be read only."""
    found = Store(f"sqlite:///{shipped_folder / 'socle.db'}", shipped_folder / "blobs")
    yield found
    found.close()


def settings_for(folder: Path, database_url: str = "", **others: str) -> Settings:
    """The settings of a registry in a folder of its own, and whatever else is given."""
    given = {"data_dir": str(folder), "database_url": database_url, **others}
    return settings_.read({f"SOCLE_{name.upper()}": value for name, value in given.items()})


def publish_shipped(settings: Settings) -> None:
    """Publish all that is shipped, and leave nothing open."""
    store = Store(settings.database, settings.blobs)
    try:
        shipped.publish(store, keys_of(store))
    finally:
        store.close()


@contextmanager
def running(settings: Settings) -> Iterator[Flask]:
    """The application over a registry, its connections closed at the end."""
    app = create_app(settings)
    try:
        yield app
    finally:
        app.extensions["socle"].store.close()


@pytest.fixture
def shipped_settings(shipped_folder: Path, tmp_path: Path) -> Settings:
    """A registry with all that is shipped, of the test's own: it may write to it."""
    return settings_for(shutil.copytree(shipped_folder, tmp_path / "shipped"))


@pytest.fixture(scope="session")
def app(shipped_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """The application over all that is shipped, on SQLite, for tests that only read."""
    folder = tmp_path_factory.mktemp("shipped") / "data"
    with running(settings_for(shutil.copytree(shipped_folder, folder))) as found:
        yield found


@pytest.fixture(scope="session")
def postgres_app(postgres: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """The application over all that is shipped, published anew on PostgreSQL, for tests that only read."""
    folder = tmp_path_factory.mktemp("shipped-postgres")

    def fill(url: str) -> None:
        migrate(url)
        publish_shipped(settings_for(folder, url))

    postgres.make("socle_shipped", fill)
    with running(settings_for(folder, postgres.url("socle_shipped"))) as found:
        yield found


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A client of the application over all that is shipped."""
    return app.test_client()
