"""What the limited child process reads workbooks with: XLSX, OpenDocument and the binary format of Excel 97.

``sandbox_child.py`` loads it by path, and it imports nothing of ours. What a workbook is, is told by its content: files
are often named otherwise. Rows go out as JSON, a line each: ``{"properties": {name: text}}``; then for each visible
sheet ``{"sheet": name}`` and its rows that are not empty, ``[line, [cell, …]]``. A cell is the text that an agent sees,
or a list of three where it can't be read: message, value, what is accepted.

XLSX and OpenDocument are read here with expat alone, as a stream. openpyxl takes 25 s for a million cells where this
takes 9 s, of the 8 s that a request has; it drops ``x005F_`` out of texts; in the mode that keeps memory low it tells
neither merged cells nor formulas that were never computed. calamine gives an empty text for a cell in error, hides the
zeros that a format shows, and allocates whatever a file says that it needs. XLS is left to it.
"""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, BinaryIO, NamedTuple, NoReturn
from xml.parsers import expat

import python_calamine

HEADER_WITHIN = 10
"""The header of a sheet stands in one of its first lines; what stands above is a title."""

_SMALL_PART = 1 << 20
_RATIO = 100
_WIDEST_SHEET = 16_384
_LONGEST_SHEET = 1_048_576
_MOST_MERGES = 100_000
_MOST_PROPERTIES = 50

Cell = str | list[str]
"""A cell's text, or why it can't be read: message, value, what is accepted."""

_ZIP, _COMPOUND = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED_PACKAGE = "EncryptedPackage".encode("utf-16-le")
_SAVE_AGAIN = "un classeur que le tableur ouvre, enregistré en .xlsx, .ods ou .xls, sans macro ni mot de passe"
_IN_ERROR = ["la cellule est en erreur", "", "une valeur, ou une formule qui se calcule"]
_NEVER_COMPUTED = [
    "la formule n'a jamais été calculée",
    "",
    "une valeur ; ou ouvrez et enregistrez le classeur dans un tableur, qui la calculera",
]
_TOO_MANY_DIGITS = [
    "le tableur arrondit les nombres de plus de 15 chiffres",
    "",
    "du texte : format de cellule « Texte »",
]
_NOT_A_NUMBER = ["le nombre est illisible", "", "un nombre, ou du texte"]
_NO_SUCH_DAY = ["la date est hors du calendrier", "", "une date que le tableur affiche"]
_ESCAPED_CHARACTER = re.compile("_x([0-9A-Fa-f]{4})_")
_DISPLAYED_CODE = re.compile(r"([^\W\d]|[._-])*[0-9]+")
_PADDED = re.compile(r'((?:"[^"]*"|\\.|[-_.])*)(0+)')
_IN_FORMAT = re.compile(r'"[^"]*"|\\.|\[(?!h+\]|m+\]|s+\])[^\]]*\]|[_*].', re.IGNORECASE)
_BUILT_IN_DATES = {*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)}
_BOUNDSHEET, _FORMAT, _XF, _EOF = 0x85, 0x41E, 0xE0, 0x0A
_BOOLERR, _FORMULA, _NUMBER, _RK, _MULRK = 0x205, 0x06, 0x203, 0x27E, 0xBD
_XLS_CELLS = {_BOOLERR, _FORMULA, _NUMBER, _RK, _MULRK}
_XLS_ERRORS = {
    0x00: "#NULL!",
    0x07: "#DIV/0!",
    0x0F: "#VALUE!",
    0x17: "#REF!",
    0x1D: "#NAME?",
    0x24: "#NUM!",
    0x2A: "#N/A",
}
_ERROR_RESULT = 2
_NO_SECTOR = 0xFFFFFFFA
_SMALL_STREAM = 4096
_CALCULATED = "calcext:1.0}value-type"
_ODF_BLANKS = {"s": "\x01", "tab": "\x02", "line-break": "\x03"}
_ODF_BLANK_TEXTS = str.maketrans({"\x01": " ", "\x02": "\t", "\x03": "\n"})


class Bounds(NamedTuple):
    """The most rows and columns of a sheet, members and expanded bytes of an archive; and the columns wanted, if any.

    With ``wanted`` only the first sheet counts that has a row with all these names among its first lines, from there.
    """

    rows: int
    columns: int
    members: int
    expanded: int
    wanted: tuple[str, ...] = ()


class Unreadable(Exception):
    """The workbook is not acceptable: a French message, the place, the text concerned, and what is accepted."""

    def __init__(
        self, message: str, where: str = "", value: str = "", accepted: str = "", *, too_large: bool = False
    ) -> None:
        super().__init__(message)
        self.message, self.where, self.value = message, where, value
        self.accepted, self.too_large = accepted, too_large


class _NoTable(Exception):
    """The sheet being read is not the one that is wanted."""


