"""Crosswalks: their files are read strictly and written alike, and what contradicts itself is refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.crosswalks import (
    INVERSES,
    JUSTIFICATIONS,
    RELATIONS,
    LocalCode,
    Mapping,
    crosswalk_csv,
    list_csv,
    problems,
    read_list,
    read_mappings,
)
from registry.errors import Invalid, Problem
from tests.factories import a_concept, examples, texts_without_faults

CONCEPTS = {"A": a_concept("A"), "B": a_concept("B")}
TEXT = texts_without_faults()


@pytest.mark.fuzz
@given(
    st.lists(
        st.builds(LocalCode, TEXT, TEXT, st.just("") | TEXT, st.just("") | TEXT, st.sampled_from(("", "0", "0012"))),
        unique_by=lambda item: item.code,
        min_size=1,
        max_size=4,
    )
)
@settings(max_examples=examples(25), deadline=None)
def test_a_local_list_is_read_back_as_it_was(codes: list[LocalCode]) -> None:
    assert read_list(list_csv(codes)) == sorted(codes)


_SHARES = st.sampled_from(("", "0", "1", "0.5", "0.333"))


@st.composite
def mappings(draw: st.DrawFn) -> Mapping:
    relation = draw(st.sampled_from(RELATIONS))
    return Mapping(
        draw(TEXT),
        "" if relation == "noMatch" else draw(st.sampled_from("AB")),
        relation,
        draw(st.sampled_from(JUSTIFICATIONS)),
        draw(_SHARES),
        draw(st.booleans()),
        draw(_SHARES),
        draw(st.just("") | TEXT),
        author=draw(st.just("") | TEXT),
        reviewer=draw(st.just("") | TEXT),
        date=draw(st.sampled_from(("", "2024-02-29"))),
    )


@pytest.mark.fuzz
@given(st.lists(mappings(), unique_by=lambda item: (item.local_code, item.target_code), min_size=1, max_size=4))
@settings(max_examples=examples(25), deadline=None)
def test_a_crosswalk_is_read_back_as_it_was(rows: list[Mapping]) -> None:
    again = read_mappings(crosswalk_csv(rows))

    assert again == sorted(rows, key=lambda item: (item.local_code, item.target_code))
    assert crosswalk_csv(again) == crosswalk_csv(rows)


def test_a_code_without_label_bears_itself() -> None:
    assert read_list(b"code\n007\n") == [LocalCode("007", "007")]


def test_a_column_that_came_later_is_written_only_where_a_row_fills_it() -> None:
    assert list_csv([LocalCode("1", "Un")]) == b"code,label,parent_code,note\n1,Un,,\n"
    assert crosswalk_csv([Mapping("1", "A", "exactMatch", date="2024-02-29")]).splitlines()[0].endswith(b"comment,date")


HEAD = "local_code,relation,target_code,justification,confidence,covers,weight\n"
BAD_ROWS = {
    "relation": ("X,sameAs,A,,,,", "exactMatch"),
    "target_code": ("X,noMatch,A,,,,", "noMatch sans cible"),
    "local_code": (",exactMatch,A,,,,", "un code de la liste locale"),
    "justification": ("X,exactMatch,A,semapv:Guess,,,", "semapv:ManualMappingCuration"),
    "confidence": ("X,exactMatch,A,,1.5,,", "de 0 à 1"),
    "covers": ("X,exactMatch,A,,,oui,", "true, false ou vide"),
    "weight": ('X,exactMatch,A,,,,"0,5"', "de 0 à 1"),
}


@pytest.mark.parametrize("column", BAD_ROWS)
def test_a_bad_cell_is_refused_with_its_line_and_column(column: str) -> None:
    row, accepted = BAD_ROWS[column]

    with pytest.raises(Invalid) as caught:
        read_mappings(f"{HEAD}Y,exactMatch,B,,,,\n{row}\n".encode())

    [problem] = caught.value.problems
    assert problem.where == f"ligne 3, colonne {column}"
    assert accepted in problem.accepted


@pytest.mark.parametrize("number", ["nan", "inf", "1e-1", "+0.5", "-0", "0x1", "0.5 ", "\u0661", "."])
def test_a_share_is_plain_digits(number: str) -> None:
    with pytest.raises(Invalid):
        read_mappings(f"{HEAD}X,exactMatch,A,,{number},,\n".encode())


@pytest.mark.parametrize(
    ("read", "data", "where"),
    [
        (read_list, b"label\nx\n", "ligne 1"),
        (read_list, b"code,couleur\nx,y\n", "ligne 1"),
        (read_list, b"code\nx\nx\n", "ligne 3, colonne code"),
        (read_list, b"code,label\nx,  \n", "ligne 2, colonne label"),
        (read_list, b"code\n" + b"x" * 201 + b"\n", "ligne 2, colonne code"),
        (read_mappings, b"local_code,relation\nx,noMatch\n", "ligne 1"),
        (
            read_mappings,
            b"local_code,relation,target_code\nx,exactMatch,A\nx,closeMatch,A\n",
            "ligne 3, colonne local_code",
        ),
        (read_mappings, b"local_code,relation,target_code\nx,exactMatch,\n", "ligne 2, colonne target_code"),
    ],
)
def test_a_bad_file_is_refused_where_it_is_bad(read: object, data: bytes, where: str) -> None:
    assert callable(read)

    with pytest.raises(Invalid) as caught:
        read(data)

    assert where in {problem.where for problem in caught.value.problems}


def rules_of(*rows: Mapping) -> list[tuple[str, str]]:
    found: list[Problem] = problems(rows, {"X", "Y"}, CONCEPTS)
    return [(problem.rule, problem.severity) for problem in found]


def test_a_sound_crosswalk_has_no_problem() -> None:
    rows = (
        Mapping("X", "A", "narrowMatch"),
        Mapping("X", "B", "narrowMatch"),
        Mapping("Y", "", "noMatch"),
    )

    assert rules_of(*rows) == []


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([Mapping("Z", "A", "exactMatch")], [("local_code_exists", "error")]),
        ([Mapping("X", "Z", "exactMatch")], [("target_exists", "error")]),
        (
            [Mapping("X", "A", "exactMatch"), Mapping("X", "B", "broadMatch")],
            [("exactMatch_stands_alone", "error")],
        ),
        ([Mapping("X", "", "noMatch"), Mapping("X", "B", "relatedMatch")], [("noMatch_stands_alone", "error")]),
        (
            [Mapping("X", "A", "exactMatch"), Mapping("X", "B", "exactMatch")],
            [("exactMatch_stands_alone", "error")],
        ),
        (
            [Mapping("X", "A", "exactMatch"), Mapping("Y", "A", "exactMatch")],
            [("exact_targets_differ", "warning")],
        ),
    ],
)
def test_what_contradicts_itself_is_refused(rows: list[Mapping], expected: list[tuple[str, str]]) -> None:
    assert rules_of(*rows) == expected


def test_turning_a_relation_twice_gives_it_back_and_no_match_has_no_other_way() -> None:
    assert {INVERSES[INVERSES[relation]] for relation in INVERSES} == set(RELATIONS) - {"noMatch"}
    assert INVERSES["broadMatch"] == "narrowMatch"
