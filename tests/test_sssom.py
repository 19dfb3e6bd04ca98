"""SSSOM/TSV: what is written is canonical and comes back as it was; what breaks the standard is refused by its line."""

from __future__ import annotations

from collections.abc import Mapping as Table
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.crosswalks import JUSTIFICATIONS, RELATIONS, Crosswalk, LocalCode, Mapping
from registry.errors import Invalid
from registry.formats import sssom
from registry.formats.sssom import Extension, MappingSet
from registry.formats.sssom_slots import Value
from registry.importing import read, refused_file
from tests.factories import a_code_list, a_nomenclature, examples, texts_without_faults

TEXT = texts_without_faults()
PREFIXES = {"local": "https://dep-71.example/solis/", "concept": "https://socle.example/aides/", "yes": "urn:x:"}

HEAD = """#curie_map:
#  concept: https://socle.example/aides/
#  local: https://socle.example/code-lists/dep-71/solis/
#mapping_set_id: https://socle.example/crosswalks/dep-71/solis/aides@1
#license: https://www.etalab.gouv.fr/licence-ouverte-open-licence
"""
TABLE = "subject_id\tpredicate_id\tobject_id\tmapping_justification\tconfidence\n"


def a_file(*rows: str, head: str = HEAD, table: str = TABLE) -> bytes:
    return (head + table + "".join(row + "\n" for row in rows)).encode()


def again(data: bytes) -> bytes:
    return b"".join(sssom.write(sssom.read(data)))


@st.composite
def crosswalks(draw: st.DrawFn) -> Crosswalk:
    codes = draw(st.lists(st.builds(LocalCode, TEXT, TEXT), unique_by=lambda item: item.code, min_size=1, max_size=4))
    mappings = []
    for code in codes:
        relation = draw(st.sampled_from(RELATIONS))
        given = {name: draw(st.just("") | TEXT) for name in ("comment", "author", "reviewer")}
        mappings.append(
            Mapping(
                code.code,
                "" if relation == "noMatch" else draw(st.sampled_from(("A", "B.1-x"))),
                relation,
                draw(st.sampled_from(JUSTIFICATIONS)),
                confidence=draw(st.sampled_from(("", "0", "0.5", "1"))),
                covers=draw(st.booleans()),
                weight=draw(st.sampled_from(("", "0.333"))),
                date=draw(st.sampled_from(("", "2024-02-29"))),
                **given,
            )
        )
    return Crosswalk(
        a_code_list(title=draw(TEXT)),
        a_nomenclature(),
        "1.10",
        tuple(sorted(codes)),
        tuple(sorted(mappings)),
        {"A": draw(TEXT)},
        edition=draw(st.sampled_from((0, 3))),
        author=draw(st.just("") | TEXT),
    )


@pytest.mark.fuzz
@given(crosswalks())
@settings(max_examples=examples(40), deadline=None)
def test_a_crosswalk_comes_back_as_it_was_and_is_written_alike(crosswalk: Crosswalk) -> None:
    data = b"".join(sssom.write_crosswalk(crosswalk))

    found = read(data, nomenclature=crosswalk.nomenclature)

    assert again(data) == data
    assert found.refusals == ()
    assert found.codes == crosswalk.codes
    # Several authors of a row are told apart by a bar: a bar inside a name stays one.
    assert found.mappings == crosswalk.mappings
    assert (found.nomenclature, found.release) == (crosswalk.nomenclature.iri, "1.10")


_VALUES: dict[str, st.SearchStrategy[Value]] = {
    "subject_label": TEXT,
    "author_label": st.lists(TEXT, min_size=1, max_size=3).map(tuple),
    "author_id": st.just(("yes:1", "local:a%20b")),
    "confidence": st.sampled_from(("0", "0.123", "1")),
    "mapping_date": st.sampled_from(("2024-01-01", "2025-12-31")),
    "mapping_tool": TEXT,
    "object_source_version": st.sampled_from(("1.0", "no", "12", "~", "x: y")),
    "curation_rule_text": st.lists(TEXT, min_size=1, max_size=2).map(tuple),
    "see_also": st.just(("https://a.example/?x=1|2", "https://b.example/")),
    "own": TEXT,
}


@st.composite
def mapping_sets(draw: st.DrawFn) -> MappingSet:
    def some(names: tuple[str, ...]) -> dict[str, Value]:
        return {name: draw(_VALUES[name]) for name in names if draw(st.booleans())}

    rows: list[Table[str, Value]] = [
        {
            "subject_id": f"local:{number}",
            "predicate_id": "skos:closeMatch",
            "object_id": draw(st.sampled_from(("concept:A", sssom.NO_TERM_FOUND))),
            "mapping_justification": "semapv:MappingReview",
            **some(tuple(_VALUES)),
        }
        for number in range(draw(st.integers(0, 3)))
    ]
    slots: dict[str, Value] = {"mapping_set_id": "urn:set", "license": "urn:license"}
    slots |= {"comment": draw(TEXT), **some(("mapping_tool", "mapping_date", "see_also", "own"))}
    return MappingSet(PREFIXES, slots, rows, [Extension("own", "yes:own", "xsd:string"), Extension("none", "yes:no")])


