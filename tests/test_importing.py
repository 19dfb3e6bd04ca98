"""A department's own file is read as it is: codes stay what the agent sees, and every refusal is said, to be mended."""

from __future__ import annotations

import codecs
import csv
import io
import time
from collections.abc import Callable
from dataclasses import replace

import openpyxl
import pytest

from registry.columns import HEADERS, NAMES, RELATION_WORDS, ROLES, _key
from registry.crosswalks import RELATIONS, LocalCode, Mapping
from registry.errors import Invalid, SocleError, TooLarge
from registry.formats import opendocument, spreadsheet
from registry.formats.spreadsheet import rows_of
from registry.importing import Imported, Refusal, read, refused_file
from registry.rules import NOTE_LENGTH
from registry.sandbox import REQUEST_LIMITS, Limits
from tests.factories import a_nomenclature
from tests.workbooks import ods, xls, xlsx, zipped

FILE = """Prestations du département au 1er janvier;;;;;
;;;;;
N°;Intitulé de la prestation;Code socle;Équivalence;Nb dossiers;Service
0341 ; Aide au logement ;A — Aide A;exacte;1 234;Logement
0342;« Secours » d'urgence;B;~;12;Aide
0343;Œuvre de jour;;sans équivalent;;Aide
0344;"Colis; bon
d'achat";;;;Aide
0342;« Secours » d'urgence;B;~;12;Aide
"""
"""As a department writes it: a title, blanks, a quoted delimiter, a cell of two lines, French words."""

CODES = (
    LocalCode("0341", "Aide au logement", frequency="1234"),
    LocalCode("0342", "« Secours » d'urgence", frequency="12"),
    LocalCode("0343", "Œuvre de jour"),
    LocalCode("0344", "Colis; bon d'achat"),
)
MAPPINGS = (Mapping("0341", "A", "exactMatch"), Mapping("0342", "B", "closeMatch"), Mapping("0343", "", "noMatch"))


def rows(*lines: str, header: str = "code;libellé;code socle;relation") -> bytes:
    return "\n".join([header, *lines, ""]).encode()


def refusals(imported: Imported) -> list[tuple[int, str, str]]:
    """Where cells are refused, and by which rule; each says what would be accepted."""
    assert all(refusal.message and refusal.accepted for refusal in imported.refusals)
    return [(refusal.line, refusal.column, refusal.rule) for refusal in imported.refusals]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("delimiter", [";", ",", "\t"])
def test_a_csv_is_read_in_any_french_dialect(encoding: str, delimiter: str) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator="\r\n" if encoding == "cp1252" else "\n")
    writer.writerows(csv.reader(io.StringIO(FILE), delimiter=";"))

    found = read(buffer.getvalue().encode(encoding), name="prestations.csv")

    assert (found.format, found.read, found.accepted, found.refused) == ("csv", 5, 5, 0)
    assert found.codes == CODES
    assert found.mappings == MAPPINGS
    assert [(column.role, column.header) for column in found.columns] == [
        ("code", "N°"),
        ("label", "Intitulé de la prestation"),
        ("frequency", "Nb dossiers"),
        ("relation", "Équivalence"),
        ("target_code", "Code socle"),
    ]
    assert found.unused == ("Service",)
    assert found.target_labels == (("A", "Aide A"),)
    assert set(found.remarks) == {
        "1 ligne de titre passée au-dessus de l'en-tête",
        "2 cellules dont les blancs aux bords ont été retirés",
        "1 texte remis sur une ligne, sans caractères invisibles",
        "1 date ou nombre récrit (jj/mm/aaaa, virgule, espaces, oui/non)",
        "1 ligne répétée à l'identique, gardée une fois",
    }


