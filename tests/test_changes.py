"""The change set: it leads there, it leads back, and it says what a consumer must know."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.changes import FACTS, KINDS, SHAPES, apply, change_set, inverse, least_version, link_shapes
from registry.errors import Conflict
from registry.model import Link, LinkKind, Release, Version, french
from registry.signing import canonical_lines
from tests.factories import A_DAY, a_concept, a_link, a_release, examples, releases
from tests.shipped_files import shipped_release

TWO_STATES = st.tuples(releases(few_words=True), releases(few_words=True))


@pytest.mark.fuzz
@given(TWO_STATES)
@settings(max_examples=examples(25), deadline=None)
def test_a_change_set_leads_from_the_old_state_to_the_new(states: tuple[Release, Release]) -> None:
    old, new = states

    reached = apply(old, change_set(old, new))

    assert reached == new


@pytest.mark.fuzz
@given(TWO_STATES)
@settings(max_examples=examples(25), deadline=None)
def test_the_inverse_leads_back_and_its_inverse_is_the_change_set_itself(states: tuple[Release, Release]) -> None:
    old, new = states
    changes = change_set(old, new)

    back = inverse(changes)

    assert apply(new, back) == old
    assert back == change_set(new, old)
    assert inverse(back) == changes


@pytest.mark.fuzz
@given(TWO_STATES, st.randoms(use_true_random=False))
@settings(max_examples=examples(20), deadline=None)
def test_the_order_of_concepts_and_links_changes_nothing(
    states: tuple[Release, Release], chance: random.Random
) -> None:
    old, new = states

    shuffled_old, shuffled_new = (_shuffled(state, chance) for state in states)

    assert change_set(shuffled_old, shuffled_new) == change_set(old, new)
    assert list(canonical_lines(shuffled_new)) == list(canonical_lines(new))


def _shuffled(release: Release, chance: random.Random) -> Release:
    concepts, links = list(release.concepts.items()), sorted(release.links)
    chance.shuffle(concepts)
    chance.shuffle(links)
    return release.with_heading(concepts=dict(concepts), links=frozenset(links))


@pytest.mark.fuzz
@given(releases(few_words=True))
@settings(max_examples=examples(10), deadline=None)
def test_nothing_changed_between_a_state_and_itself(state: Release) -> None:
    changes = change_set(state, state)

    assert changes.changes == ()
    assert changes.compatibility == "compatible"


def test_a_change_set_is_refused_where_it_does_not_start() -> None:
    old, new = a_release(a_concept("A")), a_release(a_concept("A", pref_label=french("Autre")))
    elsewhere = a_release(a_concept("A", pref_label=french("Ailleurs")))

    with pytest.raises(Conflict, match="A"):
        apply(elsewhere, change_set(old, new))


def test_links_that_are_there_already_are_not_added_twice() -> None:
    old, new = a_release(), a_release(links=frozenset([a_link()]))

    with pytest.raises(Conflict, match="lineage"):
        apply(new, change_set(old, new))


# What happened to the concept A, by what it was and what it becomes; None: it is not there.
EXAMPLES: dict[str, tuple[dict[str, Any] | None, dict[str, Any] | None, str]] = {
    "added": (None, {}, "compatible"),
    "removed": ({}, None, "breaking"),
    "relabelled": ({}, {"pref_label": french("Autre libellé")}, "compatible"),
    "redefined": ({}, {"definition": french("Autre définition.")}, "compatible"),
    "moved": ({}, {"broader": ("B",)}, "breaking"),
    "annotated": ({}, {"alt_label": french("Autre nom")}, "compatible"),
    "deprecated": ({}, {"status": "deprecated"}, "breaking"),
    "reinstated": ({"status": "deprecated"}, {}, "compatible"),
}


def test_every_fact_has_its_example() -> None:
    assert tuple(EXAMPLES) == FACTS


@pytest.mark.parametrize("fact", EXAMPLES)
def test_each_fact_is_told_with_what_it_asks_of_consumers(fact: str) -> None:
    before, after, compatibility = EXAMPLES[fact]
    old, new = (
        a_release(a_concept("B"), *([a_concept("A", **state)] if state is not None else []))
        for state in (before, after)
    )

    changes = change_set(old, new)

    [change] = changes.changes
    assert change.code == "A"
    assert change.kinds == (fact,)
    assert (change.compatibility, changes.compatibility) == (compatibility, compatibility)
    assert changes.counts == {fact: 1}


@pytest.mark.parametrize("item", ["scope_note", "inclusion_note", "exclusion_note"])
def test_a_changed_scope_redefines(item: str) -> None:
    old, new = a_release(a_concept("A")), a_release(a_concept("A", **{item: french("Autre périmètre.")}))

    [change] = change_set(old, new).changes

    assert change.kinds == ("redefined",)


@pytest.mark.parametrize(
    "changed",
    [
        {"hidden_label": french("x")},
        {"example": french("x")},
        {"history_note": french("x")},
        {"related": ("B",)},
        {"legal_basis": ("CASF L111-1",)},
        {"valid_from": A_DAY},
        {"valid_until": A_DAY},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_whatever_else_changes_annotates(changed: dict[str, Any]) -> None:
    old, new = a_release(a_concept("A")), a_release(a_concept("A", **changed))

    [change] = change_set(old, new).changes

    assert change.kinds == ("annotated",)


def test_a_concept_can_have_several_facts_in_the_order_of_the_table() -> None:
    old = a_release(a_concept("A"), a_concept("B"))
    new = a_release(a_concept("A", status="deprecated", alt_label=french("x"), pref_label=french("y")), a_concept("B"))

    [change] = change_set(old, new).changes

    assert change.kinds == ("relabelled", "annotated", "deprecated")


SHAPE_EXAMPLES: dict[str, tuple[str, LinkKind, str]] = {
    "replaced": ("A>B", "same", "breaking"),
    "split": ("A>B A>C", "narrower", "breaking"),
    "merged": ("A>C B>C", "wider", "breaking"),
    "reshaped": ("A>C A>D B>C B>D", "overlaps", "breaking"),
    "widened": ("A>A", "wider", "breaking"),
    "narrowed": ("A>A", "narrower", "breaking"),
    "shifted": ("A>A", "overlaps", "breaking"),
}


def _links(arrows: str, kind: LinkKind, day: date = A_DAY) -> frozenset[Link]:
    return frozenset(Link(arrow[0], arrow[2], day, kind) for arrow in arrows.split())


def test_every_shape_has_its_example() -> None:
    assert tuple(SHAPE_EXAMPLES) == SHAPES
    assert KINDS == FACTS + SHAPES


@pytest.mark.parametrize("shape", SHAPE_EXAMPLES)
def test_each_shape_follows_from_the_links_alone(shape: str) -> None:
    arrows, kind, compatibility = SHAPE_EXAMPLES[shape]
    old = a_release(*(a_concept(code) for code in "ABCD"))
    new = old.with_heading(links=_links(arrows, kind))

    changes = change_set(old, new)

    change = next(change for change in changes.changes if change.code == "A")
    assert change.kinds == (shape,)
    assert (change.compatibility, changes.compatibility) == (compatibility, compatibility)
    assert apply(old, changes) == new


def test_a_self_link_that_says_same_meaning_breaks_nothing() -> None:
    old = a_release()
    new = old.with_heading(links=_links("A>A", "same"))

    changes = change_set(old, new)

    assert changes.compatibility == "compatible"


def test_the_code_that_is_reached_is_listed_but_only_the_one_that_leaves_breaks() -> None:
    old = a_release()
    new = old.with_heading(links=_links("A>B", "wider"))

    changes = change_set(old, new)

    assert {change.code: (change.kinds, change.compatibility) for change in changes.changes} == {
        "A": (("replaced",), "breaking"),
        "B": ((), "compatible"),
    }


def test_links_of_different_days_are_different_events() -> None:
    links = _links("A>C", "wider") | _links("B>C", "wider", date(2025, 1, 1))

    assert set(link_shapes(links).values()) == {"replaced"}


@pytest.mark.parametrize(
    ("base", "compatible", "breaking"), [("1.0", "1.1", "2.0"), ("1.9", "1.10", "2.0"), ("0.27", "0.28", "1.0")]
)
def test_the_least_version_is_a_minor_or_a_major(base: str, compatible: str, breaking: str) -> None:
    assert least_version(base, "compatible") == Version(compatible)
    assert least_version(base, "breaking") == Version(breaking)


def test_versions_compare_as_numbers() -> None:
    assert Version("1.10") > Version("1.9")
    assert sorted(map(Version, ("2.0", "1.10", "1.9"))) == [Version("1.9"), Version("1.10"), Version("2.0")]


@pytest.mark.parametrize("text", ["1", "1.0.0", "01.0", "1.00", "v1.0", "1.-1", "", "1.0\n", "\u0661.0"])
def test_what_is_not_major_dot_minor_is_no_version(text: str) -> None:
    with pytest.raises(ValueError):
        Version(text)


# The producer's own table from data.inclusion 0.27 to 1.0, as the shipped releases carry it.


def _targets(links: Iterable[Link]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for link in links:
        found.setdefault(link.old, set()).add(link.new)
    return found


def test_the_lineage_of_data_inclusion_has_the_counts_of_its_producer() -> None:
    old = shipped_release("data-inclusion-thematiques", "0.27")
    new = shipped_release("data-inclusion-thematiques", "1.0")

    changes = change_set(old, new)

    targets = _targets(changes.links_added)
    of = {code: targets.get(code, set()) for code in old.concepts}
    active = {code for code, concept in new.concepts.items() if concept.status == "active"}
    reached_by_leaves = Counter(link.new for link in changes.links_added if "--" in link.old)
    assert (len(old.concepts), len(active), len(changes.links_added)) == (149, 69, 201)
    assert sum(found == {code} for code, found in of.items()) == 27
    assert sum(len(found) == 1 and found != {code} for code, found in of.items()) == 95
    assert sum(len(found) > 1 for found in of.values()) == 21
    assert sum(len(found) > 1 and "--" in code for code, found in of.items()) == 5
    assert sum(not found for found in of.values()) == 6
    assert len(active - old.concepts.keys()) == 42
    assert set().union(*targets.values()) == active
    assert sum(count >= 2 for count in reached_by_leaves.values()) == 33
    assert sum(count == 1 for count in reached_by_leaves.values()) == 30
    assert len(active - reached_by_leaves.keys()) == 6


def test_the_shapes_of_the_lineage_of_data_inclusion_are_those_of_its_producer() -> None:
    links = shipped_release("data-inclusion-thematiques", "1.0").links
    leaves = [link for link in links if "--" in link.old]

    all_shapes, leaf_shapes = Counter(link_shapes(links).values()), Counter(link_shapes(leaves).values())

    assert all_shapes == {"split": 6, "merged": 122, "reshaped": 73}
    assert leaf_shapes == {"replaced": 29, "split": 1, "merged": 92, "reshaped": 9}


def test_the_kinds_of_the_lineage_of_data_inclusion_follow_from_cardinality() -> None:
    links = shipped_release("data-inclusion-thematiques", "1.0").links

    kinds = Counter(link.kind for link in links)

    assert kinds == {"same": 16, "overlaps": 13, "wider": 93, "narrower": 79}
    assert sum(link.kind == "wider" and link.old == link.new for link in links) == 11


def test_the_oracle_leads_there_and_back() -> None:
    old = shipped_release("data-inclusion-thematiques", "0.27")
    new = shipped_release("data-inclusion-thematiques", "1.0")
    changes = change_set(old, new)

    assert apply(old, changes) == new
    assert apply(new, inverse(changes)) == old
    assert changes.compatibility == "breaking"
    assert changes.counts["added"] == 42
    assert changes.counts["relabelled"] == 3