@pytest.mark.fuzz
@given(mapping_sets())
@settings(max_examples=examples(60), deadline=None)
def test_reading_and_writing_again_gives_the_same_bytes(mapping_set: MappingSet) -> None:
    data = b"".join(sssom.write(mapping_set))

    assert again(data) == data


def test_what_is_written_is_canonical_to_the_letter() -> None:
    crosswalk = Crosswalk(
        a_code_list(),
        a_nomenclature(),
        "1.0",
        (LocalCode("B 2/é", 'Le "bon"'), LocalCode("A1", "Aide"), LocalCode("C", "À examiner", frequency="12")),
        (
            Mapping("B 2/é", "A", "narrowMatch", covers=True, weight="0.25", confidence="0.7500"),
            Mapping("A1", "", "noMatch", author="Camille", comment="Rien: vraiment."),
        ),
        {"A": "Aide A"},
        edition=2,
        list_edition=1,
        author="Département",
        license="https://licence.example/",
    )

    data = b"".join(sssom.write_crosswalk(crosswalk)).decode()

    assert data == (
        "#curie_map:\n"
        "#  concept: https://socle.example/aides/\n"
        "#  local: https://socle.example/code-lists/dep-71/solis/\n"
        "#  socle: https://socle.example/\n"
        '#sssom_version: "1.1"\n'
        "#mapping_set_id: https://socle.example/crosswalks/dep-71/solis/aides@2\n"
        '#mapping_set_version: "2"\n'
        "#mapping_set_title: Codes du logiciel → Aides 1.0\n"
        "#creator_label:\n"
        "#  - Département\n"
        "#license: https://licence.example/\n"
        "#subject_source: socle:code-lists/dep-71/solis\n"
        '#subject_source_version: "1"\n'
        "#object_source: socle:aides\n"
        '#object_source_version: "1.0"\n'
        "#extension_definitions:\n"
        "#  - slot_name: covers\n"
        "#    property: socle:-/sssom/covers\n"
        "#    type_hint: xsd:boolean\n"
        "#  - slot_name: status\n"
        "#    property: socle:-/sssom/status\n"
        "#    type_hint: xsd:string\n"
        "#  - slot_name: weight\n"
        "#    property: socle:-/sssom/weight\n"
        "#    type_hint: xsd:decimal\n"
        "subject_id\tsubject_label\tpredicate_id\tobject_id\tobject_label\tmapping_justification\tauthor_label"
        "\tmapping_cardinality\tconfidence\tcomment\tcovers\tstatus\tweight\n"
        "local:A1\tAide\tskos:mappingRelation\tsssom:NoTermFound\t\tsemapv:UnspecifiedMatching\tCamille\t1:0\t\t"
        "Rien: vraiment.\t\tnoMatch\t\n"
        'local:B%202%2F%C3%A9\t"Le ""bon"""\tskos:narrowMatch\tconcept:A\tAide A\tsemapv:UnspecifiedMatching\t\t\t'
        "0.75\t\ttrue\tmapped\t0.25\n"
    )


def test_a_slot_that_all_rows_share_is_given_to_each_and_taken_back() -> None:
    head = HEAD + "#mapping_tool: Cocoda\n#mapping_date: 2024-01-01\n"
    table = TABLE.replace("confidence", "mapping_tool")
    data = a_file(
        "local:1\tskos:closeMatch\tconcept:A\tsemapv:MappingReview\t",
        "local:2\tskos:closeMatch\tconcept:A\tsemapv:MappingReview\tà la main",
        head=head,
        table=table,
    )

    found = sssom.read(data)

    assert [row.get("mapping_date") for row in found.rows] == ["2024-01-01", "2024-01-01"]
    assert [row.get("mapping_tool") for row in found.rows] == [None, "à la main"]
    assert found.slots["mapping_tool"] == "Cocoda"
    assert "mapping_date" not in found.slots
    assert sssom.read(again(data)) == found


def test_what_other_tools_write_is_read_too() -> None:
    head = (
        '# curie_map:\n#   concept: "https://socle.example/aides/"\n#   local: https://l.example/\n#   skos: '
        "http://www.w3.org/2004/02/skos/core#\n# mapping_set_id: https://x.example/set\n# creator_id: 'local:me'\n"
        "# license: https://creativecommons.org/licenses/by/4.0/\n# mapping_set_description: a long text\n"
        "#   that goes on\n# unknown_key: 1\n"
    )
    data = (
        a_file(
            "local:1\tskos:exactMatch\tconcept:A\tsemapv:LexicalMatching\t0.95",
            "local:2\tskos:exactMatch\tsssom:NoTermFound\tsemapv:ManualMappingCuration\t",
            "local:3\tskos:exactMatch\tsssom:NoTermFound\tsemapv:ManualMappingCuration\t",
            "local:3\tskos:broadMatch\tconcept:A\tsemapv:ManualMappingCuration\t",
            head=head,
            table=TABLE.replace("confidence", "confidence\tmystery").replace("\n", "\r\n"),
        )
        .replace(b"0.95\n", b"0.95\tx\n")
        .replace(b"Curation\t\n", b"Curation\t\t\n")
    )

    mapping_set = sssom.read(data)
    found = read(data)

    assert mapping_set.slots["creator_id"] == ("local:me",)
    assert mapping_set.slots["mapping_set_description"] == "a long text that goes on"
    assert [(one.local_code, one.relation) for one in found.mappings] == [
        ("1", "exactMatch"),
        ("2", "noMatch"),
        ("3", "broadMatch"),
    ]
    assert found.unused == ("mystery",)
    assert "1 ligne qui ne nie qu'une correspondance exacte, passée" in found.remarks


