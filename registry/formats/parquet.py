"""Parquet out: a release as a flat list, the mappings of a crosswalk, in typed columns, for statisticians' tools.

Written by hand, as the other formats are: the bytes are kept for ever, and those of a library depend on its version;
and a library that has to be loaded and started for each small file takes a hundred times longer. What is used of the
format is the least that every reader knows: plain values, one page for each column of a row group, no compression.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, NamedTuple

from registry.formats import tabular
from registry.model import Release

if TYPE_CHECKING:
    # It imports this package.
    from registry.crosswalks import Crosswalk

MEDIA_TYPE = "application/vnd.apache.parquet"

_MAGIC = b"PAR1"
_AT_ONCE = 10_000
_EPOCH = date(1970, 1, 1)
_DATES = ("date_debut", "date_fin")

# The types of the compact Thrift protocol, in which the format describes itself.
_I32, _I64, _BINARY, _LIST, _STRUCT = 5, 6, 8, 9, 12
_OPTIONAL, _PLAIN, _RLE = 1, 0, 3

Value = str | float | bool | date


class _Kind(NamedTuple):
    """How the values of a column are written, and what the format calls them (physical, converted, logical)."""

    physical: int
    converted: int | None
    logical: int | None
    plain: Callable[[Sequence[Value]], bytes]


def _texts(values: Sequence[Value]) -> bytes:
    found = [str(value).encode() for value in values]
    return b"".join([struct.pack("<I", len(text)) + text for text in found])


def _booleans(values: Sequence[Value]) -> bytes:
    bits = sum(1 << place for place, value in enumerate(values) if value)
    return bits.to_bytes((len(values) + 7) // 8, "little")


def _numbers(values: Sequence[Value]) -> bytes:
    return struct.pack(f"<{len(values)}d", *values)


def _days(values: Sequence[Value]) -> bytes:
    days = [(value - _EPOCH).days for value in values if isinstance(value, date)]
    return struct.pack(f"<{len(days)}i", *days)


TEXT = _Kind(6, 0, 1, _texts)
DAY = _Kind(1, 6, 6, _days)
NUMBER = _Kind(5, None, None, _numbers)
BOOLEAN = _Kind(0, None, None, _booleans)

_MAPPINGS = {
    "local_code": TEXT,
    "local_label": TEXT,
    "relation": TEXT,
    "target_code": TEXT,
    "target_label": TEXT,
    "justification": TEXT,
    "confidence": NUMBER,
    "covers": BOOLEAN,
    "weight": NUMBER,
    "comment": TEXT,
    "author": TEXT,
    "reviewer": TEXT,
    "date": DAY,
}


def write_concepts(release: Release) -> Iterator[bytes]:
    """The concepts of a release under the columns of the CSV, an empty cell being null. The file says which release."""
    names = tabular.header(release)
    columns = {name: DAY if name in _DATES else TEXT for name in names}
    made_of = {
        "nomenclature": release.nomenclature.iri,
        "release": release.version,
        "valid_from": release.valid_from.isoformat(),
        "license": release.nomenclature.license,
    }
    kinds = [*columns.values()]
    rows = (
        [(date.fromisoformat(cell) if kind is DAY else cell) if cell else None for cell, kind in zip(row, kinds)]  # noqa: B905 -- Both are of the header's length, and there are many.
        for row in tabular.table_rows(release)
    )
    return _written(columns, rows, made_of)


def write(crosswalk: Crosswalk) -> Iterator[bytes]:
    """The mappings of a crosswalk; what is not said is null. The file itself says what it maps to what."""
    labels = {item.code: item.label for item in crosswalk.codes}
    rows = (
        (
            item.local_code,
            labels.get(item.local_code),
            item.relation,
            item.target_code or None,
            crosswalk.labels.get(item.target_code),
            item.justification,
            float(item.confidence) if item.confidence else None,
            item.covers,
            float(item.weight) if item.weight else None,
            item.comment or None,
            item.author or None,
            item.reviewer or None,
            date.fromisoformat(item.date) if item.date else None,
        )
        for item in sorted(crosswalk.mappings)
    )
    made_of = {
        "crosswalk": crosswalk.iri,
        "edition": str(crosswalk.edition),
        "list": crosswalk.list_iri,
        "list_edition": str(crosswalk.list_edition),
        "nomenclature": crosswalk.nomenclature.iri,
        "release": crosswalk.release,
        "license": crosswalk.license,
    }
    return _written(_MAPPINGS, rows, made_of)


def _written(
    columns: Mapping[str, _Kind], rows: Iterable[Sequence[Value | None]], made_of: Mapping[str, str]
) -> Iterator[bytes]:
    """Rows as a Parquet file, some thousands of them at a time; ``made_of`` is what the file says of itself."""
    yield _MAGIC
    place, total, groups = len(_MAGIC), 0, []
    remaining = iter(rows)
    while some := list(itertools.islice(remaining, _AT_ONCE)):
        chunks, begin = [], place
        for (name, kind), values in zip(columns.items(), zip(*some, strict=True), strict=True):
            page = _page(kind, values)
            chunks.append(_chunk(name, kind, place, len(page), len(values)))
            place += len(page)
            yield page
        groups.append(_struct((1, _LIST, (_STRUCT, chunks)), (2, _I64, place - begin), (3, _I64, len(some))))
        total += len(some)
    footer = _footer(columns, total, groups, made_of)
    yield footer + struct.pack("<I", len(footer)) + _MAGIC


def _page(kind: _Kind, values: Sequence[Value | None]) -> bytes:
    """The values of a column as one page: which of them are there, then those, plain."""
    levels = b"".join(
        _varint(sum(1 for _ in run) << 1) + bytes([there])
        for there, run in itertools.groupby(values, key=lambda value: value is not None)
    )
    data = struct.pack("<I", len(levels)) + levels + kind.plain([value for value in values if value is not None])
    described = _struct((1, _I32, len(values)), (2, _I32, _PLAIN), (3, _I32, _RLE), (4, _I32, _RLE))
    return _struct((1, _I32, 0), (2, _I32, len(data)), (3, _I32, len(data)), (5, _STRUCT, described)) + data


def _chunk(name: str, kind: _Kind, place: int, size: int, count: int) -> bytes:
    described = _struct(
        (1, _I32, kind.physical),
        (2, _LIST, (_I32, [_int(_PLAIN), _int(_RLE)])),
        (3, _LIST, (_BINARY, [_text(name)])),
        (4, _I32, 0),
        (5, _I64, count),
        (6, _I64, size),
        (7, _I64, size),
        (9, _I64, place),
    )
    return _struct((2, _I64, place), (3, _STRUCT, described))


def _footer(columns: Mapping[str, _Kind], total: int, groups: list[bytes], made_of: Mapping[str, str]) -> bytes:
    schema = [_struct((4, _BINARY, "schema"), (5, _I32, len(columns)))]
    for name, kind in columns.items():
        logical = None if kind.logical is None else _struct((kind.logical, _STRUCT, _struct()))
        schema.append(
            _struct(
                (1, _I32, kind.physical),
                (3, _I32, _OPTIONAL),
                (4, _BINARY, name),
                (6, _I32, kind.converted),
                (10, _STRUCT, logical),
            )
        )
    said = [_struct((1, _BINARY, name), (2, _BINARY, value)) for name, value in made_of.items()]
    return _struct(
        (1, _I32, 1),
        (2, _LIST, (_STRUCT, schema)),
        (3, _I64, total),
        (4, _LIST, (_STRUCT, groups)),
        (5, _LIST, (_STRUCT, said)),
        (6, _BINARY, "socle"),
    )


_Field = tuple[int, int, int | str | bytes | tuple[int, list[bytes]] | None]


def _struct(*fields: _Field) -> bytes:
    """A structure in the compact Thrift protocol; a field of None is left out."""
    found, last = bytearray(), 0
    for number, kind, value in fields:
        if value is None:
            continue
        found.append((number - last) << 4 | kind)
        last = number
        if isinstance(value, int):
            found += _int(value)
        elif isinstance(value, str):
            found += _text(value)
        elif isinstance(value, bytes):
            found += value
        else:
            inner, items = value
            found += (
                bytes([len(items) << 4 | inner]) if len(items) < 15 else bytes([0xF0 | inner]) + _varint(len(items))
            )
            found += b"".join(items)
    return bytes(found) + b"\0"


def _int(value: int) -> bytes:
    return _varint(value << 1 if value >= 0 else (-value << 1) - 1)


def _text(value: str) -> bytes:
    data = value.encode()
    return _varint(len(data)) + data


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(found) + bytes([value])
