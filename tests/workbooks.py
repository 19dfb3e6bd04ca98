"""Workbooks made by hand, part by part: what office suites write, and what only a hostile hand does."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from xml.sax.saxutils import escape, quoteattr

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
STRICT = "http://purl.oclc.org/ooxml/spreadsheetml/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
ODF = (
    "".join(
        f' xmlns:{prefix}="urn:oasis:names:tc:opendocument:xmlns:{prefix}:1.0"'
        for prefix in ("office", "table", "text", "style")
    )
    + ' xmlns:calcext="urn:org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0"'
)

Parts = Mapping[str, str | bytes]


def zipped(parts: Parts | Iterable[tuple[str, str | bytes]], *, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive of parts, which may have the same name twice."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in parts.items() if isinstance(parts, Mapping) else parts:
            archive.writestr(name, data)
    return file.getvalue()


def xlsx_parts(
    rows: str,
    *,
    strings: Sequence[str] = (),
    styles: Sequence[str] = (),
    after: str = "",
    name: str = "Concepts",
    namespace: str = MAIN,
    others: Mapping[str, str] | None = None,
    hidden: Sequence[str] = (),
    book: str = "",
) -> dict[str, str | bytes]:
    """The parts of an XLSX file with one sheet, of which ``rows`` and what comes ``after`` them are XML.

    ``styles`` are format codes; ``others`` are more sheets, by name, which come first; ``hidden`` names those
    that are not shown.
    """
    sheets = {**(others or {}), name: f"<sheetData>{rows}</sheetData>{after}"}
    head = f'<?xml version="1.0" encoding="UTF-8"?>\n<{{0}} xmlns="{namespace}" xmlns:r="{OFFICE}">{{1}}</{{0}}>'
    state = ("", ' state="hidden"')
    listed = "".join(
        f"<sheet name={quoteattr(title)} sheetId='{n}' r:id='r{n}'{state[title in hidden]}/>"
        for n, title in enumerate(sheets, 1)
    )
    relations = "".join(
        f'<Relationship Id="r{n}" Type="{OFFICE}/worksheet" Target="worksheets/sheet{n}.xml"/>'
        for n in range(1, len(sheets) + 1)
    )
    relations += f'<Relationship Id="s" Type="{OFFICE}/sharedStrings" Target="sharedStrings.xml"/>'
    relations += f'<Relationship Id="t" Type="{OFFICE}/styles" Target="/xl/styles.xml"/>'
    codes = "".join(f'<numFmt numFmtId="{170 + n}" formatCode={quoteattr(code)}/>' for n, code in enumerate(styles))
    shapes = "".join(f'<xf numFmtId="{170 + n}"/>' for n in range(len(styles)))
    return {
        "[Content_Types].xml": "<Types/>",
        "_rels/.rels": f'<Relationships><Relationship Id="b" Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/>'
        "</Relationships>",
        "xl/workbook.xml": head.format("workbook", f"{book}<sheets>{listed}</sheets>"),
        "xl/_rels/workbook.xml.rels": f"<Relationships>{relations}</Relationships>",
        "xl/sharedStrings.xml": head.format("sst", "".join(f"<si>{item}</si>" for item in strings)),
        "xl/styles.xml": head.format("styleSheet", f"<numFmts>{codes}</numFmts><cellXfs><xf/>{shapes}</cellXfs>"),
        **{f"xl/worksheets/sheet{n}.xml": head.format("worksheet", xml) for n, xml in enumerate(sheets.values(), 1)},
    }


def xlsx(*rows: Sequence[str], after: str = "", first: int = 1) -> bytes:
    """An XLSX file with texts and cells given as XML (they begin with ``<c``); empty texts are left out."""
    lines = (row_xml(line, row) for line, row in enumerate(rows, first) if row)
    return zipped(xlsx_parts("".join(lines), after=after))


def row_xml(line: int, cells: Sequence[str]) -> str:
    """A row of a worksheet."""
    return f'<row r="{line}">{"".join(_cell_xml(cell, f"{chr(65 + n)}{line}") for n, cell in enumerate(cells))}</row>'


def _cell_xml(cell: str, reference: str) -> str:
    if cell.startswith("<c"):
        return cell.replace("<c", f'<c r="{reference}"', 1)
    return f'<c r="{reference}" t="inlineStr"><is><t xml:space="preserve">{escape(cell)}</t></is></c>' if cell else ""


def ods(*rows: str, after: str = "", styles: str = "", before: str = "", name: str = "Concepts", **more: str) -> bytes:
    """An ODS file of rows, as XML or as texts with tabs between; ``more`` are parts (``_`` a dot, ``__`` a slash)."""
    lines = "".join(row if row.startswith("<") else ods_row(*row.split("\t")) for row in rows)
    content = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<office:document-content{ODF}><office:automatic-styles>{styles}'
        f"</office:automatic-styles><office:body><office:spreadsheet>{before}"
        f'<table:table table:name="{name}">{lines}</table:table>{after}</office:spreadsheet></office:body>'
        "</office:document-content>"
    )
    extra = {part.replace("__", "/").replace("_", "."): text for part, text in more.items()}
    return zipped({"mimetype": "application/vnd.oasis.opendocument.spreadsheet", "content.xml": content, **extra})


def ods_row(*cells: str) -> str:
    """A row of texts, or of cells given as XML."""
    found = "".join(
        cell
        if cell.startswith("<")
        else f'<table:table-cell office:value-type="string"><text:p>{escape(cell)}</text:p></table:table-cell>'
        if cell
        else "<table:table-cell/>"
        for cell in cells
    )
    return f"<table:table-row>{found}</table:table-row>"


XlsCell = str | float | bool | tuple[int, float] | None


def xls(*rows: Sequence[XlsCell], errors: Mapping[tuple[int, int], int] | None = None) -> bytes:
    """An XLS file: texts, numbers, truth values; pairs (how many zeros, number); and error codes by line and column."""
    most = max((cell[0] for row in rows for cell in row if isinstance(cell, tuple)), default=0)
    shapes = [_record(0x41E, struct.pack("<H", 164 + n) + _text("0" * n, "H")) for n in range(1, most + 1)]
    shapes += [_record(0xE0, struct.pack("<HHH", 0, 164 + n if n else 0, 0) + bytes(14)) for n in range(most + 1)]
    cells = [_record(0x200, struct.pack("<IIHHH", 0, len(rows), 0, max(map(len, rows)), 0))]
    cells += [_xls_cell(line, column, cell) for line, row in enumerate(rows) for column, cell in enumerate(row)]
    for (line, column), code in (errors or {}).items():
        cells.append(_record(0x205, struct.pack("<HHHBB", line - 1, column - 1, 0, code, 1)))
    sheet = _begin(0x10) + b"".join(cells) + _record(0x0A)
    head = _begin(5) + _record(0x42, struct.pack("<H", 1200)) + b"".join(shapes)
    name = _text("Concepts", "B")
    start = len(head) + 4 + 6 + len(name) + 4
    return _compound({"Workbook": head + _record(0x85, struct.pack("<IH", start, 0) + name) + _record(0x0A) + sheet})


def _record(kind: int, body: bytes = b"") -> bytes:
    return struct.pack("<HH", kind, len(body)) + body


def _begin(kind: int) -> bytes:
    return _record(0x809, struct.pack("<HHHHII", 0x600, kind, 0x0DBB, 1996, 0, 6))


def _text(value: str, size: str) -> bytes:
    return struct.pack(f"<{size}B", len(value.encode("utf-16-le")) // 2, 1) + value.encode("utf-16-le")


def _xls_cell(line: int, column: int, cell: XlsCell) -> bytes:
    place = struct.pack("<HHH", line, column, cell[0] if isinstance(cell, tuple) else 0)
    match cell:
        case None:
            return b""
        case bool():
            return _record(0x205, place + struct.pack("<BB", cell, 0))
        case str():
            return _record(0x204, place + _text(cell, "H"))
        case (_, number):
            return _record(0x203, place + struct.pack("<d", number))
    return _record(0x203, place + struct.pack("<d", cell))


def _compound(streams: Mapping[str, bytes]) -> bytes:
    """A compound file: one sector of allocation table, one of directory, then the streams, padded to be long ones."""
    size, free, end = 512, 0xFFFFFFFF, 0xFFFFFFFE
    table = [0xFFFFFFFD, end]
    entries = [("Root Entry", 5, end, 0)]
    body = b""
    for name, data in streams.items():
        data = data.ljust(4096, b"\0")
        count = -(-len(data) // size)
        entries.append((name, 2, len(table), len(data)))
        table += [*range(len(table) + 1, len(table) + count), end]
        body += data.ljust(count * size, b"\0")
    assert len(table) <= size // 4, "more than one sector of allocation table"
    directory = b"".join(
        (name.encode("utf-16-le")).ljust(64, b"\0")
        + struct.pack("<HBBIII", 2 * len(name) + 2, kind, 1, free, free, 1 if kind == 5 else free)
        + bytes(36)
        + struct.pack("<IQ", first, length)
        for name, kind, first, length in entries
    )
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6) + bytes(6)
    header += struct.pack("<IIIIIIIII", 0, 1, 1, 0, 4096, end, 0, end, 0)
    header += struct.pack("<109I", 0, *[free] * 108)
    sectors = struct.pack("<128I", *table, *[free] * (128 - len(table)))
    return header + sectors + directory.ljust(size, b"\0") + body
