"""Workbooks that are archives of XML: see that one is honest, and read its parts as a stream."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from functools import lru_cache
from typing import BinaryIO, NoReturn
from xml.parsers import expat

from .sheets import SAVE_AGAIN, Bounds, Unreadable

_SMALL_PART = 1 << 20
_RATIO = 100
_MOST_PROPERTIES = 50


def check_archive(archive: zipfile.ZipFile, bounds: Bounds) -> None:
    """See that an archive is an honest one before anything in it is expanded. :raises Unreadable: if it is not."""
    parts = archive.infolist()
    if len(parts) > bounds.members:
        accepted = f"{bounds.members} au plus"
        raise Unreadable(f"l'archive a {len(parts)} parties", accepted=accepted, too_large=True)
    names: set[str] = set()
    for part in parts:
        name = part.orig_filename
        if name != part.filename or "\\" in name or name.startswith("/") or ".." in name.split("/"):
            raise Unreadable("une partie du classeur a un nom interdit", value=ascii(name), accepted=SAVE_AGAIN)
        if name.lower() in names:
            raise Unreadable("une partie du classeur y est deux fois", value=name, accepted=SAVE_AGAIN)
        names.add(name.lower())
        if part.flag_bits & 1:
            raise Unreadable("le classeur est chiffré", accepted=SAVE_AGAIN)
        if part.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Unreadable("le classeur est comprimé d'une manière inhabituelle", value=name, accepted=SAVE_AGAIN)
        if name.lower().endswith("vbaproject.bin"):
            raise Unreadable("le classeur contient des macros", accepted=SAVE_AGAIN)
        if part.file_size > _SMALL_PART and part.file_size > _RATIO * part.compress_size:
            raise Unreadable(
                f"une partie du classeur se déplie plus de {_RATIO} fois",
                value=name,
                accepted=SAVE_AGAIN,
                too_large=True,
            )
    whole = sum(part.file_size for part in parts)
    if whole > bounds.expanded:
        accepted = f"{bounds.expanded >> 20} Mio au plus"
        raise Unreadable(f"le classeur fait {whole >> 20} Mio une fois déplié", accepted=accepted, too_large=True)


def scan(
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
        raise Unreadable("un DOCTYPE ou des entités ne sont pas acceptés", f"partie {name}", accepted=SAVE_AGAIN)

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
            raise Unreadable("ce n'est pas du XML bien formé", where, message, SAVE_AGAIN) from error


@lru_cache(1024)
def local_name(name: str) -> str:
    """The name of an element or attribute without its namespace."""
    return name.rpartition("}")[2]


def put_properties(archive: zipfile.ZipFile, part: str, element: str, attribute: str, out: BinaryIO) -> None:
    """Give the properties that somebody, or we, added to a workbook."""
    found: dict[str, str] = {}
    name = ""

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal name
        if local_name(tag) == element and len(found) < _MOST_PROPERTIES:
            name = next((value for key, value in attributes.items() if local_name(key) == attribute), "")[:100]

    def text(data: str) -> None:
        if name:
            found[name] = (found.get(name, "") + data)[:500]

    def end(tag: str) -> None:
        nonlocal name
        if local_name(tag) == element:
            name = ""

    if part in archive.namelist():
        scan(archive, part, start, end, text)
    out.write(json.dumps({"properties": {key: value.strip() for key, value in found.items()}}).encode() + b"\n")