def test_a_workbook_is_read_as_the_agent_sees_it_whatever_its_kind() -> None:
    merged = '<mergeCells count="2"><mergeCell ref="A1:D1"/><mergeCell ref="D4:D5"/></mergeCells>'
    head = ("Code", "Libellé", "Code socle", "Relation")
    books = [
        xlsx(("Prestations 2024",), (), head, ("0341", "Aide ", "A", "proche"), ("0342", "Bon", "B"), after=merged),
        ods("Prestations 2024", "\t".join(head), "0341\tAide\tA\tproche", "0342\tBon\tB\tproche"),
        xls(("Prestations 2024",), head, ((4, 341.0), "Aide", "A", "proche"), ("0342", "Bon", "B", "proche")),
    ]

    found = [read(book) for book in books]

    assert [one.format for one in found] == ["xlsx", "ods", "xls"]
    for one in found:
        assert one.codes == (LocalCode("0341", "Aide"), LocalCode("0342", "Bon"))
        assert one.mappings == (Mapping("0341", "A", "closeMatch"), Mapping("0342", "B", "closeMatch"))
        assert one.layout.sheet == "Concepts"


def test_each_role_has_names_of_its_own() -> None:
    plain = [_key(name) for names in NAMES.values() for name in names.plain]
    perhaps = [_key(name) for names in NAMES.values() for name in names.perhaps]

    assert set(NAMES) == set(HEADERS) == set(ROLES)
    assert len(plain) == len(set(plain))
    assert len(perhaps) == len(set(perhaps))
    assert all(_key(HEADERS[role]) in map(_key, NAMES[role].plain) for role in ROLES)


def test_a_column_in_doubt_or_missing_is_refused_until_it_is_named() -> None:
    data = rows("1;2;un;autre", header="Code;Code local;Libellé;Service")

    with pytest.raises(Invalid) as doubtful:
        read(data)
    with pytest.raises(Invalid) as absent:
        read(data, columns={"code": "Numéro"})
    with pytest.raises(Invalid) as nothing:
        read(rows("1;un", header="Machin;Libellé"))
    with pytest.raises(Invalid) as unknown:
        read(data, columns={"couleur": "Code"})
    named = read(data, columns={"code": "code  LOCAL", "label": ""})

    [problem] = doubtful.value.problems
    assert (problem.where, problem.value, problem.accepted) == ("ligne 1", "Code, Code local", '--column code="Code"')
    assert [(one.value, one.accepted) for one in absent.value.problems] == [
        ("Numéro", "Code, Code local, Libellé, Service")
    ]
    assert [(one.message, one.value) for one in nothing.value.problems] == [
        ("la colonne des codes n'est pas reconnue", "Machin, Libellé")
    ]
    assert [one.value for one in unknown.value.problems] == ["couleur"]
    assert named.codes == (LocalCode("2", "2"),)
    assert [(column.header, column.named) for column in named.columns] == [("Code local", True)]
    assert named.unused == ("Code", "Libellé", "Service")


def test_relations_are_read_in_french_in_skos_and_as_signs() -> None:
    written = [*RELATION_WORDS.values(), *RELATIONS, "skos:exactMatch", "=", "~", "<", ">", "PLUS LARGE "]
    meant = [*RELATION_WORDS, *RELATIONS, "exactMatch", "exactMatch", "closeMatch", "broadMatch", "narrowMatch"]

    found = read(
        rows(
            *(
                f"{n:02};;{'' if relation == 'noMatch' else 'A'};{word}"
                for n, (word, relation) in enumerate(zip(written, [*meant, "broadMatch"], strict=True))
            )
        )
    )

    assert found.refusals == ()
    assert [mapping.relation for mapping in found.mappings] == [*meant, "broadMatch"]


@pytest.mark.parametrize("header", ["Correspondance", "Lien", "Type"])
@pytest.mark.parametrize("target", ["Code socle", "Concept"])
def test_a_column_of_words_for_relations_is_the_relation_whatever_its_header(header: str, target: str) -> None:
    words = ["", "", "", "sans équivalent", *["exacte"] * 6, "plus étroite", ">", "skos:broadMatch", "bof"]
    lines = [f"{n};un;{'A' if n > 3 else ''};{word}" for n, word in enumerate(words)]

    found = read(rows(*lines, header=f"code;libellé;{target};{header}"))
    not_read = read(rows("1;un;A;exacte", header=f"code;libellé;code socle;{header}"), columns={"relation": ""})

    assert [(one.role, one.header) for one in found.columns][2:] == [("relation", header), ("target_code", target)]
    assert {one.local_code: one.relation for one in found.mappings} == {
        "3": "noMatch",
        **{str(n): "exactMatch" for n in range(4, 10)},
        "10": "narrowMatch",
        "11": "narrowMatch",
        "12": "broadMatch",
    }
    assert [(one.line, one.column, one.value, one.message) for one in found.refusals] == [
        (15, header, "bof", "relation inconnue")
    ]
    assert not_read.unused == (header,)


