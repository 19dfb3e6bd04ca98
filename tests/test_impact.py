"""What a draft asks of those who mapped their codes: counted as a person would who reads every crosswalk."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cli.main import main
from registry import crosswalks, drafts
from registry.changes import change_set
from registry.crosswalks import LocalCode
from registry.errors import NotFound
from registry.impact import impact, successors
from registry.model import Concept, Content, Release
from registry.store import Store, migrate
from registry.store.impact import Use
from tests.conftest import running, settings_for
from tests.factories import (
    A_DAY,
    AN_INSTANT,
    a_code_list,
    a_concept,
    a_deprecated_concept,
    a_link,
    a_member,
    a_nomenclature,
    a_release,
    a_token,
    an_organisation,
    bearer,
    examples,
    published,
    with_the_schema_of_before,
)

CODES = ("A", "B", "C", "D", "E")
BY_THEMSELVES = ("replaced", "merged", "chained")
BY_HAND = ("deprecated", "overlapping", "split", "losing", "moved", "shifted")
COMPATIBLE = ("kept", "annotated")
ORGANISATIONS = ("ccas-1", "ccas-2", "dep-71")
LISTS = ("iodas", "solis")


def mapped(
    store: Store,
    organisation: str,
    rows: Mapping[str, Iterable[str]],
    *,
    code_list: str = "solis",
    nomenclature: str = "aides",
    valid_from: date = A_DAY,
) -> None:
    """Publish the next edition of a crosswalk: for each local code, what it is mapped to."""
    found = a_code_list(organisation=organisation, slug=code_list)
    store.add_organisation(an_organisation(slug=organisation, name=organisation.upper()))
    number = 1 + len(store.crosswalk_editions(organisation=organisation, code_list=code_list))
    codes = [LocalCode(code, f"Code {code}") for code in rows]
    store.add_list_edition(found, number, codes, valid_from=A_DAY, issued=AN_INSTANT)
    mappings = [
        crosswalks.Mapping(code, target, "narrowMatch" if target else "noMatch")
        for code, targets in rows.items()
        for target in targets
    ]
    store.add_crosswalk_edition(
        organisation,
        code_list,
        nomenclature,
        number=number,
        list_edition=number,
        release="1.0",
        mappings=mappings,
        valid_from=valid_from,
        issued=AN_INSTANT,
        author="Essai",
        license="",
    )


def a_draft_of(store: Store, base: Release, fates: Mapping[str, str]) -> int:
    """Keep a draft in which what is said happens to each code."""
    state = after(base, fates)
    return drafts.from_content(store, base.nomenclature.slug, Content(state.concepts, state.links))


def after(base: Release, fates: Mapping[str, str]) -> Release:
    """A release in which what is said has happened to each code."""
    concepts, links = dict(base.concepts), set(base.links)
    for new in ("M", "N"):
        concepts[new] = a_concept(new)
    for code, fate in fates.items():
        old = concepts[code]
        gone = replace(old, status="deprecated")
        states = {
            "kept": old,
            "annotated": replace(old, history_note=(("fr", "Revu."),)),
            "losing": old,
            "shifted": old,
            "moved": replace(old, broader=("N",)),
        }
        concepts[code] = states.get(fate, gone)
        ends = {
            "replaced": [(f"{code}-1", "same")],
            "merged": [("M", "wider")],
            "chained": [(f"{code}-1", "wider")],
            "overlapping": [(f"{code}-1", "overlaps")],
            "split": [(f"{code}-1", "narrower"), (f"{code}-2", "narrower")],
            "losing": [(f"{code}-1", "overlaps")],
            "shifted": [(code, "overlaps")],
        }.get(fate, [])
        for new, kind in ends:
            concepts.setdefault(new, a_concept(new))
            links.add(a_link(code, new, kind=kind))
        if fate == "chained":
            concepts[f"{code}-1"] = a_deprecated_concept(f"{code}-1")
            concepts[f"{code}-2"] = a_concept(f"{code}-2")
            links.add(a_link(f"{code}-1", f"{code}-2", kind="same"))
    return replace(base, concepts=concepts, links=frozenset(links))


def counted(store: Store, fates: Mapping[str, str]) -> tuple[Use, dict[str, Use], dict[str, Use]]:
    """What a person would count who read every crosswalk: in all, by code, by organisation."""
    breaking = {code for code, fate in fates.items() if fate not in COMPATIBLE}
    looked_at = {code for code in breaking if fates[code] not in BY_THEMSELVES}
    last: dict[tuple[str, str], crosswalks.CrosswalkEdition] = {}
    for edition in store.crosswalk_editions(nomenclature="aides"):
        place = (edition.organisation, edition.code_list)
        before = last.get(place)
        if before is None or (edition.valid_from, edition.edition) > (before.valid_from, before.edition):
            last[place] = edition
    rows = [
        (*place, mapping.local_code, mapping.target_code)
        for place, edition in last.items()
        for mapping, _ in store.mappings(edition)
        if mapping.target_code in breaking
    ]

    def use(chosen: list[tuple[str, str, str, str]]) -> Use:
        return Use(
            len({row[0] for row in chosen}),
            len({row[:2] for row in chosen}),
            len(chosen),
            len({row[:3] for row in chosen}),
            len({row[:3] for row in chosen if row[3] in looked_at}),
        )

    by_code = {code: use([row for row in rows if row[3] == code]) for code in breaking}
    by_owner = {owner: use([row for row in rows if row[0] == owner]) for owner in {row[0] for row in rows}}
    return use(rows), by_code, by_owner


@pytest.fixture
def base(store: Store) -> Release:
    """Two published nomenclatures of the same codes; the first one's release."""
    concepts = [a_concept(code) for code in CODES]
    found = a_release(*concepts)
    published(store, found)
    other = a_nomenclature(slug="mesures", iri="https://socle.example/mesures")
    published(store, a_release(*concepts, nomenclature=other))
    return found