class _Sheet:
    """A sheet being read: what it takes of the rows that come, in order, goes out as JSON.

    ``merged`` says of a cell, by line and column, to which line it is merged downwards: its text counts for each.
    """

    def __init__(self, out: BinaryIO, name: str, bounds: Bounds) -> None:
        self._out, self.name = out, name
        self._wanted = bounds.wanted
        self._rows, self._columns = bounds.rows, bounds.columns
        self.found = not self._wanted
        self.merged: dict[tuple[int, int], int] = {}
        self._filling: dict[int, tuple[int, Cell]] = {}
        self._last, self._count = 0, 0
        if self.found:
            self._write({"sheet": name})

    def row(self, line: int, cells: dict[int, Cell]) -> None:
        """Take a row: its cells that are not empty, by column from 1."""
        if line <= self._last or line > _LONGEST_SHEET:
            self.refuse(line, "les lignes du classeur sont mal numérotées", _SAVE_AGAIN)
        self._last = line
        if not self.found:
            if line > HEADER_WITHIN:
                raise _NoTable
            names = {cell.strip() for cell in cells.values() if isinstance(cell, str)}
            if not names.issuperset(self._wanted):
                return
            self.found = True
            self._write({"sheet": self.name})
        if not cells:
            return
        if self.merged:
            self._fill(line, cells)
        self._count += 1
        # Where nobody said what the header is called, titles may stand above it.
        if self._count > self._rows + (1 if self._wanted else HEADER_WITHIN):
            self.refuse(line, "trop de lignes", f"{self._rows} lignes au plus sous l'en-tête", too_large=True)
        width = max(cells)
        if width > self._columns:
            self.refuse(line, "trop de colonnes", f"{self._columns} colonnes au plus", too_large=True)
        self._write([line, [cells.get(column, "") for column in range(1, width + 1)]])

    def repeat(self, line: int, cells: dict[int, Cell], times: int) -> None:
        """Take a row that stands as many times in the file; times are only counted where there is nothing in it."""
        for number in range(min(times, self._rows + 2) if cells else 0):
            self.row(line + number, cells)

    def refuse(self, line: int, message: str, accepted: str, *, too_large: bool = False) -> NoReturn:
        """Refuse the workbook for a line of this sheet."""
        raise Unreadable(message, f"feuille {self.name}, ligne {line}", "", accepted, too_large=too_large)

    def _fill(self, line: int, cells: dict[int, Cell]) -> None:
        for column, (until, cell) in self._filling.items():
            if line <= until:
                cells.setdefault(column, cell)
        for column, cell in cells.items():
            if until := self.merged.get((line, column), 0):
                self._filling[column] = (until, cell)

    def _write(self, item: object) -> None:
        self._out.write(json.dumps(item).encode() + b"\n")


def warm_up() -> None:
    """Read something of each kind: libraries and codecs open files of their own when they are first used."""
    anything = Bounds(rows=10, columns=10, members=10, expanded=10_000)
    for sample in (*_samples(), _COMPOUND):
        with suppress(Unreadable):
            read(sample, io.BytesIO(), anything)


def _samples() -> Iterator[bytes]:
    sheet = "<s><row><c t='inlineStr'><is><t>a</t></is></c></row></s>"
    book = "<w xmlns:r='r'><sheet name='a' r:id='i'/></w>"
    relations = "<r><Relationship Id='i' Type='/worksheet' Target='s.xml'/></r>"
    xlsx = {"xl/workbook.xml": book, "xl/_rels/workbook.xml.rels": relations, "xl/s.xml": sheet}
    ods = {"content.xml": "<d><spreadsheet><table name='a'/></spreadsheet></d>", "mimetype": "x"}
    for parts in (xlsx, ods):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in parts.items():
                archive.writestr(name, text)
        yield file.getvalue()


def read(data: bytes, out: BinaryIO, bounds: Bounds) -> None:
    """Write the rows of a workbook of any kind. :raises Unreadable: if it can't be read, or lacks what is wanted."""
    if data.startswith(_ZIP):
        sheets = _zipped(data, out, bounds)
    elif data.startswith(_COMPOUND):
        sheets = _xls(data, out, bounds)
    elif (
        data[:1024]
        .lstrip(b"\xef\xbb\xbf \t\r\n")
        .lower()
        .startswith((b"<!doctype html", b"<html", b"<table", b"<meta"))
    ):
        raise Unreadable("c'est une page web, pas un classeur", accepted=_SAVE_AGAIN)
    else:
        raise Unreadable("ce n'est pas un classeur", accepted=_SAVE_AGAIN)
    seen = []
    for sheet in sheets:
        seen.append(sheet.name)
        if sheet.found and bounds.wanted:
            return
    if bounds.wanted or not seen:
        wanted = ", ".join(bounds.wanted)
        raise Unreadable(
            "aucune feuille n'a l'en-tête attendu" if wanted else "aucune feuille visible",
            "feuilles " + ", ".join(seen)[:200] if seen else "",
            accepted=f"les colonnes {wanted} dans l'une des {HEADER_WITHIN} premières lignes d'une feuille visible"
            if wanted
            else "une feuille visible",
        )


