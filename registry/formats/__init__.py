"""The formats in which a release goes out and a state of a nomenclature comes in: one table, one small file each.

Adding a format is one file and one line of ``FORMATS``; the publication, the API, the command line and the tests
iterate over the table. Writers give the same bytes for the same release on any machine: they are kept for ever.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple, Protocol

from registry import signing
from registry.errors import Invalid, NotFound, Problem
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
from registry.formats.skos import write_jsonld, write_rdfxml, write_turtle
from registry.formats.skos_reading import read
from registry.formats.skos_scope import NO_CHOICE, Choices
from registry.model import Content, Nomenclature, Release
from registry.sandbox import RDF_FORMATS, REQUEST_LIMITS, Limits


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
_HEAD = 4096
_RDF = signing.RDF.encode()
_SDMX = "application/vnd.sdmx.structure"

FORMATS: dict[str, Format] = {
    format.name: format
    for format in (
        Format("ntriples", "application/n-triples", "nt", signing.canonical_lines, partial(read, "ntriples")),
        Format("turtle", "text/turtle", "ttl", write_turtle, partial(read, "turtle"), ("n3",)),
        Format("rdfxml", "application/rdf+xml", "rdf", write_rdfxml, partial(read, "rdfxml"), ("owl", "skos")),
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


def read_content(
    name: str,
    data: bytes,
    nomenclature: Nomenclature,
    limits: Limits = REQUEST_LIMITS,
    choices: Choices = NO_CHOICE,
) -> Content:
    """A state's content from a file of the format of that name, with what a person chose for one that is SKOS.

    :raises NotFound: if no format of that name is read.
    :raises Invalid: with every problem found; also where there is a choice and the format has none to make.
    :raises TooLarge: if the file has more bytes than the limits allow.
    """
    format = FORMATS.get(name)
    if format is None or format.read is None:
        raise NotFound("format", name, {"accepted": ", ".join(each.name for each in FORMATS.values() if each.read)})
    if name in RDF_FORMATS:
        return read(name, data, nomenclature, limits, choices)
    if choices != NO_CHOICE:
        message, accepted = "ces options sont celles des fichiers SKOS", ", ".join(RDF_FORMATS)
        raise Invalid([Problem("skos_is_readable", message, (), "format", name, accepted)])
    return format.read(data, nomenclature, limits)


def of_file(name: str, data: bytes = b"") -> Format:
    """The format that a file's name tells by its extension, and its first bytes where several share one.

    :raises NotFound: naming the extensions that are read.
    """
    if name.lower().endswith((".xml", ".rdf", ".owl", ".skos", ".json")) and (told := _told(data[:_HEAD])):
        return FORMATS[told]
    for format in reversed(FORMATS.values()):
        if name.lower().endswith(tuple(f".{extension}" for extension in _extensions(format))):
            return format
    readable = ", ".join(f".{name}" for format in FORMATS.values() if format.read for name in _extensions(format))
    raise NotFound("format", name, {"accepted": readable})


def _told(head: bytes) -> str:
    """The format of a file whose extension does not settle it, by its first bytes; empty if they do not either."""
    if b"<rdf:RDF" in head or (b":RDF" in head and _RDF in head):
        return "rdfxml"
    if b"CodeList" in head and genericode.NAMESPACE.encode() in head:
        return "genericode"
    if re.match(rb"(?:\xef\xbb\xbf)?\s*(?:#[^\n]*\n\s*)*(?:@prefix|@base|PREFIX|BASE)\b", head):
        return "turtle"
    return "jsonld" if re.search(rb'"@(?:context|graph|id|type)"\s*:', head) else ""


def _extensions(format: Format) -> tuple[str, ...]:
    return (format.extension, *format.also)
