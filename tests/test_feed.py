"""The feed leads from any release to the next, to the byte; in each of its formats, and for those who follow it."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

import orjson
import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings

from registry import feed, publishing
from registry.changes import change_set
from registry.model import Concept, Decision, Edition, Group, Release, french
from registry.signing import canonical_lines, sha256
from registry.store import Store
from tests.browser import served
from tests.conftest import running, settings_for
from tests.factories import (
    a_concept,
    a_deprecated_concept,
    a_link,
    a_nomenclature,
    a_release,
    examples,
    keys_of,
    published,
    releases,
    the_operator,
)

API = "/api/v1"
EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"
ATOM = "{http://www.w3.org/2005/Atom}"


def canonical(release: Release) -> bytes:
    return b"".join(canonical_lines(release))


def an_edition(release: Release) -> Edition:
    return Edition(
        release.nomenclature.slug,
        release.version,
        2,
        1,
        3,
        release.valid_from,
        datetime(2024, 1, 1, tzinfo=UTC),
        sha256(canonical(release)),
        len(release.concepts),
        0,
    )


@given(releases(few_words=True), releases(few_words=True))
@settings(max_examples=examples(60), deadline=None)
def test_whoever_applies_the_feed_to_a_release_has_the_next_to_the_byte(old: Release, new: Release) -> None:
    levelled = new.with_heading(nomenclature=a_nomenclature(level_titles=("Un", "Deux"), title=french("Autre")))
    changes = change_set(old, levelled)

    lines = feed.FEED_FORMATS["ndjson"].write(feed.told(changes, an_edition(levelled), _labels(levelled)))
    told, *items = map(orjson.loads, lines.splitlines())
    found = feed.applied(old, told, items)

    assert canonical(found) == canonical(levelled)
    assert sha256(canonical(found)) == told["contentSha256"]


def _labels(release: Release) -> dict[str, Any]:
    return {code: concept.pref_label for code, concept in release.concepts.items()}


@pytest.fixture(scope="module")
def made(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of four releases, one of which mends an older one, and of which another is withdrawn."""
    folder = tmp_path_factory.mktemp("feed")
    shutil.copyfile(sqlite_template, folder / "socle.db")
    found = Store(f"sqlite:///{folder / 'socle.db'}", folder / "blobs")
    group = Group("G", french("Groupe"), ("A", "B"))
    published(found, a_release(groups=(group,)))
    gone, link = a_deprecated_concept("A"), a_link("A", "C")
    second = (gone, a_concept("B", pref_label=french('Aide "B" | <b>')), a_concept("C"))
    heading = a_nomenclature(title=french("Aides & secours"))
    same = Decision("Essai.", same_meaning=("B",))
    changed = a_release(*second, version="2.0", links=frozenset({link}), nomenclature=heading)
    published(found, changed, decision=same)
    third = (*second, a_concept("D"))
    published(found, a_release(*third, version="2.1", links=frozenset({link}), valid_from=date(2024, 2, 1)))
    mended = (a_concept("A", alt_label=french("Aide a")), a_concept("B"))
    published(found, a_release(*mended, version="1.1"), corrects="1.0")
    publishing.withdraw(found, "aides", "2.1", "Publiée trop tôt.", keys_of(found), actor=the_operator(found))
    found.close()
    return folder


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Iterator[Store]:
    """A registry of these releases, the test's own."""
    folder = shutil.copytree(made, tmp_path / "registry")
    found = Store(f"sqlite:///{folder / 'socle.db'}", folder / "blobs")
    yield found
    found.close()


@pytest.fixture
def client(store: Store, tmp_path: Path) -> Iterator[FlaskClient]:
    """A client of that registry."""
    with running(settings_for(tmp_path / "registry", public_url="https://registre.example/")) as app:
        yield app.test_client()


def test_a_consumer_of_the_feed_has_every_release_of_the_registry(client: FlaskClient, store: Store) -> None:
    held: dict[str | None, Release] = {}
    cursor, items = "", list[dict[str, Any]]()
    while page := client.get(f"{API}/changes?format=ndjson&limit=2&since={cursor}").data.splitlines():
        items += map(orjson.loads, page)
        cursor = items[-1]["cursor"]
    heads = [number for number, item in enumerate(items) if item["type"] == "release"]
    for number in heads:
        told = items[number]
        changes = [one for one in items if (one["type"], one["release"]) == ("change", told["release"])]
        base = held[told["predecessor"]] if told["predecessor"] else feed.beginning(told)
        held[told["release"]] = feed.applied(base, told, changes)
    deltas = {}
    for old in held:
        for new in held:
            answer = client.get(f"{API}/nomenclatures/aides/diff?from={old}&to={new}&format=ndjson")
            told, *changes = map(orjson.loads, answer.data.splitlines())
            deltas[old, new] = canonical(feed.applied(held[old], told, changes))
            assert "immutable" in answer.headers["Cache-Control"]

    published_bytes = {version: store.rendition("aides", str(version), "ntriples")[1].read_bytes() for version in held}
    assert [*held] == ["1.0", "2.0", "2.1", "1.1"]
    assert {version: canonical(release) for version, release in held.items()} == published_bytes
    assert deltas == {(old, new): published_bytes[new] for old, new in deltas}
    assert items[-1]["why"] == "Publiée trop tôt."
    replaced = next(one for one in items if one.get("code") == "A" and one["release"] == "2.0")
    assert replaced["successors"] == [
        {"code": "C", "prefLabel": {"fr": "Aide C"}, "date": "2024-01-01", "kind": "wider"}
    ]


