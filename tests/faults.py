"""A registry to break: prepared once, copied for each round, worked on by real ``socle`` processes.

A round may end in two states only: the release is not there at all, or all of it is. Both are known beforehand, row by
row, from a publication that nothing disturbed; ``Base.state`` compares the whole database with them.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import orjson
import psycopg
from sqlalchemy import select

from registry import access, doctor, drafts, finding, signing
from registry.model import Concept, Content, Decision, Release, french, today
from registry.search import Index
from registry.store import Store, migrate
from registry.store import tables as t
from registry.store.database import make_engine
from registry.verification import Trust
from tests.factories import a_concept, a_nomenclature, a_release, published
from tests.postgres import Cluster

FULL = os.environ.get("SOCLE_FAULTS") == "full"
ROOT = Path(__file__).parent.parent
SLUG, VERSION, VALID_FROM = "aides", "1.1", "2024-06-01"

State = Literal["absent", "published"]
Contents = dict[str, list[tuple[Any, ...]]]

_SOCLE = (sys.executable, "-c", "from cli.main import main; main(prog_name='socle')")
_GIVE_UP = 120
_FORKER = """
import json, os, signal, sys
import api, cli.crosswalks, cli.drafts, cli.operations, cli.search
from cli.main import main

def answer(command):
    if command[0] != "GET":
        return main(command, prog_name="socle")
    response = api.create_app().test_client().get(command[1])
    print(response.status_code, response.get_data(as_text=True))

for line in sys.stdin:
    seconds, folder, url, *commands = json.loads(line)
    os.environ |= {"SOCLE_DATA_DIR": folder, "SOCLE_DATABASE_URL": url}
    start, starter = os.pipe()
    processes = []
    for command in commands:
        reader, writer = os.pipe()
        process = os.fork()
        if not process:
            signal.alarm(seconds)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(writer, 1)
            os.dup2(writer, 2)
            os.close(starter)
            os.read(start, 1)
            code = 1
            try:
                answer(command)
                code = 0
            except SystemExit as end:
                code = end.code or 0
            finally:
                sys.stdout.flush()
                os._exit(code)
        os.close(writer)
        processes.append((process, reader))
    os.close(start)
    os.close(starter)
    said = [open(reader).read() for _, reader in processes]
    codes = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process, _ in processes]
    print(json.dumps([*zip(codes, said)]), flush=True)
"""
"""Has everything imported, and does each line of commands in as many new processes, let go at the same instant.

Such a process has opened nothing yet, as one that was just started, and begins in a hundredth of the time.
"""


def rounds(sample: int, full: int) -> int:
    """How many times a fault is tried: a sample, or as often as the issue asks when SOCLE_FAULTS is ``full``."""
    return full if FULL else sample


def say(line: str) -> None:
    """Print a line, which pytest shows beside a failure."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def seeded(name: str) -> random.Random:
    """Random numbers for one test; the seed is printed, and SOCLE_FAULTS=full draws a new one at each run."""
    seed = random.SystemRandom().randrange(1 << 32) if FULL else 20250701
    say(f"{name}: seed {seed}")
    return random.Random(seed)


class Outcome(NamedTuple):
    """How a process ended and what it said."""

    code: int
    said: str