def _zipped(data: bytes, out: BinaryIO, bounds: Bounds) -> Iterator[_Sheet]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _check_archive(archive, bounds)
            names = set(archive.namelist())
            if "content.xml" in names and "mimetype" in names:
                yield from _ods(archive, out, bounds)
            elif "[Content_Types].xml" in names or "xl/workbook.xml" in names:
                yield from _xlsx(archive, out, bounds)
            else:
                raise Unreadable("cette archive n'est pas un classeur", accepted=_SAVE_AGAIN)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, KeyError, IndexError, ValueError) as error:
        raise Unreadable("le classeur est abîmé ou incomplet", accepted=_SAVE_AGAIN) from error


def _check_archive(archive: zipfile.ZipFile, bounds: Bounds) -> None:
    """See that an archive is an honest one before anything in it is expanded. :raises Unreadable: if it is not."""
    parts = archive.infolist()
    if len(parts) > bounds.members:
        accepted = f"{bounds.members} au plus"
        raise Unreadable(f"l'archive a {len(parts)} parties", accepted=accepted, too_large=True)
    names: set[str] = set()
    for part in parts:
        name = part.orig_filename
        if name != part.filename or "\\" in name or name.startswith("/") or ".." in name.split("/"):
            raise Unreadable("une partie du classeur a un nom interdit", value=ascii(name), accepted=_SAVE_AGAIN)
        if name.lower() in names:
            raise Unreadable("une partie du classeur y est deux fois", value=name, accepted=_SAVE_AGAIN)
        names.add(name.lower())
        if part.flag_bits & 1:
            raise Unreadable("le classeur est chiffré", accepted=_SAVE_AGAIN)
        if part.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Unreadable("le classeur est comprimé d'une manière inhabituelle", value=name, accepted=_SAVE_AGAIN)
        if name.lower().endswith("vbaproject.bin"):
            raise Unreadable("le classeur contient des macros", accepted=_SAVE_AGAIN)
        if part.file_size > _SMALL_PART and part.file_size > _RATIO * part.compress_size:
            raise Unreadable(
                f"une partie du classeur se déplie plus de {_RATIO} fois",
                value=name,
                accepted=_SAVE_AGAIN,
                too_large=True,
            )
    whole = sum(part.file_size for part in parts)
    if whole > bounds.expanded:
        accepted = f"{bounds.expanded >> 20} Mio au plus"
        raise Unreadable(f"le classeur fait {whole >> 20} Mio une fois déplié", accepted=accepted, too_large=True)


def _scan(
    archive: zipfile.ZipFile,
    name: str,
    start: Callable[[str, dict[str, str]], None],
    end: Callable[[str], None] | None = None,
    text: Callable[[str], None] | None = None,
) -> None:
    """Read an XML part, its elements by their names without namespace.

    :raises Unreadable: if it is not well-formed, or has a DOCTYPE: no office suite writes one.
    """
    parser = expat.ParserCreate(namespace_separator="}")
    parser.buffer_text = True

    def refuse(*_: object) -> NoReturn:
        raise Unreadable("un DOCTYPE ou des entités ne sont pas acceptés", f"partie {name}", accepted=_SAVE_AGAIN)

    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = parser.ExternalEntityRefHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    with archive.open(name) as part:
        try:
            while chunk := part.read(1 << 16):
                parser.Parse(chunk)
            parser.Parse(b"", True)
        except expat.ExpatError as error:
            message = expat.errors.messages.get(error.code, "")
            where = f"partie {name}, ligne {error.lineno}"
            raise Unreadable("ce n'est pas du XML bien formé", where, message, _SAVE_AGAIN) from error


@lru_cache(1024)
def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _properties(archive: zipfile.ZipFile, part: str, element: str, attribute: str, out: BinaryIO) -> None:
    """Give the properties that somebody, or we, added to a workbook."""
    found: dict[str, str] = {}
    name = ""

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal name
        if _local(tag) == element and len(found) < _MOST_PROPERTIES:
            name = next((value for key, value in attributes.items() if _local(key) == attribute), "")[:100]

    def text(data: str) -> None:
        if name:
            found[name] = (found.get(name, "") + data)[:500]

    def end(tag: str) -> None:
        nonlocal name
        if _local(tag) == element:
            name = ""

    if part in archive.namelist():
        _scan(archive, part, start, end, text)
    out.write(json.dumps({"properties": {key: value.strip() for key, value in found.items()}}).encode() + b"\n")


