"""A crosswalk goes out in each format whole, the same bytes each time; the workbook comes back as it was edited."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping as Table
from datetime import date
from typing import Any

import duckdb
import openpyxl
import pytest
from fhir.resources.R4B.conceptmap import ConceptMap
from openpyxl.worksheet.worksheet import Worksheet

from registry.columns import HEADERS
from registry.crosswalks import RELATIONS, Crosswalk, LocalCode, Mapping, read_mappings
from registry.errors import Invalid, NotFound
from registry.formats import opendocument, sssom
from registry.formats.crosswalk_workbook import ROLES, SHEET
from registry.formats.crosswalks import CROSSWALK_FORMATS, of_crosswalk_file
from registry.formats.spreadsheet import rows_of
from registry.importing import read
from registry.model import texts
from registry.sandbox import OPERATOR_LIMITS
from tests.factories import AN_INSTANT, a_code_list, a_nomenclature

CODES = (
    LocalCode("0341", "Aide au logement", "03", "Une note", "1234"),
    LocalCode("A/1 é", "=1+1"),
    LocalCode("B", "B"),
    LocalCode("C", "Trois"),
    LocalCode("D", "Proche"),
    LocalCode("E", "Associée"),
    LocalCode("F", "À examiner"),
)
MAPPINGS = (
    Mapping(
        "0341",
        "TA-1",
        "exactMatch",
        "semapv:ManualMappingCuration",
        confidence="0.9",
        comment="Sûr",
        author="Camille",
        reviewer="Dominique",
        date="2024-01-31",
    ),
    Mapping("A/1 é", "TA-2", "broadMatch"),
    Mapping("B", "", "noMatch"),
    Mapping("C", "TA-1", "narrowMatch", covers=True, weight="0.25"),
    Mapping("C", "TA-2", "narrowMatch", covers=True, weight="0.75", comment="L'autre part"),
    Mapping("D", "TA-2", "closeMatch"),
    Mapping("E", "TA-2", "relatedMatch"),
)
LABELS = {"TA-1": "Logement — accès", "TA-2": "Secours", "TA-3": "Troisième"}


def a_crosswalk(**changes: Any) -> Crosswalk:
    """Edition 2 of a crosswalk that has every relation, and a code that nobody has reviewed."""
    given: dict[str, Any] = {
        "code_list": a_code_list(),
        "nomenclature": a_nomenclature(title=texts([("fr", "Aides"), ("en", "Benefits")])),
        "release": "1.10",
        "codes": CODES,
        "mappings": MAPPINGS,
        "labels": LABELS,
        "edition": 2,
        "list_edition": 1,
        "valid_from": date(2024, 1, 1),
        "issued": AN_INSTANT,
        "author": "Département d'essai",
        "license": "https://licence.example/",
    }
    return Crosswalk(**given | changes)


def written(name: str, crosswalk: Crosswalk | None = None) -> bytes:
    return b"".join(CROSSWALK_FORMATS[name].write(crosswalk or a_crosswalk()))


@pytest.mark.parametrize("name", CROSSWALK_FORMATS)
def test_the_same_crosswalk_gives_the_same_bytes_and_its_file_tells_the_format(name: str) -> None:
    format = CROSSWALK_FORMATS[name]

    assert written(name) == written(name)
    assert written(name, a_crosswalk(codes=(), mappings=(), labels={})) is not None
    assert of_crosswalk_file(f"Table.{format.extension.upper()}") is format


def test_an_unknown_extension_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(NotFound) as caught:
        of_crosswalk_file("table.doc")

    assert ".sssom.tsv" in str(caught.value.hints["accepted"])


@pytest.mark.parametrize("name", ["csv", "sssom", "xlsx"])
def test_what_comes_back_in_is_what_went_out(name: str) -> None:
    found = read(written(name), nomenclature=a_nomenclature(), targets=LABELS)

    assert found.refusals == ()
    assert found.mappings == MAPPINGS
    assert {code.code for code in found.codes} == {code.code for code in CODES if name == "xlsx" or code.code != "F"}
    if name == "xlsx":
        assert found.codes == CODES
    assert (found.nomenclature, found.release) == (
        ("", "") if name == "csv" else ("https://socle.example/aides", "1.10")
    )


def test_the_csv_is_the_canonical_one() -> None:
    assert read_mappings(written("csv")) == list(MAPPINGS)


def opened(data: bytes) -> tuple[openpyxl.Workbook, Worksheet]:
    book = openpyxl.load_workbook(io.BytesIO(data))
    sheet = book[SHEET]
    assert isinstance(sheet, Worksheet)
    return book, sheet


def test_the_workbook_offers_what_can_be_chosen_and_holds_texts_alone() -> None:
    book, sheet = opened(written("xlsx"))

    lists = {
        name: [cell.value for [cell] in book["Listes"][defined.attr_text.partition("!")[2].replace("$", "")]]
        for name, defined in book.defined_names.items()
        if not name.startswith("_")
    }
    offered = {
        next(iter(rule.sqref.ranges)).min_col: (rule.formula1, rule.showErrorMessage)
        for rule in sheet.data_validations.dataValidation
        if rule.type == "list"
    }

    cells = [cell for row in sheet.iter_rows() for cell in row if cell.value is not None]
    assert {cell.data_type for cell in cells} == {"s"}
    assert lists["concepts"] == ["TA-1 — Logement — accès", "TA-2 — Secours", "TA-3 — Troisième"]
    assert lists["relations"] == ["exacte", "proche", "plus large", "plus étroite", "associée", "sans équivalent"]
    assert offered[ROLES.index("target_code") + 1] == ("concepts", False)
    assert offered[ROLES.index("relation") + 1] == ("relations", True)
    assert [cell.value for cell in sheet[1]] == [HEADERS[role] for role in ROLES]
    assert sheet.max_row == 9


def test_the_workbook_edited_changes_only_what_was_edited() -> None:
    book, sheet = opened(written("xlsx"))
    places = {HEADERS[role]: column for column, role in enumerate(ROLES, 1)}
    lines = {str(row[0].value): row[0].row or 0 for row in sheet.iter_rows(min_row=2)}

    sheet.cell(lines["F"], places["relation"]).value = "proche"
    sheet.cell(lines["F"], places["code socle"]).value = "TA-3 — Troisième"
    sheet.cell(lines["B"], places["libellé"]).value = "Bé"
    file = io.BytesIO()
    book.save(file)
    found = read(file.getvalue(), targets=LABELS)

    assert found.refusals == ()
    assert set(found.mappings) == {*MAPPINGS, Mapping("F", "TA-3", "closeMatch")}
    assert set(found.codes) == {code for code in CODES if code.code != "B"} | {LocalCode("B", "Bé")}
    assert dict(found.target_labels)["TA-3"] == "Troisième"


def test_a_cell_that_spreadsheets_would_cut_is_refused() -> None:
    long = LocalCode("A", "A", note="\N{GRINNING FACE}" * 17_000)

    with pytest.raises(Invalid):
        written("xlsx", a_crosswalk(codes=(long,), mappings=()))


def test_the_concept_map_is_valid_and_says_what_each_target_is() -> None:
    document = json.loads(written("fhir"))

    valid = ConceptMap.model_validate(document)
    [group] = document["group"]
    targets = {element["code"]: element["target"] for element in group["element"]}

    assert (valid.url, valid.version, valid.status) == (a_crosswalk().iri, "2", "active")
    assert (group["source"], group["sourceVersion"]) == ("https://socle.example/code-lists/dep-71/solis", "1")
    assert (group["target"], group["targetVersion"]) == ("https://socle.example/aides", "1.10")
    assert {code: [target["equivalence"] for target in found] for code, found in targets.items()} == {
        "0341": ["equivalent"],
        "A/1 é": ["wider"],
        "B": ["unmatched"],
        "C": ["narrower", "narrower"],
        "D": ["inexact"],
        "E": ["relatedto"],
    }
    assert "code" not in targets["B"][0]
    assert all(target["comment"] for code in ("C", "D") for target in targets[code])
    assert "couvrent ensemble" in targets["C"][0]["comment"]
    assert targets["C"][1]["comment"] == "L'autre part"
    assert targets["C"][1]["extension"] == [
        {"url": "https://socle.example/-/fhir/covers", "valueBoolean": True},
        {"url": "https://socle.example/-/fhir/weight", "valueDecimal": 0.75},
    ]
    assert "extension" not in targets["D"][0]


def test_a_concept_map_of_a_draft_or_without_mappings_is_valid() -> None:
    draft = a_crosswalk(edition=0, list_edition=0, issued=None, valid_from=None, author="", license="", mappings=())

    document = json.loads(written("fhir", draft))

    assert ConceptMap.model_validate(document).status == "draft"
    assert "group" not in document


def test_many_elements_go_out_piece_by_piece_and_none_is_lost() -> None:
    codes = tuple(LocalCode(f"{n:05}", f"Code {n}") for n in range(1_203))
    mappings = tuple(Mapping(code.code, "TA-1", "closeMatch") for code in codes)
    crosswalk = a_crosswalk(codes=codes, mappings=mappings)

    pieces = list(CROSSWALK_FORMATS["fhir"].write(crosswalk))
    elements = json.loads(b"".join(pieces))["group"][0]["element"]

    assert len(pieces) > 3
    assert [element["code"] for element in elements] == [code.code for code in codes]
    assert len(sssom.read(written("sssom", crosswalk)).rows) == len(codes)
    assert len(written("jskos", crosswalk).splitlines()) == len(codes)


def test_jskos_has_a_mapping_a_line_with_concepts_schemes_and_type() -> None:
    lines = [json.loads(line) for line in written("jskos").splitlines()]

    by_code: dict[str, list[Table[str, Any]]] = {}
    for line in lines:
        [source] = line["from"]["memberSet"]
        by_code.setdefault(source["notation"][0], []).append(line)
    [exact], [none], [broad] = by_code["0341"], by_code["B"], by_code["A/1 é"]

    assert len(lines) == len(MAPPINGS)
    assert {line["type"][0].rpartition("#")[2] for line in lines} == {*RELATIONS} - {"noMatch"} | {"mappingRelation"}
    assert exact["to"]["memberSet"] == [
        {"uri": "https://socle.example/aides/TA-1", "notation": ["TA-1"], "prefLabel": {"fr": "Logement — accès"}}
    ]
    assert broad["from"]["memberSet"][0]["uri"].endswith("/dep-71/solis/A%2F1%20%C3%A9")
    assert none["to"] == {"memberSet": []}
    assert exact["toScheme"]["prefLabel"] == {"fr": "Aides", "en": "Benefits"}
    assert (exact["created"], exact["mappingRelevance"]) == ("2024-01-31", 0.9)
    assert exact["creator"] == [{"prefLabel": {"fr": "Camille"}}]
    assert exact["note"] == {"fr": ["Sûr"]}
    _, covering = by_code["C"]
    assert covering["note"]["fr"][0] == "L'autre part"
    assert covering["note"]["fr"][1:] == [
        "Avec les autres concepts plus étroits de ce code, le couvre en entier.",
        "Part du code local : 0.75",
    ]


def test_parquet_has_typed_columns_nulls_and_says_what_it_maps(tmp_path: Any) -> None:
    file = tmp_path / "crosswalk.parquet"
    file.write_bytes(written("parquet"))

    with duckdb.connect(":memory:") as database:
        rows = database.execute("SELECT * FROM read_parquet(?)", [str(file)]).fetchall()
        names = [column[0] for column in database.description or ()]
        said = database.execute("SELECT key, value FROM parquet_kv_metadata(?)", [str(file)]).fetchall()

    found = [dict(zip(names, row, strict=True)) for row in rows]
    assert [(row["local_code"], row["relation"], row["target_code"]) for row in found] == [
        (mapping.local_code, mapping.relation, mapping.target_code or None) for mapping in MAPPINGS
    ]
    assert found[0] == {
        "local_code": "0341",
        "local_label": "Aide au logement",
        "relation": "exactMatch",
        "target_code": "TA-1",
        "target_label": "Logement — accès",
        "justification": "semapv:ManualMappingCuration",
        "confidence": 0.9,
        "covers": False,
        "weight": None,
        "comment": "Sûr",
        "author": "Camille",
        "reviewer": "Dominique",
        "date": date(2024, 1, 31),
    }
    assert (found[3]["covers"], found[3]["weight"], found[2]["comment"]) == (True, 0.25, None)
    metadata = {key.decode(): value.decode() for key, value in said}
    assert (metadata["crosswalk"], metadata["edition"], metadata["release"]) == (a_crosswalk().iri, "2", "1.10")


def test_an_open_document_of_ours_comes_back_cell_by_cell() -> None:
    given = [
        ["code", "a  b", ""],
        [" 0341 ", "=1+1", "x\ty"],
        ["", "<é & œ>", "deux\nlignes"],
        ["  ", "fin ", "\N{GRINNING FACE}"],
    ]

    rows = [
        list(row.cells) for row in rows_of(opendocument.write(given, 'Feuille "1" & 2'), limits=OPERATOR_LIMITS).rows
    ]

    assert [row + [""] * (3 - len(row)) for row in rows] == given
    assert opendocument.write(given, "A") == opendocument.write(given, "A")