_EDITIONS = st.lists(
    st.tuples(
        st.sampled_from(ORGANISATIONS),
        st.sampled_from(LISTS),
        st.sampled_from(("aides", "aides", "mesures")),
        st.integers(0, 3),
        st.dictionaries(
            st.sampled_from(("1", "2", "3", "4")),
            st.one_of(st.just({""}), st.sets(st.sampled_from(CODES), min_size=1)),
        ),
    ),
    max_size=4,
)
_FATES = st.fixed_dictionaries({code: st.sampled_from(BY_THEMSELVES + BY_HAND + COMPATIBLE) for code in CODES})


def test_impact_is_what_reading_every_crosswalk_would_count(store: Store, base: Release) -> None:
    @settings(max_examples=examples(20), deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)
    @given(editions=_EDITIONS, fates=_FATES)
    def holds(editions: list[tuple[str, str, str, int, dict[str, set[str]]]], fates: dict[str, str]) -> None:
        # Editions add up from one example to the next: later ones overtake more and more of them.
        for organisation, code_list, nomenclature, days, rows in editions:
            day = A_DAY + timedelta(days=days)
            mapped(store, organisation, rows, code_list=code_list, nomenclature=nomenclature, valid_from=day)
        total, by_code, by_owner = counted(store, fates)

        found = impact(store, a_draft_of(store, base, fates))

        assert found.total == total
        touched = {one.change.code: one for one in found.touched if one.change.code in CODES}
        assert {code: _as_total(one.use) for code, one in touched.items()} == {
            code: _as_total(use) for code, use in by_code.items()
        }
        assert {code for code, one in touched.items() if one.successor} == {
            code for code in by_code if fates[code] in BY_THEMSELVES
        }
        assert {one.organisation.slug: one.use for one in found.organisations} == by_owner
        order = [(-one.use.by_hand, -one.use.local_codes, one.organisation.slug) for one in found.organisations]
        assert order == sorted(order)
        for one in found.organisations:
            assert one.use.mappings == sum(crosswalk.mappings for crosswalk in one.crosswalks)
            assert one.use.local_codes == sum(crosswalk.local_codes for crosswalk in one.crosswalks)

    holds()


def _as_total(use: Use) -> tuple[int, ...]:
    return (use.organisations, use.crosswalks, use.mappings, use.local_codes)


@pytest.mark.parametrize("fate", BY_THEMSELVES)
def test_a_code_that_gives_way_to_one_has_a_successor(fate: str) -> None:
    before = a_release(a_concept("A"))
    state = after(before, {"A": fate})

    found = successors(change_set(before, state).changes, state)

    assert found["A"] == {"replaced": "A-1", "merged": "M", "chained": "A-2"}[fate]


@pytest.mark.parametrize("fate", BY_HAND)
def test_what_nobody_can_decide_by_rule_is_looked_at_by_hand(fate: str) -> None:
    before = a_release(a_concept("A"))
    state = after(before, {"A": fate})

    changes = change_set(before, state)

    assert changes.compatibility == "breaking"
    assert "A" not in successors(changes.changes, state)


