"""Workbooks in Office Open XML."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, datetime, timedelta
from typing import BinaryIO

from .archives import local_name, put_properties, scan
from .sheets import (
    IN_ERROR,
    NEVER_COMPUTED,
    PADDED,
    SAVE_AGAIN,
    Bounds,
    Cell,
    NoTable,
    Sheet,
    Unreadable,
    iso,
    number_shown,
)

_WIDEST_SHEET = 16_384
_MOST_MERGES = 100_000
_NO_SUCH_DAY = ["la date est hors du calendrier", "", "une date que le tableur affiche"]
_ESCAPED_CHARACTER = re.compile("_x([0-9A-Fa-f]{4})_")
_IN_FORMAT = re.compile(r'"[^"]*"|\\.|\[(?!h+\]|m+\]|s+\])[^\]]*\]|[_*].', re.IGNORECASE)
_BUILT_IN_DATES = {*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)}


def sheets_of_xlsx(archive: zipfile.ZipFile, out: BinaryIO, bounds: Bounds) -> Iterator[Sheet]:
    """The visible sheets of a workbook in Office Open XML, transitional or strict, each once it has been read."""
    book = dict(_related(archive, "").values()).get("officeDocument", "xl/workbook.xml")
    related = _related(archive, book)
    named = dict(related.values())
    sheets: list[tuple[str, str]] = []
    epoch = date(1899, 12, 30)

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal epoch
        tag = local_name(tag)
        if tag == "sheet" and attributes.get("state", "visible") == "visible":
            kind, part = related.get(next((v for k, v in attributes.items() if local_name(k) == "id"), ""), ("", ""))
            if kind == "worksheet":
                sheets.append((attributes.get("name", ""), part))
        elif tag == "workbookPr" and attributes.get("date1904", "0") in ("1", "true"):
            epoch = date(1904, 1, 1)

    put_properties(archive, "docProps/custom.xml", "property", "name", out)
    scan(archive, book, start)
    strings = _shared_strings(archive, named.get("sharedStrings", ""))
    shapes = _shapes(archive, named.get("styles", ""))
    for name, part in sheets:
        sheet = Sheet(out, name, bounds)
        _merges(archive, part, sheet)
        reader = _XlsxRows(sheet, strings, shapes, epoch)
        with suppress(NoTable):
            scan(archive, part, reader.start, reader.end, reader.text)
        yield sheet


def _related(archive: zipfile.ZipFile, part: str) -> dict[str, tuple[str, str]]:
    """What a part refers to: by its name there, which kind of part and its path."""
    folder, _, file = part.rpartition("/")
    name = f"{folder}/_rels/{file}.rels".lstrip("/")
    found: dict[str, tuple[str, str]] = {}

    def start(tag: str, attributes: dict[str, str]) -> None:
        if local_name(tag) == "Relationship" and attributes.get("TargetMode") != "External":
            target = attributes.get("Target", "")
            path = target.removeprefix("/") if target.startswith("/") or not folder else f"{folder}/{target}"
            kind = attributes.get("Type", "").rpartition("/")[2]
            found[attributes.get("Id", "")] = (kind, path.removeprefix("./"))

    if name in archive.namelist():
        scan(archive, name, start)
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
        tag = local_name(tag)
        text.end(tag)
        if tag == "si":
            found.append(_unescaped(text.taken()))

    if part:
        scan(archive, part, lambda tag, _: text.start(local_name(tag)), end, text.add)
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
        tag = local_name(tag)
        if tag == "numFmt":
            codes[int(attributes.get("numFmtId", "0"))] = attributes.get("formatCode", "")
        elif tag == "cellXfs":
            inside = True
        elif tag == "xf" and inside:
            found.append(_shape(int(attributes.get("numFmtId", "0")), codes))

    def end(tag: str) -> None:
        nonlocal inside
        inside = inside and local_name(tag) != "cellXfs"

    if part:
        scan(archive, part, start, end)
    return found


def _shape(number: int, codes: dict[int, str]) -> str:
    if number not in codes:
        return "date" if number in _BUILT_IN_DATES - {18, 19, 20, 21, 45, 46, 47} else ""
    code = codes[number].partition(";")[0]
    if PADDED.fullmatch(code):
        return code
    letters = set(_IN_FORMAT.sub("", code).lower()) & set("ymdhs")
    if code.lower() in ("general", "standard") or not letters:
        return ""
    return "date" if letters & {"y", "d"} else "time" if letters & {"h", "s"} else "date"


def _merges(archive: zipfile.ZipFile, part: str, sheet: Sheet) -> None:
    """Tell a sheet which of its cells are merged downwards. The file says it after the cells: so it is read twice."""
    before, marked = b"", False
    with archive.open(part) as stream:
        while not marked and (chunk := stream.read(1 << 18)):
            marked = b"mergeCell" in before + chunk or (not before and chunk[:2] in (b"\xff\xfe", b"\xfe\xff"))
            before = chunk[-16:]

    def start(tag: str, attributes: dict[str, str]) -> None:
        if local_name(tag) == "mergeCell":
            first, _, last = attributes.get("ref", "").partition(":")
            (top, left), (bottom, right) = _place(first), _place(last or first)
            if left == right and top < bottom:
                sheet.merged[top, left] = bottom
            if len(sheet.merged) > _MOST_MERGES:
                sheet.refuse(top, "trop de cellules fusionnées", f"{_MOST_MERGES} au plus", too_large=True)

    if marked:
        scan(archive, part, start)


def _place(reference: str) -> tuple[int, int]:
    """Line and column of a cell's name."""
    letters = reference.rstrip("0123456789")
    column = 0
    for letter in letters[:4]:
        column = column * 26 + ord(letter) - 64
    if not (0 < column <= _WIDEST_SHEET and letters.isascii() and letters.isupper() and len(reference) < 12):
        raise Unreadable("une cellule a une adresse illisible", value=reference, accepted=SAVE_AGAIN)
    return int(reference[len(letters) :] or 0), column


class _XlsxRows:
    """Takes the elements of a worksheet and gives its rows to a sheet."""

    def __init__(self, sheet: Sheet, strings: list[str], shapes: list[str], epoch: date) -> None:
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
        tag = local_name(tag)
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
        tag = local_name(tag)
        if tag == "c":
            cell = self._cell(self._text.taken())
            if cell:
                if self._column in self._cells:
                    self._sheet.refuse(self._line, "une cellule est donnée deux fois", SAVE_AGAIN)
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
                self._sheet.refuse(self._line, "le classeur nomme un texte qu'il n'a pas", SAVE_AGAIN)
            return self._strings[place]
        if kind in ("inlineStr", "str"):
            return _unescaped(text)
        if not text:
            return NEVER_COMPUTED if self._formula else ""
        if kind == "e":
            return [IN_ERROR[0], text, IN_ERROR[2]]
        if kind == "b":
            return "VRAI" if text.strip() in ("1", "true") else "FAUX"
        if kind == "d":
            return text.strip().removesuffix("Z").removesuffix("T00:00:00")
        shape = self._shapes[self._style] if 0 <= self._style < len(self._shapes) else ""
        return _moment(text, self._epoch) if shape in ("date", "time") else number_shown(text, shape)


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
    return moment.time().isoformat() if value < 1 and seconds else iso(moment)
