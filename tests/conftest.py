"""What tests of several rooms ask for: an empty, migrated database of each kind that Socle runs on.

Migrating takes longer than most tests. So each worker migrates once, into a template, and a test gets a copy.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.store import migrate
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
    """The URL of an empty, migrated PostgreSQL database, dropped after the test."""
    with postgres.copy(_TEMPLATE) as url:
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