def _xlsx(archive: zipfile.ZipFile, out: BinaryIO, bounds: Bounds) -> Iterator[_Sheet]:
    """The visible sheets of a workbook in Office Open XML, transitional or strict, each once it has been read."""
    book = dict(_related(archive, "").values()).get("officeDocument", "xl/workbook.xml")
    related = _related(archive, book)
    named = dict(related.values())
    sheets: list[tuple[str, str]] = []
    epoch = date(1899, 12, 30)

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal epoch
        tag = _local(tag)
        if tag == "sheet" and attributes.get("state", "visible") == "visible":
            kind, part = related.get(next((v for k, v in attributes.items() if _local(k) == "id"), ""), ("", ""))
            if kind == "worksheet":
                sheets.append((attributes.get("name", ""), part))
        elif tag == "workbookPr" and attributes.get("date1904", "0") in ("1", "true"):
            epoch = date(1904, 1, 1)

    _properties(archive, "docProps/custom.xml", "property", "name", out)
    _scan(archive, book, start)
    strings = _shared_strings(archive, named.get("sharedStrings", ""))
    shapes = _shapes(archive, named.get("styles", ""))
    for name, part in sheets:
        sheet = _Sheet(out, name, bounds)
        _merges(archive, part, sheet)
        reader = _XlsxRows(sheet, strings, shapes, epoch)
        with suppress(_NoTable):
            _scan(archive, part, reader.start, reader.end, reader.text)
        yield sheet


def _related(archive: zipfile.ZipFile, part: str) -> dict[str, tuple[str, str]]:
    """What a part refers to: by its name there, which kind of part and its path."""
    folder, _, file = part.rpartition("/")
    name = f"{folder}/_rels/{file}.rels".lstrip("/")
    found: dict[str, tuple[str, str]] = {}

    def start(tag: str, attributes: dict[str, str]) -> None:
        if _local(tag) == "Relationship" and attributes.get("TargetMode") != "External":
            target = attributes.get("Target", "")
            path = target.removeprefix("/") if target.startswith("/") or not folder else f"{folder}/{target}"
            kind = attributes.get("Type", "").rpartition("/")[2]
            found[attributes.get("Id", "")] = (kind, path.removeprefix("./"))

    if name in archive.namelist():
        _scan(archive, name, start)
    return found


class _Text:
    """Collects the text of elements ``t`` and ``v``; how it is pronounced (``rPh``) is not a part of it."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._inside = self._phonetic = False

    def start(self, tag: str) -> None:
        """An element begins, named without its namespace."""
        if tag in ("t", "v"):
            self._inside = not self._phonetic
        elif tag == "rPh":
            self._phonetic = True

    def add(self, data: str) -> None:
        """Some text of an element."""
        if self._inside:
            self._pieces.append(data)

    def end(self, tag: str) -> None:
        """An element ends."""
        if tag in ("t", "v"):
            self._inside = False
        elif tag == "rPh":
            self._phonetic = False

    def taken(self) -> str:
        """What was collected since the last time."""
        found = "".join(self._pieces)
        self._pieces.clear()
        return found


def _shared_strings(archive: zipfile.ZipFile, part: str) -> list[str]:
    found: list[str] = []
    text = _Text()

    def end(tag: str) -> None:
        tag = _local(tag)
        text.end(tag)
        if tag == "si":
            found.append(_unescaped(text.taken()))

    if part:
        _scan(archive, part, lambda tag, _: text.start(_local(tag)), end, text.add)
    return found


def _unescaped(text: str) -> str:
    """A text without the format's escapes for what XML can't hold: ``_x000D_``, and ``_x005F_`` for ``_`` itself."""
    if "_x" not in text:
        return text
    return _ESCAPED_CHARACTER.sub(lambda m: m[0] if "D800" <= m[1].upper() <= "DFFF" else chr(int(m[1], 16)), text)


def _shapes(archive: zipfile.ZipFile, part: str) -> list[str]:
    """How the cells of each style show a number: ``date``, ``time``, a pattern of zeros with its prefix, or plainly."""
    codes: dict[int, str] = {}
    found: list[str] = []
    inside = False

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal inside
        tag = _local(tag)
        if tag == "numFmt":
            codes[int(attributes.get("numFmtId", "0"))] = attributes.get("formatCode", "")
        elif tag == "cellXfs":
            inside = True
        elif tag == "xf" and inside:
            found.append(_shape(int(attributes.get("numFmtId", "0")), codes))

    def end(tag: str) -> None:
        nonlocal inside
        inside = inside and _local(tag) != "cellXfs"

    if part:
        _scan(archive, part, start, end)
    return found


def _shape(number: int, codes: dict[int, str]) -> str:
    if number not in codes:
        return "date" if number in _BUILT_IN_DATES - {18, 19, 20, 21, 45, 46, 47} else ""
    code = codes[number].partition(";")[0]
    if _PADDED.fullmatch(code):
        return code
    letters = set(_IN_FORMAT.sub("", code).lower()) & set("ymdhs")
    if code.lower() in ("general", "standard") or not letters:
        return ""
    return "date" if letters & {"y", "d"} else "time" if letters & {"h", "s"} else "date"


def _merges(archive: zipfile.ZipFile, part: str, sheet: _Sheet) -> None:
    """Tell a sheet which of its cells are merged downwards. The file says it after the cells: so it is read twice."""
    before, marked = b"", False
    with archive.open(part) as stream:
        while not marked and (chunk := stream.read(1 << 18)):
            marked = b"mergeCell" in before + chunk or (not before and chunk[:2] in (b"\xff\xfe", b"\xfe\xff"))
            before = chunk[-16:]

    def start(tag: str, attributes: dict[str, str]) -> None:
        if _local(tag) == "mergeCell":
            first, _, last = attributes.get("ref", "").partition(":")
            (top, left), (bottom, right) = _place(first), _place(last or first)
            if left == right and top < bottom:
                sheet.merged[top, left] = bottom
            if len(sheet.merged) > _MOST_MERGES:
                sheet.refuse(top, "trop de cellules fusionnées", f"{_MOST_MERGES} au plus", too_large=True)

    if marked:
        _scan(archive, part, start)


def _place(reference: str) -> tuple[int, int]:
    """Line and column of a cell's name."""
    letters = reference.rstrip("0123456789")
    column = 0
    for letter in letters[:4]:
        column = column * 26 + ord(letter) - 64
    if not (0 < column <= _WIDEST_SHEET and letters.isascii() and letters.isupper() and len(reference) < 12):
        raise Unreadable("une cellule a une adresse illisible", value=reference, accepted=_SAVE_AGAIN)
    return int(reference[len(letters) :] or 0), column