def test_a_successor_declared_in_an_earlier_release_counts() -> None:
    earlier = a_link("A", "B", kind="same")
    before = a_release(a_concept("A"), a_concept("B"), links=frozenset({earlier}))
    gone: dict[str, Concept] = {**before.concepts, "A": a_deprecated_concept("A")}
    state = replace(before, concepts=gone)

    found = successors(change_set(before, state).changes, state)

    assert found == {"A": "B"}


def test_a_registry_of_before_is_counted_when_it_is_migrated(store: Store, base: Release, database_url: str) -> None:
    mapped(store, "dep-71", {"1": ["A", "B"], "2": ["A"], "3": [""]})
    mapped(store, "dep-71", {"1": ["A", "B"], "2": ["A"], "3": ["C"], "4": ["C"], "5": ["C"]})
    mapped(store, "dep-71", {"1": ["D", "A"], "2": ["D", "A"], "3": ["E"]}, code_list="iodas")
    mapped(store, "ccas-1", {"1": ["E", "D"]}, nomenclature="mesures")
    mapped(store, "ccas-2", {})
    draft = a_draft_of(store, base, {"A": "replaced", "B": "split", "C": "moved", "D": "deprecated"})
    before = impact(store, draft)
    with_the_schema_of_before(store)

    migrate(database_url)

    assert before.total == Use(1, 2, 10, 7, 6)
    assert impact(store, draft) == before
    mapped(store, "dep-71", {"1": ["B"]})
    mapped(store, "ccas-2", {"1": ["A", "E"]}, code_list="iodas")
    total, by_code, _ = counted(store, {"A": "replaced", "B": "split", "C": "moved", "D": "deprecated"})
    assert impact(store, draft).total == total
    assert store.uses_by_code("aides", CODES[:4]) == {
        code: replace(use, by_hand=0) for code, use in by_code.items() if use.mappings
    }


def test_only_the_last_edition_of_a_crosswalk_counts(store: Store, base: Release) -> None:
    mapped(store, "dep-71", {"1": ["A"], "2": ["A"]})
    mapped(store, "dep-71", {"1": ["A"], "2": ["B"]}, valid_from=date(2999, 1, 1))
    mapped(store, "dep-71", {"1": ["A"], "2": ["A"], "3": ["A"]}, valid_from=A_DAY)

    found = impact(store, a_draft_of(store, base, {"A": "deprecated"}))

    assert found.total == Use(1, 1, 1, 1, 1)
    assert [(one.code_list, one.edition, one.release) for one in found.organisations[0].crosswalks] == [
        ("solis", 2, "1.0")
    ]


def test_a_local_code_counts_once_and_by_hand_if_any_of_its_targets_asks_for_it(store: Store, base: Release) -> None:
    mapped(store, "dep-71", {"1": ["A", "B"], "2": ["A"], "3": [""], "4": ["C"]})

    found = impact(store, a_draft_of(store, base, {"A": "replaced", "B": "split"}))

    assert found.total == Use(1, 1, 3, 2, 1)
    assert [(one.change.code, one.successor) for one in found.touched if one.use.mappings] == [("A", "A-1"), ("B", "")]


def test_a_draft_that_breaks_nothing_concerns_nobody(store: Store, base: Release) -> None:
    mapped(store, "dep-71", {"1": ["A"]})

    found = impact(store, a_draft_of(store, base, {"A": "annotated"}))

    assert found.total == Use()
    assert (found.touched, found.organisations, found.compatible) == ((), (), 3)


def test_one_code_alone_is_asked_for_and_another_is_not_found(store: Store, base: Release) -> None:
    mapped(store, "dep-71", {"1": ["A"], "2": ["B"]})
    mapped(store, "ccas-1", {"1": ["A"]})
    draft = a_draft_of(store, base, {"A": "split", "B": "split", "C": "annotated"})

    found = impact(store, draft, code="B")

    assert found.total == Use(1, 1, 1, 1, 1)
    assert [one.change.code for one in found.touched] == ["B"]
    with pytest.raises(NotFound):
        impact(store, draft, code="C")


