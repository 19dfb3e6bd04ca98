"""Spreadsheets: a release as a workbook that is edited and comes back, and the rows of any workbook from outside.

Written is XLSX: the table of ``tabular`` on the sheet ``Concepts``, every cell a text, so that nothing is computed and
no leading zero is lost; lists to choose from on the sheet ``Listes``; and, as custom properties, what it was made from.
The same release gives the same bytes on any machine: nothing is compressed, and no clock is read.

Read are XLSX, ODS and XLS, whatever the file is called, in the limited child process (``registry.workbooks``), which
gives each cell as the text that an agent sees. A cell that can't be given is refused with its sheet, line and column;
never is it taken for an empty one.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import orjson
import xlsxwriter
from xlsxwriter.worksheet import Worksheet

from registry import signing
from registry.errors import Invalid, Problem
from registry.formats import tabular
from registry.formats.tabular import GROUPS, STATUSES, TEXT_COLUMNS, Table
from registry.model import Content, Nomenclature, Release, preferred
from registry.sandbox import REQUEST_LIMITS, Limits, workbook_lines

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

LONGEST_CELL = 32_767
"""What a cell can hold, in UTF-16 units: every spreadsheet cuts what is longer, without a word."""

MOST_CONCEPTS = 1_048_575
REGISTRY, NOMENCLATURE, VERSION, SHA256 = "registry", "nomenclature", "version", "content_sha256"
"""The custom properties: named, and valued, as in the manifest of the release."""

_RULE = "workbook_is_readable"
_WANTED = ("code", "libelle")
_LONG_AGO = datetime(1980, 1, 1)  # noqa: DTZ001  # The format writes it as UTC; an aware one is refused.
_FIRST = "[Content_Types].xml"
_CHUNK = 1 << 20
_NOT_IN_SHEET_NAMES = re.compile(r"[\[\]:*?/\\\x00-\x1f]")
_LIKE_AN_ESCAPE = re.compile("_(?=x[0-9A-Fa-f]{4}_)")
_NOT_IN_XML = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff]")
_NOT_IN_TEXTS = re.compile("[\x00\ud800-\udfff]")
_WIDTHS = {"code": 16, "libelle": 40, "filiation": 40, "reference_juridique": 30, "statut": 12}
_USUAL_WIDTH, _NOTE_WIDTH = 20, 60
_LABELS = ("libelle", "autres_libelles", "libelles_caches")
_SEVERAL = "Plusieurs valeurs se joignent par | (pour le caractère lui-même : \\|)."
_HINTS = {
    "autres_libelles": _SEVERAL,
    "libelles_caches": _SEVERAL + " Ils servent à la recherche et ne sont jamais affichés.",
    "code_parent": "Un code de la liste. " + _SEVERAL,
    "codes_associes": "Un code de la liste. " + _SEVERAL,
    "date_debut": "AAAA-MM-JJ",
    "date_fin": "AAAA-MM-JJ : le dernier jour.",
    "remplace_par": "Pour information : c'est la colonne filiation qui est lue.",
    "filiation": "CODE@AAAA-MM-JJ:nature. Nature : same, wider, narrower ou overlaps, ce que le nouveau concept est, "
    "vu de l'ancien. " + _SEVERAL,
    GROUPS: "Codes des groupes. " + _SEVERAL,
}
_LISTS = {"statut": "statuts", "code_parent": "codes", "codes_associes": "codes", GROUPS: GROUPS}
"""Which list a column's cells are chosen from."""


class Fault(NamedTuple):
    """A cell that can't be read: why, what stands there, what would be accepted."""

    message: str
    value: str
    accepted: str


class Row(NamedTuple):
    """A row of a sheet that is not empty: its line, and its cells from column A to the last that holds something."""

    sheet: str
    line: int
    cells: tuple[str | Fault, ...]

    @property
    def place(self) -> str:
        """Where the row stands, in words."""
        return f"feuille {self.sheet}, ligne {self.line}"


class Workbook(NamedTuple):
    """A workbook from outside: the properties that somebody gave it, and the rows of its visible sheets, in order."""

    properties: Mapping[str, str]
    rows: Iterator[Row]