class _XlsxRows:
    """Takes the elements of a worksheet and gives its rows to a sheet."""

    def __init__(self, sheet: _Sheet, strings: list[str], shapes: list[str], epoch: date) -> None:
        self._sheet, self._strings, self._shapes, self._epoch = sheet, strings, shapes, epoch
        self._line, self._column = 0, 0
        self._cells: dict[int, Cell] = {}
        self._columns: dict[str, int] = {}
        self._text = _Text()
        self.text = self._text.add
        self._kind, self._style = "", 0
        self._formula = False

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        tag = _local(tag)
        if tag == "c":
            reference = attributes.get("r")
            if reference is None:
                self._column += 1
            else:
                letters = reference.rstrip("0123456789")
                self._column = self._columns.get(letters) or self._columns.setdefault(letters, _place(reference)[1])
            self._kind, self._style = attributes.get("t", "n"), int(attributes.get("s", "0"))
            self._formula = False
        elif tag == "row":
            self._line = int(attributes.get("r") or self._line + 1)
            self._column = 0
            self._cells = {}
        elif tag == "f":
            self._formula = True
        else:
            self._text.start(tag)

    def end(self, tag: str) -> None:
        """An element ends."""
        tag = _local(tag)
        if tag == "c":
            cell = self._cell(self._text.taken())
            if cell:
                if self._column in self._cells:
                    self._sheet.refuse(self._line, "une cellule est donnée deux fois", _SAVE_AGAIN)
                self._cells[self._column] = cell
        elif tag == "row":
            self._sheet.row(self._line, self._cells)
        else:
            self._text.end(tag)

    def _cell(self, text: str) -> Cell:
        kind = self._kind
        if kind == "s" and text:
            place = int(text)
            if not 0 <= place < len(self._strings):
                self._sheet.refuse(self._line, "le classeur nomme un texte qu'il n'a pas", _SAVE_AGAIN)
            return self._strings[place]
        if kind in ("inlineStr", "str"):
            return _unescaped(text)
        if not text:
            return _NEVER_COMPUTED if self._formula else ""
        if kind == "e":
            return [_IN_ERROR[0], text, _IN_ERROR[2]]
        if kind == "b":
            return "VRAI" if text.strip() in ("1", "true") else "FAUX"
        if kind == "d":
            return text.strip().removesuffix("Z").removesuffix("T00:00:00")
        shape = self._shapes[self._style] if 0 <= self._style < len(self._shapes) else ""
        return _moment(text, self._epoch) if shape in ("date", "time") else _number(text, shape)