def test_a_code_is_mapped_without_equivalent_or_to_be_reviewed_and_never_between() -> None:
    header = "code;statut;code socle;relation"
    found = read(
        rows(
            "1;à examiner;A;exacte",
            "2;sans équivalent;;",
            "3;validé;A;proche",
            "4;;sans équivalent;",
            "5;;;",
            "6;;à examiner;",
            header=header,
        )
    )
    refused = read(
        rows("1;sans équivalent;A;exacte", "2;validé;;", "3;bof;A;proche", "4;;A;sans équivalent", header=header)
    )

    assert [code.code for code in found.codes] == ["1", "2", "3", "4", "5", "6"]
    assert [(mapping.local_code, mapping.relation) for mapping in found.mappings] == [
        ("2", "noMatch"),
        ("3", "closeMatch"),
        ("4", "noMatch"),
    ]
    assert "1 ligne à examiner, dont la cible n'a pas été retenue" in found.remarks
    assert [(line, column) for line, column, _ in refusals(refused)] == [
        (2, "statut"),
        (3, "code socle"),
        (4, "statut"),
        (5, "code socle"),
    ]


def test_a_list_alone_has_dates_remarks_and_states_of_its_own() -> None:
    plain = read(rows("1;un;hier;à suivre;Camille", header="code;libellé;date;remarque;auteur"))
    states = read(rows("1;un;actif", "2;deux;sans équivalent", "3;trois;à examiner", header="code;libellé;état"))

    assert plain.codes == (LocalCode("1", "un", note="à suivre"),)
    assert (plain.unused, plain.mappings, plain.refusals) == (("date", "auteur"), (), ())
    assert states.refusals == ()
    assert states.mappings == (Mapping("2", "", "noMatch"),)
    assert states.remarks == ("1 statut qui ne dit rien d'une correspondance, non lu",)


BAD_ROWS: dict[str, tuple[str, str, str]] = {
    ";sans code;A;proche": ("code", "cell_is_acceptable", "code absent"),
    "1;un;A;": ("relation", "cell_is_acceptable", "la relation n'est pas dite"),
    "1;un;;proche": ("code socle", "cell_is_acceptable", "une relation sans cible"),
    "1;un;A;bof": ("relation", "cell_is_acceptable", "relation inconnue"),
    "1;un;A, B;proche": ("code socle", "cell_is_acceptable", "pas un code de concept"),
    "1;un;Z;proche": ("code socle", "target_exists", "absent de la version"),
    "1\u200b;un;A;proche": ("code", "cell_is_acceptable", "U+200B"),
    "0;autre nom;B;proche": ("libellé", "code_is_given_once", "ligne 2, avec « zéro »"),
    "0;zéro;A;plus large": ("code socle", "mapping_is_given_once", "autrement ligne 2"),
    "0;zéro;B;exacte": ("relation", "exactMatch_stands_alone", "ligne 2"),
    "1;un;A": ("code", "row_fits_header", "3 cellules pour 4 colonnes"),
    "1;un;A;proche;": ("", "", ""),
    "1;un;A;proche;x": ("code", "row_fits_header", "5 cellules"),
    "1;" + "x" * 20_001 + ";A;proche": ("libellé", "cell_is_acceptable", "cellule de 20001 caractères"),
}


@pytest.mark.parametrize("row", BAD_ROWS, ids=lambda row: row[:20])
def test_a_refused_row_says_where_why_and_what_would_be_accepted(row: str) -> None:
    column, rule, message = BAD_ROWS[row]

    found = read(rows("0;zéro;A;proche", row, "9;neuf;B;proche"), targets={"A", "B"})

    assert [(*place, message in one.message) for place, one in zip(refusals(found), found.refusals, strict=True)][
        :1
    ] == ([(3, column, rule, True)] if rule else [])
    assert found.read == 3
    assert found.accepted == (2 if rule else 3)
    assert {code.code for code in found.codes} >= {"0", "9"}
    assert [code.label for code in found.codes if code.code == "0"] == ["zéro"]