def rows_of(data: bytes, wanted: Sequence[str] = (), *, limits: Limits = REQUEST_LIMITS) -> Workbook:
    """The rows of a workbook (XLSX, ODS or XLS), with the texts that an agent sees: ``0341``, ``2024-01-31``, ``VRAI``.

    With ``wanted``, only those of the first sheet that has these column names in one of its first ten lines, from there
    on. A formula gives the value that it last had. Cells merged downwards give their text on each line.

    :raises TooLarge: if the file is larger, expanded or not, than ``limits`` allow, or has more rows or columns.
    :raises Busy: if two files are being read already and neither ends in time.
    :raises Invalid: if the file can't be read, lacks the columns, or costs more than ``limits`` allow.
    """
    lines = workbook_lines(data, wanted, limits=limits)
    found = _parsed(next(lines, b""))
    properties = found.get("properties") if isinstance(found, dict) else None
    if not isinstance(properties, dict):
        raise _unreadable()
    return Workbook({str(name): str(value) for name, value in properties.items()}, _rows(lines))


def _rows(lines: Iterator[bytes]) -> Iterator[Row]:
    sheet = ""
    for line in lines:
        match _parsed(line):
            case {"sheet": str(name)}:
                sheet = name
            case [int(number), [*cells]]:
                yield Row(sheet, number, tuple([_cell(cell) for cell in cells]))
            case _:
                raise _unreadable()


def _cell(cell: object) -> str | Fault:
    match cell:
        case str() if _NOT_IN_TEXTS.search(cell):
            return Fault("caractère nul", ascii(cell)[:100], "du texte")
        case str():
            return cell
        case [str(message), str(value), str(accepted)]:
            return Fault(message, value, accepted)
    raise _unreadable()