def _number(text: str, shape: str = "") -> Cell:
    """A number as a spreadsheet shows it: 15 digits, no needless zeros but those that its format asks for."""
    try:
        value = float(text)
    except ValueError:
        return [_NOT_A_NUMBER[0], text, _NOT_A_NUMBER[2]]
    if not abs(value) < 1e15:
        return [_TOO_MANY_DIGITS[0], text, _TOO_MANY_DIGITS[2]]
    if not value.is_integer():
        return format(Decimal(format(value, ".15g")), "f")
    pattern = _PADDED.fullmatch(shape)
    if pattern is None or value < 0:
        return str(int(value))
    prefix = re.sub(r'"([^"]*)"|\\(.)', lambda found: found[1] or found[2] or "", pattern[1])
    return prefix + str(int(value)).zfill(len(pattern[2]))


def _moment(text: str, epoch: date) -> Cell:
    """A day as ``AAAA-MM-JJ``; with its hour, if it has one; or an hour alone."""
    try:
        value = float(text)
        # In the calendar that begins in 1900 that year has a 29 February, which never was: days before it are one off.
        days = int(value) + (epoch.year == 1899 and 0 < value < 60)
        seconds = round((value - int(value)) * 86_400)
        moment = datetime(epoch.year, epoch.month, epoch.day) + timedelta(days=days, seconds=seconds)  # noqa: DTZ001  # A spreadsheet's hours are of no zone.
    except (ValueError, OverflowError):
        return [_NO_SUCH_DAY[0], text, _NO_SUCH_DAY[2]]
    if value < 0:
        return [_NO_SUCH_DAY[0], text, _NO_SUCH_DAY[2]]
    return moment.time().isoformat() if value < 1 and seconds else _iso(moment)


def _iso(moment: datetime) -> str:
    return moment.date().isoformat() if moment.time() == time() else moment.isoformat()


def _ods(archive: zipfile.ZipFile, out: BinaryIO, bounds: Bounds) -> Iterator[_Sheet]:
    """The visible sheets of a workbook in OpenDocument, once they have been read."""
    manifest = "META-INF/manifest.xml"
    if manifest in archive.namelist() and b"encryption-data" in archive.read(manifest):
        raise Unreadable("le classeur est chiffré", accepted=_SAVE_AGAIN)
    _properties(archive, "meta.xml", "user-defined", "name", out)
    reader = _OdsRows(out, bounds)
    with suppress(_NoTable):
        _scan(archive, "content.xml", reader.start, reader.end, reader.text)
    yield from reader.sheets


