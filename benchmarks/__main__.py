"""Measure Socle at size and print it as tables; nothing is kept. ``--help`` says what can be chosen."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from benchmarks import generator, hostile, measuring, recoding, searching, serving
from benchmarks import impact as impact_
from registry import drafts, editions, publishing
from registry.crosswalks import CodeList, Organisation
from registry.editions import Source
from registry.formats import FORMATS
from registry.model import Concept, Content, Decision, Release
from registry.store import Store, migrate

CHANGED = 10
ORGANISATION = "banc"
QUERIES = ("aide menagere", "hebergement personnes agees", "mediation juridique", "placment familial", "insertion RSA")
PREFIXES = ("aid", "acc", "héber", "orien", "éval", "info", "insert", "prév", "tut", "visi")


class Scale(NamedTuple):
    """How large things are: concepts imported, concepts and releases served, mappings, requests for each figure."""

    concepts: int = 100_000
    served: int = 10_000
    few: int = 1_000
    releases: int = 50
    mappings: int = 200_000
    requests: int = 3_000
    searched: tuple[int, ...] = (1_000, 20_000)
    affected: tuple[int, ...] = (70_000, 7_000_000)
    recoded: int = 10_000_000
    recodings: int = 5


QUICK = Scale(
    concepts=400,
    served=120,
    few=40,
    releases=3,
    mappings=200,
    requests=10,
    searched=(40,),
    affected=(2_000,),
    recoded=2_000,
    recodings=1,
)
SEARCH_GOALS = {
    1_000: {"build": "1 s", "search": "2 / 8 ms", "suggest": ""},
    20_000: {"build": "12 s", "search": "8 / 30 ms", "suggest": "0.3 / 1 ms"},
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options, measure, print."""
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that everything runs, measures nothing")
    parser.add_argument("--size", type=int, help=f"concepts to import and publish ({Scale().concepts} by default)")
    parser.add_argument("--postgresql", action="store_true", help="import, or impact, on a private PostgreSQL server")
    parser.add_argument("--only", choices=("import", "http", "search", "impact", "recode"), help="one part alone")
    chosen = parser.parse_args(arguments)
    scale = QUICK if chosen.quick else Scale()
    if chosen.size:
        scale = scale._replace(concepts=chosen.size)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="socle-bench-") as name:
        if chosen.only in (None, "import"):
            imports(Path(name), scale, postgresql=chosen.postgresql)
        if chosen.only in (None, "http"):
            requests(Path(name), scale)
        if chosen.only in (None, "recode"):
            recodings(Path(name), scale)
        if chosen.only in (None, "search"):
            for size in scale.searched:
                searches(Path(name), size)
        # Seven million mappings take minutes to lay and gigabytes to keep: only whoever asks for them gets them.
        if chosen.quick or chosen.only == "impact":
            impacts(Path(name), scale, postgresql=chosen.postgresql)
    print(f"\n{time.monotonic() - begun:.0f} s in all")


def imports(folder: Path, scale: Scale, *, postgresql: bool) -> None:
    """Import, check and publish: a tenth of the size, the size, then a release with ten changes."""
    columns = f"{'CPU s':>8}{'draft':>8}{'check':>8}{'publish':>9}{'rows':>9}{'peak MiB':>10}"
    print(f"{'import, check, publish':<46}{columns}  goal")
    with contextlib.ExitStack() as stack:
        kinds: dict[str, Callable[[Path], str]] = {"sqlite": lambda place: f"sqlite:///{place / 'socle.db'}"}
        if postgresql:
            from tests.postgres import running_cluster

            cluster = stack.enter_context(running_cluster())
            kinds["postgresql"] = lambda place: cluster.url(place.name)
        for kind, url_of in kinds.items():
            for size in (scale.concepts // 10, scale.concepts):
                place = folder / f"{kind}_{size}"
                place.mkdir()
                if kind == "postgresql":
                    cluster.make(place.name, migrate)
                else:
                    migrate(url_of(place))
                _import_twice(url_of(place), place, kind, size)


def _import_twice(url: str, place: Path, kind: str, size: int) -> None:
    first = generator.release(size)
    second, touched = generator.changed(first, "1.1", min(CHANGED, size))
    goal = f"{size / 2_000:.3g} s, 400 MiB"
    steps = (
        ("Turtle", "turtle", first, (), goal),
        (f"CSV, {CHANGED} changes", "csv", second, touched, f"{CHANGED} rows"),
    )
    for title, format, release, same, accepted in steps:
        file = place / f"{release.version}.{FORMATS[format].extension}"
        with file.open("wb") as stream:
            stream.writelines(FORMATS[format].write(release))
        ran = measuring.run("benchmarks.importing", url, str(place / "blobs"), str(file), release.version, *same)
        found = json.loads(ran.output)
        spent = [found[step] for step in ("draft new", "draft check", "publish")]
        cells = "".join(f"{seconds:>8.2f}" for seconds in (sum(spent), *spent[:2])) + f"{spent[2]:>9.2f}"
        what = f"{size:,} concepts, {title}, {kind}"
        print(f"{what:<46}{cells}{found['rows']:>9.0f}{ran.peak_mib:>10.0f}  {accepted}", flush=True)


def requests(folder: Path, scale: Scale) -> None:
    """Ask a server, and print what each kind of request costs beside an empty route."""
    large = folder / f"sqlite_{scale.concepts}"
    if not large.exists():
        large.mkdir()
        with _registry(large) as store:
            _publish(store, generator.release(scale.concepts))
    print(f"\n{'over HTTP, one Granian worker':<58}{'CPU ms':>8}{'ratio':>8}  goal")
    place = folder / "served"
    place.mkdir()
    with _registry(place) as store:
        release = generator.release(scale.served)
        _publish(store, release)
        few = generator.release(scale.few, slug="peu")
        _publish_many(store, few, scale.releases)
        for slug, count in (("petite", scale.mappings // 100), ("grande", scale.mappings)):
            _crosswalk(store, slug, count, release)
        _, file = store.rendition(generator.SLUG, "1.0", "turtle")
    with serving.served(f"sqlite:///{place / 'socle.db'}", place, file=file) as server:
        _mixed(server, scale, release, few)
    with serving.served(f"sqlite:///{large / 'socle.db'}", large) as server:
        empty = _empty(server, scale)
        codes = generator.release(scale.concepts).concepts
        _row(
            f"concept, pinned, first time, of {scale.concepts:,}",
            _concepts(server, scale, "1.0", codes),
            empty,
            "1.2 × that of 1,000",
        )


def recodings(folder: Path, scale: Scale) -> None:
    """Recode a data file as CSV and as Parquet, each beside a bare DuckDB join of the same file."""
    place = folder / "recoded"
    place.mkdir()
    with _registry(place) as store:
        release = generator.release(scale.few)
        _publish(store, release)
        _crosswalk(store, recoding.LIST.partition("/")[2], scale.few, release)
    file = place / "data.csv"
    measuring.run("benchmarks.recoding", "data", str(file), str(scale.recoded), str(scale.few))
    what = f"recode {scale.recoded:,} rows, {file.stat().st_size / 1e6:,.0f} MB as CSV"
    print(f"\n{what:<46}{'s':>8}{'CPU s':>8}{'ratio':>8}{'CPU':>8}{'peak MiB':>10}  goal")
    for source in (file, file.with_suffix(".parquet")):
        ran: dict[str, list[dict[str, float]]] = {"bare": [], "recode": []}
        # One after the other, several times: a machine is now faster, now slower.
        for step in [*ran] * scale.recodings:
            out = place / f"out{source.suffix}"
            os.sync()  # What was written before is not for this one to wait for.
            given = (step, f"sqlite:///{place / 'socle.db'}", str(place / "blobs"), str(source), str(out))
            output, peak = measuring.run("benchmarks.recoding", *given)
            out.unlink()
            ran[step].append({**json.loads(output), "peak": peak})
        middle = {
            step: {
                figure: statistics.median(one[figure] for one in all_) for figure in ("seconds", "processor", "peak")
            }
            for step, all_ in ran.items()
        }
        for step, name, goal in (("bare", "bare DuckDB join", ""), ("recode", "socle recode", "1.3, under 1 GiB")):
            seconds, processor, peak = middle[step].values()
            ratios = seconds / middle["bare"]["seconds"], processor / middle["bare"]["processor"]
            title = f"  {source.suffix[1:]}, {name}"
            print(f"{title:<46}{seconds:>8.2f}{processor:>8.2f}{ratios[0]:>8.2f}{ratios[1]:>8.2f}{peak:>10.0f}  {goal}")
        pairs = zip(ran["recode"], ran["bare"], strict=True)
        print(
            "  wall ratio, run by run: " + ", ".join(f"{one['seconds'] / bare['seconds']:.2f}" for one, bare in pairs)
        )


def searches(folder: Path, size: int) -> None:
    """Make an index of so many concepts and ask it, then ask the API what is meant to hurt it."""
    place = folder / f"searched_{size}"
    place.mkdir()
    release = generator.release(size)
    with _registry(place) as store:
        _publish(store, release)
    queries = place / "queries.json"
    queries.write_text(json.dumps(searching.asked(release)), encoding="utf-8")
    goals = SEARCH_GOALS.get(size, dict.fromkeys(("build", "search", "suggest"), ""))
    found: dict[str, Any] = {}
    for step in ("build", "ask"):
        given = (step, f"sqlite:///{place / 'socle.db'}", str(place), str(queries))
        found |= json.loads(measuring.run("benchmarks.searching", *given).output)
    print(f"\n{f'search in {size:,} concepts':<46}{'CPU ms':>10}{'p99':>10}  goal")
    print(f"{'a loop of a million turns, to compare machines':<46}{measuring.pace() * 1000:>10.0f}")
    print(f"{'index built':<46}{found['seconds'] * 1000:>10.0f}{'':>10}  {goals['build']}")
    for what in ("search", "suggest"):
        print(f"{what:<46}{found[what][0]:>10.2f}{found[what][1]:>10.2f}  {goals[what]}")
    for kind, (median, last) in found["kinds"].items():
        print(f"{f'  search, {kind}':<46}{median:>10.2f}{last:>10.2f}")
    print(f"{f'{hostile.COUNT} hostile queries of each kind, the worst':<46}{'index':>10}{'API':>10}")
    for kind, (direct, over_api) in found["hostile"].items():
        print(f"{f'  {kind}':<46}{direct:>10.1f}{over_api:>10.1f}  100 ms", flush=True)


def impacts(folder: Path, scale: Scale, *, postgresql: bool) -> None:
    """Ask for the impact of drafts over few and many mappings, on SQLite or on PostgreSQL."""
    kind = "PostgreSQL" if postgresql else "SQLite"
    columns = f"{'mappings':>12}{'touched':>12}{'CPU s':>8}{'growth':>8}{'s':>8}"
    print(f"\n{f'impact of a draft, {kind}':<46}{columns}  goal")
    release, before = generator.release(impact_.CONCEPTS), dict[str, float]()
    for size in scale.affected:
        place = folder / f"impact_{size}"
        place.mkdir()
        with _empty_registry(place, postgresql=postgresql) as store:
            _publish(store, release)
            begun = time.monotonic()
            impact_.fill(store, release, size)
            print(f"{f'laid in {time.monotonic() - begun:.0f} s':<46}{size:>12,}", flush=True)
            for title, codes in impact_.touched(release).items():
                took = impact_.measured(store, impact_.draft_on(store, release, codes))
                growth = f"{took.processor / before[title]:>7.1f}×" if title in before else ""
                before.setdefault(title, took.processor)
                counts = f"{size:>12,}{took.answer.total.mappings:>12,}{took.processor:>8.2f}{growth:>8}"
                print(f"{f'  {title}':<46}{counts}{took.seconds:>8.2f}  2 s", flush=True)
        shutil.rmtree(place)


@contextlib.contextmanager
def _empty_registry(place: Path, *, postgresql: bool) -> Iterator[Store]:
    if not postgresql:
        with _registry(place) as store:
            yield store
        return
    from tests.postgres import running_cluster

    with running_cluster() as cluster:
        cluster.make(place.name, migrate)
        store = Store(cluster.url(place.name), place / "blobs")
        try:
            yield store
        finally:
            store.close()


def _mixed(server: serving.Served, scale: Scale, release: Release, few: Release) -> None:
    api, most = "/api/v1", scale.requests
    empty = _empty(server, scale)
    address = f"{api}/nomenclatures/{generator.SLUG}"
    last = f"1.{scale.releases - 1}"
    one = f"{address}/concepts/D0000-01"
    codes = [f"{address}/concepts/{code}?release=1.0" for code in list(release.concepts)[:50]]
    for url in codes:
        server.ask(url)
    _row("concept by code, pinned", server.cost(itertools.cycle(codes), most=most), empty, "0.17 ms, 1.8 ×")
    for what, url in (
        ("the same, 304", f"{one}?release=1.0"),
        ("concept by code, unpinned, 304", one),
        ("export of the release in force, 304", f"{address}/export"),
        ("changes since, nothing new, 304", f"{api}/changes?since={_last(server)}"),
    ):
        tag = {"If-None-Match": server.ask(url).etag}
        _row(what, server.cost(itertools.repeat(url), headers=tag, expect=304, most=most), empty, "1.3 ×")
    _row("concept by code, unpinned today", server.cost(itertools.repeat(one), most=most), empty, "")
    cost = _concepts(server, scale, "1.0", few.concepts, slug="peu")
    _row(f"concept, pinned, first time, of {scale.few:,}", cost, empty, "")
    cost = _concepts(server, scale, last, few.concepts, slug="peu")
    _row(f"the same with {scale.releases} releases", cost, empty, "1.2 × the figure before")
    server.ask(f"{api}/search?q=aide")  # The first one builds the index, which is not what is measured.
    words = (f"{api}/search?q={quote(f'{query} {number}')}" for number in itertools.count() for query in QUERIES)
    _row(f"search, top ten, of {scale.served:,}", server.cost(words, most=min(most, 300)), empty, "6 ms")
    typed = (
        f"{api}/suggest?limit={limit}&q={quote(prefix)}"
        for limit in itertools.count(1)
        for prefix in PREFIXES
        if limit <= 50
    )
    _row("suggest", server.cost(typed, most=min(most, 500)), empty, "0.4 ms")
    for slug, count in (("petite", scale.mappings // 100), ("grande", scale.mappings)):
        for end, told in ((generator.SLUG, ""), (f"{generator.SLUG}@1.0", ", pinned")):
            asked = (
                f"{api}/translate?from={ORGANISATION}/{slug}@1&to={end}&code=L{number % count:07d}"
                for number in range(0, most * 7, 7)
            )
            cost = server.cost(asked, most=min(most, count))
            _row(f"translate one code, {count:,} mappings{told}", cost, empty, "0.2 ms, flat")
    again = f"{api}/translate?from={ORGANISATION}/grande@1&to={generator.SLUG}@1.0&code=L0000000"
    _row("the same code again, pinned", server.cost(itertools.repeat(again), most=most), empty, "")
    since = _before_the_last(server, scale)
    changes = (
        f"{api}/changes?nomenclature=peu&since={since}&limit={limit}" for limit in itertools.cycle(range(20, 1_000))
    )
    _row(f"changes since, {CHANGED} changes", server.cost(changes, most=min(most, 900)), empty, "0.5 ms")
    static = server.cost(itertools.repeat(serving.STATIC), most=min(most, 500))
    _row("a file of the same size, bare Flask", static, empty, "")
    for name in ("turtle", "json"):
        cost = server.cost(itertools.repeat(f"{address}/releases/1.0?format={name}"), most=min(most, 500))
        _row(
            f"full export, {name}: {cost.milliseconds / (static.milliseconds or 1):.1f} × that file",
            cost,
            empty,
            "3 × a file",
        )


def _empty(server: serving.Served, scale: Scale) -> float:
    server.cost(itertools.repeat(serving.EMPTY), most=min(scale.requests, 500))  # The first ones warm the server up.
    cost = server.cost(itertools.repeat(serving.EMPTY), most=scale.requests)
    _row("empty Flask route", cost, cost.milliseconds, "")
    return cost.milliseconds


def _concepts(
    server: serving.Served,
    scale: Scale,
    version: str,
    codes: Iterable[str],
    *,
    slug: str = generator.SLUG,
) -> serving.Cost:
    """Concepts of a release that nobody asked for yet: each is read and rendered."""
    codes = list(codes)
    step = max(1, len(codes) // scale.requests)
    urls = (f"/api/v1/nomenclatures/{slug}/concepts/{code}?release={version}" for code in codes[::step])
    return server.cost(urls, most=scale.requests)


def _row(what: str, cost: serving.Cost, empty: float, goal: str) -> None:
    ratio = f"{cost.milliseconds / empty:>8.1f}" if empty else f"{'':>8}"
    print(f"{what:<58}{cost.milliseconds:>8.3f}{ratio}  {goal}", flush=True)


@contextlib.contextmanager
def _registry(place: Path) -> Iterator[Store]:
    url = f"sqlite:///{place / 'socle.db'}"
    migrate(url)
    store = Store(url, place / "blobs")
    try:
        yield store
    finally:
        store.close()


def _publish(store: Store, release: Release, same_meaning: tuple[str, ...] = ()) -> None:
    """Publish a release by the path that users take."""
    slug = release.nomenclature.slug
    if release.version == "1.0":
        store.add_nomenclature(release.nomenclature)
    content = Content(release.concepts, release.links, release.groups)
    draft = drafts.from_content(store, slug, content, decision=Decision("Banc d'essai.", same_meaning))
    publishing.publish(store, draft, generator.keys_of(store), version=release.version, valid_from=release.valid_from)


def _publish_many(store: Store, release: Release, count: int) -> None:
    """Publish a nomenclature with many releases, ten changes in each but the first."""
    _publish(store, release)
    for number in range(1, count):
        release, touched = generator.changed(release, f"1.{number}", CHANGED)
        _publish(store, release, touched)


def _last(server: serving.Served) -> str:
    """The cursor of the feed after which nothing comes yet."""
    since = ""
    while (page := json.loads(server.ask(f"/api/v1/changes?limit=1000{since and '&since='}{since}").body))["more"]:
        since = page["cursor"]
    return str(page["cursor"])


def _before_the_last(server: serving.Served, scale: Scale) -> str:
    """The cursor of the feed after which only the last of many releases comes."""
    left, since = scale.few + 1 + (scale.releases - 2) * (CHANGED + 1), ""
    while left:
        page = min(left, 1_000)
        answer = server.ask(f"/api/v1/changes?nomenclature=peu&limit={page}{since and '&since='}{since}")
        since, left = json.loads(answer.body)["cursor"], left - page
    return since


def _crosswalk(store: Store, slug: str, count: int, release: Release) -> None:
    codes, mappings = generator.crosswalk(count, replace(release, concepts=_active(release)))
    editions.publish(
        store,
        Source(CodeList(ORGANISATION, slug, "Banc d'essai"), codes, Organisation(ORGANISATION, "Banc", "editeur")),
        generator.SLUG,
        mappings,
        release=release.version,
        valid_from=date(2024, 1, 1),
        author="Banc d'essai",
        license="https://www.etalab.gouv.fr/licence-ouverte-open-licence",
    )


def _active(release: Release) -> dict[str, Concept]:
    return {code: concept for code, concept in release.concepts.items() if concept.status == "active"}


if __name__ == "__main__":
    main()
