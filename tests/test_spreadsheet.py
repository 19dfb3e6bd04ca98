"""Spreadsheets: what goes out, is edited and comes back changes only what was edited; hostile workbooks harm nobody."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import string
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from click.testing import CliRunner
from openpyxl.worksheet.worksheet import Worksheet

from cli.main import main
from registry import keys
from registry.errors import Invalid, Problem, SocleError, TooLarge
from registry.formats import of_file, spreadsheet
from registry.formats.spreadsheet import Fault, rows_of
from registry.model import Concept, Content, Group, Release, french, texts
from registry.sandbox import OPERATOR_LIMITS, REQUEST_LIMITS, Limits
from registry.signing import canonical_lines
from registry.store import Store
from tests.factories import a_concept, a_deprecated_concept, a_link, a_nomenclature, a_release
from tests.test_signing import GOLDEN_RELEASE
from tests.workbooks import ODF, STRICT, ods, ods_row, row_xml, xls, xlsx, xlsx_parts, zipped

HEAD = ("code", "libelle")
OURS = "xl/worksheets/sheet1.xml"
BLANK = '<table:table-cell table:number-columns-repeated="16384"/>'


def written(release: Release) -> bytes:
    return b"".join(spreadsheet.write(release))


def content(data: bytes, limits: Limits = REQUEST_LIMITS) -> Content:
    return spreadsheet.read(data, a_nomenclature(), limits)


def rows(data: bytes, *wanted: str, limits: Limits = REQUEST_LIMITS) -> list[tuple[Any, ...]]:
    """The rows of a workbook: sheet, line, and its cells."""
    return [tuple(row) for row in rows_of(data, wanted, limits=limits).rows]


def refusal(data: bytes, limits: Limits = REQUEST_LIMITS) -> Problem:
    """The one problem that a workbook is refused with, which says what would be accepted and nothing of our machine."""
    with pytest.raises(Invalid) as caught:
        content(data, limits)
    [problem] = caught.value.problems
    assert problem.accepted
    says_nothing_of_this_machine(caught.value)
    return problem


def says_nothing_of_this_machine(error: SocleError) -> None:
    told = str(error) + "".join(map(str, getattr(error, "problems", ())))
    assert not any(ours in told for ours in ("site-packages", ".py", "/tmp", str(Path.cwd()), sys.prefix))


def opened(data: bytes) -> openpyxl.Workbook:
    return openpyxl.load_workbook(io.BytesIO(data))


def saved(book: openpyxl.Workbook) -> bytes:
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def concepts_of(book: openpyxl.Workbook) -> Worksheet:
    sheet = book["Concepts"]
    assert isinstance(sheet, Worksheet)
    return sheet


def state(release: Release, found: Content) -> bytes:
    """The canonical form of a release with what a workbook tells of it; groups keep the labels that they had."""
    labels = {group.code: group.pref_label for group in release.groups}
    groups = found.groups if found.groups is not None else release.groups
    again = release.with_heading(
        concepts=found.concepts,
        links=found.links if found.links is not None else release.links,
        groups=tuple(Group(group.code, labels[group.code], group.members) for group in groups),
    )
    return b"".join(canonical_lines(again))


# Out.


def test_every_cell_is_a_text_and_none_a_formula_or_a_link() -> None:
    labels = ["=1+1", "+33 1", "-x", "@SUM(A1)", "https://example.org/", "{=1}", "<r>gras</r>", "_x0041_x0042_", "007"]
    release = a_release(*[a_concept(f"0{n}", pref_label=french(label)) for n, label in enumerate(labels)])

    data = written(release)

    cells = [cell for row in concepts_of(opened(data)).iter_rows(min_row=2) for cell in row if cell.value is not None]
    assert {cell.data_type for cell in cells} == {"s"}
    assert {cell.number_format for cell in cells} == {"@"}
    assert not any(cell.hyperlink for cell in cells)
    assert b"<f>" not in zipfile.ZipFile(io.BytesIO(data)).read(OURS)
    assert [concept.label for concept in content(data).concepts.values()] == labels


def test_columns_that_take_a_known_value_offer_it() -> None:
    release = a_release(
        a_concept("A"),
        a_concept("B", broader=("A",)),
        a_deprecated_concept("C"),
        groups=(Group("G", french("Groupe"), ("A", "B")),),
    )

    book = opened(written(release))

    sheet = concepts_of(book)
    names = dict(zip(string.ascii_uppercase, [cell.value for cell in sheet[1]], strict=False))
    offered = {
        names[str(found.sqref).partition(":")[0].rstrip("0123456789")]: (found.formula1, bool(found.showErrorMessage))
        for found in sheet.data_validations.dataValidation
        if found.type == "list"
    }
    lists = {
        name: [cell.value for [cell] in book["Listes"][defined.attr_text.split("!")[1]]]
        for name, defined in book.defined_names.items()
        if not name.startswith("_")
    }
    assert offered == {
        "statut": ("statuts", True),
        "code_parent": ("codes", False),
        "codes_associes": ("codes", False),
        "groupes": ("groupes", False),
    }
    assert lists == {"statuts": ["actif", "déprécié"], "codes": ["A", "B", "C"], "groupes": ["G"]}
    assert sheet.freeze_panes == "C2"
    assert sheet.column_dimensions["A"].width < sheet.column_dimensions["E"].width


def test_a_workbook_says_what_it_was_made_from() -> None:
    release = a_release(version="1.2")

    data = written(release)

    assert rows_of(data).properties == {
        "registry": "https://socle.example/",
        "nomenclature": "https://socle.example/aides",
        "version": "1.2",
        "content_sha256": hashlib.sha256(b"".join(canonical_lines(release))).hexdigest(),
    }
    assert content(data).made_from == "1.2"
    assert spreadsheet.read(data, a_nomenclature(iri="https://autre.example/aides")).made_from == ""


def test_the_same_release_gives_the_same_bytes_in_another_process_and_time_zone() -> None:
    program = (
        "import hashlib; from registry.formats import spreadsheet; from tests.test_signing import GOLDEN_RELEASE;"
        "print(hashlib.sha256(b''.join(spreadsheet.write(GOLDEN_RELEASE))).hexdigest())"
    )
    there = {**os.environ, "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "1", "LC_ALL": "C"}

    elsewhere = subprocess.run(
        [sys.executable, "-c", program], env=there, cwd=Path(__file__).parent.parent, capture_output=True, check=True
    )

    data = written(GOLDEN_RELEASE)
    parts = zipfile.ZipFile(io.BytesIO(data)).infolist()
    assert elsewhere.stdout.decode().strip() == hashlib.sha256(data).hexdigest()
    assert parts[0].filename == "[Content_Types].xml"
    assert {(part.compress_type, part.date_time) for part in parts} == {(zipfile.ZIP_STORED, (1980, 1, 1, 0, 0, 0))}


@pytest.mark.parametrize("character", ["x", "\U0001f600"])
def test_a_text_that_a_cell_would_cut_is_refused(character: str) -> None:
    units = len(character.encode("utf-16-le")) // 2
    fits = a_release(a_concept(definition=french(character * (32_767 // units))))
    too_long = a_release(a_concept(definition=french(character * (32_767 // units + 1))))

    again = content(written(fits))
    with pytest.raises(Invalid) as caught:
        written(too_long)

    assert again.concepts == fits.concepts
    [problem] = caught.value.problems
    assert (problem.codes, "32767" in problem.accepted) == (("A",), True)


# Round trips.


def test_every_shipped_release_comes_back_as_it_was(shipped_store: Store) -> None:
    releases = [
        shipped_store.release(nomenclature.slug, edition.version)
        for nomenclature in shipped_store.nomenclatures()
        for edition in shipped_store.editions(nomenclature.slug)
    ]

    for release in releases:
        found = spreadsheet.read(written(release), release.nomenclature)

        assert state(release, found) == b"".join(canonical_lines(release))
        assert found.made_from == release.version


def test_a_workbook_saved_by_another_program_reads_the_same() -> None:
    data = written(GOLDEN_RELEASE)

    again = saved(opened(data))

    assert content(again) == content(data)
    assert state(GOLDEN_RELEASE, content(again)) == b"".join(canonical_lines(GOLDEN_RELEASE))


def test_an_edited_cell_changes_nothing_else() -> None:
    release = a_release(a_concept("007"), a_concept("008", broader=("007",)), links=frozenset([a_link("007", "008")]))
    book = opened(written(release))
    sheet = concepts_of(book)
    sheet["B3"] = "Portage de repas"

    found = content(saved(book))

    changed = replace(release.concepts["008"], pref_label=french("Portage de repas"))
    assert found.concepts == {"007": release.concepts["007"], "008": changed}
    assert found.links == release.links


def test_rows_that_were_moved_and_columns_that_were_taken_out_change_nothing() -> None:
    release = a_release(a_concept("A"), a_concept("B"), a_concept("C"))
    book = opened(written(release))
    sheet = concepts_of(book)
    moved = [cell.value for cell in sheet[2]]
    sheet.delete_rows(2)
    sheet.append(moved)
    sheet.insert_rows(1, 2)
    sheet["A1"] = "Aides, à relire avant vendredi"
    sheet.delete_cols([cell.value for cell in sheet[3]].index("exemple") + 1)
    book.create_sheet("Notes", 0)["A1"] = "Merci de relire."

    found = content(saved(book))

    assert found.concepts == release.concepts


def test_the_command_line_exports_a_workbook_and_drafts_from_one(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOCLE_DATABASE_URL", sqlite_url)
    monkeypatch.setenv("SOCLE_DATA_DIR", str(tmp_path))
    keys.generate(tmp_path / "keys", "https://socle.example/")
    heading = {"title": {"fr": "Aides"}, "description": {"fr": "Aides."}, "publisher": "https://socle.example/c"}
    heading["license"] = "https://www.etalab.gouv.fr/licence-ouverte-open-licence"

    def socle(*arguments: object, given: str | None = None) -> str:
        done = CliRunner().invoke(main, [str(argument) for argument in arguments], input=given)
        assert done.exit_code == 0, done.output
        return done.stdout

    socle("nomenclatures", "create", "aides", "-", given=json.dumps(heading))
    Path("aides.ods").write_bytes(
        ods("code\tlibelle\tdefinition", "007\tRepas\tRepas livrés.", "008\tBain\tAide au bain.")
    )
    first = json.loads(socle("draft", "new", "aides", "aides.ods", "--basis", "Délibération 1.", "--json"))["draft"]
    socle("publish", first, "--version", "1.0", "--valid-from", "2024-01-01")

    socle("export", "aides", "--format", "xlsx", "--output", "aides.xlsx")
    book = opened(Path("aides.xlsx").read_bytes())
    concepts_of(book)["D3"] = "Toilette"
    book.save("aides.xlsx")
    second = json.loads(socle("draft", "new", "aides", "aides.xlsx", "--basis", "Délibération 2.", "--json"))["draft"]

    changed = socle("draft", "diff", second)
    assert "008" in changed
    assert "007" not in changed


@pytest.mark.parametrize("name", ["Liste.XLSX", "liste.ods", "liste.xls"])
def test_a_workbook_is_known_by_its_extension(name: str) -> None:
    assert of_file(name).name == "xlsx"


# In: cells.


def test_cells_of_xlsx_give_the_text_that_an_agent_sees() -> None:
    cells = {
        "shared": ('<c t="s"><v>0</v></c>', "partagé"),
        "rich, with its pronunciation": ('<c t="s"><v>1</v></c>', "riche"),
        "inline": ('<c t="inlineStr"><is><t>_x005F_x0041__x000A_a</t></is></c>', "_x0041_\na"),
        "text of a formula": ('<c t="str"><f>A1</f><v>007</v></c>', "007"),
        "a whole number": ("<c><v>341.0</v></c>", "341"),
        "an exponent": ("<c><v>3.41E2</v></c>", "341"),
        "a sum": ("<c><v>0.30000000000000004</v></c>", "0.3"),
        "zeros": ('<c s="1"><v>341</v></c>', "00341"),
        "a prefix and zeros": ('<c s="2"><v>7</v></c>', "TA-007"),
        "a day": ('<c s="3"><v>45292</v></c>', "2024-01-01"),
        "a day and hour": ('<c s="3"><v>45292.5</v></c>', "2024-01-01T12:00:00"),
        "true": ('<c t="b"><v>1</v></c>', "VRAI"),
        "false": ('<c t="b"><v>0</v></c>', "FAUX"),
        "a day as text": ('<c t="d"><v>2024-01-31</v></c>', "2024-01-31"),
        "fifteen digits": ("<c><v>123456789012345</v></c>", "123456789012345"),
    }
    strings = ["<t>partagé</t>", "<r><t>ri</t></r><r><t>che</t></r><rPh sb='0' eb='1'><t>リ</t></rPh>"]
    parts = xlsx_parts(
        row_xml(4, [cell for cell, _ in cells.values()]),
        strings=strings,
        styles=["00000", '"TA-"000', "[$-40C]d mmmm yyyy"],
    )

    [(sheet, line, found)] = rows(zipped(parts))

    assert (sheet, line) == ("Concepts", 4)
    assert dict(zip(cells, found, strict=True)) == {name: text for name, (_, text) in cells.items()}


FAULTY = {
    "an error": ('<c t="e"><v>#REF!</v></c>', "en erreur", "#REF!"),
    "a formula that was never computed": ("<c><f>A1</f></c>", "jamais été calculée", ""),
    "twenty digits": ("<c><v>12345678901234567890</v></c>", "15 chiffres", "12345678901234567890"),
    "no number": ("<c><v>zéro</v></c>", "illisible", "zéro"),
}


@pytest.mark.parametrize("name", FAULTY)
def test_a_cell_that_can_not_be_read_is_refused_where_it_stands(name: str) -> None:
    cell, words, value = FAULTY[name]

    problem = refusal(xlsx(("code", "libelle"), ("A", "Aide"), (cell, "Bain")))

    assert problem.where == "feuille Concepts, ligne 3, colonne code"
    assert words in problem.message
    assert problem.value == value


def test_what_is_wrong_in_a_readable_cell_is_told_with_its_sheet_line_and_column() -> None:
    data = xlsx(("Liste des aides",), (), ("code", "libelle", "statut"), ("A", "Aide", "fermé"), ("A", "Bain", ""))

    with pytest.raises(Invalid) as caught:
        content(data)

    assert [(problem.where, problem.value) for problem in caught.value.problems] == [
        ("feuille Concepts, ligne 4, colonne statut", "fermé"),
        ("feuille Concepts, ligne 5, colonne code", "A"),
    ]
    assert "feuille Concepts, ligne 4" in caught.value.problems[1].message


def test_the_first_visible_sheet_with_the_header_counts() -> None:
    table = "<sheetData>" + row_xml(1, HEAD) + row_xml(2, ("{}", "Aide")) + "</sheetData>"
    others = {"Cachée": table.replace("{}", "X"), "Mode d'emploi": "<sheetData/>", "Première": table.replace("{}", "A")}
    parts = xlsx_parts(row_xml(1, HEAD) + row_xml(2, ("B", "Bain")), others=others, hidden=["Cachée"])

    found = content(zipped(parts))

    assert set(found.concepts) == {"A"}


def test_a_header_is_looked_for_in_the_first_ten_lines_alone() -> None:
    titles = [("Titre",)] * 9

    found = content(xlsx(*titles, HEAD, ("A", "Aide")))
    problem = refusal(xlsx(*titles, ("Titre",), HEAD, ("A", "Aide")))

    assert set(found.concepts) == {"A"}
    assert (problem.where, "code, libelle" in problem.accepted) == ("feuilles Concepts", True)


def test_a_cell_beside_the_table_is_not_dropped_in_silence() -> None:
    problem = refusal(xlsx(HEAD, ("A", "Aide", "", "à revoir")))

    assert problem.where == "feuille Concepts, ligne 2, colonne D"
    assert problem.value == "à revoir"


def test_cells_merged_downwards_count_on_each_line() -> None:
    merged = '<mergeCells><mergeCell ref="C2:C3"/><mergeCell ref="A4:B4"/></mergeCells>'
    data = xlsx(("code", "libelle", "code_parent"), ("A", "Aide", "Z"), ("B", "Bain"), ("C", "Cure"), after=merged)

    found = content(data)

    assert {code: concept.broader for code, concept in found.concepts.items()} == {"A": ("Z",), "B": ("Z",), "C": ()}


def test_a_strict_workbook_of_the_calendar_of_1904_reads_alike() -> None:
    parts = xlsx_parts(
        row_xml(1, ('<c s="1"><v>43830</v></c>',)),
        styles=["dd/mm/yyyy"],
        namespace=STRICT,
        book='<workbookPr date1904="1"/>',
    )

    [(_, _, cells)] = rows(zipped(parts))

    assert cells == ("2024-01-01",)


def test_an_opendocument_sheet_gives_the_text_that_an_agent_sees() -> None:
    def typed(kind: str, value: str, shown: str, more: str = "") -> str:
        name = {"date": "date-value", "boolean": "boolean-value"}.get(kind, "value")
        return (
            f'<table:table-cell office:value-type="{kind}" office:{name}="{value}"{more}>'
            f"<text:p>{shown}</text:p></table:table-cell>"
        )

    note = "<office:annotation><text:p>à revoir</text:p></office:annotation></table:table-cell>"
    cells = {
        "zeros": (typed("float", "341", "00341"), "00341"),
        "a whole number": (typed("float", "341", "341,00"), "341"),
        "a day": (typed("date", "2024-01-31", "31/01/24"), "2024-01-31"),
        "true": (typed("boolean", "true", "VRAI"), "VRAI"),
        "a formula": (typed("float", "3", "3", ' table:formula="of:=1+2"'), "3"),
        "blanks and lines": (
            "<table:table-cell><text:p>a<text:s text:c='2'/>b</text:p><text:p>c</text:p>" + note,
            "a  b\nc",
        ),
        "twice": ('<table:table-cell table:number-columns-repeated="2"><text:p>x</text:p></table:table-cell>', "x"),
        "its double": ("", "x"),
        "in error": (
            "<table:table-cell calcext:value-type='error'><text:p>#DIV/0!</text:p></table:table-cell>",
            Fault("la cellule est en erreur", "#DIV/0!", "une valeur, ou une formule qui se calcule"),
        ),
    }
    given = ods_row(*(cell for cell, _ in cells.values() if cell))

    [(sheet, line, found)] = rows(ods(given))

    assert (sheet, line) == ("Concepts", 1)
    assert dict(zip(cells, found, strict=True)) == {name: text for name, (_, text) in cells.items()}


def test_an_opendocument_workbook_as_an_office_suite_saves_it_is_a_state() -> None:
    rest = f'<table:table-row table:number-rows-repeated="1048570">{BLANK}</table:table-row>'
    properties = (
        f'<office:document-meta{ODF} xmlns:meta="urn:oasis:names:tc:opendocument:xmlns:meta:1.0"><office:meta>'
        '<meta:user-defined meta:name="nomenclature">https://socle.example/aides</meta:user-defined>'
        '<meta:user-defined meta:name="version">1.0</meta:user-defined></office:meta></office:document-meta>'
    )

    found = content(ods("code\tlibelle\tlibelle@en", "007\tRepas\tMeals", rest, meta_xml=properties))

    assert found.concepts == {"007": Concept("007", texts([("fr", "Repas"), ("en", "Meals")]))}
    assert found.made_from == "1.0"


def test_an_excel_97_sheet_gives_the_text_that_an_agent_sees() -> None:
    data = xls(
        ("code", "libelle"), ("007", "Repas"), (341.0, True), ((5, 341.0), 0.5), (None, "Bain"), errors={(5, 1): 0x17}
    )

    found = rows(data)

    assert [cells for _, _, cells in found[:4]] == [HEAD, ("007", "Repas"), ("341", "VRAI"), ("00341", "0.5")]
    sheet, line, (cell, _) = found[4]
    assert (sheet, line, cell.value) == ("Concepts", 5, "#REF!")


def test_an_excel_97_workbook_is_a_state_whatever_it_is_called() -> None:
    found = content(xls(HEAD, ("007", "Repas"), (8.0, "Bain")))

    assert {code: concept.label for code, concept in found.concepts.items()} == {"007": "Repas", "8": "Bain"}


def test_the_rows_of_any_workbook_can_be_asked_for() -> None:
    local = xlsx(("Code local", "Libellé"), ("0341", "Aide"), (), ("342", "Bain"))

    found = rows(local, "Code local")

    assert found == [
        ("Concepts", 1, ("Code local", "Libellé")),
        ("Concepts", 2, ("0341", "Aide")),
        ("Concepts", 4, ("342", "Bain")),
    ]


# In: what a hostile hand makes.


def sheet(body: str, **others: str | bytes) -> bytes:
    return zipped({**xlsx_parts(body), **others})


def padded(xml: str) -> bytes:
    """A sheet whose part does not expand a hundred times, whatever is in it: noise stands beside it."""
    noise = random.Random(0).randbytes(len(xml) // 100).hex()
    return sheet(f"{xml}<!-- {noise} -->")


def edited(data: bytes, old: bytes, new: bytes) -> bytes:
    assert old in data
    return data.replace(old, new)


LAUGHS = '<!DOCTYPE r [<!ENTITY e0 "lol">' + "".join(f'<!ENTITY e{n + 1} "{f"&e{n};" * 10}">' for n in range(8)) + "]>"
FAR = '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
HEADED = row_xml(1, HEAD) + row_xml(2, ("A", "Aide"))
FULL = '<table:table-cell table:number-columns-repeated="{}"><text:p>x</text:p></table:table-cell>'

UNREADABLE: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "pas un classeur"),
    "a text": (lambda: b"code;libelle\nA;Aide\n", "pas un classeur"),
    "a page named .xls": (lambda: b"\n<HTML><table><tr><td>code</td></tr></table></html>", "page web"),
    "an archive of something else": (lambda: zipped({"a.txt": "x"}), "pas un classeur"),
    "an archive that was cut": (lambda: sheet(HEADED)[:-40], "abîmé"),
    "a part that was cut": (lambda: edited(sheet(HEADED), b"PK\x01\x02", b"PK\x01\x03"), "abîmé"),
    "an outside entity": (
        lambda: sheet("", **{OURS: '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/hosts">]><r>&x;</r>'}),
        "DOCTYPE",
    ),
    "billion laughs": (lambda: sheet("", **{OURS: f"{LAUGHS}<r>&e8;</r>"}), "DOCTYPE"),
    "billion laughs in UTF-16": (lambda: sheet("", **{OURS: f"{LAUGHS}<r>&e8;</r>".encode("utf-16")}), "DOCTYPE"),
    "entities among the styles": (lambda: sheet("", **{"xl/styles.xml": f"{LAUGHS}<r>&e8;</r>"}), "DOCTYPE"),
    "entities in OpenDocument": (
        lambda: zipped({"mimetype": "x", "content.xml": f"{LAUGHS}<r>&e8;</r>"}),
        "DOCTYPE",
    ),
    "XML that is not closed": (lambda: sheet("<row>"), "bien formé"),
    "a NUL in a text": (lambda: sheet(HEADED.replace("Aide", "Ai\x00de")), "bien formé"),
    "an escaped NUL": (lambda: sheet(HEADED.replace("Aide", "Ai_x0000_de")), "caractère nul"),
    "macros": (lambda: sheet(HEADED, **{"xl/vbaProject.bin": b"x"}), "macros"),
    "a part twice": (lambda: zipped([*xlsx_parts(HEADED).items(), ("XL/workbook.xml", "<w/>")]), "deux fois"),
    "a part outside": (lambda: sheet(HEADED, **{"../../evil": "x"}), "nom interdit"),
    "a part at the root": (lambda: sheet(HEADED, **{"/evil": "x"}), "nom interdit"),
    "a part with a NUL in its name": (lambda: edited(sheet(HEADED, evilXx="x"), b"evilXx", b"evil\0x"), "nom interdit"),
    "an encrypted archive": (
        lambda: edited(sheet(HEADED), b"PK\x01\x02\x14\x03\x14\0\0\0", b"PK\x01\x02\x14\x03\x14\0\x01\0"),
        "chiffré",
    ),
    "an encrypted package": (
        lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504) + "EncryptedPackage".encode("utf-16-le"),
        "mot de passe",
    ),
    "encrypted OpenDocument": (
        lambda: zipped({"mimetype": "x", "content.xml": "?", "META-INF/manifest.xml": "<m><encryption-data/></m>"}),
        "chiffré",
    ),
    "an unusual compression": (lambda: zipped(xlsx_parts(HEADED), compression=zipfile.ZIP_LZMA), "inhabituelle"),
    "a compound file of nothing": (lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "abîmé"),
    "a compound file that was cut": (lambda: xls(HEAD, ("A", "Aide"))[:1500], "pas pu être lu"),
    "lines in disorder": (lambda: sheet(row_xml(2, HEAD) + row_xml(1, HEAD)), "mal numérotées"),
    "a cell twice": (lambda: sheet('<row r="1"><c r="A1"><v>1</v></c><c r="A1"><v>2</v></c></row>'), "deux fois"),
    "a cell beyond every sheet": (lambda: sheet('<row r="1"><c r="ZZZZ1"><v>1</v></c></row>'), "adresse illisible"),
    "a text that it does not have": (lambda: sheet('<row r="1"><c r="A1" t="s"><v>9</v></c></row>'), "n'a pas"),
    "three million lines": (lambda: padded(HEADED + "<row/>" * 3_000_000), "mal numérotées"),
    "no sheet to see": (lambda: zipped(xlsx_parts(HEADED, hidden=["Concepts"])), "aucune feuille"),
    "repeated cells without a header": (lambda: ods(*[ods_row(FULL.format(16384))] * 20), "aucune feuille"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_workbook_that_can_not_be_trusted_is_refused_quickly_and_says_why(name: str) -> None:
    make, words = UNREADABLE[name]
    data = make()
    begun = time.monotonic()

    problem = refusal(data)

    assert words in problem.message
    assert time.monotonic() - begun < 10


TOO_LARGE: dict[str, tuple[Callable[[], bytes], str]] = {
    "one cell at each end": (lambda: sheet(HEADED + FAR), "50 colonnes"),
    "a part of 60 MB of blanks": (lambda: sheet("<row>" + " " * 60_000_000 + "</row>"), "plus de 100 fois"),
    "two hundred parts more": (lambda: sheet(HEADED, **{f"x{n}": "x" for n in range(200)}), "200 au plus"),
    "more than 50 MB once expanded": (
        lambda: sheet(HEADED, **{f"x{n}": " " * 1_000_000 for n in range(60)}),
        "50 Mio au plus",
    ),
    "a full sheet of OpenDocument": (
        lambda: ods(
            "code\tlibelle",
            f'<table:table-row table:number-rows-repeated="1048576">{FULL.format(16384)}</table:table-row>',
        ),
        "50 colonnes",
    ),
    "a full column of OpenDocument": (
        lambda: ods(
            "code\tlibelle", f'<table:table-row table:number-rows-repeated="1048575">{FULL.format(2)}</table:table-row>'
        ),
        "50000 lignes",
    ),
    "more bytes than are read": (lambda: bytes((5 << 20) + 1), "octets"),
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_a_workbook_that_is_too_large_is_refused_quickly_and_says_how_large_it_may_be(name: str) -> None:
    make, words = TOO_LARGE[name]
    data = make()
    begun = time.monotonic()

    with pytest.raises(TooLarge) as caught:
        content(data)

    assert words in str(caught.value)
    assert time.monotonic() - begun < 10
    says_nothing_of_this_machine(caught.value)


def test_the_operator_may_read_more_rows_and_columns() -> None:
    wide = xlsx(("code", "libelle", *(f"note_{n}" for n in range(24))), ("A", "Aide", *["x"] * 24))
    small = Limits(columns=20)

    with pytest.raises(TooLarge, match="20 colonnes"):
        rows(wide, *HEAD, limits=small)
    found = rows(wide, *HEAD, limits=OPERATOR_LIMITS)

    assert [len(cells) for _, _, cells in found] == [26, 26]


def test_as_many_rows_are_read_as_the_limits_say_and_not_one_more() -> None:
    limits = Limits(rows=2)

    found = content(xlsx(HEAD, ("A", "a"), ("B", "b")), limits)
    with pytest.raises(TooLarge, match="ligne 4"):
        content(xlsx(HEAD, ("A", "a"), ("B", "b"), ("C", "c")), limits)

    assert set(found.concepts) == {"A", "B"}


def test_lines_that_only_repeat_nothing_cost_nothing() -> None:
    rest = f'<table:table-row table:number-rows-repeated="1048576">{BLANK}</table:table-row>'

    found = content(ods(rest.replace("1048576", "3"), "code\tlibelle", "A\tAide", rest))

    assert set(found.concepts) == {"A"}


def test_an_excel_97_sheet_with_one_cell_at_each_end_costs_no_more_than_is_allowed() -> None:
    data = xls(HEAD, ("A", "Aide"), *[()] * 65_533, [None] * 255 + ["x"])
    begun = time.monotonic()

    with pytest.raises((Invalid, TooLarge)) as caught:
        content(data)

    assert time.monotonic() - begun < 12
    says_nothing_of_this_machine(caught.value)
