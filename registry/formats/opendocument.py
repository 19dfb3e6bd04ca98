"""OpenDocument spreadsheets out: rows of texts, as little as ODF 1.3 asks for, the same bytes for the same rows."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from xml.sax.saxutils import escape, quoteattr

MEDIA_TYPE = "application/vnd.oasis.opendocument.spreadsheet"

_LONG_AGO = (1980, 1, 1, 0, 0, 0)
_ODF = "urn:oasis:names:tc:opendocument:xmlns:"
_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_BLANKS = re.compile("(?:^ | {2,}| $|\t|\r\n?|\n)")
_MANIFEST = (
    f'<?xml version="1.0" encoding="UTF-8"?>\n<manifest:manifest xmlns:manifest="{_ODF}manifest:1.0"'
    f' manifest:version="1.3"><manifest:file-entry manifest:full-path="/" manifest:version="1.3"'
    f' manifest:media-type="{MEDIA_TYPE}"/><manifest:file-entry manifest:full-path="content.xml"'
    ' manifest:media-type="text/xml"/></manifest:manifest>'
)


def write(rows: Iterable[Sequence[str]], sheet: str) -> bytes:
    """Rows of texts as a spreadsheet of one sheet; characters that XML can't hold are left out."""
    content = "".join(_content(rows, sheet)).encode()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        # The type comes first and uncompressed, so that it is read without unpacking; the rest is stored alike, for
        # what compression gives depends on a library's version.
        for name, data in (
            ("mimetype", MEDIA_TYPE.encode()),
            ("content.xml", content),
            ("META-INF/manifest.xml", _MANIFEST.encode()),
        ):
            part = zipfile.ZipInfo(name, _LONG_AGO)
            part.create_system, part.external_attr = 0, 0
            archive.writestr(part, data)
    return file.getvalue()


def _content(rows: Iterable[Sequence[str]], sheet: str) -> Iterator[str]:
    spaces = "".join(f' xmlns:{name}="{_ODF}{name}:1.0"' for name in ("office", "table", "text", "style"))
    yield (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<office:document-content{spaces}'
        f' xmlns:number="{_ODF}datastyle:1.0" office:version="1.3"><office:automatic-styles>'
        '<number:text-style style:name="N"><number:text-content/></number:text-style>'
        '<style:style style:name="T" style:family="table-cell" style:data-style-name="N"/></office:automatic-styles>'
        f"<office:body><office:spreadsheet><table:table table:name={quoteattr(_plain(sheet) or 'Feuille1')}>"
    )
    for row in rows:
        yield f"<table:table-row>{''.join(map(_cell, row))}</table:table-row>"
    yield "</table:table></office:spreadsheet></office:body></office:document-content>"


def _plain(text: str) -> str:
    return _NOT_IN_XML.sub("", text)


def _cell(text: str) -> str:
    if not text:
        return '<table:table-cell table:style-name="T"/>'
    # Blanks at edges and runs of them are lost in XML's text but for elements that stand for them.
    shown = _BLANKS.sub(_blank, escape(_plain(text)))
    return (
        f'<table:table-cell table:style-name="T" office:value-type="string"><text:p>{shown}</text:p></table:table-cell>'
    )


def _blank(found: re.Match[str]) -> str:
    match found[0][0]:
        case "\t":
            return "<text:tab/>"
        case " ":
            return f'<text:s text:c="{len(found[0])}"/>'
    return "<text:line-break/>"
