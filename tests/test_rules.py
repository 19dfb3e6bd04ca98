"""What a release must respect: each rule lets one example pass and refuses another."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import NamedTuple

import pytest

from registry import rules
from registry.errors import Invalid, Problem
from registry.formats import FORMATS
from registry.model import Acceptance, Concept, Decision, Group, Release, french, texts
from tests.factories import A_DAY, a_concept, a_deprecated_concept, a_link, a_nomenclature, a_release

B = a_concept("B")


class Example(NamedTuple):
    """A release that a rule lets pass and one that it refuses, and the codes that the refusal names."""

    accepted: Release
    refused: Release
    codes: tuple[str, ...]


def _related(*codes: str) -> list[Concept]:
    """Concepts related to each other, all of them."""
    return [a_concept(code, related=tuple(other for other in codes if other != code)) for code in codes]


EXAMPLES: dict[str, Example] = {
    "heading_is_complete": Example(a_release(), a_release(nomenclature=a_nomenclature(license="libre")), ()),
    "codes_have_their_shape": Example(
        a_release(a_concept("TA-1"), nomenclature=a_nomenclature(code_pattern="TA-[0-9]")),
        a_release(a_concept("TA-x"), nomenclature=a_nomenclature(code_pattern="TA-[0-9]")),
        ("TA-x",),
    ),
    "texts_are_clean": Example(
        a_release(a_concept(definition=french("Deux\nlignes."))),
        a_release(a_concept(pref_label=french("Deux\nlignes"))),
        ("A",),
    ),
    "values_fit_a_cell": Example(
        a_release(a_concept(example=texts([("fr", "x" * 20_000), ("en", "x" * 20_000)]))),
        a_release(a_concept(example=french("x" * 20_000, "é" * 10_001))),
        ("A",),
    ),
    "one_preferred_label_per_language": Example(
        a_release(a_concept(pref_label=texts([("fr", "Aide"), ("en", "Help")]))),
        a_release(a_concept(pref_label=french("Aide", "Soutien"))),
        ("A",),
    ),
    "labels_are_disjoint": Example(
        a_release(a_concept(pref_label=french("Aide"), alt_label=texts([("en", "Aide"), ("fr", "aide")]))),
        a_release(a_concept(pref_label=french("Aide"), hidden_label=french("Aide"))),
        ("A",),
    ),
    "concept_has_a_definition_or_scope_note": Example(
        a_release(a_concept(definition=(), scope_note=french("Pour tous."))),
        a_release(a_concept(definition=())),
        ("A",),
    ),
    "references_exist": Example(a_release(*_related("A", "B")), a_release(a_concept(broader=("Z",))), ("A",)),
    "groups_are_well_formed": Example(
        a_release(groups=(Group("G", french("Groupe"), ("A",)),)), a_release(groups=(Group("G", (), ("A",)),)), ("G",)
    ),
    "broader_has_no_cycle": Example(
        a_release(a_concept(broader=("B",)), B, a_concept("C", broader=("B",))),
        a_release(a_concept(broader=("B",)), a_concept("B", broader=("A",)), a_concept("C", broader=("B",))),
        ("A", "B"),
    ),
    "related_is_not_hierarchical": Example(
        a_release(*_related("A", "B"), a_concept("C", broader=("B",))),
        a_release(a_concept(broader=("B",), related=("B",)), a_concept("B", related=("A",))),
        ("A", "B"),
    ),
    "hierarchy_is_not_redundant": Example(
        a_release(a_concept(broader=("B", "C")), B, a_concept("C")),
        a_release(a_concept(broader=("B", "C")), a_concept("B", broader=("C",)), a_concept("C")),
        ("A",),
    ),
    "concepts_are_connected": Example(
        a_release(a_concept(broader=("B",)), B, a_deprecated_concept("C")),
        a_release(a_concept(broader=("B",)), B, a_concept("C")),
        ("C",),
    ),
    "siblings_have_distinct_labels": Example(
        a_release(a_concept(broader=("B",), pref_label=french("Aide")), B, a_concept("C", pref_label=french("Aide"))),
        a_release(a_concept(pref_label=french("Aide")), a_concept("C", pref_label=french("AIDE"))),
        ("A", "C"),
    ),
    "labels_are_unique": Example(
        a_release(a_concept(pref_label=french("Aide")), a_deprecated_concept("C", pref_label=french("Aide"))),
        a_release(a_concept(broader=("B",), pref_label=french("Aide")), B, a_concept("C", pref_label=french("Aide"))),
        ("A", "C"),
    ),
    "labels_do_not_overlap": Example(
        a_release(a_concept(alt_label=french("115")), a_deprecated_concept("C", alt_label=french("115"))),
        a_release(a_concept(alt_label=french("115")), a_concept("C", alt_label=french("115"))),
        ("A", "C"),
    ),
    "active_stands_on_active": Example(
        a_release(a_deprecated_concept(broader=("B",)), a_deprecated_concept("B")),
        a_release(a_concept(broader=("B",)), a_deprecated_concept("B")),
        ("A",),
    ),
    "levels_are_respected": Example(
        a_release(a_concept(broader=("B",)), B, nomenclature=a_nomenclature(level_titles=("Domaine", "Aide"))),
        a_release(a_concept(broader=("B",)), B, nomenclature=a_nomenclature(level_titles=("Domaine",))),
        ("A",),
    ),
    "legal_dates_are_ordered": Example(
        a_release(a_concept(valid_from=A_DAY, valid_until=A_DAY)),
        a_release(a_concept(valid_from=A_DAY, valid_until=date(2023, 12, 31))),
        ("A",),
    ),
    "lineage_is_sound": Example(
        a_release(links=frozenset([a_link("A", "B"), a_link("B", "B")])),
        a_release(links=frozenset([a_link("A", "B"), a_link("B", "A")])),
        ("A", "B"),
    ),
    "deprecated_has_successor_or_reason": Example(
        a_release(a_deprecated_concept(history_note=()), B, links=frozenset([a_link("A", "B")])),
        a_release(a_deprecated_concept(history_note=()), B, links=frozenset([a_link("A", "A")])),
        ("A",),
    ),
}


def _found(rule: str, problems: list[Problem]) -> set[str]:
    return {code for problem in problems if problem.rule == rule for code in problem.codes}


def test_every_rule_has_its_examples() -> None:
    assert [rule.__name__ for rule in rules.RULES] == list(EXAMPLES)


@pytest.mark.parametrize("rule", EXAMPLES)
def test_each_rule_lets_its_example_pass(rule: str) -> None:
    found = rules.problems(EXAMPLES[rule].accepted)

    assert [problem for problem in found if problem.rule == rule] == []


@pytest.mark.parametrize("rule", EXAMPLES)
def test_each_rule_refuses_its_counterexample_and_names_the_codes(rule: str) -> None:
    found = [problem for problem in rules.problems(EXAMPLES[rule].refused) if problem.rule == rule]

    assert found
    assert _found(rule, found) == set(EXAMPLES[rule].codes)
    assert all(problem.message and str(problem) for problem in found)


class Way(NamedTuple):
    """Two ways from a base, one that a rule lets pass and one that it refuses; ``codes`` as above."""

    base: Release
    accepted: Release
    refused: Release
    codes: tuple[str, ...]


RENAMED = a_concept("A", pref_label=french("Autre nom"))
LINEAGE = frozenset([a_link("A", "A")])

WAYS: dict[str, Way] = {
    "codes_never_disappear": Way(
        a_release(), a_release(a_deprecated_concept(), B, version="2.0"), a_release(B, version="2.0"), ("A",)
    ),
    "changed_meaning_is_declared": Way(
        a_release(), a_release(RENAMED, B, version="2.0", links=LINEAGE), a_release(RENAMED, B, version="2.0"), ("A",)
    ),
    "lineage_only_grows": Way(
        a_release(links=LINEAGE),
        a_release(links=LINEAGE | {a_link("A", "B")}, version="2.0"),
        a_release(version="2.0"),
        ("A",),
    ),
    "version_is_deserved": Way(
        a_release(), a_release(a_deprecated_concept(), B, version="2.0"), a_release(a_deprecated_concept(), B), ()
    ),
}


def test_every_rule_of_change_has_its_examples() -> None:
    assert [rule.__name__ for rule in rules.CHANGE_RULES] == list(WAYS)


@pytest.mark.parametrize("rule", WAYS)
def test_each_rule_of_change_lets_its_example_pass(rule: str) -> None:
    found = rules.problems(WAYS[rule].accepted, WAYS[rule].base)

    assert [problem for problem in found if problem.rule == rule] == []


@pytest.mark.parametrize("rule", WAYS)
def test_each_rule_of_change_refuses_its_counterexample(rule: str) -> None:
    found = [problem for problem in rules.problems(WAYS[rule].refused, WAYS[rule].base) if problem.rule == rule]

    assert found
    assert _found(rule, found) == set(WAYS[rule].codes)


def test_a_valid_release_has_no_problem_at_all() -> None:
    assert rules.problems(a_release()) == []


# More than one example for the rules that have several sides.


@pytest.mark.parametrize(
    "text",
    [
        "",
        " au bord",
        "au bord\u00a0",
        "e\u0301",
        "nul\x00",
        "sonnette\x07",
        "retour\rchariot",
        "C1\x85",
        "bidi\u202e",
        "isolat\u2066",
        "zéro\u200blargeur",
        "marque\ufeff",
        "ligne\u2028",
        "privé\ue000",
        "non attribué\u0378",
        "substitut\ud800",
        "long" * 126,
    ],
)
def test_the_text_gate_refuses(text: str) -> None:
    assert rules.text_fault(text, limit=500)


@pytest.mark.parametrize(
    "text", ["a", "Aide à l’enfance", "l\u0153uvre \u00ab\u00a0test\u00a0\u00bb", "\U0001f600", "x" * 500]
)
def test_the_text_gate_lets_pass(text: str) -> None:
    assert rules.text_fault(text, limit=500) == ""


def test_only_notes_hold_several_lines() -> None:
    assert rules.text_fault("un\n\tdeux", limit=500, lines=True) == ""
    assert "U+000A" in rules.text_fault("un\n\tdeux", limit=500)


@pytest.mark.parametrize("language", ["", "FR", "fr_FR", "f", "français"])
def test_a_language_is_a_lower_case_tag(language: str) -> None:
    found = rules.problems(a_release(a_concept(pref_label=((language, "Aide"),))))

    assert _found("texts_are_clean", found) == {"A"}


def test_codes_that_differ_by_case_alone_are_refused() -> None:
    found = rules.problems(a_release(a_concept("ta"), a_concept("TA")))

    assert _found("codes_have_their_shape", found) == {"ta", "TA"}


def test_a_relation_declared_on_one_side_is_refused() -> None:
    found = rules.problems(a_release(a_concept(related=("B",)), B))

    assert _found("references_exist", found) == {"A", "B"}


def test_a_member_that_is_no_concept_is_refused() -> None:
    found = rules.problems(a_release(groups=(Group("G", french("Groupe"), ("Z",)),)))

    assert _found("references_exist", found) == {"G"}


def test_a_link_to_an_unknown_code_is_refused() -> None:
    found = rules.problems(a_release(links=frozenset([a_link("A", "Z")])))

    assert _found("lineage_is_sound", found) == {"A"}


def test_two_kinds_for_one_link_are_refused() -> None:
    found = rules.problems(a_release(links=frozenset([a_link(), a_link(kind="same")])))

    assert _found("lineage_is_sound", found) == {"A", "B"}


def test_a_successor_after_a_circle_is_not_said_to_be_on_it() -> None:
    links = frozenset([a_link("A", "B"), a_link("B", "A"), a_link("B", "C")])

    found = rules.problems(a_release(a_concept(), B, a_concept("C"), links=links))

    assert _found("lineage_is_sound", found) == {"A", "B"}


@pytest.mark.parametrize("language", ["fr", "en"])
def test_labels_of_different_languages_never_clash(language: str) -> None:
    release = a_release(a_concept(pref_label=(("fr", "Station"),)), a_concept("B", pref_label=((language, "Station"),)))

    found = rules.problems(release)

    assert bool(_found("siblings_have_distinct_labels", found)) == (language == "fr")


def test_a_chain_of_successors_ends_at_a_reason() -> None:
    links = frozenset([a_link("A", "B")])
    ends_well = a_release(a_deprecated_concept(history_note=()), a_deprecated_concept("B"), links=links)
    ends_badly = a_release(
        a_deprecated_concept(history_note=()), a_deprecated_concept("B", history_note=()), links=links
    )

    assert _found("deprecated_has_successor_or_reason", rules.problems(ends_well)) == set()
    assert _found("deprecated_has_successor_or_reason", rules.problems(ends_badly)) == {"B"}


def test_the_word_same_meaning_frees_a_changed_label() -> None:
    new = a_release(RENAMED, B, version="1.1")

    assert rules.problems(new, a_release(), decision=Decision("Essai.", ("A",))) == []


# Versions and errata.


@pytest.mark.parametrize(
    ("version", "refused"), [("1.0", True), ("0.9", True), ("1.1", False), ("1.7", False), ("2.0", False), ("x", True)]
)
def test_a_compatible_change_asks_for_a_minor(version: str, refused: bool) -> None:
    new = a_release(a_concept(alt_label=french("x")), B, version=version)

    assert bool(rules.problems(new, a_release())) == refused


@pytest.mark.parametrize(("version", "refused"), [("1.1", True), ("1.99", True), ("2.0", False), ("10.0", False)])
def test_a_breaking_change_asks_for_a_major(version: str, refused: bool) -> None:
    new = a_release(a_concept(broader=("B",)), B, version=version)

    assert bool(rules.problems(new, a_release())) == refused


def test_the_days_of_validity_never_go_back() -> None:
    new = a_release(version="1.1", valid_from=date(2023, 12, 31))

    assert [problem.rule for problem in rules.problems(new, a_release())] == ["version_is_deserved"]


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"version": "1.1"}, False),
        ({"version": "1.0"}, True),
        ({"version": "2.1"}, True),
        ({"version": "1.1", "valid_from": date(2024, 1, 2)}, True),
        ({"version": "1.1", "concepts": {"A": a_deprecated_concept(), "B": B}}, True),
    ],
    ids=["a minor", "the same version", "of another major", "of another day", "breaking"],
)
def test_an_erratum_is_a_minor_of_the_same_day_in_which_nothing_breaks(
    changes: dict[str, object], refused: bool
) -> None:
    corrected = a_release()
    later = a_release(a_concept("A", broader=("B",)), B, version="2.0", valid_from=date(2025, 1, 1))

    found = rules.problems(corrected.with_heading(**changes), later, corrects=corrected)

    assert bool(found) == refused


# Warnings and what is accepted in writing.


@pytest.mark.parametrize(
    ("acceptance", "left"),
    [
        (Acceptance("concept_has_a_definition_or_scope_note", "La source n'en a pas."), set()),
        (Acceptance("concept_has_a_definition_or_scope_note", "Évident.", ("A",)), {"B"}),
        (Acceptance("labels_are_unique", "Une autre règle."), {"A", "B"}),
    ],
)
def test_a_warning_is_silent_once_accepted_in_writing(acceptance: Acceptance, left: set[str]) -> None:
    release = a_release(a_concept("A", definition=()), a_concept("B", definition=()))

    found = rules.problems(release, decision=Decision("Essai.", accepted=(acceptance,)))

    assert {code for problem in found for code in problem.codes} == left


def test_an_error_can_not_be_accepted() -> None:
    release = a_release(a_concept(broader=("Z",)))

    found = rules.problems(
        release, decision=Decision("Essai.", accepted=(Acceptance("references_exist", "Tant pis."),))
    )

    assert _found("references_exist", found) == {"A"}


def test_a_refusal_lists_a_hundred_problems_and_says_how_many_there_are() -> None:
    found = [Problem("essai", f"problème {number}") for number in range(101)]

    with pytest.raises(Invalid) as caught:
        rules.refuse(found)

    assert (len(caught.value.problems), caught.value.total) == (100, 101)


def test_nothing_is_refused_where_there_is_no_problem() -> None:
    rules.refuse([])


# The examples of the SKOS Reference that are not consistent with its data model.

SKOS_EXAMPLES = {
    "S13, preferred and alternative": (
        a_release(a_concept(pref_label=(("en", "love"),), alt_label=(("en", "love"),))),
        1,
    ),
    "S13, alternative and hidden": (
        a_release(a_concept(alt_label=(("en", "love"),), hidden_label=(("en", "love"),))),
        1,
    ),
    "S13, preferred and hidden": (
        a_release(a_concept(pref_label=(("en", "love"),), hidden_label=(("en", "love"),))),
        1,
    ),
    "S14, two in one language": (a_release(a_concept(pref_label=(("en", "adoration"), ("en", "love")))), 1),
    "S27, directly": (a_release(a_concept(broader=("B",), related=("B",)), a_concept("B", related=("A",))), 1),
    "S27, transitively": (
        a_release(
            a_concept(broader=("B",), related=("C",)), a_concept("B", broader=("C",)), a_concept("C", related=("A",))
        ),
        1,
    ),
}
CONDITIONS = {
    "S13": "labels_are_disjoint",
    "S14": "one_preferred_label_per_language",
    "S27": "related_is_not_hierarchical",
}


@pytest.mark.parametrize("name", SKOS_EXAMPLES)
def test_the_inconsistent_examples_of_the_skos_reference_are_refused(name: str) -> None:
    release, count = SKOS_EXAMPLES[name]

    found = rules.problems(release)

    assert [problem.rule for problem in found if problem.severity == "error"] == [CONDITIONS[name[:3]]] * count


TURTLE = """@prefix skos: <http://www.w3.org/2004/02/skos/core#> . @prefix : <https://socle.example/aides/> .
:A a skos:Concept ; skos:definition "D"@fr ; skos:prefLabel "Aide A"@fr ; {a} .
:B a skos:Concept ; skos:definition "D"@fr ; skos:prefLabel "Aide B"@fr ; {b} .
:C a skos:Concept ; skos:definition "D"@fr ; skos:prefLabel "Aide C"@fr .
"""


@pytest.mark.parametrize(
    ("a", "b", "rule"),
    [
        ('skos:altLabel "x"@fr ; skos:hiddenLabel "x"@fr', "skos:related :C", "labels_are_disjoint"),
        ('skos:prefLabel "Secours"@fr', "skos:related :C", "one_preferred_label_per_language"),
        ("skos:broader :B ; skos:related :C", "skos:broader :C", "related_is_not_hierarchical"),
        ("skos:broader :B", "skos:narrower :C ; skos:broader :A", "broader_has_no_cycle"),
    ],
)
def test_what_skos_forbids_is_refused_in_a_file_too(a: str, b: str, rule: str) -> None:
    read = FORMATS["turtle"].read
    assert read is not None
    content = read(TURTLE.format(a=a, b=b).encode(), a_nomenclature())

    found = rules.problems(a_release(*content.concepts.values()))

    assert rule in {problem.rule for problem in found if problem.severity == "error"}


# Size: each rule ends soon whatever the shape, so that a file from outside can't hold the process.

MANY = 20_000
FEWER = 5_000


def _chain(count: int, related: Callable[[int], tuple[str, ...]] = lambda _: ()) -> dict[str, Concept]:
    return {
        f"C{place}": Concept(
            f"C{place}",
            french(f"Aide {place}"),
            definition=french("Une aide."),
            broader=(f"C{place - 1}",) if place else (),
            related=related(place),
        )
        for place in range(count)
    }


def test_a_chain_of_twenty_thousand_concepts_is_too_deep() -> None:
    found = rules.problems(a_release(concepts=_chain(MANY)))

    assert {problem.rule for problem in found} == {"broader_has_no_cycle"}


def test_a_circle_of_twenty_thousand_concepts_is_refused() -> None:
    concepts = _chain(MANY)
    concepts["C0"] = a_concept("C0", broader=(f"C{MANY - 1}",))

    [problem] = rules.problems(a_release(concepts=concepts))

    assert problem.rule == "broader_has_no_cycle"
    assert len(problem.codes) == rules.LISTED


def test_a_chain_of_five_thousand_related_concepts_is_decided() -> None:
    concepts = _chain(FEWER, related=lambda place: (f"C{place ^ 1}",))

    found = rules.problems(a_release(concepts=concepts))

    assert {problem.rule for problem in found} == {"broader_has_no_cycle", "related_is_not_hierarchical"}


def test_a_ladder_of_five_thousand_concepts_is_decided() -> None:
    concepts = {
        code: a_concept(code, broader=(*concept.broader, f"C{place - 2}") if place > 1 else concept.broader)
        for place, (code, concept) in enumerate(_chain(FEWER).items())
    }

    found = rules.problems(a_release(concepts=concepts))

    assert {problem.rule for problem in found} == {"broader_has_no_cycle", "hierarchy_is_not_redundant"}


def test_a_lineage_of_five_thousand_links_is_decided() -> None:
    concepts = {f"C{place}": a_concept(f"C{place}") for place in range(FEWER)}
    links = frozenset(a_link(f"C{place}", f"C{place + 1}") for place in range(FEWER - 1))

    assert rules.problems(a_release(concepts=concepts, links=links)) == []
