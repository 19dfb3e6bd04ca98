"""The formats in which a release goes out and a state of a nomenclature comes in: one table, one small file each.

Adding a format is one file and one line of ``FORMATS``; the publication, the API, the command line and the tests
iterate over the table. Writers give the same bytes for the same release on any machine: they are kept for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple, Protocol

from registry import signing
from registry.errors import NotFound
from registry.formats import (
    document,
    fhir,
    genericode,
    jskos,
    parquet,
    sdmx,
    spreadsheet,
    table_schema,
    tabular,
)
from registry.formats.skos import read, write_jsonld, write_rdfxml, write_turtle
from registry.model import Content, Nomenclature, Release
from registry.sandbox import Limits


class Read(Protocol):
    """Read a state's content from a file's bytes, for the nomenclature that it is meant for, within limits.

    :raises Invalid: with every problem found.
    :raises TooLarge: if the file has more bytes than the limits allow.
    """

    def __call__(self, data: bytes, nomenclature: Nomenclature, limits: Limits = ...) -> Content:
        """Give the content."""
        ...


class Format(NamedTuple):
    """A format: ``write`` gives a release's bytes, piece by piece; ``read`` (None: out only) a state's content.

    ``also`` names extensions of files that are read as well.
    """

    name: str
    media_type: str
    extension: str
    write: Callable[[Release], Iterator[bytes]]
    read: Read | None
    also: tuple[str, ...] = ()


XLSX = spreadsheet.MEDIA_TYPE
_SDMX = "application/vnd.sdmx.structure"

FORMATS: dict[str, Format] = {
    format.name: format
    for format in (
        Format("ntriples", "application/n-triples", "nt", signing.canonical_lines, partial(read, "ntriples")),
        Format("turtle", "text/turtle", "ttl", write_turtle, partial(read, "turtle")),
        Format("rdfxml", "application/rdf+xml", "rdf", write_rdfxml, partial(read, "rdfxml")),
        Format("jsonld", "application/ld+json", "jsonld", write_jsonld, partial(read, "jsonld")),
        Format("json", "application/json", "json", document.write, document.read),
        Format("csv", "text/csv", "csv", tabular.write, tabular.read),
        Format("csv-excel", "text/csv", "excel.csv", tabular.write_for_excel, tabular.read_from_excel),
        Format("xlsx", XLSX, "xlsx", spreadsheet.write, spreadsheet.read, ("ods", "xls")),
        Format("table-schema", "application/vnd.tableschema+json", "schema.json", table_schema.write, None),
        Format("parquet", parquet.MEDIA_TYPE, "parquet", parquet.write_concepts, None),
        Format("sdmx-ml", f"{_SDMX}+xml;version=3.0.0", "sdmx.xml", sdmx.write_ml, sdmx.read, ("xml",)),
        Format("sdmx-ml21", f"{_SDMX}+xml;version=2.1", "sdmx21.xml", sdmx.write_ml21, sdmx.read),
        Format("sdmx-json", f"{_SDMX}+json;version=2.0.0", "sdmx.json", sdmx.write_json, None),
        Format("fhir", "application/fhir+json", "fhir.json", fhir.write_code_system, None),
        Format("genericode", "application/xml", "gc", genericode.write, genericode.read),
        Format("jskos", "application/x-ndjson", "ndjson", jskos.write_concepts, None),
    )
}


def of_file(name: str) -> Format:
    """The format that a file's name tells by its extension.

    :raises NotFound: naming the extensions that are read.
    """
    for format in reversed(FORMATS.values()):
        if name.lower().endswith(tuple(f".{extension}" for extension in _extensions(format))):
            return format
    readable = ", ".join(f".{name}" for format in FORMATS.values() if format.read for name in _extensions(format))
    raise NotFound("format", name, {"accepted": readable})


def _extensions(format: Format) -> tuple[str, ...]:
    return (format.extension, *format.also)