def test_codes_that_a_spreadsheet_may_have_altered_stay_as_they_are_and_are_remarked_on() -> None:
    altered = rows("1;Un", "01;Encore un", "2E+05;Long", "3;", "A1;Autre", header="code;libellé")

    found = read(altered)

    assert [code.code for code in found.codes] == ["01", "1", "2E+05", "3", "A1"]
    assert found.remarks == (
        "codes qui ne diffèrent que par des zéros en tête, peut-être ôtés par un tableur : 01 et 1",
        "codes qui semblent des nombres abrégés par un tableur, à rétablir dans le fichier : 2E+05",
        "codes sans libellé, dont le code en tient lieu ; un total ou une note s'ôte du fichier : 3",
    )


def test_what_a_spreadsheet_or_a_printer_leaves_in_a_list_is_told_and_nothing_of_it_is_guessed() -> None:
    exported = rows(
        '="0012"|un', "code|libellé", "AB|deux", "a b|trois", "'07|quatre", "3/1/2024|cinq", header="code|libellé"
    )
    lines = rows("1;un;A", "Total;;", header="code;libellé;code socle")
    merged = '<mergeCells count="1"><mergeCell ref="A1:A2"/></mergeCells>'

    found = read(exported)
    total = read(lines, relation="closeMatch")
    two_lines = read(xlsx(("Code", "Libellé"), ("", "long"), ("01", "un"), after=merged))
    never_computed = read(xlsx(("Code", "Libellé"), ("<c><f>1+1</f></c>", "un"), ("2", "deux")))
    with pytest.raises(Invalid) as no_target:
        read(rows("1;un;A;exacte", header="code;libellé;TA;Correspondance"))
    with pytest.raises(Invalid) as page:
        read(b"<html><table><tr><td>code</td></tr></table>", name="liste.xls")

    assert [code.code for code in found.codes] == ["'07", "0012", "3/1/2024", "AB", "a b"]
    assert set(found.remarks) == {
        '1 cellule écrite ="…" pour un tableur, dont le texte seul est lu',
        "1 ligne d'en-tête répétée, passée",
        "codes qui ne diffèrent que par la casse ou des espaces : AB et a b",
        "codes qui semblent des dates faites par un tableur, à rétablir dans le fichier : 3/1/2024",
        "codes précédés d'une apostrophe, gardée comme le reste : '07",
    }
    assert total.remarks[0].endswith("un total ou une note s'ôte du fichier : Total")
    assert two_lines.codes == (LocalCode("01", "un"),)
    assert refusals(never_computed) == [(2, "Code", "cell_is_acceptable")]
    assert [(one.value, one.accepted) for one in no_target.value.problems] == [("TA", '--column target_code="TA"')]
    assert page.value.problems[0].message == "c'est une page web, pas un classeur"


def test_other_columns_are_read_with_french_dates_and_numbers() -> None:
    header = "code;code parent;commentaire;code socle;relation;confiance;couvre;poids;auteur;relecteur;date"
    data = rows(
        "1;0;à voir;A;plus étroite;80 %;oui;0,5;Camille;Dominique;31/01/2024",
        "2;0;;B;proche;1,5;peut-être;x;;;31/02/2024",
        header=header,
    )

    found = read(data)

    assert found.codes == (LocalCode("1", "1", "0"),)
    assert found.mappings == (
        Mapping(
            "1",
            "A",
            "narrowMatch",
            confidence="0.8",
            covers=True,
            weight="0.5",
            comment="à voir",
            author="Camille",
            reviewer="Dominique",
            date="2024-01-31",
        ),
    )
    assert {column for _, column, _ in refusals(found)} == {"confiance", "couvre", "poids", "date"}


