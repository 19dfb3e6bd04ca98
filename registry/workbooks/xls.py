"""Workbooks in the binary format of Excel 97: calamine reads them, and their records say what it does not tell."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, datetime, time
from typing import Any, BinaryIO

import python_calamine

from .sheets import IN_ERROR, PADDED, SAVE_AGAIN, Bounds, Cell, NoTable, Sheet, Unreadable, iso, number_shown

_ENCRYPTED_PACKAGE = "EncryptedPackage".encode("utf-16-le")
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


def sheets_of_xls(data: bytes, out: BinaryIO, bounds: Bounds) -> Iterator[Sheet]:
    """The visible sheets of a workbook in the binary format of Excel 97, each once it has been read."""
    locked = "le classeur est protégé par un mot de passe"
    if _ENCRYPTED_PACKAGE in data:
        raise Unreadable(locked, accepted=SAVE_AGAIN)
    try:
        book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(data))
        records = _XlsRecords(data)
    except python_calamine.PasswordError as error:
        raise Unreadable(locked, accepted=SAVE_AGAIN) from error
    except (python_calamine.CalamineError, OSError, ValueError, IndexError, struct.error) as error:
        raise Unreadable("le classeur est abîmé, ou d'avant Excel 97", accepted=SAVE_AGAIN) from error
    out.write(json.dumps({"properties": {}}).encode() + b"\n")
    for number, described in enumerate(book.sheets_metadata):
        visible = described.visible == python_calamine.SheetVisibleEnum.Visible
        if not visible or described.typ != python_calamine.SheetTypeEnum.WorkSheet:
            continue
        sheet = Sheet(out, described.name, bounds)
        found = book.get_sheet_by_index(number)
        for (top, left), (bottom, right) in found.merged_cell_ranges or ():
            if left == right:
                sheet.merged[top + 1, left + 1] = bottom + 1
        errors, patterns = records.of_sheet(number)
        with suppress(NoTable):
            for line, row in enumerate(found.to_python(skip_empty_area=False), 1):
                cells: dict[int, Cell] = {
                    column: cell
                    for column, value in enumerate(row, 1)
                    if (cell := _shown_in_xls(value, patterns.get((line, column), "")))
                }
                cells.update({column: [IN_ERROR[0], text, IN_ERROR[2]] for column, text in errors.pop(line, ())})
                sheet.row(line, cells)
        yield sheet


def _shown_in_xls(value: Any, pattern: str) -> Cell:
    """A cell's text from what calamine makes of it, and from its format if that is a pattern of zeros."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "VRAI" if value else "FAUX"
    if isinstance(value, int | float):
        return number_shown(repr(value), pattern)
    if isinstance(value, datetime):
        return iso(value)
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
                self._patterns.append(code if PADDED.fullmatch(code) else "")

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
