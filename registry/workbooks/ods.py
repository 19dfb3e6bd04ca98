"""Workbooks in OpenDocument."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO

from .archives import local_name, put_properties, scan
from .sheets import IN_ERROR, NEVER_COMPUTED, SAVE_AGAIN, Bounds, Cell, NoTable, Sheet, Unreadable, number_shown

_DISPLAYED_CODE = re.compile(r"([^\W\d]|[._-])*[0-9]+")
_CALCULATED = "calcext:1.0}value-type"
_ODF_BLANKS = {"s": "\x01", "tab": "\x02", "line-break": "\x03"}
_ODF_BLANK_TEXTS = str.maketrans({"\x01": " ", "\x02": "\t", "\x03": "\n"})


def sheets_of_ods(archive: zipfile.ZipFile, out: BinaryIO, bounds: Bounds) -> Iterator[Sheet]:
    """The visible sheets of a workbook in OpenDocument, once they have been read."""
    manifest = "META-INF/manifest.xml"
    if manifest in archive.namelist() and b"encryption-data" in archive.read(manifest):
        raise Unreadable("le classeur est chiffré", accepted=SAVE_AGAIN)
    put_properties(archive, "meta.xml", "user-defined", "name", out)
    reader = _OdsRows(out, bounds)
    with suppress(NoTable):
        scan(archive, "content.xml", reader.start, reader.end, reader.text)
    yield from reader.sheets


class _OdsRows:
    """Takes the elements of an OpenDocument spreadsheet and gives its rows to its sheets."""

    def __init__(self, out: BinaryIO, bounds: Bounds) -> None:
        self._out, self._bounds = out, bounds
        self.sheets: list[Sheet] = []
        self._path: list[str] = []
        self._hidden: set[str] = set()
        self._style_name = ""
        self._sheet: Sheet | None = None
        self._skipping = False
        self._line, self._column = 0, 0
        self._cells: dict[int, Cell] = {}
        self._attributes: dict[str, str] = {}
        self._paragraphs: list[str] = []
        self._cell_depth = 0
        self._rows = 1

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        tag = local_name(tag)
        self._path.append(tag)
        if self._cell_depth:
            self._in_cell(tag, attributes)
        elif tag in ("table-cell", "covered-table-cell") and self._sheet:
            # LibreOffice adds a type of its own, which alone tells that a formula is in error.
            self._attributes = {
                "calculated" if name.endswith(_CALCULATED) else local_name(name): value
                for name, value in attributes.items()
            }
            self._paragraphs = []
            self._cell_depth = len(self._path)
        elif tag == "table-row" and self._sheet:
            self._rows = _times(attributes, "number-rows-repeated")
            self._cells, self._column = {}, 0
        elif tag == "table" and self._path[-2:-1] == ["spreadsheet"]:
            self._table({local_name(name): value for name, value in attributes.items()})
        elif tag == "style":
            self._style_name = next((value for name, value in attributes.items() if local_name(name) == "name"), "")
        elif tag == "table-properties" and "false" in (v for k, v in attributes.items() if local_name(k) == "display"):
            self._hidden.add(self._style_name)

    def text(self, data: str) -> None:
        """Some text of an element."""
        if self._cell_depth and self._paragraphs and self._in_paragraph():
            self._paragraphs[-1] += data

    def end(self, tag: str) -> None:
        """An element ends."""
        tag = local_name(tag)
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
                except NoTable:
                    self._skipping = True
        elif tag == "table" and self._sheet and self._path[-1:] == ["spreadsheet"]:
            if self._sheet.found and self._bounds.wanted:
                raise NoTable
            self._sheet = None

    def _table(self, attributes: dict[str, str]) -> None:
        self._line, self._skipping = 0, False
        self._sheet = None
        if attributes.get("style-name") not in self._hidden:
            self._sheet = Sheet(self._out, attributes.get("name", ""), self._bounds)
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
            value = number_shown(given.get("value", ""))
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
            return [IN_ERROR[0], shown, IN_ERROR[2]]
        if "formula" in given and not kind and not shown:
            return NEVER_COMPUTED
        return shown or given.get("string-value", "")

    def _shown(self) -> str:
        """What the cell shows: runs of blanks in the file count for one, and none at a paragraph's ends."""
        lines = (re.sub("[ \t\r\n]+", " ", text).strip(" ").translate(_ODF_BLANK_TEXTS) for text in self._paragraphs)
        return "\n".join(lines)


def _times(attributes: dict[str, str], name: str) -> int:
    """A number that an attribute gives; 1 if it is absent."""
    text = next((value for key, value in attributes.items() if local_name(key) == name), "1")
    return max(1, int(text)) if len(text) < 10 else 10**9