def test_a_code_is_never_read_as_a_statement(store: Store, base: Release) -> None:
    strange = ["A'", "A\\'", "%(codes)s", ":codes", "?", "", "A\n--"]
    mapped(store, "dep-71", {"1": ["A"]})

    total, _ = store.uses("aides", ["A", *strange], strange)

    assert total == Use(1, 1, 1, 1, 0)
    assert store.uses_by_code("aides", ["A", *strange]) == {"A": Use(1, 1, 1, 1)}


def test_what_was_never_published_is_mapped_by_nobody(store: Store, base: Release) -> None:
    mapped(store, "dep-71", {"1": ["A"]})
    strange = "A'%(codes)s"
    concepts = {**base.concepts, strange: a_concept(strange)}
    content = Content(concepts, frozenset({a_link(strange, "A"), a_link("A", "B")}))

    found = impact(store, drafts.from_content(store, "aides", content))

    assert [(one.change.code, one.use.mappings) for one in found.touched] == [("A", 1), (strange, 0)]


# Over the API and on the terminal


@pytest.fixture
def client(database_url: str, tmp_path: Path) -> Iterator[FlaskClient]:
    """A client of an empty registry that may be written to."""
    with running(settings_for(tmp_path, database_url)) as app:
        yield app.test_client()


def test_the_api_names_every_organisation_once_page_by_page(client: FlaskClient) -> None:
    store: Store = client.application.extensions["socle"].store
    base = a_release(*(a_concept(code) for code in CODES))
    published(store, base)
    for number in range(1, 6):
        mapped(store, f"ccas-{number}", {str(code): ["A"] for code in range(number)})
    draft = a_draft_of(store, base, {"A": "split"})
    headers = bearer(a_token(store, a_member(store, "editor", organisation="comite")))

    pages: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = client.get(f"/api/v1/drafts/{draft}/impact?limit=2&cursor={cursor}", headers=headers)
        assert answer.status_code == 200, answer.text
        pages.append(answer.json or {})
        cursor = pages[-1]["cursor"]

    named = list(itertools.chain.from_iterable(page["items"] for page in pages))
    assert [(one["organisation"], one["byHand"]) for one in named] == [(f"ccas-{n}", n) for n in (5, 4, 3, 2, 1)]
    assert all(page["total"] == 5 and page["totals"]["localCodes"] == 15 for page in pages)
    first = pages[0]
    assert first["changes"] == {"breaking": 1, "automatic": 0, "byHand": 1, "compatible": 4}
    assert first["codes"][0] | {"lineage": []} == {
        "code": "A",
        "prefLabel": {"fr": "Aide A"},
        "release": "1.0",
        "kinds": ["deprecated", "split"],
        "action": "byHand",
        "successor": None,
        "lineage": [],
        "organisations": 5,
        "crosswalks": 5,
        "mappings": 15,
        "localCodes": 15,
        "byHand": 15,
        "automatic": 0,
    }
    assert first["items"][0]["lists"] == [
        {
            "codeList": "ccas-5/solis",
            "edition": 1,
            "release": "1.0",
            "mappings": 5,
            "localCodes": 5,
            "byHand": 5,
            "automatic": 0,
        }
    ]
    assert first["consumers"] == []
    assert client.get(f"/api/v1/drafts/{draft}/impact").status_code == 401


def test_the_terminal_says_who_must_act(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, store: Store, base: Release, database_url: str
) -> None:
    monkeypatch.setenv("SOCLE_DATABASE_URL", database_url)
    monkeypatch.setenv("SOCLE_DATA_DIR", str(tmp_path))
    mapped(store, "dep-71", {"1": ["A"], "2": ["B"]})
    mapped(store, "ccas-1", {"1": ["B"]})
    draft = a_draft_of(store, base, {"A": "replaced", "B": "split"})

    answered = CliRunner().invoke(main, ["draft", "impact", str(draft), "--limit", "1"])

    codes = [f"codes locaux {count} (à examiner à la main {count - 1}, avec successeur 1)" for count in (3, 2)]
    assert answered.exit_code == 0, answered.output
    assert answered.output.splitlines() == [
        f"projet {draft} : modifications incompatibles 2 (à la main 1, avec successeur 1), compatibles 5",
        f"touchés : organismes 2, tables de correspondance 2, correspondances 3, {codes[0]}",
        "  B Aide B (1.0) : déprécié, scindé ; à la main ; organismes 2, correspondances 2",
        "  A Aide A (1.0) : déprécié, remplacé ; repris par A-1 ; organismes 1, correspondances 1",
        f"dep-71, DEP-71 : {codes[1]}",
        "et d'autres organismes : 1 (--limit)",
    ]
