"""Candidates for a local label: the likely concept first, sure only when there is no doubt, and never a mapping."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.candidates import candidates
from registry.search import Document, Index, Mapped, build
from tests.factories import examples

DOCUMENTS = (
    Document("aides", "1.0", "A-1", "active", 1, "Allocation personnalisée d'autonomie", ("APA",)),
    Document("aides", "1.0", "A-2", "active", 2, "APA à domicile", path=("Allocation personnalisée d'autonomie",)),
    Document("aides", "1.0", "A-3", "active", 2, "Aide ménagère aux personnes âgées", definition=("Des heures.",)),
    Document("aides", "1.0", "A-4", "active", 2, "Aide ménagère aux familles", definition=("Des heures.",)),
    Document("aides", "1.0", "A-5", "active", 2, "Prime", local_label=(("Chèque de rentrée", "ccas-x/liste@1"),)),
    Document(
        "aides", "1.0", "A-6", "active", 1, "Transport", mapped=(Mapped("Carte rubis", "broadMatch", 3, "dep-01/a@2"),)
    ),
    Document("mesures", "1.0", "M-1", "active", 1, "Prime"),
)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    folder = tmp_path_factory.mktemp("candidates") / "1-1"
    build(DOCUMENTS, folder)
    opened = Index.open(folder)
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("label", "code", "relation"),
    [
        ("Allocation personnalisée d'autonomie (APA)", "A-1", "exactMatch"),
        ("ALLOCATION PERSONNALISEE D'AUTONOMIE", "A-1", "exactMatch"),
        ("Demande de renouvellement APA à domicile", "A-2", "exactMatch"),
        ("CHEQUE DE RENTREE", "A-5", "exactMatch"),
        ("Aide ménagère aux personnes âgées du canton nord, dossiers anciens", "A-3", "broadMatch"),
    ],
)
def test_the_likeliest_concept_comes_first_with_a_relation(index: Index, label: str, code: str, relation: str) -> None:
    found = candidates(index, label, nomenclature="aides")

    assert (found[0].document.code, found[0].relation) == (code, relation)


def test_what_other_lists_map_this_very_label_to_is_proposed_in_their_relation_and_not_called_sure(
    index: Index,
) -> None:
    found = candidates(index, "Demande de CARTE RUBIS (voir M. Essai)", nomenclature="aides")

    assert (found[0].document.code, found[0].relation, found[0].sure) == ("A-6", "broadMatch", False)
    assert (found[0].why.kind, found[0].why.source) == ("mapped", "dep-01/a@2")


def test_a_label_that_one_concept_alone_bears_is_sure(index: Index) -> None:
    found = candidates(index, "APA (à réviser)", nomenclature="aides")

    assert [one.document.code for one in found if one.sure] == ["A-1"]


@pytest.mark.parametrize("label", ["Prime", "aide ménagère", "APA à domicile et en établissement", "Sortie de secours"])
def test_what_may_be_two_things_or_another_is_not_sure(index: Index, label: str) -> None:
    found = candidates(index, label)

    assert [one.document.code for one in found if one.sure] == []


def test_what_another_list_calls_it_says_which_list(index: Index) -> None:
    [first, *_] = candidates(index, "chèque de rentrée")

    assert (first.why.kind, first.why.source) == ("local", "ccas-x/liste@1")


def test_no_more_are_given_than_asked_for(index: Index) -> None:
    assert len(candidates(index, "aide", limit=1)) == 1


@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(label=st.text(st.characters(exclude_categories=()), max_size=120))
def test_any_text_is_a_label(index: Index, label: str) -> None:
    found = candidates(index, label)

    assert all(0 <= one.score <= 1 for one in found)
    assert sum(one.sure for one in found) <= 1