def _parsed(line: bytes) -> Any:
    """What the child process wrote, of which nothing is taken for granted."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        raise _unreadable() from None


def _unreadable() -> Invalid:
    return Invalid([Problem(_RULE, "le classeur n'a pas pu être lu", accepted="un classeur .xlsx, .ods ou .xls")])


def table(rows: Iterator[Row]) -> Table:
    """Rows of which the first is a header, as a table; columns without name and content are left out.

    :raises Invalid: if there is no header or it repeats a name; and, once all rows were asked for, with every cell that
        can't be read or has no column name above it.
    """
    first = next(rows, None)
    if first is None:
        raise Invalid([Problem(_RULE, "aucune ligne", accepted="une ligne d'en-tête")])
    names = [cell.strip() if isinstance(cell, str) else "" for cell in first.cells]
    repeated = sorted({name for name in names if name and names.count(name) > 1})
    if repeated:
        value = ", ".join(repeated)
        raise Invalid([Problem(_RULE, "colonne répétée", (), first.place, value, "des noms de colonnes distincts")])
    return Table(first.place, _under(names, rows))


def _under(names: list[str], rows: Iterator[Row]) -> Iterator[tuple[str, dict[str, str]]]:
    problems: list[Problem] = []
    for row in rows:
        found = dict.fromkeys(filter(None, names), "")
        for column, cell in enumerate(row.cells):
            name = names[column] if column < len(names) else ""
            where = f"{row.place}, colonne {name or xlsxwriter.utility.xl_col_to_name(column)}"
            if isinstance(cell, Fault):
                problems.append(Problem(_RULE, cell.message, (), where, cell.value, cell.accepted))
            elif name:
                found[name] = cell
            elif cell.strip():
                accepted = "un nom de colonne dans l'en-tête, ou une cellule vide"
                problems.append(Problem(_RULE, "cellule hors du tableau", (), where, cell[:100], accepted))
        if not problems and any(found.values()):
            yield row.place, found
    if problems:
        raise Invalid(problems[:100], len(problems))


def read(data: bytes, nomenclature: Nomenclature, limits: Limits = REQUEST_LIMITS) -> Content:
    """A state from a workbook as ``write`` gives it, or any with a sheet that has columns ``code`` and ``libelle``.

    :raises Invalid: with sheet, line, column, value and what is accepted, for the first hundred problems.
    :raises TooLarge: beyond the limits.
    """
    workbook = rows_of(data, _WANTED, limits=limits)
    content = tabular.content(table(workbook.rows))
    ours = workbook.properties.get(NOMENCLATURE) == nomenclature.iri
    return replace(content, made_from=workbook.properties.get(VERSION, "")) if ours else content


def write(release: Release) -> Iterator[bytes]:
    """The release as a workbook to read and to edit.

    :raises Invalid: if a cell would be longer than spreadsheets keep, or concepts more than a sheet has rows.
    """
    if len(release.concepts) > MOST_CONCEPTS:
        accepted = f"{MOST_CONCEPTS} concepts au plus"
        raise Invalid([Problem("workbook_holds_all", "trop de concepts pour une feuille", (), accepted=accepted)])
    title = preferred(release.nomenclature.title) or release.nomenclature.slug

    def fill(workbook: Any, formats: Formats) -> None:
        _write_concepts(workbook, release, formats)
        _write_lists(workbook, release, formats)

    yield from written(f"{title} {release.version}".strip(), _made_from(release), fill)


def written(title: str, properties: Mapping[str, str], fill: Callable[[Any, Formats], None]) -> Iterator[bytes]:
    """A workbook whose sheets ``fill`` makes, the same bytes for the same content; ``properties`` say whence it is."""
    with TemporaryDirectory(prefix="socle-") as folder:
        compressed, plain = Path(folder, "compressed"), Path(folder, "plain")
        _write_workbook(compressed, title, properties, fill)
        _rewrite(compressed, plain)
        with plain.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk


def _write_workbook(
    file: Path, title: str, properties: Mapping[str, str], fill: Callable[[Any, Formats], None]
) -> None:
    options = {
        "constant_memory": True,
        "tmpdir": str(file.parent),
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
    }
    workbook = xlsxwriter.Workbook(str(file), options)
    try:
        workbook.set_properties({"title": title, "created": _LONG_AGO})
        for name, value in properties.items():
            workbook.set_custom_property(name, value, "text")
        text = {"num_format": "@", "valign": "top"}
        formats = Formats(
            workbook.add_format({**text, "bold": True, "bottom": 1, "bg_color": "#E3E3FD"}),
            workbook.add_format(text),
            workbook.add_format({**text, "text_wrap": True}),
        )
        fill(workbook, formats)
    finally:
        workbook.close()


def write_rows(rows: Iterable[Sequence[str]], sheet: str) -> Iterator[bytes]:
    """Rows of texts as a workbook of one sheet; the first is its header."""

    def fill(workbook: Any, formats: Formats) -> None:
        table = workbook.add_worksheet(sheet_name(sheet), worksheet_class=Sheet)
        table.freeze_panes(1, 0)
        for line, row in enumerate(rows):
            if line == 0:
                table.set_column(0, len(row) - 1, _USUAL_WIDTH, formats.text)
            for column, cell in enumerate(row):
                if cell:
                    table.write_string(line, column, cell[:LONGEST_CELL], formats.text if line else formats.header)

    yield from written(sheet, {}, fill)


def sheet_name(text: str) -> str:
    """A name that a sheet may have, as near as can be to a text."""
    return _NOT_IN_SHEET_NAMES.sub(" ", text)[:31].strip(" '") or "Feuille1"


class Formats(NamedTuple):
    """How cells look: headers, texts, and texts of several lines."""

    header: Any
    text: Any
    note: Any


def _made_from(release: Release) -> dict[str, str]:
    digest = hashlib.sha256()
    for lines in signing.canonical_lines(release):
        digest.update(lines)
    iri = release.nomenclature.iri
    return {
        REGISTRY: iri.removesuffix(release.nomenclature.slug),
        NOMENCLATURE: iri,
        VERSION: release.version,
        SHA256: digest.hexdigest(),
    }


class Sheet(Worksheet):  # type: ignore[misc]  # XlsxWriter carries no types.
    """A sheet whose texts all come back as they are."""

    @staticmethod
    def _escape_control_characters(data: Any) -> Any:
        # XlsxWriter takes a text that stands between <r> and </r> for markup of its own, and writes it unescaped; and
        # of two escapes with one underscore between them it escapes the first only.
        if not isinstance(data, str):
            return data
        data = _LIKE_AN_ESCAPE.sub("_x005F_", data)
        data = _NOT_IN_XML.sub(lambda found: f"_x{ord(found[0]):04X}_", data)
        return "_x003C_" + data[1:] if data.startswith("<r>") else data


def _write_concepts(workbook: Any, release: Release, formats: Formats) -> None:
    names = tabular.header(release)
    sheet = workbook.add_worksheet("Concepts", worksheet_class=Sheet)
    sheet.freeze_panes(1, 2)
    bases = [name.partition("@")[0] for name in names]
    styles = [formats.note if base in TEXT_COLUMNS and base not in _LABELS[:1] else formats.text for base in bases]
    for column, (name, base, style) in enumerate(zip(names, bases, styles, strict=True)):
        note = base in TEXT_COLUMNS and base not in _LABELS
        sheet.set_column(column, column, _WIDTHS.get(base, _NOTE_WIDTH if note else _USUAL_WIDTH), style)
        _offer(sheet, column, name)
    for column, name in enumerate(names):
        sheet.write_string(0, column, name, formats.header)
    for line, row in enumerate(tabular.table_rows(release), 1):
        for column, cell in enumerate(row):
            if cell:
                check_length(cell, row[0], names[column])
                sheet.write_string(line, column, cell, styles[column])
    sheet.autofilter(0, 0, max(1, len(release.concepts)), len(names) - 1)


def _offer(sheet: Any, column: int, name: str) -> None:
    """Offer a column's list to choose from, and say what the column holds, to whoever stands on a cell of it."""
    described: dict[str, Any] = {"validate": "any"}
    if name in _LISTS:
        # Cells that may hold several codes, or new ones, must accept what is not in the list.
        described = {"validate": "list", "source": f"={_LISTS[name]}", "show_error": name == "statut"}
        described |= {"error_title": "Valeur inconnue", "error_message": "Choisissez une valeur de la liste."}
    if name in _HINTS:
        described |= {"input_title": name, "input_message": _HINTS[name]}
    if len(described) > 1:
        sheet.data_validation(1, column, MOST_CONCEPTS, column, described)