def test_the_longest_note_that_an_edition_may_hold_is_read_and_no_longer_one() -> None:
    longest = "é" * NOTE_LENGTH

    found = read(rows(f"1;un;{longest}", f"2;deux;{longest}é", header="code;libellé;note"))

    assert found.codes == (LocalCode("1", "un", note=longest),)
    assert [(line, column) for line, column, _ in refusals(found)] == [(3, "note")]


@pytest.mark.parametrize("titles", [(), (("Un titre",), ("au 1er janvier",))], ids=["no title", "titles"])
def test_a_sheet_may_be_full_whatever_stands_above_its_header(titles: tuple[tuple[str, ...], ...]) -> None:
    limits = replace(REQUEST_LIMITS, rows=30)
    lines = [(f"{number}", f"code {number}") for number in range(31)]

    full = read(xlsx(*titles, ("code", "libellé"), *lines[:30]), limits=limits)

    assert len(full.codes) == 30
    with pytest.raises(TooLarge):
        read(xlsx(*titles, ("code", "libellé"), *lines), limits=limits)


def test_a_missing_relation_can_be_said_for_all_and_a_target_may_be_an_iri() -> None:
    nomenclature = a_nomenclature()

    found = read(rows(f"1;un;{nomenclature.iri}/A;"), relation="closeMatch", nomenclature=nomenclature)

    assert found.mappings == (Mapping("1", "A", "closeMatch"),)
    assert "1 ligne sans relation prise pour closeMatch" in found.remarks


def test_the_sheet_that_fits_best_is_read_and_the_others_are_named() -> None:
    book = openpyxl.Workbook()
    assert book.active is not None
    book.active.title = "Notice"
    book.active.append(["Code", "Usage"])
    other = book.create_sheet("Liste")
    other.append(["Code", "Libellé"])
    other.append(["01", "un"])
    file = io.BytesIO()
    book.save(file)

    found = read(file.getvalue())
    with pytest.raises(Invalid) as caught:
        read(file.getvalue(), sheet="Absente")

    assert (found.layout.sheet, found.codes) == ("Liste", (LocalCode("01", "un"),))
    assert "feuilles non lues : Notice" in found.remarks
    assert caught.value.problems[0].accepted == "Notice, Liste"


LINES = ("code;libellé;code socle;relation", "01;un;A;proche", " 02 ;œuvre;B;bof", "03;=1+1;;proche", "04;é;A;~")


def in_cells(lines: tuple[str, ...]) -> list[list[str]]:
    return [line.split(";") for line in lines]


SENT: dict[str, Callable[[], bytes]] = {
    "csv": lambda: "\r\n".join(("Un titre", *LINES, "")).encode("cp1252"),
    "Texte Unicode": lambda: "\r\n".join(("Un titre", *LINES, "")).replace(";", "\t").encode("utf-16"),
    "xlsx": lambda: xlsx(("Un titre",), *in_cells(LINES)),
    "ods": lambda: ods("Un titre", *("\t".join(cells) for cells in in_cells(LINES))),
    "xls": lambda: xls(("Un titre",), *in_cells(LINES)),
}


def mended(data: bytes, extension: str) -> bytes:
    """A file of refused rows with its two faults put right, and nothing else touched."""
    if extension == "csv":
        encoding, between = ("utf-16", "\t") if data.startswith(codecs.BOM_UTF16) else ("cp1252", ";")
        text = data.decode(encoding).replace(f"{between}bof{between}", f"{between}proche{between}")
        return text.replace("03;=1+1;;".replace(";", between), "03;égal;A;".replace(";", between)).encode(encoding)
    lines = [[str(cell) for cell in row.cells] for row in rows_of(data).rows]
    for cells in lines:
        if cells[3] == "bof":
            cells[3] = "proche"
        if cells[1] == "=1+1":
            cells[1:3] = "égal", "A"
    write = {"ods": opendocument.write, "xlsx": lambda *table: b"".join(spreadsheet.write_rows(*table))}[extension]
    return write(lines, "Concepts")


