"""The formats in which a crosswalk goes out: one table, one small file each.

Adding a format is one function and one line of ``CROSSWALK_FORMATS``; the API, the command line and the tests iterate
over the table. What comes in is told by its content: see ``registry.importing``.

A reader's answer holds a file whole, for its entity tag and for the ranges asked of it: no file is larger than the
largest list that can come in. Of the 200,000 rows that an operator may import, the largest are 141 MiB (JSKOS) and
111 MiB (XLSX, which takes longest: 51 s of a busy core), the others 16 to 32 MiB in 2 to 14 s; of the 50,000 of a
request, a quarter of it. The command line writes piece by piece.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from registry.crosswalks import Crosswalk, crosswalk_csv
from registry.errors import NotFound
from registry.formats import crosswalk_workbook, fhir, jskos, parquet, spreadsheet, sssom


class CrosswalkFormat(NamedTuple):
    """A format of crosswalks: ``write`` gives one's bytes, piece by piece, the same for the same crosswalk."""

    name: str
    media_type: str
    extension: str
    write: Callable[[Crosswalk], Iterator[bytes]]


def _csv(crosswalk: Crosswalk) -> Iterator[bytes]:
    yield crosswalk_csv(crosswalk.mappings)


CROSSWALK_FORMATS: dict[str, CrosswalkFormat] = {
    format.name: format
    for format in (
        CrosswalkFormat("csv", "text/csv", "csv", _csv),
        CrosswalkFormat("sssom", "text/tab-separated-values", "sssom.tsv", sssom.write_crosswalk),
        CrosswalkFormat("xlsx", spreadsheet.MEDIA_TYPE, "xlsx", crosswalk_workbook.write),
        CrosswalkFormat("parquet", parquet.MEDIA_TYPE, "parquet", parquet.write),
        CrosswalkFormat("fhir", "application/fhir+json", "fhir.json", fhir.write),
        CrosswalkFormat("jskos", "application/x-ndjson", "ndjson", jskos.write),
    )
}


def of_crosswalk_file(name: str) -> CrosswalkFormat:
    """The format that a file's name tells by its extension.

    :raises NotFound: naming the extensions that there are.
    """
    for format in CROSSWALK_FORMATS.values():
        if name.lower().endswith(f".{format.extension}"):
            return format
    known = ", ".join(f".{format.extension}" for format in CROSSWALK_FORMATS.values())
    raise NotFound("format", name, {"accepted": known})
