"""A vendor's copy of a registry: whole and verified at every instant, in step at the end, and never fooled."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flask import Flask
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from cli.main import main
from registry import keys, mirror, publishing, remote, verification
from registry.model import Concept, Release, today
from registry.store import Store
from registry.verification import Trust, sha256
from tests import faults
from tests.browser import QuietRequests, served
from tests.conftest import running, settings_for
from tests.factories import (
    AN_INSTANT,
    a_concept,
    a_deprecated_concept,
    a_link,
    a_release,
    keys_of,
    published,
    the_operator,
)

Altered = Callable[[str, Response], Response]


@dataclass
class Vendor:
    """A registry that is served, as another process has it open, and the folder of a copy.

    ``asked`` holds each request that came, with the status of its answer; ``altered`` may change an answer on its way.
    """

    app: Flask
    store: Store
    folder: Path
    url: str = ""
    asked: list[str] = field(default_factory=list)
    altered: Altered = lambda _, response: response

    def sync(self, *options: str, url: str = "") -> Result:
        """Run ``socle sync``; ``asked`` is then what it asked."""
        self.asked.clear()
        return CliRunner().invoke(main, ["sync", url or self.url, str(self.folder), *options])

    def read(self, name: str) -> bytes:
        return (self.folder / "current" / name).read_bytes()

    def everything(self) -> dict[str, bytes]:
        """What a reader finds in the copy, by name."""
        state = (self.folder / "current").resolve()
        return {str(path.relative_to(state)): path.read_bytes() for path in state.rglob("*") if path.is_file()}

    def __call__(self, environ: dict[str, Any], start: Any) -> Any:
        request = Request(environ)
        response = self.altered(request.full_path, Response.from_app(self.app.wsgi_app_before, environ, buffered=True))  # type: ignore[attr-defined] # Set below.
        self.asked.append(f"{request.full_path.removeprefix('/api/v1').rstrip('?')} {response.status_code}")
        return response(environ, start)


@contextlib.contextmanager
def a_vendor(folder: Path, database: Path, copy: Path) -> Iterator[Vendor]:
    """A vendor of the registry in a folder."""
    folder.mkdir(exist_ok=True)
    shutil.copyfile(database, folder / "socle.db")
    with running(settings_for(folder)) as app:
        store = Store(f"sqlite:///{folder / 'socle.db'}", folder / "blobs")
        vendor = Vendor(app, store, copy)
        app.wsgi_app_before, app.wsgi_app = app.wsgi_app, vendor  # type: ignore[attr-defined,method-assign,assignment]  # Put in place of theirs.
        with served(app) as vendor.url:
            yield vendor
        store.close()


@pytest.fixture
def vendor(sqlite_template: Path, tmp_path: Path) -> Iterator[Vendor]:
    """A registry without releases, and no copy yet."""
    with a_vendor(tmp_path / "registry", sqlite_template, tmp_path / "copy") as found:
        yield found


def second_release(**changes: Any) -> Release:
    """Release 2.0: A is replaced by C."""
    concepts = (a_deprecated_concept("A"), a_concept("B"), a_concept("C"))
    return a_release(*concepts, **{"version": "2.0", "links": frozenset({a_link("A", "C")}), **changes})


def is_equal(vendor: Vendor) -> bool:
    """Whether the copy has, byte for byte, every release of the registry, and its links say what it says."""
    versions = [edition.version for edition in vendor.store.editions("aides")]
    for version in versions:
        for name, format in mirror.FILES.items():
            if (
                vendor.read(f"aides/{version}/{name}")
                != vendor.store.rendition("aides", version, format)[1].read_bytes()
            ):
                return False
    links = {name: str((vendor.folder / "current" / "aides" / name).readlink()) for name in ("in-force", "latest")}
    expected = {
        "in-force": vendor.store.in_force("aides", today()).version,
        "latest": vendor.store.latest("aides").version,
    }
    head = vendor.read("proof/checkpoint") == vendor.store.checkpoint()
    return head and links == expected and set(versions) == {path.name for path in _versions(vendor)}


def _versions(vendor: Vendor) -> list[Path]:
    return [path for path in (vendor.folder / "current" / "aides").iterdir() if not path.is_symlink()]


def test_a_copy_follows_the_registry_from_its_first_release_to_new_keys_and_a_withdrawal(vendor: Vendor) -> None:
    published(vendor.store, a_release())
    [root_key] = verification.key_sets(vendor.store.key_sets())[0].roles["root"][0]

    first = vendor.sync()
    same = vendor.sync("--json")
    asked_when_same = list(vendor.asked)
    published(vendor.store, second_release())
    more = vendor.sync()
    asked_for_more = list(vendor.asked)
    roles = ["root", "publication"]
    keys.rotate(vendor.store, keys_of(vendor.store), replace=roles, at=AN_INSTANT, actor=the_operator(vendor.store))
    actor = the_operator(vendor.store)
    publishing.withdraw(vendor.store, "aides", "2.0", "Fausse.", keys_of(vendor.store), actor=actor)
    last = vendor.sync()

    assert [one.exit_code for one in (first, same, more, last)] == [0] * 4, (first, same, more, last)
    assert f"clé racine, à comparer à celle que le registre annonce : {root_key}" in first.output
    assert json.loads(same.output)["changed"] is False
    # The registry's entries are years old at first, and the withdrawal is of today: a head so old is told, not refused.
    assert f"sa dernière entrée est du {AN_INSTANT:%Y-%m-%d}, il y a plus de 30 jours" in first.output
    assert (json.loads(same.output)["stale"], "plus de 30 jours" in last.output) == (True, False)
    assert asked_when_same == ["/log/checkpoint 304"]
    assert "nouvelle version : aides@2.0" in more.output
    assert root_key not in more.output
    # What is new comes as a delta, and nothing that the copy has comes again.
    assert asked_for_more == [
        "/log/checkpoint 200",
        "/log?limit=1000&after=2 200",
        "/keys 200",
        "/nomenclatures/aides/diff?from=1.0&to=2.0&format=ndjson 200",
    ]
    assert "retirée : aides@2.0" in last.output
    assert is_equal(vendor)
    assert vendor.read("aides/2.0/RETIREE.txt").decode() == "Fausse.\n"
    current = vendor.folder / "current"
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=current, check=True)
    assert {path.name for path in current.glob("proof/keys/*")} == {"1.json", "2.json"}


def test_what_is_in_force_moves_with_the_day_alone(vendor: Vendor) -> None:
    published(vendor.store, a_release())
    published(vendor.store, second_release(valid_from=date(2024, 6, 1)))
    mirror.sync(vendor.url, vendor.folder, today=date(2024, 5, 31))
    before = (vendor.folder / "current" / "aides" / "in-force").readlink()

    done = mirror.sync(vendor.url, vendor.folder, today=date(2024, 6, 1))

    assert str(before) == "1.0"
    assert (vendor.folder / "current" / "aides" / "in-force").readlink() == Path("2.0")
    assert (done.changed, done.came) == (True, ())


def test_what_was_damaged_in_a_copy_comes_again_and_a_second_run_at_once_is_refused(vendor: Vendor) -> None:
    published(vendor.store, a_release())
    vendor.sync()
    (vendor.folder / "current/aides/1.0/concepts.json").unlink()
    (vendor.folder / "current/aides/1.0/concepts.csv").write_text("")

    mended = vendor.sync()
    with (vendor.folder / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = vendor.sync()

    assert mended.exit_code == 0
    assert is_equal(vendor)
    assert (second.exit_code, second.stderr.count("\n")) == (4, 1)
    assert "un autre socle sync travaille" in second.stderr


def test_a_fork_a_way_back_and_unknown_keys_are_refused_and_the_copy_stays(
    vendor: Vendor, sqlite_template: Path, tmp_path: Path
) -> None:
    published(vendor.store, a_release())
    vendor.store.close()
    for name in ("earlier", "forked"):
        shutil.copytree(tmp_path / "registry", tmp_path / name)
        with contextlib.closing(sqlite3.connect(tmp_path / name / "socle.db")) as copied:
            copied.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    published(vendor.store, second_release())
    vendor.sync()
    before = vendor.everything()

    refusals = {}
    for name, expected in (("earlier", "retour en arrière"), ("forked", "bifurcation"), ("other", "confiance")):
        database = sqlite_template if name == "other" else tmp_path / name / "socle.db"
        with a_vendor(tmp_path / f"{name}-served", database, vendor.folder) as other:
            if name != "other":
                shutil.copytree(tmp_path / name / "blobs", other.store.blobs.folder, dirs_exist_ok=True)
                shutil.copytree(tmp_path / name / "keys", other.store.blobs.folder.with_name("keys"))
            keys_of(other.store)  # Made before anything is published: the other registry's are its own.
            for version in {"earlier": (), "forked": ("1.1", "1.2"), "other": ("1.0", "1.1")}[name]:
                published(other.store, a_release(a_concept("A"), a_concept("B"), *_added(version), version=version))
            refusals[name] = (vendor.sync(url=other.url), expected)
    key = tmp_path / "other.pem"
    key.write_text(_public_key())
    unknown = vendor.sync("--key", str(key))

    for name, (result, expected) in refusals.items():
        assert (name, result.exit_code) == (name, 1), result.output
        assert expected in result.stderr, result.stderr
        assert result.stderr.count("\n") == 1
    assert unknown.exit_code == 1
    assert "clé donnée" in unknown.stderr
    assert vendor.everything() == before


def _added(version: str) -> list[Concept]:
    return [a_concept(f"N{number}") for number in range(int(version.split(".")[1]))]


def _public_key() -> str:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    public = Ed25519PrivateKey.generate().public_key()
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def _with(data: bytes, **headers: str) -> Callable[[Response], Response]:
    def change(response: Response) -> Response:
        return Response(data, 200, {"Content-Type": "application/json", **headers})

    return change


def _status(number: int) -> Callable[[Response], Response]:
    return lambda response: Response(b"", number, {"Location": "ftp://127.0.0.1/x"} if number == 302 else {})


def _edited(old: bytes, new: bytes) -> Callable[[Response], Response]:
    def change(response: Response) -> Response:
        return Response(response.get_data().replace(old, new), 200)

    return change


HOSTILE: dict[str, tuple[str, Callable[[Response], Response], int]] = {
    "a file of other bytes": ("format=ntriples", _edited(b"Aide", b"Aida"), 1),
    "a file that never ends": ("format=json", _with(b"x" * 3_000_000), 1),
    "a file that is not there": ("format=csv", _status(404), 1),
    "a page instead of the head": ("checkpoint", _with(b"<html>\xff"), 1),
    "a head without end": ("checkpoint", _with(b"x" * 100_000), 1),
    "a head of another size": ("checkpoint", _edited(b"\n2\n", b"\n9999999\n"), 1),
    "an answer that is not what was asked": ("checkpoint", _status(304), 5),
    "a way to another protocol": ("checkpoint", _status(302), 5),
    "a page instead of the log": ("/log?", _with(b"<html>"), 1),
    "a log of numbers": ("/log?", _with(b'{"items": [1, 2]}'), 1),
    "an empty log": ("/log?", _with(b'{"items": []}'), 1),
    "an entry that was altered": ("/log?", _edited(b"1.0", b"1.9"), 1),
    "a log nested too deep": ("/log?", _with(b"[" * 100_000), 1),
    "no keys": ("/keys", _with(b'{"items": []}'), 1),
    "keys that are texts": ("/keys", _with(b'{"items": ["a"]}'), 1),
    "an error of the server": ("/keys", _status(500), 5),
    "a delta of another shape": ("/diff", _with(b'{"a":1}\n'), 0),
    "a delta that lies": ("/diff", _edited(b"Aide C", b"Aide X"), 0),
    "no delta": ("/diff", _status(503), 0),
}


def test_whatever_a_hostile_server_answers_is_refused_in_a_line_or_got_around(vendor: Vendor) -> None:
    published(vendor.store, a_release())
    honest = vendor.altered
    outcomes: dict[str, Any] = {}
    for name, (where, change, _) in HOSTILE.items():
        if "/diff" in where:
            continue
        vendor.altered = lambda path, response, where=where, change=change: (  # type: ignore[misc]  # Put in place of theirs.
            change(response) if where in path else response
        )
        outcomes[name] = vendor.sync()
        assert not (vendor.folder / "current").exists(), name
    vendor.altered = honest
    vendor.sync()
    shutil.copytree(vendor.folder, vendor.folder.with_name("kept"), symlinks=True)
    published(vendor.store, second_release())
    for name, (where, change, _) in HOSTILE.items():
        if "/diff" in where:
            shutil.rmtree(vendor.folder)
            shutil.copytree(vendor.folder.with_name("kept"), vendor.folder, symlinks=True)
            vendor.altered = lambda path, response, where=where, change=change: (  # type: ignore[misc]  # Put in place of theirs.
                change(response) if where in path else response
            )
            outcomes[name] = vendor.sync()
            assert is_equal(vendor), name

    expected = {name: code for name, (_, _, code) in HOSTILE.items()}
    assert {name: result.exit_code for name, result in outcomes.items()} == expected
    assert {name: result.stderr.count("\n") for name, result in outcomes.items() if result.exit_code} == {
        name: 1 for name, code in expected.items() if code
    }


def test_a_server_that_cannot_be_reached_or_believed_is_told_in_a_line(vendor: Vendor, tmp_path: Path) -> None:
    server = make_server("127.0.0.1", 0, vendor.app, threaded=True, request_handler=QuietRequests, ssl_context="adhoc")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        unbelieved = vendor.sync(url=f"https://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    unreached = vendor.sync(url=f"http://127.0.0.1:{server.server_port}")
    misread = vendor.sync(url="file:///etc/hostname")
    (tmp_path / "copy" / "current").mkdir()
    elsewhere = vendor.sync()

    assert [one.exit_code for one in (unbelieved, unreached, misread, elsewhere)] == [5, 5, 2, 4]
    assert "certificate is refused" in unbelieved.stderr
    assert "n'est pas d'une copie" in elsewhere.stderr
    assert all(one.stderr.count("\n") == 1 for one in (unbelieved, unreached, elsewhere))


@pytest.mark.parametrize("begun", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n"])
def test_a_server_that_trickles_is_given_up(begun: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_SECONDS", 0.3)
    over = threading.Event()

    def trickle(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(begun)
            while not over.wait(0.05):
                connection.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=trickle, args=[listening])
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        result = CliRunner().invoke(main, ["sync", url, str(tmp_path / "copy")])
        over.set()
        thread.join()

    assert (result.exit_code, result.stderr.count("\n")) == (5, 1), result


# --- A vendor's night -----------------------------------------------------------------------------------------------


class _Reader(threading.Thread):
    """Somebody who reads the copy all the time, and notes whatever is not of one state."""

    def __init__(self, copy: Path) -> None:
        super().__init__()
        self.copy, self.faults, self.states, self.over = copy, list[str](), set[str](), threading.Event()

    def run(self) -> None:
        while not self.over.is_set():
            state = (self.copy / "current").resolve()
            # A state that was whole once is looked at again now and then: reading it takes longer than a run.
            again = state.name not in self.states or random.random() < 0.1
            if state.name != "current" and again:
                try:
                    self.look(state)
                except Exception as error:
                    # A state goes away once two others have come: whoever reads that long begins again.
                    if (self.copy / "current").resolve() == state:
                        self.faults.append(f"{state.name}: {error!r}")
            time.sleep(0.01)

    def look(self, state: Path) -> None:
        sums = [line.split("  ") for line in (state / "SHA256SUMS").read_text().splitlines()]
        for digest, name in sums:
            assert sha256((state / name).read_bytes()) == digest, name
        names = {str(path.relative_to(state)) for path in state.rglob("*") if path.is_file() and not path.is_symlink()}
        linked = {name for name in names if {"in-force", "latest"} & set(Path(name).parts)}
        assert names - linked == {"SHA256SUMS", *(name for _, name in sums)}
        index = json.loads((state / "index.json").read_text())
        proof = state / "proof"
        entries, envelopes = ((proof / name).read_bytes().splitlines() for name in ("log.jsonl", "signatures.jsonl"))
        found = verification.verify_log(
            entries, envelopes, (proof / "checkpoint").read_bytes(), [(proof / "keys/1.json").read_bytes()], Trust()
        )
        assert index["log"] == {"entries": len(entries), "root": found.root}
        for one in index["nomenclatures"]:
            assert str((state / one["slug"] / "in-force").readlink()) == one["inForce"]
            assert [release["version"] for release in one["releases"]] == [
                entry["version"] for entry in found.entries if entry["type"] == "release"
            ]
        self.states.add(state.name)


class _Night:
    """A registry's process and a vendor's, which are started and killed."""

    def __init__(self, registry: Path, copy: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.copy, self.port = copy, port
        command = [sys.executable, "-m", "tests.night", str(registry), str(port), str(copy)]
        self.starter = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=faults.ROOT
        )

    def begin(self, work: str) -> int:
        assert self.starter.stdin
        assert self.starter.stdout
        self.copy.with_suffix(".exit").unlink(missing_ok=True)
        self.starter.stdin.write(f"{work}\n")
        self.starter.stdin.flush()
        return int(self.starter.stdout.readline())

    def served(self) -> int:
        """Start the registry's process, and wait until it answers."""
        number = self.begin("serve")
        for _ in range(1000):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return number
            time.sleep(0.02)
        raise AssertionError("the registry does not come up")

    def ended(self, number: int) -> str:
        """Wait for the end of a process; its exit code, empty if it was killed."""
        for _ in range(6000):
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, 0)
                time.sleep(0.01)
                continue
            code = self.copy.with_suffix(".exit")
            return code.read_text() if code.exists() else ""
        raise AssertionError("a process does not end")

    def kill(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
        self.ended(number)


@pytest.mark.faults
def test_a_vendors_night(sqlite_template: Path, tmp_path: Path) -> None:
    rounds, dice = faults.rounds(3, 1000), random.Random(faults.rounds(7, 20261122))
    registry, copy = tmp_path / "registry", tmp_path / "copy"
    registry.mkdir()
    shutil.copyfile(sqlite_template, registry / "socle.db")
    store = Store(f"sqlite:///{registry / 'socle.db'}", registry / "blobs")
    published(store, a_release())
    night, reader = _Night(registry, copy), _Reader(copy)
    reader.start()
    killed = {"vendor": 0, "registry": 0}
    minor = 0
    server = night.served()
    try:
        for _ in range(rounds):
            run = night.begin("sync")
            if minor < 40 and dice.random() < max(0.1, 40 / rounds):
                minor += 1
                concepts = [a_concept(f"N{code}") for code in range(minor)]
                published(store, a_release(a_concept("A"), a_concept("B"), *concepts, version=f"1.{minor}"))
            time.sleep(dice.random() * 0.25)
            fate = dice.randrange(5)
            if fate in (1, 3):
                night.kill(run)
                killed["vendor"] += 1
            if fate in (2, 3):
                night.kill(server)
                killed["registry"] += 1
            if fate in (0, 4):
                assert night.ended(run) == "0", copy.with_suffix(".said").read_text()
            else:
                assert night.ended(run) in ("", "0", "5"), copy.with_suffix(".said").read_text()
            if fate in (2, 3):
                server = night.served()
        last = night.ended(night.begin("sync"))
        reader.look((copy / "current").resolve())
    finally:
        reader.over.set()
        reader.join()
        night.kill(server)
        assert night.starter.stdin
        night.starter.communicate()
    with running(settings_for(registry)) as app:
        equal = is_equal(Vendor(app, store, copy))
    store.close()

    faults.say(f"{rounds} rounds, {minor} releases, killed {killed}, {len(reader.states)} states seen")
    assert last == "0"
    assert reader.faults == []
    assert equal
    assert all(killed.values())
    assert not (copy / "incoming").exists()