@dataclass(frozen=True)
class Registry:
    """A data folder and a database, for one round."""

    folder: Path
    url: str

    @property
    def blobs(self) -> Path:
        """The folder of release files."""
        return self.folder / "blobs"

    @property
    def index(self) -> Path:
        """The folder of search indexes."""
        return self.folder / "index"

    def ask(self, *commands: tuple[str, ...]) -> list[Outcome]:
        """The outcomes of ``socle`` commands, or of ``GET`` and an address, that all begin at the same instant."""
        forker = _forker()
        assert forker.stdin
        assert forker.stdout
        forker.stdin.write(orjson.dumps([_GIVE_UP, str(self.folder), self.url, *commands]).decode() + "\n")
        forker.stdin.flush()
        return [Outcome(code, said) for code, said in orjson.loads(forker.stdout.readline())]

    def start(self, *arguments: str, under: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        """A ``socle`` process that leads a process group; ``under`` is a command that runs it, such as strace."""
        return subprocess.Popen(
            (*under, *_SOCLE, *arguments),
            env=_environment() | {"SOCLE_DATA_DIR": str(self.folder), "SOCLE_DATABASE_URL": self.url},
            cwd=self.folder.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def socle(self, *arguments: str, under: tuple[str, ...] = ()) -> Outcome:
        """Run ``socle`` to its end in a process that has opened nothing yet."""
        return ended(self.start(*arguments, under=under)) if under else self.ask(arguments)[0]

    def store(self) -> Store:
        """The registry's store, for the test itself."""
        return Store(self.url, self.blobs)

    def release_files(self) -> set[str]:
        """The names of the finished release files, named by a release or not."""
        return {path.name for path in self.blobs.glob("sha256/*/*")}

    def unfinished_files(self) -> list[str]:
        """The names of files that a writer began."""
        return [path.name for path in self.blobs.glob("tmp/*")]


def _environment() -> dict[str, str]:
    """That of the tests, without what is set for another registry."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SOCLE_")}
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}


@cache
def _forker() -> subprocess.Popen[str]:
    """A process of ours that makes others, until this one ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", _FORKER], env=_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    atexit.register(process.communicate)
    return process


def ended(process: subprocess.Popen[str]) -> Outcome:
    """Wait for a process, and say how it ended."""
    said, _ = process.communicate(timeout=_GIVE_UP)
    return Outcome(process.returncode, said)


def kill(process: subprocess.Popen[str]) -> Outcome:
    """SIGKILL a process and its whole group, unless it has ended, and say how it ended."""
    with contextlib.suppress(ProcessLookupError):  # When it ended, and was reaped, before.
        os.killpg(process.pid, signal.SIGKILL)
    return ended(process)


def publishing(draft: int) -> tuple[str, ...]:
    """The arguments that publish a draft."""
    return ("publish", str(draft), "--version", VERSION, "--valid-from", VALID_FROM)


@dataclass
class Base:
    """A prepared registry: release 1.0, two equal drafts of 1.1, an index; and what publishing undisturbed gives."""

    folder: Path
    database: str
    cluster: Cluster | None
    draft: int
    rival: int
    before: Contents = field(default_factory=dict)
    after: Contents = field(default_factory=dict)
    new_files: frozenset[str] = frozenset()
    seconds: float = 0.0
    seconds_to_files: float = 0.0
    _copies: int = 0

    @property
    def kind(self) -> str:
        """Which database it is on."""
        return "PostgreSQL" if self.cluster else "SQLite"

    @property
    def publishing(self) -> tuple[str, ...]:
        """The arguments that publish the draft."""
        return publishing(self.draft)

    @contextmanager
    def copy(self) -> Iterator[Registry]:
        """A fresh copy, removed at the end of a round that went well."""
        self._copies += 1
        folder = self.folder.with_name(f"{self.folder.name}-{self._copies}")
        shutil.copytree(self.folder, folder)
        if self.cluster is None:
            yield Registry(folder, f"sqlite:///{folder / 'socle.db'}")
        else:
            with self.cluster.copy(self.database) as url:
                yield Registry(folder, url)
        shutil.rmtree(folder)

    def state(self, registry: Registry) -> State:
        """Which of the two states a registry is in, after checking that it is in one of them, whole and sealed."""
        wait_for_backends(self.cluster, registry)
        found = contents(registry.url)
        different = [name for name in found if found[name] not in (self.before[name], self.after[name])]
        assert not different, f"neither before nor after: {different}"
        assert found in (self.before, self.after), "some tables are as before, others as after"
        check_seals(registry)
        return "published" if found == self.after else "absent"

    def check_recovery(self, registry: Registry, *, told_published: bool) -> State:
        """What must hold after a fault, by itself and after ``socle doctor`` and another attempt; the state it left."""
        state = self.state(registry)
        assert state == "published" or not told_published, "a release was announced and is not there"
        doctor = registry.socle("doctor")
        assert doctor.code == 0, doctor.said
        assert self.state(registry) == state, "the doctor changed what is published"
        assert registry.unfinished_files() == []
        assert index_is_level(registry)
        again = registry.socle(*self.publishing)
        assert again.code == (4 if state == "published" else 0), again.said
        assert self.state(registry) == "published"
        return state


def a_base(folder: Path, cluster: Cluster | None, *, concepts: int) -> Base:
    """Prepare a registry of about ``concepts`` concepts, and publish a copy of it undisturbed, with a clock."""
    database = folder.name.replace("-", "_")
    drafted: list[int] = []

    def fill(url: str) -> None:
        migrate(url)
        store = Store(url, folder / "blobs")
        access.first_administrator(store)
        published(store, _release(concepts))
        drafted.extend((_draft(store, concepts), _draft(store, concepts)))
        finding.make_level(store, folder / "index", today())
        store.close()

    if cluster is None:
        fill(f"sqlite:///{folder / 'socle.db'}")
    else:
        cluster.make(database, fill)
    base = Base(folder, database, cluster, draft=drafted[0], rival=drafted[1])
    with base.copy() as registry:
        base.before = contents(registry.url)
        known = registry.release_files()
        # The first process reads its modules from the disk: its time is not that of the others.
        assert ended(registry.start("publish", "--help")).code == 0
        start = time.monotonic()
        process = registry.start(*base.publishing)
        seen: dict[int, float] = {}
        while process.poll() is None:
            seen.setdefault(len(registry.release_files() - known), time.monotonic() - start)
            time.sleep(0.001)
        base.seconds = time.monotonic() - start
        outcome = ended(process)
        assert outcome.code == 0, outcome.said
        base.new_files = frozenset(registry.release_files() - known)
        base.seconds_to_files = seen.get(len(base.new_files), base.seconds)
        base.after = contents(registry.url)
        check_seals(registry)
    return base


def _release(concepts: int) -> Release:
    """A tree of one top, a branch for every twenty leaves, and the leaves."""
    top = a_concept("T", pref_label=french("Toutes les aides"))
    branches = [
        a_concept(f"B{n}", pref_label=french(f"Branche {n}"), broader=("T",)) for n in range(concepts // 20 + 1)
    ]
    leaves = [a_concept(f"L{n}", pref_label=french(f"Feuille {n}"), broader=(f"B{n // 20}",)) for n in range(concepts)]
    return a_release(top, *branches, *leaves)


def _draft(store: Store, concepts: int) -> int:
    """A draft that adds one branch of leaves and words every other leaf anew."""
    base = _release(concepts)
    reworded = {f"L{n}": base.concepts[f"L{n}"] for n in range(0, concepts, 2)}
    changed: dict[str, Concept] = {
        code: a_concept(
            code, pref_label=concept.pref_label, broader=concept.broader, definition=french(f"{code}, autrement dit.")
        )
        for code, concept in reworded.items()
    }
    changed["N"] = a_concept("N", pref_label=french("Nouveautés"), broader=("T",))
    for n in range(max(5, concepts // 10)):
        changed[f"N{n}"] = a_concept(f"N{n}", pref_label=french(f"Nouveauté {n}"), broader=("N",))
    content = Content({**base.concepts, **changed}, base.links, base.groups, nomenclature=a_nomenclature())
    return drafts.from_content(store, SLUG, content, decision=Decision("Essai.", tuple(sorted(reworded))))


def contents(url: str) -> Contents:
    """Every row of every table, but for the instant of publication and what follows from it."""
    engine = make_engine(url)
    try:
        with engine.connect() as connection:
            return {
                table.name: sorted(
                    (_masked(table.name, row) for row in connection.execute(select(table)).mappings()), key=repr
                )
                for table in t.metadata.sorted_tables
            }
    finally:
        engine.dispose()


def _masked(table: str, row: Mapping[Any, Any]) -> tuple[Any, ...]:
    values = dict(row)
    if table == "log":
        entry = orjson.loads(values["entry"])
        names = ("type", "nomenclature", "version", "seq", "files", "concepts", "content_sha256", "decision")
        values = {"seq": values["seq"], "entry": [entry.get(name) for name in names]}
    if table == "release":
        del values["issued"]
    if table == "journal":
        entry = orjson.loads(values["entry"])
        values = {"seq": values["seq"], "entry": [entry[name] for name in ("type", "operation", "object")]}
    if table in ("signature", "checkpoint"):
        # What they sign holds the instant; that they do sign it, ``check_seals`` says.
        values = {"key": values["seq" if table == "signature" else "size"]}
    return tuple(values.values())


def check_seals(registry: Registry) -> None:
    """The log is whole and signed; rows and files of each release give the bytes that its manifest and log name."""
    store = registry.store()
    try:
        entries = store.log_entries()
        signing.check_chain(entries)
        doctor.verified_log(store, Trust())
        parsed = [orjson.loads(entry) for entry in entries]
        editions = store.editions(SLUG)
        assert [(one["type"], one["version"]) for one in parsed] == [
            (type, edition.version) for edition in editions for type in ("release", "renditions")
        ]
        for edition in editions:
            sealed = {
                (file["sha256"], file["size"])
                for entry in parsed
                if entry["version"] == edition.version
                for file in entry["files"]
            }
            renditions = store.renditions(SLUG, edition.version)
            assert {tuple(file.blob) for file in renditions} == sealed
            for file in renditions:
                data = (registry.blobs / "sha256" / file.blob.sha256[:2] / file.blob.sha256).read_bytes()
                assert (hashlib.sha256(data).hexdigest(), len(data)) == file.blob
            rows = b"".join(signing.canonical_lines(store.release(SLUG, edition.version)))
            manifest = orjson.loads(store.manifest(SLUG, edition.version))
            assert hashlib.sha256(rows).hexdigest() == manifest["content_sha256"] == edition.content_sha256
            assert manifest["concepts"] == edition.concepts
    finally:
        store.close()


def index_is_level(registry: Registry) -> bool:
    """Whether the index on the disk is whole and of the releases in force, and finds what only the new one has."""
    store = registry.store()
    try:
        if finding.make_level(store, registry.index, today()):
            return False
        # Exactly one is left: earlier ones, and what was being built, are swept away.
        [folder] = [path for path in registry.index.iterdir() if path.is_dir() and path.name != "others"]
        index = Index.open(folder)
        in_force = store.editions(SLUG)[-1].version
        versions = {hit.document.version for hit in index.search("feuille").hits}
        finds_new = bool(index.search("Nouveautés").hits)
        index.close()
        return versions == {in_force} and finds_new == (in_force == VERSION)
    finally:
        store.close()


def wait_for_backends(cluster: Cluster | None, registry: Registry) -> None:
    """Wait until PostgreSQL has noticed that its client is dead; on SQLite there is nothing to wait for."""
    deadline = time.monotonic() + 30
    while cluster is not None and backends(cluster, registry):
        assert time.monotonic() < deadline, "a backend outlives its client"
        time.sleep(0.005)


def backends(cluster: Cluster, registry: Registry) -> list[int]:
    """The process ids of the server's backends that work for clients of one registry."""
    name = registry.url.partition(":///")[2].partition("?")[0]
    with connected(cluster) as connection:
        rows = connection.execute("SELECT pid FROM pg_stat_activity WHERE datname = %s", (name,))
        return [pid for (pid,) in rows]


def connected(cluster: Cluster) -> psycopg.Connection:
    """A connection of our own to the server, once it accepts one: it may be recovering from a crash."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return psycopg.connect(host=str(cluster.folder), user="socle", dbname="postgres", autocommit=True)
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def wait_for_files(registry: Registry, base: Base, process: subprocess.Popen[str]) -> None:
    """Wait until a publication has all its files in place, which is just before its transaction, or until it ends."""
    while process.poll() is None and not base.new_files <= registry.release_files():
        time.sleep(0.0005)