def check_length(cell: str, code: str, column: str) -> None:
    """Do nothing if a cell can hold a text.

    :raises Invalid: if spreadsheets would cut it.
    """
    if len(cell) * 2 > LONGEST_CELL and len(cell.encode("utf-16-le")) // 2 > LONGEST_CELL:
        accepted = f"{LONGEST_CELL} caractères au plus dans une cellule, toutes valeurs jointes"
        raise Invalid([Problem("workbook_holds_all", f"{column} est trop long", (code,), accepted=accepted)])


def _write_lists(workbook: Any, release: Release, formats: Formats) -> None:
    """The sheet of what is chosen from; each list has a name, which the columns refer to."""
    codes = sorted(release.concepts)
    lists: dict[str, list[str]] = {
        "statuts": [status for status in ("actif", "déprécié") if status in STATUSES],
        GROUPS: sorted(group.code for group in release.groups),
        "codes": codes,
    }
    sheet = workbook.add_worksheet("Listes", worksheet_class=Sheet)
    sheet.freeze_panes(1, 0)
    for column, (name, values) in enumerate(lists.items()):
        sheet.set_column(column, column, _USUAL_WIDTH, formats.text)
        sheet.write_string(0, column, name, formats.header)
        letter = xlsxwriter.utility.xl_col_to_name(column)
        workbook.define_name(name, f"=Listes!${letter}$2:${letter}${max(2, len(values) + 1)}")
    sheet.set_column(len(lists), len(lists), _NOTE_WIDTH, formats.text)
    sheet.write_string(0, len(lists), "libellés des codes", formats.header)
    for line, row in enumerate(zip_longest(*lists.values(), fillvalue=""), 1):
        for column, cell in enumerate(row):
            if cell:
                sheet.write_string(line, column, cell, formats.text)
        if row[-1]:
            sheet.write_string(line, len(lists), release.concepts[row[-1]].label, formats.text)


def _rewrite(compressed: Path, plain: Path) -> None:
    """Write an archive again without compression, whose bytes depend on a library's version, in a fixed order."""
    with zipfile.ZipFile(compressed) as source, zipfile.ZipFile(plain, "w", zipfile.ZIP_STORED) as target:
        for name in sorted(source.namelist(), key=lambda name: (name != _FIRST, not name.startswith("_rels/"), name)):
            part = zipfile.ZipInfo(name, _LONG_AGO.timetuple()[:6])
            part.create_system, part.external_attr = 0, 0
            part.file_size = source.getinfo(name).file_size
            with source.open(name) as given, target.open(part, "w") as taken:
                while chunk := given.read(_CHUNK):
                    taken.write(chunk)