ROW = "local:1\tskos:closeMatch\tconcept:A\tsemapv:MappingReview\t"
BAD_ROWS = {
    "local:1\tskos:closeMatch\thttps://socle.example/aides/A\tsemapv:MappingReview\t": "object_id",
    "other:1\tskos:closeMatch\tconcept:A\tsemapv:MappingReview\t": "subject_id",
    "local:1\tskos:closeMatch\tconcept:A\tMappingReview\t": "mapping_justification",
    "local:1\t\tconcept:A\tsemapv:MappingReview\t": "predicate_id",
    "local:1\tskos:closeMatch\tconcept:A\tsemapv:MappingReview\t1.5": "confidence",
    "local:1\tskos:closeMatch\tconcept:A\tsemapv:MappingReview": "subject_id",
}
REFUSED_BY_US = {
    "local:2\towl:sameAs\tconcept:A\tsemapv:MappingReview\t": "predicate_id",
    "local:2\tskos:broadMatch\tsssom:NoTermFound\tsemapv:MappingReview\t": "predicate_id",
    "local:2\tskos:closeMatch\tconcept:A\tsemapv:LogicalReasoning\t": "mapping_justification",
    "concept:2\tskos:closeMatch\tconcept:A\tsemapv:MappingReview\t": "subject_id",
}


@pytest.mark.parametrize("row", BAD_ROWS)
def test_a_row_that_breaks_the_standard_is_refused_with_its_line(row: str) -> None:
    with pytest.raises(Invalid) as caught:
        sssom.read(a_file(ROW, row))

    [problem] = caught.value.problems
    assert problem.where == f"ligne 8, colonne {BAD_ROWS[row]}"
    assert problem.accepted


@pytest.mark.parametrize("row", BAD_ROWS | REFUSED_BY_US)
def test_refused_rows_come_back_as_sssom_to_mend_and_send_again(row: str) -> None:
    data = a_file(ROW, ROW.replace(":1", ":3"), row)

    found = read(data)
    back, _, extension = refused_file(data, found)
    once_more = read(back)

    assert (found.read, found.accepted, extension) == (3, 2, "sssom.tsv")
    assert [(refusal.line, refusal.column) for refusal in found.refusals] == [(9, (BAD_ROWS | REFUSED_BY_US)[row])]
    assert back.startswith(HEAD.encode())
    if row.startswith("local:") and row.count("\t") == 4:
        assert once_more.refused == 1
        assert once_more.unused == ()


BAD_HEADS: dict[str, Any] = {
    "\ufeff" + HEAD: "BOM",
    HEAD.replace("#license", "#licence"): "license absent",
    HEAD + "#license: again\n": "nom répété",
    HEAD + "#a: &x 1\n#b: *x\n": "ancre",
    HEAD + "#a: !!python/object:os.system x\n": "étiquette",
    HEAD + "#  : : :\n": "YAML",
    HEAD + "#subject_type: banana\n": "valeur inconnue",
    HEAD + "#mapping_date: hier\n": "date mal écrite",
    HEAD + "#object_source: nowhere:x\n": "préfixe nowhere non déclaré",
    HEAD.replace("#  local:", "#  skos: urn:x\n#  local:"): "sens fixé",
    HEAD.replace("#  local:", "#  1x: urn:x\n#  local:"): "préfixe mal déclaré",
    "#a list\n" + HEAD.replace("#curie", "#curie"): "YAML",
    HEAD + "#" + "x" * 70_000 + ": 1\n": "trop de métadonnées",
}


@pytest.mark.parametrize("head", BAD_HEADS, ids=lambda head: str(BAD_HEADS[head]))
def test_metadata_that_break_the_standard_are_refused(head: str) -> None:
    with pytest.raises(Invalid) as caught:
        sssom.parse(a_file(ROW, head=head))

    assert any(BAD_HEADS[head] in problem.message for problem in caught.value.problems)


@pytest.mark.parametrize(
    "table",
    ["subject_id\tpredicate_id\n", TABLE.replace("confidence", "subject_id"), ""],
    ids=["missing", "repeated", "none"],
)
def test_a_header_that_breaks_the_standard_is_refused(table: str) -> None:
    with pytest.raises(Invalid):
        sssom.parse((HEAD + table).encode())


def test_bytes_that_are_no_text_are_refused() -> None:
    for data in (HEAD.encode() + b"\xe9", a_file("local:\x00")):
        with pytest.raises(Invalid):
            sssom.read(data)