@pytest.mark.parametrize("whole", [False, True], ids=["refused", "whole"])
@pytest.mark.parametrize("kind", SENT)
def test_refused_rows_come_back_in_the_format_that_came_in_to_mend_and_send_again(kind: str, whole: bool) -> None:
    data = SENT[kind]()
    first = read(data)

    back, media_type, extension = refused_file(data, first, whole=whole)
    again = read(back)
    after = read(mended(back, extension))

    assert extension == {"xls": "xlsx", "Texte Unicode": "csv"}.get(kind, kind)
    assert media_type
    assert first.refused == again.refused == 2
    assert [refusal[2:] for refusal in again.refusals] == [refusal[2:] for refusal in first.refusals]
    assert again.unused == ()
    assert after.refusals == ()
    codes = ["01", "02", "03", "04"] if whole else ["02", "03"]
    assert [code.code for code in after.codes] == codes
    if kind == "csv":
        text = back.decode("cp1252")
        assert text.startswith("code;libellé;code socle;relation;motif du refus;accepté\r\n")
        assert "\r\n 02 ;œuvre;B;bof;relation : relation inconnue;" in text


def test_reasons_with_accents_are_shown_by_a_spreadsheet_and_served_in_the_encoding_that_they_have() -> None:
    plain, accented = b"code;libelle;code socle;relation\n1;un;A;bof\n", "code;libellé\n;été\n".encode("cp1252")

    back, media_type, _ = refused_file(plain, read(plain))
    other, other_type, _ = refused_file(accented, read(accented))

    assert back.startswith(codecs.BOM_UTF8)
    assert "accepté" in back.decode("utf-8-sig")
    assert (media_type, other_type) == ("text/csv; charset=utf-8", "text/csv; charset=windows-1252")
    assert "accepté" in other.decode("cp1252")
    assert [one.value for one in read(back).refusals] == ["bof"]


HOSTILE: dict[str, tuple[bytes, type[SocleError]]] = {
    "a text that stalls sniffers": (b'\n"a' * 16_000, Invalid),
    "NUL": (b"code;label\n1;\x00\n", Invalid),
    "no such encoding": (bytes(range(256)) * 10, Invalid),
    "a quote that is never closed": (b'code;label\n"' + b"a\n" * 1_000_000, Invalid),
    "columns without end": (b"code" + b";" * 2_000_000 + b"\n1\n", TooLarge),
    "nothing": (b"", Invalid),
    "a header alone": (b"code;label\n", Invalid),
    "a web page": (b"<html><table><tr><td>code</td></tr></table>", Invalid),
    "a broken workbook": (b"PK\x03\x04" + b"x" * 100, Invalid),
    "a bomb": (zipped({"[Content_Types].xml": b"", "xl/workbook.xml": b" " * 60_000_000}), TooLarge),
    "too many bytes": (b"x" * (5 << 20) + b"y", TooLarge),
    "too many rows": (b"code\n" + b"a\n" * 50_001, TooLarge),
    "nested metadata": (b"#mapping_set_id: x\n#a: " + b"[" * 30_000, Invalid),
    "metadata without end": (b"#mapping_set_id: x\n" + b"#a: 1\n" * 20_000, Invalid),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_plainly_and_in_time(name: str) -> None:
    data, error = HOSTILE[name]
    start = time.process_time()

    with pytest.raises(error) as caught:
        read(data)

    assert str(caught.value)
    assert time.process_time() - start < 3


def test_an_operator_may_send_more() -> None:
    data = rows(*(f"{n};;;" for n in range(60)))

    assert read(data, limits=Limits(rows=60)).read == 60
    with pytest.raises(TooLarge, match="59 lignes"):
        read(data, limits=Limits(rows=59))


def test_many_targets_of_one_code_take_no_longer_than_many_codes() -> None:
    data = rows(*(f"A;un;T{n};proche" for n in range(3_000)))
    start = time.process_time()

    found = read(data)

    assert len(found.mappings) == 3_000
    assert time.process_time() - start < 2


def test_a_refusal_is_told_as_the_errors_of_the_registry_are() -> None:
    refusal = Refusal("Feuil1", 4, "relation", "bof", "cell_is_acceptable", "relation inconnue", "exacte")

    assert str(refusal.problem) == (
        "feuille Feuil1, ligne 4, colonne relation : relation inconnue (reçu : 'bof') ; attendu : exacte"
    )