class _OdsRows:
    """Takes the elements of an OpenDocument spreadsheet and gives its rows to its sheets."""

    def __init__(self, out: BinaryIO, bounds: Bounds) -> None:
        self._out, self._bounds = out, bounds
        self.sheets: list[_Sheet] = []
        self._path: list[str] = []
        self._hidden: set[str] = set()
        self._style_name = ""
        self._sheet: _Sheet | None = None
        self._skipping = False
        self._line, self._column = 0, 0
        self._cells: dict[int, Cell] = {}
        self._attributes: dict[str, str] = {}
        self._paragraphs: list[str] = []
        self._cell_depth = 0
        self._rows = 1

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        tag = _local(tag)
        self._path.append(tag)
        if self._cell_depth:
            self._in_cell(tag, attributes)
        elif tag in ("table-cell", "covered-table-cell") and self._sheet:
            # LibreOffice adds a type of its own, which alone tells that a formula is in error.
            self._attributes = {
                "calculated" if name.endswith(_CALCULATED) else _local(name): value
                for name, value in attributes.items()
            }
            self._paragraphs = []
            self._cell_depth = len(self._path)
        elif tag == "table-row" and self._sheet:
            self._rows = _times(attributes, "number-rows-repeated")
            self._cells, self._column = {}, 0
        elif tag == "table" and self._path[-2:-1] == ["spreadsheet"]:
            self._table({_local(name): value for name, value in attributes.items()})
        elif tag == "style":
            self._style_name = next((value for name, value in attributes.items() if _local(name) == "name"), "")
        elif tag == "table-properties" and "false" in (v for k, v in attributes.items() if _local(k) == "display"):
            self._hidden.add(self._style_name)

    def text(self, data: str) -> None:
        """Some text of an element."""
        if self._cell_depth and self._paragraphs and self._in_paragraph():
            self._paragraphs[-1] += data

    def end(self, tag: str) -> None:
        """An element ends."""
        tag = _local(tag)
        depth = len(self._path)
        self._path.pop()
        if self._cell_depth and depth == self._cell_depth:
            self._cell_depth = 0
            self._take(tag)
        elif tag == "table-row" and self._sheet and not self._cell_depth:
            line = self._line + 1
            self._line += self._rows
            if not self._skipping:
                try:
                    self._sheet.repeat(line, self._cells, self._rows)
                except _NoTable:
                    self._skipping = True
        elif tag == "table" and self._sheet and self._path[-1:] == ["spreadsheet"]:
            if self._sheet.found and self._bounds.wanted:
                raise _NoTable
            self._sheet = None

    def _table(self, attributes: dict[str, str]) -> None:
        self._line, self._skipping = 0, False
        self._sheet = None
        if attributes.get("style-name") not in self._hidden:
            self._sheet = _Sheet(self._out, attributes.get("name", ""), self._bounds)
            self.sheets.append(self._sheet)

    def _in_paragraph(self) -> bool:
        inside = self._path[self._cell_depth :]
        return inside[:1] == ["p"] and not {"annotation", "note", "ruby-text", "frame"} & set(inside)

    def _in_cell(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "p" and len(self._path) == self._cell_depth + 1:
            self._paragraphs.append("")
        elif tag in _ODF_BLANKS and self._paragraphs and self._in_paragraph():
            self._paragraphs[-1] += _ODF_BLANKS[tag] * min(_times(attributes, "c"), 1000)

    def _take(self, tag: str) -> None:
        """A cell has ended: it counts as many times as it is repeated, if there is something in it."""
        sheet = self._sheet
        if sheet is None:
            return
        first = self._column + 1
        self._column += (times := _times(self._attributes, "number-columns-repeated"))
        cell = self._cell() if tag == "table-cell" else ""
        if not cell:
            return
        if sheet.found and self._column > self._bounds.columns:
            accepted = f"{self._bounds.columns} colonnes au plus"
            sheet.refuse(self._line + 1, "trop de colonnes", accepted, too_large=True)
        for column in range(first, first + min(times, self._bounds.columns + 1)):
            self._cells[column] = cell
        down = _times(self._attributes, "number-rows-spanned")
        if down > 1 and _times(self._attributes, "number-columns-spanned") == 1:
            sheet.merged[self._line + 1, first] = self._line + down

    def _cell(self) -> Cell:
        given = self._attributes
        shown = self._shown()
        kind = given.get("value-type", "")
        if kind in ("float", "percentage", "currency"):
            value = _number(given.get("value", ""))
            code = "".join(shown.split())
            if kind == "float" and isinstance(value, str) and _DISPLAYED_CODE.fullmatch(code):
                digits = code.lstrip("".join(set(code) - set("0123456789")))
                return code if digits.lstrip("0") == value.lstrip("0") else value
            return value
        if kind == "date":
            return given.get("date-value", "").removesuffix("T00:00:00")
        if kind == "boolean":
            return "VRAI" if given.get("boolean-value") == "true" else "FAUX"
        if given.get("calculated") == "error" or ("formula" in given and shown.startswith(("#", "Err:"))):
            return [_IN_ERROR[0], shown, _IN_ERROR[2]]
        if "formula" in given and not kind and not shown:
            return _NEVER_COMPUTED
        return shown or given.get("string-value", "")

    def _shown(self) -> str:
        """What the cell shows: runs of blanks in the file count for one, and none at a paragraph's ends."""
        lines = (re.sub("[ \t\r\n]+", " ", text).strip(" ").translate(_ODF_BLANK_TEXTS) for text in self._paragraphs)
        return "\n".join(lines)


def _times(attributes: dict[str, str], name: str) -> int:
    """A number that an attribute gives; 1 if it is absent."""
    text = next((value for key, value in attributes.items() if _local(key) == name), "1")
    return max(1, int(text)) if len(text) < 10 else 10**9


def _xls(data: bytes, out: BinaryIO, bounds: Bounds) -> Iterator[_Sheet]:
    """The visible sheets of a workbook in the binary format of Excel 97, each once it has been read."""
    locked = "le classeur est protégé par un mot de passe"
    if _ENCRYPTED_PACKAGE in data:
        raise Unreadable(locked, accepted=_SAVE_AGAIN)
    try:
        book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(data))
        records = _XlsRecords(data)
    except python_calamine.PasswordError as error:
        raise Unreadable(locked, accepted=_SAVE_AGAIN) from error
    except (python_calamine.CalamineError, OSError, ValueError, IndexError, struct.error) as error:
        raise Unreadable("le classeur est abîmé, ou d'avant Excel 97", accepted=_SAVE_AGAIN) from error
    out.write(json.dumps({"properties": {}}).encode() + b"\n")
    for number, described in enumerate(book.sheets_metadata):
        visible = described.visible == python_calamine.SheetVisibleEnum.Visible
        if not visible or described.typ != python_calamine.SheetTypeEnum.WorkSheet:
            continue
        sheet = _Sheet(out, described.name, bounds)
        found = book.get_sheet_by_index(number)
        for (top, left), (bottom, right) in found.merged_cell_ranges or ():
            if left == right:
                sheet.merged[top + 1, left + 1] = bottom + 1
        errors, patterns = records.of_sheet(number)
        with suppress(_NoTable):
            for line, row in enumerate(found.to_python(skip_empty_area=False), 1):
                cells: dict[int, Cell] = {
                    column: cell
                    for column, value in enumerate(row, 1)
                    if (cell := _shown_in_xls(value, patterns.get((line, column), "")))
                }
                cells.update({column: [_IN_ERROR[0], text, _IN_ERROR[2]] for column, text in errors.pop(line, ())})
                sheet.row(line, cells)
        yield sheet