def test_the_feed_is_one_in_each_of_its_formats(client: FlaskClient) -> None:
    as_json = client.get(f"{API}/changes?limit=1000")
    as_lines = client.get(f"{API}/changes?limit=1000", headers={"Accept": "application/x-ndjson"})
    as_table = client.get(f"{API}/changes?limit=1000", headers={"Accept": "text/csv"})
    first = client.get(f"{API}/changes?limit=1&format=csv")

    items = as_json.get_json()["items"]
    rows = list(csv.DictReader(io.StringIO(as_table.get_data(as_text=True), newline="")))
    relabelled = next(
        row for row in rows if (row["release"], row["code"], row["field"]) == ("2.0", "B", "prefLabel@fr")
    )
    assert [json.loads(line) for line in as_lines.data.splitlines()] == items
    assert list(dict.fromkeys(row["cursor"] for row in rows)) == [item["cursor"] for item in items]
    assert (relabelled["before"], relabelled["after"]) == ("Aide B", 'Aide "B" | <b>')
    assert {row["successors"] for row in rows if (row["release"], row["code"]) == ("2.0", "A")} == {"C"}
    assert f"since={items[0]['cursor']}" in first.headers["Link"]
    assert client.get(f"{API}/changes?since={items[-1]['cursor']}").get_json()["items"] == []
    assert client.get(f"{API}/changes", headers={"Accept": "image/png"}).status_code == 406


def test_news_are_a_valid_atom_feed(client: FlaskClient) -> None:
    answer = client.get(f"{API}/changes.atom")
    again = client.get(
        f"{API}/changes.atom", headers={"If-None-Match": answer.headers["ETag"], "Host": "autre.example"}
    )

    whole = ElementTree.fromstring(answer.data)
    entries = whole.findall(f"{ATOM}entry")
    # RFC 4287, 4.1.1 and 4.1.2: what a feed and an entry must have, once.
    for element in (whole, *entries):
        for name in ("id", "title", "updated"):
            [found] = element.findall(ATOM + name)
            assert found.text
        assert urlsplit(element.findtext(f"{ATOM}id") or "").scheme == "https"
        updated = datetime.fromisoformat(element.findtext(f"{ATOM}updated") or "")
        assert updated.tzinfo is not None
    assert whole.tag == f"{ATOM}feed"
    assert answer.content_type.startswith("application/atom+xml")
    assert whole.findtext(f"{ATOM}author/{ATOM}name")
    assert [one.get("href") for one in whole.findall(f"{ATOM}link") if one.get("rel") == "self"] == [
        "https://registre.example/api/v1/changes.atom"
    ]
    assert len({entry.findtext(f"{ATOM}id") for entry in entries}) == len(entries)
    for entry in entries:
        assert [link.get("rel") for link in entry.findall(f"{ATOM}link")].count("alternate") == 1
        assert (entry.find(f"{ATOM}content") or entry).get("type", "text") == "text"
    assert [entry.findtext(f"{ATOM}title") for entry in entries] == [
        "Aides, version 2.1 retirée",
        "Aides, version 1.1",
        "Aides, version 2.1",
        "Aides & secours, version 2.0",
        "Aides, version 1.0",
    ]
    assert "Incompatible" in (entries[3].findtext(f"{ATOM}content") or "")
    assert "Corrige la version 1.0" in (entries[1].findtext(f"{ATOM}content") or "")
    assert (again.status_code, again.data) == (304, b"")


def test_what_the_documentation_shows_follows_a_live_registry(
    client: FlaskClient, store: Store, tmp_path: Path
) -> None:
    commands = {
        "python": [sys.executable, "-I", EXAMPLES / "follow.py"],
        "javascript": [shutil.which("node") or "node", EXAMPLES / "follow.mjs"],
        "shell": ["sh", EXAMPLES / "follow.sh"],
    }

    said = {}
    with served(client.application) as url:
        for name, command in commands.items():
            said[name] = _run(*command, url, tmp_path / name)
        published(store, a_last_release())
        again = {name: _run(*command, url, tmp_path / name) for name, command in commands.items()}
        quiet = {name: _run(*command, url, tmp_path / name) for name, command in commands.items()}

    for name in commands:
        for version in ("1.0", "1.1", "2.0", "2.1", "2.2"):
            for format in ("json", "csv", "ntriples"):
                found = tmp_path / name / "aides" / version / f"concepts.{format}"
                assert found.read_bytes() == store.rendition("aides", version, format)[1].read_bytes()
        assert "Publiée trop tôt." in (tmp_path / name / "aides" / "2.1" / "withdrawn").read_text()
        assert "2.0" in said[name]
        assert "2.2" in again[name]
        assert "2.0" not in again[name]
        assert quiet[name] == ""
    assert said["python"] == said["javascript"]


def a_last_release() -> Release:
    concepts: tuple[Concept, ...] = (a_deprecated_concept("A"), a_concept("B", pref_label=french('Aide "B" | <b>')))
    more = (a_concept("C"), a_concept("D"), a_concept("E"))
    links = frozenset({a_link("A", "C")})
    return a_release(*concepts, *more, version="2.2", links=links, valid_from=date(2024, 3, 1))


def _run(*command: object) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout
