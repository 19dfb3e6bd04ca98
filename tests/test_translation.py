"""Translating codes: relations compose soundly or not at all, along crosswalks and lineage, and every path is told."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from itertools import product
from pathlib import Path as FilePath
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner
from flask import request
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cli.main import main
from registry import editions, lineage, translation
from registry.crosswalks import INVERSES, LINEAGE, RELATIONS, LocalCode, Relation, compose, read_mappings, turned
from registry.crosswalks import Mapping as Row
from registry.errors import Invalid, NotFound
from registry.model import LINK_KINDS, Concept, Edition, Link, Release, french, today
from registry.settings import Settings
from registry.store import Store
from registry.store.lineages import Interval, Lineages
from registry.translation import Step, Translation, route, translated
from registry.translation.paths import Path
from tests.conftest import running
from tests.factories import (
    A_DAY,
    AN_INSTANT,
    a_code_list,
    a_concept,
    a_deprecated_concept,
    a_link,
    a_nomenclature,
    a_release,
    an_organisation,
    examples,
    published,
)

TODAY = date(2026, 6, 1)
EXACT, CLOSE, BROAD, NARROW, RELATED = RELATIONS[:5]
LICENCE = "https://www.etalab.gouv.fr/licence-ouverte-open-licence"

TABLE: dict[Relation, tuple[Relation | None, ...]] = {
    "exactMatch": (EXACT, CLOSE, BROAD, NARROW, RELATED),
    "closeMatch": (CLOSE, None, None, None, None),
    "broadMatch": (BROAD, None, BROAD, None, None),
    "narrowMatch": (NARROW, None, None, NARROW, None),
    "relatedMatch": (RELATED, None, None, None, None),
}


@pytest.fixture
def registry_(sqlite_url: str, tmp_path: FilePath) -> Iterator[Store]:
    """An empty registry on SQLite, where the kind of database is not what is tested."""
    found = Store(sqlite_url, tmp_path / "blobs")
    yield found
    found.close()


# The algebra


def test_relations_compose_as_the_table_says_and_no_match_never_does() -> None:
    found = {first: tuple(compose(first, second) for second in RELATIONS[:5]) for first in RELATIONS[:5]}

    assert found == TABLE
    assert {compose(*pair) for pair in product(RELATIONS, RELATIONS) if "noMatch" in pair} == {None}


def test_composing_is_what_sets_of_meanings_say_of_each_other() -> None:
    worlds = [frozenset(item for item in range(3) if number >> item & 1) for number in range(8)]
    holds = {
        "exactMatch": lambda one, other: one == other,
        "broadMatch": lambda one, other: one <= other,
        "narrowMatch": lambda one, other: one >= other,
    }

    for first, second in product(holds, holds):
        ends = [
            (one, last)
            for one, between, last in product(worlds, repeat=3)
            if holds[first](one, between) and holds[second](between, last)
        ]
        always = [name for name in holds if all(holds[name](*pair) for pair in ends)]
        composed = compose(first, second)  # type: ignore[arg-type] # The keys are relations.

        # The strongest that holds in every world: exact comes first, and is both of the others.
        assert composed == (always[0] if always else None), (first, second)


def test_composing_turned_round_is_turning_what_was_composed() -> None:
    for first, second in product(INVERSES, INVERSES):
        assert compose(INVERSES[second], INVERSES[first]) == turned(compose(first, second))


def test_composing_three_does_not_depend_on_where_one_begins() -> None:
    for first, second, third in product(RELATIONS, RELATIONS, RELATIONS):
        left, right = compose(first, second), compose(second, third)

        assert (compose(left, third) if left else None) == (compose(first, right) if right else None)


def test_three_steps_join_as_they_compose_or_tell_the_two_halves_that_do_not() -> None:
    def all_of(relations: Sequence[Relation | None]) -> Relation | None:
        found: Relation | None = "exactMatch"
        for relation in relations:
            found = compose(found, relation) if found and relation else None
        return found

    for relations in product((*RELATIONS[:5], None), repeat=3):
        path = Path("0")
        for place, relation in enumerate(relations, 1):
            path = path if path.over else path.joined(Step(relation, str(place), (), "", {}, {}))

        halves = [relations[:cut] for cut in (3, 2, 1, 0) if all_of(relations[:cut])]
        joined = len(halves[0])
        rest = next((some for end in (3, 2, 1) if all_of(some := relations[joined:end])), ()) if joined < 3 else ()
        told = (path.first, path.relation) if path.cut >= 0 else (path.relation, None)
        assert path.cut == (joined if joined < 3 else -1), relations
        assert told == ((all_of(halves[0]) if joined else None), all_of(rest) if rest else None), relations
        assert path.over == (joined < 3 and len(rest) < 3 - joined), relations


# Lineage


def passage(*links: Link, deprecated: Sequence[str] = (), known: Sequence[Link] = ()) -> dict[str, list[str]]:
    """Where each code goes by links that a release adds: the codes of each way, ``?`` for what is not declared."""
    found = lineage.passage(links, (*known, *links), set(deprecated))
    return {
        code: [" ".join(leg.code if leg.link else f"{leg.code}?" for leg in chain) for chain in chains]
        for code, chains in found.items()
    }


LATER = date(2025, 7, 1)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(
            passage(a_link("A", "B"), a_link("B", "C", date=LATER), deprecated=["A", "B"]),
            {"A": ["B C"], "B": ["C"]},
            id="successors chain",
        ),
        pytest.param(
            passage(a_link("A", "B"), a_link("B", "B"), deprecated=["A"]),
            {"A": ["B"], "B": ["B"]},
            id="links of one day are one event",
        ),
        pytest.param(
            passage(a_link("A", "B"), a_link("B", "B", date=LATER), deprecated=["A"]),
            {"A": ["B B"], "B": ["B"]},
            id="what was reached shifts later",
        ),
        pytest.param(
            passage(a_link("A", "B", date=LATER), deprecated=["A", "B"], known=[a_link("B", "C")]),
            {"A": ["B C"]},
            id="a chain ends at an active concept, though the last link is older",
        ),
        pytest.param(
            passage(a_link("A", "B")),
            {"A": ["B", "A?"]},
            id="what a code still means after giving some of it away is not declared",
        ),
        pytest.param(
            passage(a_link("A", "B"), a_link("A", "A")),
            {"A": ["A", "B"]},
            id="but by a link to itself",
        ),
        pytest.param(
            passage(a_link("A", "B"), a_link("B", "A", date=LATER), deprecated=["A", "B"]),
            {"A": ["B"], "B": ["A"]},
            id="a circle ends",
        ),
    ],
)
def test_codes_go_where_lineage_leads(found: dict[str, list[str]], expected: dict[str, list[str]]) -> None:
    assert found == expected


def an_edition(number: int, follows: int) -> Edition:
    return Edition("aides", f"{number}.0", number, follows, number, A_DAY, AN_INSTANT, "", 0, 0)


def test_a_side_branch_is_left_by_the_way_it_was_entered_and_a_link_taken_back_is_not_travelled() -> None:
    kept, taken_back = a_link("A", "C"), a_link("A", "B")
    known = Lineages([(taken_back, Interval(2, 3)), (kept, Interval(4, None))], {"A": [Interval(2, None)]})
    releases = [an_edition(1, 0), an_edition(2, 1), an_edition(3, 1), an_edition(4, 2)]

    from_erratum = lineage.way(known, releases, 3, 2)
    to_erratum = lineage.way(known, releases, 1, 4)

    assert from_erratum.numbers == (3, 1, 2)
    assert [list(passage) for passage in from_erratum.passages] == [[], ["A"]]
    assert [[chain[-1].code for chain in passage.get("A", ())] for passage in to_erratum.passages] == [[], ["C"]]


# Small worlds: what is found is what composing every pair, one by one, would find


Pairs = set[tuple[str, str, Relation | None]]


class World(NamedTuple):
    """A few releases, what each passage between two of them says, and two local lists with their mappings."""

    releases: list[Release]
    passages: list[Pairs]
    lists: list[tuple[int, list[Row]]]


CODES = ("A", "B", "C", "D")


@st.composite
def worlds(draw: st.DrawFn, *, count: int = 4) -> World:
    active, links, passages = set(CODES[:3]), set[Link](), list[Pairs]()
    concepts: dict[str, Concept] = {code: a_concept(code) for code in sorted(active)}
    releases = [world_release(1, concepts, links)]
    for number in range(2, count + 1):
        day, pairs = date(2024 + number, 1, 1), Pairs()
        leaving = draw(st.sets(st.sampled_from(sorted(active)), max_size=2)) if len(active) > 2 else set()
        new = f"N{number}"
        staying = (active - leaving) | {new}
        concepts = dict(concepts) | {new: a_concept(new)}
        for code in sorted(active):
            # Successors never go in a circle, over all releases together: they only lead to later letters.
            ends = draw(st.sets(st.sampled_from(sorted(end for end in staying if end >= code)), max_size=2))
            if code not in leaving and draw(st.booleans()):
                ends = set()
            for end in sorted(ends):
                kind = draw(st.sampled_from(LINK_KINDS))
                links = links | {Link(code, end, day, kind)}
                pairs.add((code, end, LINEAGE[kind]))
            if code in leaving:
                concepts[code] = a_deprecated_concept(code)
            elif ends and code not in ends:
                pairs.add((code, code, None))
            if not ends:
                pairs.add((code, code, EXACT))
        pairs |= {(code, code, EXACT) for code in concepts if code not in active and code != new}
        active = staying
        passages.append(pairs)
        releases.append(world_release(number, concepts, links))
    lists = [
        (place, draw(mappings_to(sorted(releases[place].concepts))))
        for place in draw(st.lists(st.integers(0, count - 1), min_size=2, max_size=2))
    ]
    return World(releases, passages, lists)


def world_release(number: int, concepts: Mapping[str, Concept], links: set[Link]) -> Release:
    day = date(2024 + number, 1, 1)
    return a_release(
        concepts=dict(sorted(concepts.items())), version=f"{number}.0", links=frozenset(links), valid_from=day
    )


@st.composite
def mappings_to(draw: st.DrawFn, codes: Sequence[str]) -> list[Row]:
    found = []
    for local in ("1", "2", "3"):
        alone = draw(st.sampled_from(("exactMatch", "noMatch", "several")))
        if alone == "noMatch":
            found.append(Row(local, "", "noMatch"))
        elif alone == "exactMatch":
            found.append(Row(local, draw(st.sampled_from(codes)), "exactMatch"))
        else:
            targets = draw(st.dictionaries(st.sampled_from(codes), st.sampled_from(RELATIONS[1:5]), max_size=2))
            found += [Row(local, code, relation) for code, relation in targets.items()]
    return found


def chained(*passages: Pairs) -> Pairs:
    """Every pair of pairs that join, composed, one passage after the other; what does not compose is dropped."""
    found = passages[0]
    for onward in passages[1:]:
        found = {
            (start, end, compose(one, other) if one and other else None)
            for start, middle, one in found
            for begin, end, other in onward
            if middle == begin
        }
    return {pair for pair in found if pair[2] is not None}


def reversed_(pairs: Pairs) -> Pairs:
    return {(end, start, turned(relation)) for start, end, relation in pairs}


def between(world: World, one: int, other: int) -> Pairs:
    """What leads from one release of a world to another, either way, dropping codes that are not at the end."""
    same: Pairs = {(code, code, EXACT) for code in world.releases[one].concepts}
    steps = world.passages[one:other] if one <= other else [reversed_(p) for p in world.passages[other:one][::-1]]
    return {pair for pair in chained(same, *steps) if pair[1] in world.releases[other].concepts}


def found_by(items: Sequence[Translation]) -> Pairs:
    return {(item.code, one.code, one.relation) for item in items for one in item.found if one.code}


def asked(store: Store, source: str, target: str) -> list[Translation]:
    """What every code of the source is in the target."""
    way = route(store, source, target, at=TODAY)
    return translated(store, way, way.source_codes())


def mapped(
    store: Store,
    rows: Sequence[Row],
    *,
    slug: str = "aides",
    release: str = "1.0",
    organisation: str = "dep-71",
    codes: Sequence[str] = ("1", "2", "3"),
) -> None:
    """Publish a crosswalk of an organisation's list."""
    source = editions.Source(
        a_code_list(organisation=organisation),
        [LocalCode(code, f"Code {code}") for code in codes],
        an_organisation(slug=organisation),
    )
    editions.publish(
        store, source, slug, rows, release=release, valid_from=A_DAY, author="Essai", license=LICENCE, issued=AN_INSTANT
    )


