"""French analysis: what is typed and what is written meet, whatever the accents, and no text breaks it."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry import analysis

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=80)
"""Lone surrogates, controls and unassigned characters included."""

NOUNS = st.sampled_from(
    "allocation bénéficiaire chèque domicile éducateur établissement familial foyer garantie hébergement mesure"
    " personnel placement prestation professionnel séjour tarif travailleur tutelle véhicule âgé handicapé".split()
)


@given(ANY_TEXT)
def test_folding_twice_is_folding_once(text: str) -> None:
    once = analysis.fold(text)

    twice = analysis.fold(once)

    assert twice == once


@given(ANY_TEXT)
def test_no_text_breaks_the_analysis_and_offsets_stay_inside_it(text: str) -> None:
    found = analysis.words(text)

    key = analysis.key(text)

    assert analysis.key(key) == key
    assert analysis.squeezed(text) == analysis.squeezed(key)
    assert all(stem and " " not in stem for stem in analysis.stems(text))
    assert len(analysis.initials(text)[0]) == len(analysis.initials(text)[1])
    assert all(0 <= word.start < word.end <= len(text) for word in found)
    assert all(before.end <= after.start for before, after in pairwise(found))


@given(ANY_TEXT)
def test_a_decomposed_text_says_the_same(text: str) -> None:
    decomposed = unicodedata.normalize("NFD", text)

    assert analysis.key(decomposed) == analysis.key(unicodedata.normalize("NFC", text))


@given(NOUNS)
def test_accents_capitals_and_plurals_do_not_change_a_stem(noun: str) -> None:
    bare = unicodedata.normalize("NFD", noun).encode("ascii", "ignore").decode()

    variants = {
        *analysis.stems(noun),
        *analysis.stems(bare),
        *analysis.stems(noun.upper()),
        *analysis.stems(noun + "s"),
    }

    assert len(variants) == 1


@pytest.mark.parametrize(
    ("masculine", "feminine"),
    [
        ("âgé", "âgées"),
        ("professionnel", "professionnelles"),
        ("éducatif", "éducatives"),
        ("éducateur", "éducatrices"),
        ("travailleur", "travailleuse"),
        ("européen", "européenne"),
        ("public", "publiques"),
        ("impayé", "impayée"),
        ("familial", "familiaux"),
    ],
)
def test_masculine_and_feminine_share_a_stem(masculine: str, feminine: str) -> None:
    assert analysis.stems(masculine) == analysis.stems(feminine)


@given(NOUNS, st.sampled_from(["l'", "l’", "d'", "qu'", "jusqu’", "L’", "lʼ"]))
def test_an_elided_article_is_dropped_whatever_its_apostrophe(noun: str, article: str) -> None:
    assert analysis.stems(article + noun) == analysis.stems(noun)


def test_ligatures_are_two_letters() -> None:
    assert analysis.key("Cœur et CŒUR, ex æquo") == "coeur et coeur ex aequo"


@pytest.mark.parametrize("written", ["A.P.A.", "a.p.a", "APA", "apa", "Apa"])
def test_a_dotted_acronym_is_the_acronym(written: str) -> None:
    assert analysis.stems(written) == ["apa"]
    assert analysis.key(written) == "apa"


def test_a_compound_is_found_whole_and_in_parts() -> None:
    found = analysis.stems("accompagnement socio-professionnel")

    assert found == ["accompagnement", "socio", "professionnel", "socioprofessionnel"]


def test_a_measure_glued_to_its_unit_is_both_words() -> None:
    assert set(analysis.stems("72 heures")) <= set(analysis.stems("72h"))


def test_a_code_is_itself_however_it_is_separated() -> None:
    assert {analysis.squeezed(code) for code in ("TA-AUT-100", "ta aut 100", "TaAut100", "ta.aut_100")} == {"taaut100"}


def test_offsets_are_those_of_the_text_as_given() -> None:
    text = "L’œuvre des e\u0301lèves \ufb01nie"

    shown = [text[word.start : word.end] for word in analysis.words(text) if not word.stop]

    assert shown == ["œuvre", "e\u0301lèves", "\ufb01nie"]


def test_initials_are_those_of_the_words_that_count() -> None:
    acronym, places = analysis.initials("Service d'accompagnement médico-social pour adultes handicapés")

    assert acronym == "samsah"
    assert places[1] == (10, 11)


@pytest.mark.parametrize("label", ["PCH aide humaine", "Accueil de 72 heures", "Aide ménagère", ""])
def test_a_label_too_short_or_with_an_acronym_makes_none(label: str) -> None:
    assert analysis.initials(label) == ("", ())


def test_families_meet_only_at_their_root() -> None:
    assert analysis.stem("menage") != analysis.stem("menager")
    assert analysis.root(analysis.stem("menage")) == analysis.root(analysis.stem("menager"))
    assert analysis.root(analysis.stem("logement")) != analysis.root(analysis.stem("placement"))


def test_only_what_is_written_as_one_is_an_acronym() -> None:
    assert [
        text
        for text in ("APA", "C2S", "CMU-C", "R.S.A.", "Apa", "AIDE AUX", "A", "ÉTABLISSEMENT")
        if analysis.is_acronym(text)
    ] == [
        "APA",
        "C2S",
        "CMU-C",
        "R.S.A.",
    ]
