"""What a release makes stale in a crosswalk, and carrying one from release to release: nothing moves by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry import draft_editions, editions, staleness
from registry.access import Actor
from registry.crosswalks import RELATIONS, LocalCode, Mapping
from registry.draft_editions import Choice
from registry.editions import Source
from registry.errors import Forbidden, NotFound
from registry.model import Concept, Decision, Release, french, preferred
from registry.store import Store
from registry.store.draft_editions import CrosswalkName
from tests.factories import (
    a_code_list,
    a_concept,
    a_link,
    a_member,
    a_release,
    examples,
    published,
)

NAME = CrosswalkName("dep-71", "solis", "aides")
LATER = date(2025, 1, 1)
CODES = ("KEPT", "ONE", "TWO", "CUT", "GONE", "SHIFTED", "MOVED", "WORDED")
CONCEPTS = {"TOP": a_concept("TOP"), **{code: a_concept(code, broader=("TOP",)) for code in CODES}}


def first() -> Release:
    return a_release(*CONCEPTS.values())


def second() -> Release:
    """A release in which each concept but KEPT and TOP has met the fate that it is called after."""
    gone = {code: replace(CONCEPTS[code], status="deprecated") for code in ("ONE", "TWO", "CUT")}
    changed = {
        **gone,
        "GONE": replace(CONCEPTS["GONE"], status="deprecated", history_note=french("Supprimée par la loi.")),
        "MOVED": replace(CONCEPTS["MOVED"], broader=("KEPT",)),
        "WORDED": replace(CONCEPTS["WORDED"], definition=french("Autrement dit, la même chose.")),
        **{code: a_concept(code, broader=("TOP",)) for code in ("BOTH", "CUT-1", "CUT-2")},
    }
    links = {
        a_link("ONE", "BOTH", date=LATER, kind="wider"),
        a_link("TWO", "BOTH", date=LATER, kind="wider"),
        a_link("CUT", "CUT-1", date=LATER, kind="narrower"),
        a_link("CUT", "CUT-2", date=LATER, kind="narrower"),
        a_link("SHIFTED", "SHIFTED", date=LATER, kind="wider"),
    }
    return replace(first(), version="2.0", valid_from=LATER, concepts={**CONCEPTS, **changed}, links=frozenset(links))


@pytest.fixture
def store(sqlite_url: str, tmp_path: Path) -> Iterator[Store]:
    """A registry with two releases; SQLite is enough for what is decided in Python."""
    found = Store(sqlite_url, tmp_path / "blobs")
    published(found, first())
    published(found, second(), decision=Decision("Essai.", ("WORDED",)))
    yield found
    found.close()


@pytest.fixture
def mapper(store: Store) -> Actor:
    """A referent of the département."""
    return a_member(store, "mapper")


def an_edition(store: Store, *mappings: Mapping) -> None:
    """Publish the next edition of the crosswalk to the first release; the list has two codes more."""
    codes = [LocalCode(code, f"Code {code}") for code in sorted({one.local_code for one in mappings} | {"X", "Y"})]
    editions.publish(
        store,
        Source(a_code_list(), codes),
        "aides",
        mappings,
        release="1.0",
        valid_from=LATER,
        author="Essai",
        license="",
    )


ALL = (
    Mapping("1", "KEPT", "exactMatch", confidence="0.9", comment="sûr"),
    Mapping("2", "ONE", "exactMatch"),
    Mapping("3", "CUT", "exactMatch"),
    Mapping("4", "GONE", "closeMatch"),
    Mapping("5", "SHIFTED", "exactMatch"),
    Mapping("6", "MOVED", "exactMatch"),
    Mapping("7", "WORDED", "exactMatch"),
    Mapping("8", "KEPT", "narrowMatch", covers=True),
    Mapping("8", "ONE", "narrowMatch", covers=True),
    Mapping("9", "", "noMatch"),
)


def test_each_touched_mapping_is_on_the_review_list_with_what_is_proposed(store: Store, mapper: Actor) -> None:
    an_edition(store, *ALL)
    [edition] = store.crosswalk_editions()

    review = staleness.review_list(store, edition, "2.0")

    told = {
        (item.code.code, item.before.code): (
            item.action,
            [(one.relation, one.concept.code) for one in item.proposed],
        )
        for item in review.items
    }
    assert told == {
        ("2", "ONE"): ("successor", [("broadMatch", "BOTH")]),
        ("3", "CUT"): ("byHand", [("narrowMatch", "CUT-1"), ("narrowMatch", "CUT-2")]),
        ("4", "GONE"): ("byHand", []),
        ("5", "SHIFTED"): ("byHand", [("broadMatch", "SHIFTED")]),
        ("6", "MOVED"): ("keep", []),
        ("7", "WORDED"): ("keep", []),
        # Narrower than the local code, then wider than that: nothing sound follows.
        ("8", "ONE"): ("byHand", [(None, "BOTH")]),
    }
    kinds = {item.before.code: item.kinds for item in review.items}
    assert kinds["ONE"] == ("deprecated", "merged")
    assert kinds["CUT"] == ("deprecated", "split")
    assert (kinds["MOVED"], kinds["WORDED"], kinds["SHIFTED"]) == (("moved",), ("redefined",), ("widened",))
    [reason] = [item.reason for item in review.items if item.before.code == "GONE"]
    assert reason == "Supprimée par la loi."
    assert review.counts() == {"keep": 2, "successor": 1, "byHand": 4, "codes": 5}


def test_a_carried_code_waits_unreviewed_until_its_successor_is_accepted(store: Store, mapper: Actor) -> None:
    an_edition(store, *ALL)

    draft, review = staleness.carry(store, NAME, "2.0", actor=mapper)
    carried = {one.local_code for one in draft_editions.content(store, draft).mappings}
    after, written = staleness.accept_successors(store, NAME, actor=mapper, revision=draft.revision)

    assert (draft.release, draft.base, review.stale_codes) == ("2.0", 1, frozenset("23458"))
    assert carried == {"1", "6", "7", "9"}
    [mapping] = written
    assert (mapping.local_code, mapping.relation, mapping.target_code) == ("2", "broadMatch", "BOTH")
    assert (mapping.justification, mapping.author) == ("semapv:MappingChaining", mapper.person)
    assert "ONE → BOTH" in mapping.comment
    left = {item.code.code for found in staleness.draft_review(store, after) for item in found.items}
    assert left == {"3", "4", "5", "8"}
    rows = {row.code.code: row for row in store.draft_rows(after)}
    assert [item.stale_from for item in rows["8"].mappings] == ["1.0", "1.0"]
    edition, _ = draft_editions.publish(store, NAME, actor=mapper)
    assert (edition.edition, edition.release, edition.mappings) == (2, "2.0", 5)
    assert store.crosswalk_edition(*NAME, edition=1).release == "1.0"


def test_what_was_decided_after_carrying_is_not_undone_by_carrying_on(store: Store, mapper: Actor) -> None:
    an_edition(store, *ALL)
    staleness.carry(store, NAME, "2.0", actor=mapper)
    draft_editions.decide(
        store, NAME, [Choice("3", ({"relation": "broadMatch", "target_code": "CUT-1"},))], actor=mapper
    )

    back, _ = staleness.carry(store, NAME, "1.0", actor=mapper)
    again, nothing = staleness.carry(store, NAME, "1.0", actor=mapper, revision=back.revision)

    assert (again, nothing.items) == (back, ())
    rows = {row.code.code: row for row in store.draft_rows(back)}
    assert [(item.mapping.target_code, item.stale_from) for item in rows["3"].mappings] == [("CUT-1", "2.0")]
    assert [(item.mapping.target_code, item.stale_from) for item in rows["2"].mappings] == [("ONE", "")]


def test_nobody_else_carries_a_crosswalk_nor_is_there_one_to_carry(store: Store, mapper: Actor) -> None:
    with pytest.raises(NotFound):
        staleness.carry(store, NAME, "2.0", actor=mapper)
    an_edition(store, *ALL)

    with pytest.raises(Forbidden):
        staleness.carry(store, NAME, "2.0", actor=a_member(store, "mapper", organisation="dep-72"))

    with pytest.raises(NotFound):
        store.draft_edition(NAME)


COMPATIBLE = {
    "annotated": {"alt_label": french("Autre nom")},
    "worded": {"definition": french("La même chose, autrement dite.")},
    "relabelled": {"pref_label": french("Nouveau nom")},
}


def worded(concept: Concept, fate: str) -> Concept:
    """A concept with the text that a fate changes, another one for each code."""
    changes: dict[str, Any] = {
        name: french(f"{preferred(value)} {concept.code}") for name, value in COMPATIBLE[fate].items()
    }
    return replace(concept, **changes)


@st.composite
def crosswalks_and_releases(draw: st.DrawFn) -> tuple[list[Mapping], dict[str, str]]:
    """Any mappings to four concepts, and what a release without breaking changes does to some of these."""
    mappings = {}
    for code in draw(st.sets(st.sampled_from("12345"))):
        relation = draw(st.sampled_from(RELATIONS))
        alone = relation in ("exactMatch", "noMatch")
        targets = {""} if relation == "noMatch" else draw(st.sets(st.sampled_from("ABCD"), min_size=1, max_size=3))
        for target in sorted(targets)[: 1 if alone else None]:
            weight = draw(st.sampled_from(("", "0.5")))
            mappings[code, target] = Mapping(code, target, relation, covers=draw(st.booleans()), weight=weight)
    fates = draw(st.dictionaries(st.sampled_from("ABCD"), st.sampled_from(sorted(COMPATIBLE)), min_size=1))
    return list(mappings.values()), fates


@pytest.mark.fuzz
@given(crosswalks_and_releases())
@settings(max_examples=examples(8), deadline=None, suppress_health_check=list(HealthCheck))
def test_carrying_through_a_release_that_breaks_nothing_and_back_is_the_identity(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory, drawn: tuple[list[Mapping], dict[str, str]]
) -> None:
    mappings, fates = drawn
    folder = tmp_path_factory.mktemp("carry")
    (folder / "socle.db").write_bytes(sqlite_template.read_bytes())
    store = Store(f"sqlite:///{folder / 'socle.db'}", folder / "blobs")
    base = a_release(*(a_concept(code) for code in "ABCD"))
    published(store, base)
    changed = {code: worded(base.concepts[code], fate) for code, fate in fates.items()}
    new = replace(base, version="1.1", valid_from=LATER, concepts={**base.concepts, "E": a_concept("E"), **changed})
    published(store, new, decision=Decision("Essai.", tuple(sorted(fates))))
    mapper = a_member(store, "mapper")
    an_edition(store, *mappings)
    held = editions.content(store, store.crosswalk_edition(*NAME))

    there, review = staleness.carry(store, NAME, "1.1", actor=mapper)
    on = draft_editions.content(store, there)
    back, _ = staleness.carry(store, NAME, "1.0", actor=mapper)

    assert review.stale_codes == frozenset()
    assert on == draft_editions.content(store, back) == held
    assert (there.release, back.release) == ("1.1", "1.0")
    store.close()