def test_translating_is_composing_every_step_one_by_one(registry_: Store) -> None:
    numbers = iter(range(1_000_000))

    @settings(max_examples=examples(8), deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(worlds())
    def holds(world: World) -> None:
        number = next(numbers)
        slug = f"aides-{number}"
        heading = a_nomenclature(slug=slug, iri=f"https://socle.example/{slug}")
        for release in world.releases:
            published(registry_, release.with_heading(nomenclature=heading))
        local: list[Pairs] = []
        for place, (at, rows) in enumerate(world.lists):
            release_ = world.releases[at].version
            mapped(registry_, rows, slug=slug, release=release_, organisation=f"dep-{number}-{place}")
            local.append({(row.local_code, row.target_code, row.relation) for row in rows if row.target_code})
        here, there = (at for at, _ in world.lists)
        names = [f"dep-{number}-{place}/solis@1" for place in (0, 1)]
        spots = range(len(world.releases))

        shared = {
            (one, other): found_by(asked(registry_, f"{slug}@{one + 1}.0", f"{slug}@{other + 1}.0"))
            for one, other in product(spots, spots)
        }
        onto = {at: found_by(asked(registry_, names[0], f"{slug}@{at + 1}.0")) for at in spots}
        out = {at: found_by(asked(registry_, f"{slug}@{at + 1}.0", names[1])) for at in spots}
        across = asked(registry_, *names)

        assert shared == {(one, other): between(world, one, other) for one, other in shared}
        for one, middle, other in product(spots, spots, spots):
            if one <= middle <= other or one >= middle >= other:
                assert chained(shared[one, middle], shared[middle, other]) == shared[one, other]
            assert reversed_(shared[one, other]) == shared[other, one]
        assert onto == {at: chained(local[0], between(world, here, at)) for at in spots}
        back = reversed_(local[1])
        assert out == {at: chained(between(world, at, there), back) for at in spots}
        assert found_by(across) == chained(local[0], between(world, here, there), back)
        reviewed = {row.local_code: row.relation for row in world.lists[0][1]}
        assert all((item.status == "unreviewed") == (item.code not in reviewed) for item in across)
        assert all(item.status == "refused" for item in across if reviewed.get(item.code) == "noMatch")

    holds()


# A story


@pytest.fixture
def story(store: Store) -> Store:
    """Two releases: A kept, B replaced by a wider one, C split, D abandoned; two lists mapped to either of them."""
    first = a_release(*(a_concept(code) for code in "ABCD"))
    links = {a_link("B", "E"), a_link("C", "F", kind="narrower"), a_link("C", "G", kind="narrower")}
    second = a_release(
        a_concept("A"),
        a_deprecated_concept("B"),
        a_deprecated_concept("C"),
        a_deprecated_concept("D", history_note=french("La prestation a été supprimée.")),
        *(a_concept(code) for code in "EFG"),
        version="2.0",
        valid_from=date(2025, 1, 1),
        links=frozenset(links),
    )
    for release in (first, second):
        published(store, release)
    here = [
        Row("1", "A", EXACT, comment="Vu avec le service."),
        Row("2", "B", NARROW, covers=True, weight="0.4"),
        Row("2", "A", NARROW, covers=True, weight="0.6"),
        Row("3", "", "noMatch"),
        Row("4", "C", CLOSE),
        Row("5", "D", EXACT),
    ]
    mapped(store, here, codes=("1", "2", "3", "4", "5", "6"))
    there = [Row("a", "A", EXACT), Row("b", "E", EXACT), Row("c", "E", NARROW), Row("d", "F", BROAD)]
    mapped(store, there, release="2.0", organisation="ccas", codes=tuple("abcd"))
    return store


def told(items: Sequence[Translation]) -> dict[str, tuple[str, list[tuple[str, str]]]]:
    return {item.code: (item.status, [(one.relation, one.code) for one in item.found]) for item in items}


def test_every_answer_says_its_path_its_releases_and_what_was_refused(story: Store) -> None:
    shared = asked(story, "aides@1.0", "aides@2.0")
    onto = asked(story, "dep-71/solis", "aides")
    across = asked(story, "dep-71/solis", "ccas/solis")
    back = asked(story, "aides@2.0", "dep-71/solis@1")

    assert told(shared) == {
        "A": ("mapped", [(EXACT, "A")]),
        "B": ("mapped", [(BROAD, "E")]),
        "C": ("mapped", [(NARROW, "F"), (NARROW, "G")]),
        "D": ("deprecated", [(EXACT, "D")]),
    }
    assert told(onto) == {
        "1": ("mapped", [(EXACT, "A")]),
        "2": ("mapped", [(NARROW, "A")]),
        "3": ("refused", []),
        "4": ("refused", []),
        "5": ("deprecated", [(EXACT, "D")]),
        "6": ("unreviewed", []),
    }
    assert told(across) == {
        "1": ("mapped", [(EXACT, "a")]),
        "2": ("mapped", [(NARROW, "a")]),
        "3": ("refused", []),
        "4": ("refused", []),
        "5": ("unmapped", []),
        "6": ("unreviewed", []),
    }
    assert told(back)["E"] == ("refused", [])
    assert told(back)["F"] == ("refused", [])
    [abandoned] = onto[4].found
    assert (abandoned.status, abandoned.comment) == ("deprecated", "La prestation a été supprimée.")
    [kept] = onto[1].found
    assert (kept.covers, kept.weight) == (False, "")  # The other half of what these two exhaust was refused.
    [first, second] = onto[0].found[0].path
    assert (first.read_in["release"], second.read_in["release"], second.by["type"]) == ("1.0", "2.0", "unchanged")
    assert first.by["sha256"] == story.crosswalk_edition("dep-71", "solis", "aides").sha256
    assert onto[0].found[0].comment == "Vu avec le service."
    [refused] = across[3].refused
    assert (refused.first.relation, refused.first.path[-1].code) == (CLOSE, "C")
    assert (refused.second.relation, [step.code for step in refused.second.path]) == (None, []) or (
        refused.second.path[0].code == "F"
    )
    assert "closeMatch puis narrowMatch" in refused.why
    assert "sans équivalent" in onto[2].refused[0].why


def test_a_direct_answer_keeps_what_its_mapping_says(story: Store) -> None:
    items = asked(story, "dep-71/solis", "aides@1.0")

    by_code = {item.code: item for item in items}
    assert [(one.code, one.covers, one.weight) for one in by_code["2"].found] == [
        ("A", True, "0.6"),
        ("B", True, "0.4"),
    ]
    assert (by_code["3"].status, [one.relation for one in by_code["3"].found]) == ("noMatch", ["noMatch"])
    assert by_code["1"].found[0].justification == "semapv:UnspecifiedMatching"


def test_a_generic_hierarchy_is_climbed_to_the_nearest_code_only_where_nothing_else_is_found(store: Store) -> None:
    tree = [
        a_concept("T"),
        a_concept("M", broader=("T",)),
        a_concept("L", broader=("M",)),
        a_concept("K", broader=("M",)),
        a_concept("X"),
        a_concept("Y", broader=("X",)),
        a_concept("Z", broader=("Y",)),
    ]
    for slug, generic in (("genres", True), ("rayons", False)):
        heading = a_nomenclature(slug=slug, iri=f"https://socle.example/{slug}", generic=generic)
        published(store, a_release(*tree, nomenclature=heading))
        here = [Row("1", "L", EXACT), Row("2", "K", CLOSE), Row("3", "X", EXACT), Row("4", "K", EXACT)]
        mapped(store, here, slug=slug, codes=("1", "2", "3", "4"), organisation=f"dep-{slug}")
        there = [Row("t", "T", EXACT), Row("m", "M", EXACT), Row("k", "K", BROAD), Row("z", "Z", EXACT)]
        mapped(store, there, slug=slug, codes=("k", "m", "t", "z"), organisation=f"ccas-{slug}")

    climbed, grouped = (asked(store, f"dep-{slug}/solis", f"ccas-{slug}/solis") for slug in ("genres", "rayons"))

    assert told(climbed) == {
        "1": ("mapped", [(BROAD, "m")]),
        "2": ("refused", []),
        "3": ("mapped", [(NARROW, "z")]),
        "4": ("mapped", [(NARROW, "k")]),
    }
    assert [step.by["type"] for step in climbed[0].found[0].path] == ["crosswalk", "hierarchy", "crosswalk"]
    assert {item.code: item.status for item in grouped} == {
        "1": "unmapped",
        "2": "refused",
        "3": "unmapped",
        "4": "mapped",
    }


def test_lists_that_meet_in_several_nomenclatures_ask_for_one(registry_: Store) -> None:
    for slug in ("aides", "mesures-a", "mesures-b"):
        published(registry_, a_release(nomenclature=a_nomenclature(slug=slug, iri=f"https://socle.example/{slug}")))
    for slug, organisation in product(("aides", "mesures-a"), ("dep-71", "ccas")):
        mapped(registry_, [Row("1", "A", EXACT)], slug=slug, organisation=organisation)
    mapped(registry_, [Row("1", "A", EXACT)], slug="mesures-b", organisation="editeur")
    codes = ["1", "9"]

    with pytest.raises(Invalid) as several:
        route(registry_, "dep-71/solis", "ccas/solis", at=TODAY)
    with pytest.raises(NotFound):
        route(registry_, "dep-71/solis", "editeur/solis", at=TODAY)
    named = translation.translate(registry_, "dep-71/solis", "ccas/solis", codes, at=TODAY, through="aides")

    assert several.value.problems[0].accepted == "aides, mesures-a"
    assert [(item.code, item.status) for item in named.items] == [("1", "mapped"), ("9", "unknown")]


def test_a_kept_route_gives_way_as_soon_as_an_edition_comes(registry_: Store) -> None:
    published(registry_, a_release())
    mapped(registry_, [Row("1", "A", EXACT)])
    before = route(registry_, "dep-71/solis", "aides", at=TODAY)
    assert route(registry_, "dep-71/solis", "aides", at=TODAY) is before

    mapped(registry_, [Row("1", "B", EXACT)])
    after = route(registry_, "dep-71/solis", "aides", at=TODAY)

    assert [one.code for one in translated(registry_, after, ["1"])[0].found] == ["B"]
    assert [one.code for one in translated(registry_, before, ["1"])[0].found] == ["A"]


# What is shipped


def test_the_official_table_between_two_releases_of_data_inclusion_is_found_again(shipped_store: Store) -> None:
    way = route(shipped_store, "data-inclusion-thematiques@0.27", "data-inclusion-thematiques@1.0", at=TODAY)

    found = translated(shipped_store, way, way.source_codes())

    def ends(item: Translation) -> set[str]:
        return {one.code for one in item.found} | {one.second.path[-1].code for one in item.refused}

    kinds = Counter(
        "none"
        if item.status == "deprecated"
        else "several"
        if len(ends(item)) > 1
        else "kept"
        if ends(item) == {item.code}
        else "another"
        for item in found
    )
    assert kinds == {"kept": 27, "another": 95, "several": 21, "none": 6}
    relations = Counter(one.relation for item in found if item.status == "mapped" for one in item.found)
    assert relations == {"exactMatch": 16, "broadMatch": 93, "narrowMatch": 79}
    assert sum(len(item.refused) for item in found) == 13
    assert all(item.found[0].comment for item in found if item.status == "deprecated")


# Over HTTP and on the terminal

TYPES = "mon-suivi-social/types-accompagnement"
V0, V1 = "data-inclusion-thematiques@0.27", "data-inclusion-thematiques@1.0"
API = "/api/v1/translate"


def rows_of(response: Any) -> list[dict[str, str]]:
    assert response.status_code == 200, response.get_data(as_text=True)
    assert response.mimetype == "text/csv"
    return list(csv.DictReader(io.StringIO(response.get_data(as_text=True))))


def test_a_table_of_codes_goes_in_and_a_table_comes_out_in_its_order(client: FlaskClient) -> None:
    body = "nom;code\nx;Puma\ny;AideAlimentaire\nz;Puma\n"
    address = {"from": TYPES, "to": "types-aide"}

    as_csv = client.post(API, query_string=address, data=body, content_type="text/csv", headers={"Accept": "text/csv"})
    as_json = client.post(f"{API}?format=csv", json={**address, "codes": ["Puma", "AideAlimentaire", "Puma"]})
    without = client.post(API, query_string=address, data="nom\nx\n", content_type="text/csv")
    nowhere = client.post(API, data=body, content_type="text/csv")

    assert [row["code"] for row in rows_of(as_csv)] == ["Puma", "AideAlimentaire", "Puma"]
    assert as_csv.get_data() == as_json.get_data()
    assert rows_of(as_csv)[1]["read_in"] == "types-aide@2.0"
    assert (without.status_code, nowhere.status_code) == (422, 422)


def test_what_names_its_releases_and_editions_is_answered_for_ever(client: FlaskClient) -> None:
    pinned = client.get(API, query_string={"from": V0, "to": V1, "code": "numerique"})
    moving = client.get(API, query_string={"from": V0, "to": "data-inclusion-thematiques", "code": "numerique"})
    then = client.get(
        API, query_string={"from": "mesures@1.0", "to": "mesures", "code": "ME-CON-100", "at": "2023-01-01"}
    )

    assert "immutable" in pinned.headers["Cache-Control"]
    assert moving.headers["Cache-Control"] == "no-cache"
    [hop] = pinned.get_json()["route"]["hops"]
    assert (hop["type"], hop["releases"]) == ("lineage", ["0.27", "1.0"])
    assert then.get_json()["route"]["to"]["release"] == "1.0"


def test_a_second_code_is_answered_before_flask_as_flask_would(shipped_settings: Settings) -> None:
    here, pinned = {"from": "dep-71/solis", "to": "types-aide"}, {"from": f"{TYPES}@1", "to": "types-aide@2.0"}
    ways = [here, pinned, pinned | {"format": "csv"}, {"to": "types-aide", "from": TYPES}, {"from": V0, "to": V1}]
    codes = ("Puma", "numerique", "no-such.code")
    seen: list[str] = []

    with running(shipped_settings) as app:
        app.before_request(lambda: seen.append(request.full_path))
        client, store = app.test_client(), app.extensions["socle"].store
        mapped(store, [Row("1", "TA-FAC-300", EXACT)], slug="types-aide", release="2.0")

        def answers(**headers: str) -> Any:
            # At the doorstep nobody has a cookie, and the day that is read without another is today.
            own = {"at": today().isoformat()} if "Cookie" in headers else {}
            for way, code in product(ways, codes):
                found = client.get(API, query_string={**way, **own, "code": code}, headers=headers)
                told = [pair for pair in found.headers if pair[0] != "X-Request-Id"]
                yield found.status, told, found.get_data()

        given = [list(answers(**{"Accept-Encoding": coding})) for coding in ("", "gzip", "br")]
        reached = len(seen)
        expected = [list(answers(Cookie="a=b", **{"Accept-Encoding": coding})) for coding in ("", "gzip", "br")]
        plain, twice = (
            client.get(f"{API}?from={V0}&to={V1}&{more}").get_json()["items"][0]["code"]
            for more in ("code=mobilite", "%63ode=numerique&code=mobilite")
        )
        before = client.get(API, query_string={**here, "code": "1"}).get_json()
        mapped(store, [Row("1", "TA-AUT-110", EXACT)], slug="types-aide", release="2.0")
        after = client.get(API, query_string={**here, "code": "1"}).get_json()

    assert given == expected
    assert {answer[0] for some in given for answer in some} == {"200 OK"}
    assert reached == 3 * len(ways)
    assert (plain, twice) == ("mobilite", "numerique")
    targets = [found["items"][0]["mappings"][0]["target"]["code"] for found in (before, after)]
    assert targets == ["TA-FAC-300", "TA-AUT-110"]


def test_one_translates_and_composes_on_the_terminal(shipped_folder: FilePath) -> None:
    run = CliRunner(env={"SOCLE_DATA_DIR": str(shipped_folder), "SOCLE_DATABASE_URL": ""})
    lists = ("dep-28/aides", "aides-jeunes/prestations", "--through", "types-aide")

    shown = run.invoke(main, ["translate", "mesures@1.0", "mesures@2.0", "ME-CON-400", "ME-ACA-300"])
    piped = run.invoke(main, ["translate", TYPES, "types-aide", "-", "--csv"], input="Puma\nAideAlimentaire\n")
    composed = run.invoke(main, ["crosswalk", "compose", *lists])
    two = run.invoke(main, ["translate", "mesures", "types-aide", "--json"])

    assert "refusé" in shown.stdout
    assert "narrowMatch" in shown.stdout
    assert [row["code"] for row in csv.DictReader(io.StringIO(piped.stdout))] == ["Puma", "AideAlimentaire"]
    rows = read_mappings(composed.stdout.encode())
    assert {row.justification for row in rows} == {"semapv:MappingChaining"}
    assert "dep-28/aides@1 → aides-jeunes/prestations@1" in composed.stderr
    assert two.exit_code == 1