def _shown_in_xls(value: Any, pattern: str) -> Cell:
    """A cell's text from what calamine makes of it, and from its format if that is a pattern of zeros."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "VRAI" if value else "FAUX"
    if isinstance(value, int | float):
        return _number(repr(value), pattern)
    if isinstance(value, datetime):
        return _iso(value)
    return value.isoformat() if isinstance(value, date | time) else str(value)


class _XlsRecords:
    """What calamine does not tell of an XLS file: which cells are in error, and which show their number with zeros."""

    def __init__(self, data: bytes) -> None:
        self._stream = _xls_stream(data)
        self._starts: list[int] = []
        formats: dict[int, str] = {}
        self._patterns: list[str] = []
        for kind, body in self._records(0):
            if kind == _BOUNDSHEET:
                self._starts.append(_u32(body, 0))
            elif kind == _FORMAT and len(body) > 5:
                wide = body[4] & 1
                formats[_u16(body, 0)] = body[5:].decode("utf-16-le" if wide else "latin-1", "replace")
            elif kind == _XF:
                code = formats.get(_u16(body, 2), "")
                self._patterns.append(code if _PADDED.fullmatch(code) else "")

    def of_sheet(self, number: int) -> tuple[dict[int, list[tuple[int, str]]], dict[tuple[int, int], str]]:
        """Columns and names of the errors by line; and the patterns by line and column, of the sheet of a number."""
        errors: dict[int, list[tuple[int, str]]] = {}
        patterns: dict[tuple[int, int], str] = {}
        start = self._starts[number] if number < len(self._starts) else len(self._stream)
        for kind, body in self._records(start):
            if kind not in _XLS_CELLS:
                continue
            line, column = _u16(body, 0) + 1, _u16(body, 2) + 1
            code = _error_in(kind, body)
            if code is not None:
                errors.setdefault(line, []).append((column, _XLS_ERRORS.get(code, "#ERR")))
            styles = body[4:-2:6] if kind == _MULRK else body[4:5]
            for place in range(len(styles)):
                style = _u16(body, 4 + 6 * place)
                if style < len(self._patterns) and self._patterns[style]:
                    patterns[line, column + place] = self._patterns[style]
        return errors, patterns

    def _records(self, start: int) -> Iterator[tuple[int, bytes]]:
        """The records of one part of the stream."""
        stream, place = self._stream, start
        while place + 4 <= len(stream):
            kind, length = _u16(stream, place), _u16(stream, place + 2)
            if kind == _EOF:
                return
            yield kind, stream[place + 4 : place + 4 + length]
            place += 4 + length


def _error_in(kind: int, body: bytes) -> int | None:
    """The code of the error that a cell's record tells; None if it tells none."""
    if kind == _BOOLERR:
        return body[6] if body[7] else None
    if kind == _FORMULA and body[12:14] == b"\xff\xff" and body[6] == _ERROR_RESULT:
        return body[8]
    return None


def _xls_stream(data: bytes) -> bytes:
    """The stream of a compound file that holds the workbook; empty if it is stored in some unusual way."""
    size = 1 << _u16(data, 30)

    def sector(number: int) -> bytes:
        return data[(number + 1) * size : (number + 2) * size]

    def chain(number: int) -> bytes:
        found = bytearray()
        while number < len(table) and len(found) <= len(data):
            found += sector(number)
            number = table[number]
        return bytes(found)

    places = [_u32(data, 76 + 4 * place) for place in range(109)]
    following, count = _u32(data, 68), _u32(data, 72)
    while following < _NO_SECTOR and count and len(places) * size <= 4 * len(data):
        more = struct.unpack(f"<{size // 4}I", sector(following))
        places += more[:-1]
        following, count = more[-1], count - 1
    table: list[int] = []
    for place in places:
        if place < _NO_SECTOR:
            part = sector(place)
            table += struct.unpack(f"<{len(part) // 4}I", part)
    directory = chain(_u32(data, 48))
    for entry in range(0, len(directory) - 127, 128):
        name = directory[entry : entry + max(0, _u16(directory, entry + 64) - 2)].decode("utf-16-le", "replace")
        if name == "Workbook" and _u32(directory, entry + 120) >= _SMALL_STREAM:
            return chain(_u32(directory, entry + 116))[: _u32(directory, entry + 120)]
    return b""


def _u16(data: bytes, place: int) -> int:
    return int(struct.unpack_from("<H", data, place)[0])


def _u32(data: bytes, place: int) -> int:
    return int(struct.unpack_from("<I", data, place)[0])
