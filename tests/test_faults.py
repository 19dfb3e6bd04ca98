"""Whatever dies or fails during a publication, the release is whole or absent, and what is derived comes back.

Ordinary runs take a sample; ``make faults`` (SOCLE_FAULTS=full) takes the numbers that the issue asks for. SIGKILL is
not a loss of power, since what the kernel holds survives it: that syncs are asked for, and heeded, is what the failing
calls below show.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest
from sqlalchemy import func, inspect, select, table

from registry import access, signing
from registry.crosswalks import crosswalk_csv
from registry.store import migrate
from registry.store.database import make_engine
from tests import faults
from tests.factories import a_concept, a_release, an_organisation, published
from tests.faults import Base, Outcome, Registry, rounds, seeded
from tests.postgres import Cluster

pytestmark = pytest.mark.faults

Report = Callable[[str], None]

_CALLS = tuple(
    "write pwrite64 fsync fdatasync rename renameat renameat2 ftruncate mkdir mkdirat unlink unlinkat openat".split()
)
"""The calls by which a publication changes the disk, on any processor; of openat, those that create a file."""


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Report:
    """Prints a line of figures: at once in full runs, beside a failure otherwise."""

    def show(line: str) -> None:
        if faults.FULL:
            with capsys.disabled():
                # Processes of pytest-xdist lose what they print, but not their errors.
                sys.stderr.write(f"\n{line}\n")
        else:
            faults.say(line)

    return show


@pytest.fixture(scope="session")
def sqlite_base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    """A registry on SQLite, of a common size."""
    return faults.a_base(tmp_path_factory.mktemp("faults_sqlite"), None, concepts=rounds(60, 400))


@pytest.fixture(scope="session")
def postgres_base(tmp_path_factory: pytest.TempPathFactory, postgres: Cluster) -> Base:
    """The same on PostgreSQL."""
    return faults.a_base(tmp_path_factory.mktemp("faults_postgres"), postgres, concepts=rounds(60, 400))


@pytest.fixture(scope="session")
def small_base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Base:
    """A small registry on SQLite: full runs fail every call in turn that publishing it makes."""
    if not faults.FULL:
        common: Base = request.getfixturevalue("sqlite_base")
        return common
    return faults.a_base(tmp_path_factory.mktemp("faults_small"), None, concepts=30)


@pytest.fixture(params=["sqlite", "postgresql"])
def base(request: pytest.FixtureRequest) -> Base:
    """A prepared registry of each kind."""
    found: Base = request.getfixturevalue({"sqlite": "sqlite_base", "postgresql": "postgres_base"}[request.param])
    return found


class Call(NamedTuple):
    """A system call of a publication: its name, and that it is the ``number``-th of that name in its process."""

    name: str
    number: int


@pytest.fixture(scope="session")
def strace() -> str:
    """The program that makes a system call of another fail.

    :raises Failed: saying what is missing; faults that were not tried are not a success.
    """
    try:
        tried = subprocess.run(["strace", "-f", "-qq", "-o", os.devnull, "true"], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.fail("The fault tests need strace, which is not on PATH. On Debian and Ubuntu: apt-get install strace")
    if tried.returncode != 0:
        pytest.fail(f"strace is there but may not trace (ptrace is forbidden here?): {tried.stderr.strip()}")
    return "strace"


@pytest.fixture(scope="session")
def calls(small_base: Base, strace: str, tmp_path_factory: pytest.TempPathFactory) -> list[Call]:
    """The calls by which an undisturbed publication changes its data folder, in their order."""
    traced = tmp_path_factory.mktemp("strace") / "calls"
    names = ",".join(f"?{name}" for name in _CALLS)
    with small_base.copy() as registry:
        under = (strace, "-f", "-y", "-qq", "--seccomp-bpf", "-o", str(traced), "-e", f"trace={names}")
        outcome = registry.socle(*small_base.publishing, under=under)
        assert outcome.code == 0, outcome.said
        return list(_calls_on(registry.folder, traced.read_text(errors="replace")))


def _calls_on(folder: Path, trace: str) -> Iterator[Call]:
    counts: Counter[tuple[str, str]] = Counter()
    for line in trace.splitlines():
        found = re.match(r"(\d+) +(\w+)\(", line)
        if not found:
            continue
        thread, name = found.groups()
        counts[thread, name] += 1
        if str(folder) in line and " = -1 " not in line and (name != "openat" or "O_CREAT" in line):
            yield Call(name, counts[thread, name])


# --- Killed ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", range(rounds(1, 4)))
def test_a_publication_killed_on_sqlite_leaves_a_whole_release_or_none(
    sqlite_base: Base, batch: int, report: Report
) -> None:
    assert _killed(sqlite_base, f"SIGKILL on SQLite, batch {batch}", rounds(2, 50), report)


@pytest.mark.parametrize("batch", range(rounds(1, 2)))
def test_a_publication_killed_on_postgresql_leaves_a_whole_release_or_none(
    postgres_base: Base, batch: int, report: Report
) -> None:
    assert _killed(postgres_base, f"SIGKILL on PostgreSQL, batch {batch}", rounds(1, 25), report)


def _killed(base: Base, name: str, count: int, report: Report) -> bool:
    """Kill a publication ``count`` times, every other time between its last file and its end, around the commit."""
    random, states = seeded(name), Counter[str]()
    for number in range(count):
        with base.copy() as registry:
            process = registry.start(*base.publishing)
            if number % 2:
                faults.wait_for_files(registry, base, process)
                delay = random.uniform(0, base.seconds - base.seconds_to_files)
            else:
                delay = random.uniform(0, base.seconds)
            time.sleep(delay)
            faults.say(f"round {number}: killed after {delay:.4f} s{' from the last file' if number % 2 else ''}")
            outcome = faults.kill(process)
            told = outcome.code == 0 or "publié" in outcome.said
            states[_kind(base.check_recovery(registry, told_published=told), outcome)] += 1
    report(f"{name}: {count} kills over {base.seconds:.2f} s: {_figures(states)}")
    return states.total() == count


def _kind(state: faults.State, outcome: faults.Outcome) -> str:
    if state == "absent":
        return "before the commit"
    return "after its end" if outcome.code == 0 else "after the commit"


def _figures(states: Counter[str]) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(states.items()))


def test_a_publication_whose_postgresql_backend_dies_leaves_a_whole_release_or_none(
    postgres_base: Base, postgres: Cluster, report: Report
) -> None:
    random, states = seeded("backend"), Counter[str]()
    count = rounds(1, 20)

    for number in range(count):
        with postgres_base.copy() as registry:
            process = registry.start(*postgres_base.publishing)
            if number % 4 < 2:
                while process.poll() is None and not faults.backends(postgres, registry):
                    time.sleep(0.001)
                delay = random.uniform(0, postgres_base.seconds_to_files)
            else:
                faults.wait_for_files(registry, postgres_base, process)
                delay = random.uniform(0, postgres_base.seconds - postgres_base.seconds_to_files)
            time.sleep(delay)
            for backend in faults.backends(postgres, registry):
                _end_backend(postgres, backend, gently=number % 2 == 1)
            outcome = faults.ended(process)
            assert outcome.code in (0, 5), outcome.said
            assert "Traceback" not in outcome.said
            state = postgres_base.check_recovery(registry, told_published=outcome.code == 0)
            states[f"{state}, exit code {outcome.code}"] += 1

    report(f"PostgreSQL backend ended: {count} times: {_figures(states)}")


def _end_backend(cluster: Cluster, backend: int, *, gently: bool) -> None:
    if gently:
        with faults.connected(cluster) as connection:
            connection.execute("SELECT pg_terminate_backend(%s)", (backend,))
    else:
        with contextlib.suppress(ProcessLookupError):  # When its client has gone, it went too.
            os.kill(backend, signal.SIGKILL)


def test_what_dead_writers_leave_is_swept_and_what_may_be_under_way_stays(sqlite_base: Base) -> None:
    with sqlite_base.copy() as registry:
        named = registry.release_files()
        orphans = registry.blobs / "sha256" / "00"
        orphans.mkdir(exist_ok=True)
        old, young = orphans / ("0" * 64), orphans / ("0" * 63 + "1")
        unfinished = registry.blobs / "tmp" / f"{_a_dead_process()}-abc"
        for path in (old, young, unfinished):
            path.write_bytes(b"reste")
        two_hours_ago = time.time() - 7200
        os.utime(old, (two_hours_ago, two_hours_ago))

        doctor = registry.socle("doctor")

        assert doctor.code == 0, doctor.said
        assert registry.release_files() == named | {young.name}
        assert registry.unfinished_files() == []


def _a_dead_process() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


# --- Failing calls --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", range(rounds(2, 4)))
def test_a_publication_in_which_one_system_call_fails_leaves_a_whole_release_or_none(
    small_base: Base, calls: list[Call], strace: str, batch: int, report: Report
) -> None:
    tried = calls if faults.FULL else _sample(calls)
    states = Counter[str]()

    for number, call in list(enumerate(tried))[batch :: rounds(2, 4)]:
        error = ("EIO", "ENOSPC")[number % 2]
        with small_base.copy() as registry:
            outcome = registry.socle(*small_base.publishing, under=_failing(strace, call, error))
            faults.say(
                f"{call.name} {call.number} fails with {error}: exit code {outcome.code}, {outcome.said.strip()}"
            )
            _assert_plain(outcome)
            state = small_base.check_recovery(registry, told_published=outcome.code == 0)
            states[f"{state}, exit code {outcome.code}"] += 1

    kinds = Counter(call.name for call in calls)
    report(
        f"Failing calls, batch {batch}, of {len(calls)} ({dict(kinds)}): {states.total()} failed: {_figures(states)}"
    )
    assert {"write", "pwrite64", "fsync"} <= kinds.keys()


def _sample(calls: list[Call]) -> list[Call]:
    """One call of each of four names that bear on what is kept, from anywhere in the publication."""
    random = seeded("failing calls")
    names = {call.name for call in calls} & {"write", "pwrite64", "fsync", "rename"}
    return [random.choice([call for call in calls if call.name == name]) for name in sorted(names)]


def _failing(strace: str, call: Call, error: str, *, and_later: bool = False) -> tuple[str, ...]:
    inject = f"inject={call.name}:error={error}:when={call.number}{'+' if and_later else ''}"
    return (strace, "-f", "-qq", "--seccomp-bpf", "-o", os.devnull, "-e", f"trace={call.name}", "-e", inject)


def _assert_plain(outcome: faults.Outcome) -> None:
    """It succeeded, or it says plainly that it did not."""
    assert outcome.code in (0, 5), outcome.said
    assert "Traceback" not in outcome.said
    assert outcome.said.strip()


def test_files_and_all_their_folders_are_synced_before_the_transaction_that_names_them(
    small_base: Base, strace: str, tmp_path: Path
) -> None:
    with small_base.copy() as registry:
        for name in small_base.new_files:
            # A writer that died may have made a folder and not synced it: who comes next can't rely on it.
            (registry.blobs / "sha256" / name[:2]).mkdir(exist_ok=True)
        traced = tmp_path / "calls"
        names = "fsync,fdatasync,?rename,?renameat,?renameat2"

        outcome = registry.socle(
            *small_base.publishing, under=(strace, "-f", "-y", "-qq", "-o", str(traced), "-e", f"trace={names}")
        )

        assert outcome.code == 0, outcome.said
        lines = traced.read_text().splitlines()
        commit = next(number for number, line in enumerate(lines) if "socle.db-wal>" in line)
        for name in small_base.new_files:
            renamed = next(number for number, line in enumerate(lines) if f'{name}"' in line)
            unfinished = re.findall(r'"([^"]+)"', lines[renamed])[0]
            folder = registry.blobs / "sha256" / name[:2]
            assert any("fsync(" in line and f"<{unfinished}>" in line for line in lines[:renamed])
            assert any(f"<{folder}>" in line for line in lines[renamed:commit])
            for above in (folder.parent, registry.blobs, registry.folder):
                assert any(f"<{above}>" in line for line in lines[:commit]), f"{above} is not synced"


def test_a_publication_without_room_on_the_disk_is_refused_before_anything_is_written(
    small_base: Base, strace: str
) -> None:
    # The answer to "how much room is left" is rewritten as it comes: type, block size, blocks, free, available.
    full = b"".join(number.to_bytes(8, "little") for number in (0x01021994, 4096, 1000, 0, 0)).hex()
    inject = f"inject=statfs:poke_exit=@arg2={full}"
    under = (strace, "-f", "-qq", "-o", os.devnull, "-e", "trace=statfs", "-e", inject)
    with small_base.copy() as registry:
        known = registry.release_files()

        outcome = registry.socle(*small_base.publishing, under=under)

        assert outcome.code == 5, outcome.said
        assert "room" in outcome.said
        assert registry.release_files() == known
        assert small_base.check_recovery(registry, told_published=False) == "absent"


@pytest.mark.parametrize("kilobytes", [1, 8, 20, 30, 60, 100, 150, 200, 300, 400] if faults.FULL else [60])
def test_a_publication_that_meets_a_limit_to_its_files_is_refused_and_reads_go_on(
    small_base: Base, kilobytes: int
) -> None:
    with small_base.copy() as registry:
        reader = registry.store()
        assert reader.concept(faults.SLUG, "1.0", "L1").concept.code == "L1"

        outcome = registry.socle(*small_base.publishing, under=("prlimit", f"--fsize={kilobytes << 10}", "--"))

        _assert_plain(outcome)
        assert reader.concept(faults.SLUG, "1.0", "L2").concept.code == "L2"
        reader.close()
        small_base.check_recovery(registry, told_published=outcome.code == 0)


# --- At once --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", range(rounds(1, 2)))
def test_of_publications_of_one_version_at_once_exactly_one_wins(base: Base, batch: int, report: Report) -> None:
    count, each = rounds(1, 25), rounds(4, 8)
    codes = Counter[int]()

    for _ in range(count):
        with base.copy() as registry:
            drafts = itertools.islice(itertools.cycle((base.draft, base.rival)), each)
            found_codes = [one.code for one in registry.ask(*(faults.publishing(draft) for draft in drafts))]
            assert sorted(found_codes) == [0] + [4] * (each - 1)
            codes.update(found_codes)
            faults.check_seals(registry)
            found = faults.contents(registry.url)
            assert {name for name in found if found[name] != base.after[name]} <= {"draft"}

    report(f"{each} at once on {base.kind}, {count} rounds: {codes[0]} published, {codes[4]} told that it was")


# --- The index ------------------------------------------------------------------------------------------------------


def test_an_index_killed_while_it_is_built_answers_rightly_and_is_brought_level_by_the_doctor(
    sqlite_base: Base, newer: tuple[Registry, list[Outcome]], report: Report
) -> None:
    random, count, levels = seeded("index"), rounds(1, 30), Counter[bool]()
    with sqlite_base.copy() as registry:
        _published_again(registry, sqlite_base)
        start = time.monotonic()
        assert faults.ended(registry.start("reindex")).code == 0
        seconds = time.monotonic() - start

        for number in range(count):
            process = registry.start("reindex")
            time.sleep(random.uniform(seconds / 4, seconds))
            faults.kill(process)
            levels[_stands(registry)] += 1
            if number % 2:
                # Every other time it is a question that finds what is left, and not the doctor.
                asked = random.randrange(len(QUESTIONS))
                assert registry.ask(QUESTIONS[asked]) == [newer[1][asked]]
            doctor = registry.socle("doctor")

            assert doctor.code == 0, doctor.said
            assert faults.index_is_level(registry)
            assert not list(registry.index.glob("*.building-*"))
        assert sqlite_base.state(registry) == "published"
    report(f"Index killed while it was built: {count} times, {levels[False]} of them left none")


QUESTIONS = (
    ("search", "Nouveautés", "--json"),
    ("search", "feuile 12", "--json"),
    ("search", "Nouveautés", "--in", "aides", "--release", "1.0", "--json"),
    ("search", "feuille 12", "--in", "aides", "--release", "1.0", "--json"),
    ("GET", "/api/v1/search?q=Nouveaut%C3%A9s"),
    ("GET", "/api/v1/search?q=feuile+12"),
    ("GET", "/api/v1/search?q=Nouveaut%C3%A9s&nomenclature=aides&release=1.0"),
    ("GET", "/api/v1/suggest?q=nouv"),
)
"""What is asked after a fault: of what only the last release has, of what was corrected, and of the release before."""
OF_TODAY = (0, 1, 4, 5, 7)
"""The questions that the index of the releases in force answers; an index of its own answers the others."""

INDEX_FAULTS = {
    "deleted": (1, 30),
    "truncated": (1, 40),
    "stale": (1, 15),
    "empty table of contents": (1, 15),
    "bits flipped": (1, 40),
    "two at once": (1, 30),
}
"""Faults of an index, each with how often it is tried: in a sample, at full length. With the 30 kills, they are 200."""


@pytest.fixture(scope="session")
def newer(sqlite_base: Base) -> Iterator[tuple[Registry, list[Outcome]]]:
    """A registry whose second release came out, with the right answers to every question."""
    with sqlite_base.copy() as registry:
        _published_again(registry, sqlite_base)
        answers = registry.ask(*QUESTIONS)
        assert [answer.code for answer in answers] == [0] * len(QUESTIONS), answers
        assert all(("Nouveautés" in answer.said) == (number in (0, 4, 7)) for number, answer in enumerate(answers))
        assert all(("1.0" in answer.said) == (number in (3,)) for number, answer in enumerate(answers))
        yield registry, answers


def _published_again(registry: Registry, base: Base) -> None:
    """Publish the draft, and keep the index that was level before beside the registry."""
    shutil.copytree(registry.index, registry.folder / "before")
    outcome = registry.socle(*base.publishing)
    assert outcome.code == 0, outcome.said


@pytest.mark.parametrize("kind", INDEX_FAULTS)
def test_whatever_befalls_an_index_the_answers_are_right(
    newer: tuple[Registry, list[Outcome]], kind: str, report: Report
) -> None:
    """At full length 30 deleted, 40 truncated, 15 stale, 15 with an empty table of contents, 40 with bits flipped.

    30 times two processes start at once where there is no index; 30 kills in the test above make 200.
    """
    registry, answers = newer
    random, count = seeded(kind), rounds(*INDEX_FAULTS[kind])

    for number in range(count):
        faults.say(f"round {number}: {_harm(registry, kind, random)}")
        others = OF_TODAY if kind == "two at once" else range(len(QUESTIONS))
        asked = [random.choice(OF_TODAY), random.choice(others)]
        at_once = registry.ask(*(QUESTIONS[one] for one in asked)) if kind == "two at once" else []
        found = at_once or [registry.ask(QUESTIONS[one])[0] for one in asked]

        assert found == [answers[one] for one in asked]
    assert registry.ask(*QUESTIONS) == answers
    assert faults.index_is_level(registry)
    report(f"Index {kind}: {count} times, each answered rightly by the API and by socle search")


def _harm(registry: Registry, kind: str, random: Random) -> str:
    """Do an index some harm; say what was done."""
    index = random.choice([path for path in registry.index.rglob("*-*") if re.fullmatch(r"\d+-\d+", path.name)])
    file = random.choice(sorted(path for path in index.rglob("*") if path.is_file()))
    if kind == "two at once" or (kind == "deleted" and random.random() < 0.5):
        shutil.rmtree(index)
        return f"{index} is gone"
    if kind == "stale":
        [old] = [path for path in (registry.folder / "before").iterdir() if path.is_dir()]
        shutil.rmtree(index)
        shutil.copytree(old, index)
        return f"the index of the release before is in the place of {index}"
    if kind == "empty table of contents":
        [file] = index.glob("postings/*.toc")
        file.write_bytes(b"")
    elif kind == "deleted":
        file.unlink()
    elif kind == "truncated":
        file.write_bytes(file.read_bytes()[: random.randrange(file.stat().st_size)])
    else:
        content = bytearray(file.read_bytes())
        for place in random.sample(range(8 * len(content)), random.randint(1, 16)):
            content[place // 8] ^= 1 << place % 8
        file.write_bytes(content)
    return str(file)


def _stands(registry: Registry) -> bool:
    return any(re.fullmatch(r"\d+-\d+", path.name) for path in registry.index.glob("*"))


def test_an_index_that_the_disk_refuses_leaves_the_release_published_and_is_built_later(
    small_base: Base, strace: str
) -> None:
    with small_base.copy() as registry:
        assert registry.socle(*small_base.publishing).code == 0

        for call in ("mkdir", "fsync", "rename"):
            refused = registry.socle("reindex", under=_failing(strace, Call(call, 1), "ENOSPC", and_later=True))
            _assert_plain(refused)
            assert refused.code == 5
            assert small_base.state(registry) == "published"

        doctor = registry.socle("doctor")
        assert doctor.code == 0, doctor.said
        assert faults.index_is_level(registry)


# --- Crosswalks -----------------------------------------------------------------------------------------------------

SOLIS = ("dep-71/solis", "aides")
MANY = 2_000


@pytest.fixture(scope="session")
def department(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """A registry with a release and a département, and beside it the file of its codes; to be copied."""
    folder = tmp_path_factory.mktemp("faults_department") / "data"
    registry = Registry(folder, f"sqlite:///{folder / 'socle.db'}")
    migrate(registry.url)
    store = registry.store()
    access.first_administrator(store)
    published(store, a_release(a_concept("A"), a_concept("B")))
    store.add_organisation(an_organisation())
    store.close()
    lines = (f"{n},Code {n},closeMatch,{'AB'[n % 2]}" for n in range(MANY))
    folder.with_name("codes.csv").write_text("\n".join(("code,label,relation,target_code", *lines, "")), "utf-8")
    return registry


def _copied(department: Registry, number: int) -> Registry:
    folder = department.folder.with_name(f"copy-{number}")
    shutil.copytree(department.folder, folder)
    return Registry(folder, f"sqlite:///{folder / 'socle.db'}")


def _crosswalk_rows(registry: Registry) -> tuple[int, ...]:
    """How many rows each table of crosswalks has; those of an edition have the hash that it was sealed with."""
    engine = make_engine(registry.url)
    names = (
        "draft_edition",
        "draft_code",
        "draft_mapping",
        "list_edition",
        "local_code",
        "crosswalk_edition",
        "mapping",
    )
    try:
        with engine.connect() as connection:
            counts = [connection.execute(select(func.count()).select_from(table(name))).scalar_one() for name in names]
    finally:
        engine.dispose()
    store = registry.store()
    for edition in store.crosswalk_editions():
        mappings = [mapping for mapping, _ in store.mappings(edition)]
        assert signing.sha256(crosswalk_csv(mappings)) == edition.sha256
    store.close()
    return tuple(counts)


NOTHING, DRAFTED, PUBLISHED = (0,) * 7, (1, MANY, MANY, 0, 0, 0, 0), (0, 0, 0, 1, MANY, 1, MANY)


@pytest.mark.parametrize("what", ["import", "publish"])
def test_a_crosswalk_killed_while_it_is_imported_or_published_is_whole_or_as_before(
    department: Registry, what: str, report: Report
) -> None:
    random, count, found = seeded(f"crosswalk {what}"), rounds(2, 100), Counter[bool]()
    file = str(department.folder.with_name("codes.csv"))
    importing = ("crosswalk", "import", *SOLIS, file)
    command = importing if what == "import" else ("crosswalk", "publish", *SOLIS)
    before, after = (NOTHING, DRAFTED) if what == "import" else (DRAFTED, PUBLISHED)
    base = _copied(department, 0)
    if what == "publish":
        assert base.socle(*importing).code == 0
    undisturbed = _copied(base, 1)
    start = time.monotonic()
    outcome = faults.ended(undisturbed.start(*command))
    seconds = time.monotonic() - start
    assert outcome.code == 0, outcome.said
    assert _crosswalk_rows(undisturbed) == after

    for number in range(count):
        registry = _copied(base, 2)
        process = registry.start(*command)
        # Starting takes most of the time: nearly all of the work is in the last third.
        time.sleep(random.uniform(seconds * 0.6, seconds))
        killed = faults.kill(process)
        rows = _crosswalk_rows(registry)
        faults.say(f"round {number}: {killed.code}, {rows}")

        assert rows in (before, after), "half done"
        assert rows == after or killed.code != 0, "it was announced and is not there"
        found[rows == after] += 1
        shutil.rmtree(registry.folder)
    again = _copied(base, 3)
    assert again.socle(*command).code == 0
    for number in (0, 1, 3):
        shutil.rmtree(department.folder.with_name(f"copy-{number}"))
    report(f"Crosswalk {what} killed {count} times: {found[False]} as before, {found[True]} whole")


# --- The beginning --------------------------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Registry]:
    """Makes a place for a registry that has nothing yet: no folder, no schema."""
    numbers = itertools.count()

    def make() -> Registry:
        folder = tmp_path / f"data-{next(numbers)}"
        if request.param == "sqlite":
            return Registry(folder, f"sqlite:///{folder / 'socle.db'}")
        cluster: Cluster = request.getfixturevalue("postgres")
        name = f"{tmp_path.name}_{folder.name}".replace("-", "_")
        cluster.make(name, lambda _: None)
        return Registry(folder, cluster.url(name))

    return make


def test_two_preparations_of_one_registry_at_once_both_end_well(empty: Callable[[], Registry]) -> None:
    for _ in range(rounds(1, 5)):
        registry = empty()

        processes = [registry.start("init") for _ in range(2)]
        outcomes = [faults.ended(process) for process in processes]

        assert [outcome.code for outcome in outcomes] == [0, 0], outcomes
        store = registry.store()
        names = [
            (nomenclature.slug, edition.version)
            for nomenclature in store.nomenclatures()
            for edition in store.editions(nomenclature.slug)
        ]
        assert len(names) == len(set(names)) == store.head() // 2
        store.close()
        doctor = registry.socle("doctor")
        assert doctor.code == 0, doctor.said


def test_a_migration_killed_half_way_is_completed_by_the_next(
    empty: Callable[[], Registry], sqlite_url: str, report: Report
) -> None:
    random, count, found = seeded("migration"), rounds(1, 20), Counter[str]()
    wanted = _schema(sqlite_url)
    registry = empty()
    start = time.monotonic()
    assert faults.ended(registry.start("migrate")).code == 0
    seconds = time.monotonic() - start

    for _ in range(count):
        registry = empty()
        process = registry.start("migrate")
        time.sleep(random.uniform(seconds / 4, seconds))
        faults.kill(process)
        found[f"{len(_schema(registry.url))} tables"] += 1
        again = registry.socle("migrate")

        assert again.code == 0, again.said
        assert _schema(registry.url) == wanted

    doctor = registry.socle("doctor")
    assert doctor.code == 0, doctor.said
    report(f"Migration killed {count} times, leaving: {_figures(found)}")
    assert found.keys() <= {"0 tables", f"{len(wanted)} tables"}


def _schema(url: str) -> dict[str, set[str]]:
    """The tables and their columns."""
    engine = make_engine(url)
    try:
        inspector = inspect(engine)
        return {
            name: {column["name"] for column in inspector.get_columns(name)} for name in inspector.get_table_names()
        }
    finally:
        engine.dispose()
