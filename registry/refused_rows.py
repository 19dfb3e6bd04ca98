"""The rows of a file that were refused, as a file of the format that came in: to mend and send again."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterable, Iterator

from registry.columns import ACCEPTED, REASON
from registry.formats import opendocument, spreadsheet, tabular
from registry.imported import Imported, Line, Refusal
from registry.sandbox import REQUEST_LIMITS, Limits


def refused_file(
    data: bytes, imported: Imported, *, whole: bool = False, limits: Limits = REQUEST_LIMITS
) -> tuple[bytes, str, str]:
    """The refused rows as a file of the format that came in, with why and what would be accepted; type and extension.

    Title lines are left out; an XLS comes back as XLSX. With ``whole``, all rows stand in it, and the reasons beside
    those that were refused: what is mended there can be sent again as it is.
    """
    reasons: dict[tuple[str, int], list[Refusal]] = {}
    for refusal in imported.refusals:
        reasons.setdefault((refusal.sheet, refusal.line), []).append(refusal)
    layout = imported.layout
    headers = [name for name in layout.headers if name not in (REASON, ACCEPTED)]
    kept = [place for place, name in enumerate(layout.headers) if name not in (REASON, ACCEPTED)]

    def lines() -> Iterator[list[str]]:
        yield [*headers, REASON, ACCEPTED]
        for line in _lines(data, imported, limits):
            found = reasons.get((line.sheet, line.line), [])
            if line.line <= layout.line or line.sheet != layout.sheet or not (found or whole):
                continue
            cells = line.texts()
            cells += [""] * (len(layout.headers) - len(cells))
            row = [cells[place] for place in kept]
            why = " ; ".join(f"{refusal.column} : {refusal.message}" for refusal in found)
            accepted = " ; ".join(dict.fromkeys(refusal.accepted for refusal in found))
            yield [*row, why, accepted, *cells[len(layout.headers) :]]

    if imported.format in ("xlsx", "xls"):
        return b"".join(spreadsheet.write_rows(lines(), layout.sheet)), spreadsheet.MEDIA_TYPE, "xlsx"
    if imported.format == "ods":
        return opendocument.write(lines(), layout.sheet), opendocument.MEDIA_TYPE, "ods"
    if imported.format == "sssom":
        head = b"".join(line + b"\n" for line in data.split(b"\n")[: layout.line - 1])
        body, encoding = _csv(lines(), data, "\t")
        return head + body, f"text/tab-separated-values; charset={encoding}", "sssom.tsv"
    # The reasons bring accents into a file that may have none: without a mark, a spreadsheet would not show them.
    mark = codecs.BOM_UTF8 if data.startswith(codecs.BOM_UTF8) or data.isascii() else b""
    body, encoding = _csv(lines(), data, layout.delimiter)
    return mark + body, f"text/csv; charset={encoding}", "csv"


def _lines(data: bytes, imported: Imported, limits: Limits) -> Iterator[Line]:
    if imported.format in ("xlsx", "xls", "ods"):
        for row in spreadsheet.rows_of(data, limits=limits).rows:
            yield Line(*row)
        return
    text = tabular.decoded(data)
    above = imported.layout.line - 1 if imported.format == "sssom" else 0
    body = "\n".join(text.split("\n")[above:])
    for line, cells in tabular.records(body, imported.layout.delimiter):
        yield Line("", line + above, cells)


def _csv(lines: Iterable[list[str]], data: bytes, delimiter: str) -> tuple[bytes, str]:
    """Rows in the dialect of a file, with its line ends; and its encoding."""
    encoding = "utf-8"
    try:
        data.decode()
    except UnicodeDecodeError:
        encoding = "utf-16" if tabular.is_utf16(data) else "cp1252"
    buffer = io.StringIO(newline="")
    text = tabular.decoded(data)
    ends = "\r\n" if "\r\n" in text else "\n" if "\n" in text else "\r"
    csv.writer(buffer, delimiter=delimiter, lineterminator=ends).writerows(lines)
    return buffer.getvalue().encode(encoding, errors="replace"), encoding.replace("cp", "windows-")
