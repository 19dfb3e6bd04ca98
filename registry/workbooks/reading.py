"""Read a workbook of any kind: what it is, is told by its content."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO

from .archives import check_archive
from .ods import sheets_of_ods
from .sheets import HEADER_WITHIN, SAVE_AGAIN, Bounds, Sheet, Unreadable
from .xls import sheets_of_xls
from .xlsx import sheets_of_xlsx

__all__ = ("Bounds", "Unreadable", "read", "warm_up")

_ZIP, _COMPOUND = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


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
        sheets = sheets_of_xls(data, out, bounds)
    elif (
        data[:1024]
        .lstrip(b"\xef\xbb\xbf \t\r\n")
        .lower()
        .startswith((b"<!doctype html", b"<html", b"<table", b"<meta"))
    ):
        raise Unreadable("c'est une page web, pas un classeur", accepted=SAVE_AGAIN)
    else:
        raise Unreadable("ce n'est pas un classeur", accepted=SAVE_AGAIN)
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


def _zipped(data: bytes, out: BinaryIO, bounds: Bounds) -> Iterator[Sheet]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            check_archive(archive, bounds)
            names = set(archive.namelist())
            if "content.xml" in names and "mimetype" in names:
                yield from sheets_of_ods(archive, out, bounds)
            elif "[Content_Types].xml" in names or "xl/workbook.xml" in names:
                yield from sheets_of_xlsx(archive, out, bounds)
            else:
                raise Unreadable("cette archive n'est pas un classeur", accepted=SAVE_AGAIN)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, KeyError, IndexError, ValueError) as error:
        raise Unreadable("le classeur est abîmé ou incomplet", accepted=SAVE_AGAIN) from error
