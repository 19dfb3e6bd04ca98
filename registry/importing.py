"""A department's own file, as it is: CSV, XLSX, ODS, XLS or SSSOM/TSV becomes local codes and mappings.

Nothing has to be renamed or moved first: title lines above the header are passed over, the columns are recognised
(``registry.columns``) or named by whoever sends the file, relations are read in French too. A code stays the text that
the agent sees; only blanks at its edges go, and the answer says so, as it says whatever else was tidied up.

Every row is accepted or refused, and each refusal says sheet, line, column, value, rule and what would be accepted.
``refused_file`` gives the refused rows back in the format that came in, to mend and send again.
"""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from collections.abc import Mapping as Table
from dataclasses import replace
from itertools import islice
from urllib.parse import unquote

from registry.columns import (
    ACCEPTED,
    HEADERS,
    REASON,
    ROLES,
    Column,
    Recognised,
    essential,
    recognise,
    relation_by_cells,
)
from registry.crosswalks import RELATIONS
from registry.errors import Invalid, Problem, TooLarge
from registry.formats import spreadsheet, sssom, tabular
from registry.imported import Found, Imported, Layout, Line, Refusal
from registry.imported_rows import ONLY_NOT_EXACT, Rows
from registry.model import Nomenclature
from registry.refused_rows import refused_file
from registry.sandbox import REQUEST_LIMITS, Limits

__all__ = ("ROLES", "Column", "Imported", "Refusal", "read", "refused_file")

HEADER_WITHIN = 10
"""The header stands in one of the first lines that hold something; what stands above is a title."""

_WIDEST = 1000
_DELIMITERS = tabular.DELIMITERS + "|"
_SSSOM_ROLES = {
    "subject_id": "code",
    "subject_label": "label",
    "predicate_id": "relation",
    "object_id": "target_code",
    "object_label": "target_label",
    "mapping_justification": "justification",
    "confidence": "confidence",
    "covers": "covers",
    "weight": "weight",
    "comment": "comment",
    "author_label": "author",
    "reviewer_label": "reviewer",
    "mapping_date": "date",
    "status": "status",
}


def read(
    data: bytes,
    *,
    name: str = "",
    columns: Table[str, str] | None = None,
    relation: str = "",
    sheet: str = "",
    nomenclature: Nomenclature | None = None,
    targets: Collection[str] | None = None,
    limits: Limits = REQUEST_LIMITS,
) -> Imported:
    """Read a file of local codes, mapped or not.

    ``name`` is what the file is called: it tells a format only where the content does not. ``columns`` names headers by
    role, and an empty header says that nothing is to be read as this role. ``relation`` is what a row with a target and
    without a relation is taken for. ``sheet`` is the one to read where a workbook has several. With ``nomenclature``,
    targets may be the IRIs of its concepts. ``targets`` are all the codes that a row may map to, where they are known.

    :raises Invalid: if the file can't be read as a table, or a column that matters is missing or in doubt.
    :raises TooLarge: if the file has more bytes, rows or columns than ``limits`` allow.
    :raises Busy: if other workbooks are being read and none ends in time.
    """
    limits.check(data)
    named = dict(columns or {})
    _check_roles(named, relation)
    rows = Rows(relation, nomenclature, targets)
    # What begins as a page or as XML is none of these formats, and the reader of workbooks says so best.
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")) or data[:100].lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<":
        return _read_workbook(data, named, sheet, rows, limits)
    text = tabular.decoded(data)
    if sssom.looks_like(text) or name.lower().endswith(".sssom.tsv"):
        return _read_sssom(data, rows, limits)
    return _read_csv(text, named, rows, limits)


def _check_roles(named: Table[str, str], relation: str) -> None:
    unknown = sorted(set(named) - set(ROLES))
    if unknown:
        accepted = ", ".join(ROLES)
        raise Invalid(
            [Problem("columns_are_recognised", "rôle inconnu", (), "--column", one, accepted) for one in unknown]
        )
    if relation and relation not in RELATIONS:
        accepted = ", ".join(RELATIONS)
        raise Invalid([Problem("relation_is_said", "relation inconnue", (), "--relation", relation, accepted)])


# The tables of files.


def _read_workbook(data: bytes, named: Table[str, str], sheet: str, rows: Rows, limits: Limits) -> Imported:
    workbook = spreadsheet.rows_of(data, limits=limits)
    by_sheet: dict[str, list[Line]] = {}
    for row in workbook.rows:
        by_sheet.setdefault(row.sheet, []).append(Line(*row))
    if sheet and sheet not in by_sheet:
        raise Invalid(
            [Problem("workbook_is_readable", "feuille absente", (), "", sheet, ", ".join(by_sheet) or "aucune")]
        )
    tables = [_table(lines, named) for title, lines in by_sheet.items() if sheet in ("", title)]
    found = _complete(max(tables, key=_worth, default=None), named, limits)
    nomenclature = workbook.properties.get(spreadsheet.NOMENCLATURE, "")
    others = [title for title in by_sheet if title != found.layout.sheet]
    if others and not nomenclature:
        rows.remarks.append(f"feuilles non lues : {', '.join(others)}")
    kind = _kind(data)
    if kind == "xls":
        rows.remarks.append("un classeur .xls : les lignes refusées seront rendues en .xlsx")
    rows.take_all(found, ragged=True)
    release = workbook.properties.get(spreadsheet.VERSION, "") if nomenclature else ""
    return rows.imported(kind, found, nomenclature, release)


def _kind(data: bytes) -> str:
    """The format of a workbook that was read."""
    if data.startswith(b"\xd0"):
        return "xls"
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return "ods" if "content.xml" in archive.namelist() else "xlsx"


def _read_csv(text: str, named: Table[str, str], rows: Rows, limits: Limits) -> Imported:
    tables = [(_worth(found), delimiter) for delimiter in _DELIMITERS if (found := _top(text, delimiter, named))]
    if not tables:
        # Nothing can be read as a table: the reader says why.
        next(tabular.records(text, ";"), None)
        raise Invalid([Problem("csv_is_readable", "fichier vide", (), "ligne 1", "", "une ligne d'en-tête")])
    # The first delimiter wins where two are as good.
    delimiter = max(tables, key=lambda table: table[0])[1]
    lines = (Line("", line, cells) for line, cells in tabular.records(text, delimiter))
    found = _complete(_table(lines, named), named, limits)
    rows.take_all(found)
    return rows.imported("csv", found._replace(layout=found.layout._replace(delimiter=delimiter)))


def _top(text: str, delimiter: str, named: Table[str, str]) -> Found | None:
    """The table that a delimiter shows at the beginning of a text."""
    lines: list[Line] = []
    try:
        for line, cells in islice(tabular.records(text, delimiter), HEADER_WITHIN):
            lines.append(Line("", line, cells))
    except Invalid:
        # Another delimiter may be the right one; if none is, reading on tells the same.
        pass
    return _table(lines, named)


def _table(lines: Iterable[Line], named: Table[str, str]) -> Found | None:
    """The table whose header fits best among the first lines, if there are any."""
    rest = iter(lines)
    first = list(islice(rest, HEADER_WITHIN))
    found = []
    for place, line in enumerate(first):
        headers = tuple(cell.strip() for cell in line.texts()[:_WIDEST])
        layout = Layout(line.sheet, line.line, headers)
        below = _chained(first[place + 1 :], rest)
        found.append(Found(layout, recognise(headers, named), below, place))
    # The first line wins where two are as good.
    return max(found, key=_worth, default=None)


def _chained(first: list[Line], rest: Iterator[Line]) -> Iterator[Line]:
    yield from first
    yield from rest


def _worth(found: Found | None) -> tuple[bool, bool, int, int]:
    """How well a header fits: whether it has what was named, and a code; how many roles; how many cells."""
    if found is None:
        return (False, False, 0, 0)
    recognised = found.recognised
    roles = len(recognised.places) + len(recognised.doubtful)
    has_code = "code" in recognised.places or "code" in recognised.doubtful
    return (not recognised.absent, has_code, roles, len(list(filter(None, found.layout.headers))))


def _complete(found: Found | None, named: Table[str, str], limits: Limits) -> Found:
    """The table with all of its lines, if nothing that matters is missing or in doubt.

    :raises Invalid: saying what is, and how to name a column.
    :raises TooLarge: if it has more columns or lines than ``limits`` allow.
    """
    rule = "columns_are_recognised"
    if found is None:
        raise Invalid([Problem(rule, "aucune ligne", (), "", "", "une ligne d'en-tête, puis un code par ligne")])
    layout, recognised = found.layout, found.recognised
    if len(layout.headers) > limits.columns:
        raise TooLarge(f"{len(layout.headers)} colonnes, {limits.columns} au plus")
    below = list(islice(found.lines, limits.rows + 1))
    if len(below) > limits.rows:
        raise TooLarge(f"au plus {limits.rows} lignes")
    if "relation" not in {*recognised.places, *recognised.doubtful, *named}:
        place = relation_by_cells(recognised, layout.headers, [line.texts() for line in below])
        if place is not None:
            recognised = recognise(layout.headers, named, relation=place)
            _check_target(layout.headers[place], recognised, where=f"ligne {layout.line}")
    where = f"feuille {layout.sheet}, ligne {layout.line}" if layout.sheet else f"ligne {layout.line}"
    there = ", ".join(filter(None, layout.headers))[:1000]
    problems = [Problem(rule, "colonne absente", (), where, name, there) for name in recognised.absent]
    for role, headers in recognised.doubtful.items():
        if essential(role):
            message = f"plusieurs colonnes peuvent être {HEADERS[role]!r}"
            accepted = f'--column {role}="{headers[0]}"'
            problems.append(Problem(rule, message, (), where, ", ".join(headers), accepted))
    if "code" not in recognised.places and not problems:
        accepted = 'une ligne d\'en-tête avec une colonne « code », ou le nom de celle des codes (--column code="…")'
        problems.append(Problem(rule, "la colonne des codes n'est pas reconnue", (), where, there, accepted))
    if problems:
        raise Invalid(problems)
    return found._replace(recognised=recognised, lines=below)


def _check_target(relation: str, recognised: Recognised, *, where: str) -> None:
    """Do nothing if a column has what relations lead to.

    :raises Invalid: naming a column that may.
    """
    if "target_code" in {*recognised.places, *recognised.doubtful} or not recognised.unused:
        return
    message = f"« {relation} » dit des relations, et aucune colonne n'est reconnue pour leurs cibles"
    accepted = f'--column target_code="{recognised.unused[-1]}"'
    there = ", ".join(recognised.unused)[:1000]
    raise Invalid([Problem("columns_are_recognised", message, (), where, there, accepted)])


def _read_sssom(data: bytes, rows: Rows, limits: Limits) -> Imported:
    reading = sssom.parse(data)
    found = reading.mapping_set
    slots = [slot for slot in _SSSOM_ROLES if any(slot in row for row in found.rows) or slot in reading.columns]
    headers = dict(zip(_SSSOM_ROLES.values(), _SSSOM_ROLES, strict=True))
    rows.headers = headers
    if len(found.rows) + len(reading.faults) > limits.rows:
        raise TooLarge(f"au plus {limits.rows} lignes")
    rows.faults(reading.faults)
    subjects = Counter(str(row["subject_id"]).partition(":")[0] for row in found.rows)
    times = Counter(str(row["subject_id"]) for row in found.rows)
    for line, row in zip(reading.lines, found.rows, strict=True):
        cells = {role: _shown(row.get(slot, "")) for slot, role in _SSSOM_ROLES.items()}
        refuse = rows.refuser("", line, cells)
        target = str(row["object_id"])
        if str(row["subject_id"]).partition(":")[0] != subjects.most_common(1)[0][0]:
            refuse("code", "code d'une autre liste que les autres lignes", "un seul préfixe pour les codes locaux")
        if "predicate_modifier" in row:
            refuse("relation", "une correspondance niée n'est pas une correspondance", "predicate_modifier vide")
        prefix, _, predicate = str(row["predicate_id"]).partition(":")
        cells["code"] = unquote(str(row["subject_id"]).partition(":")[2])
        cells["target_code"] = found.iri(target) if rows.nomenclature else unquote(target.partition(":")[2])
        cells["relation"] = predicate if prefix == "skos" else str(row["predicate_id"])
        if target == sssom.NO_TERM_FOUND:
            cells["target_code"] = ""
            if predicate == "exactMatch" and times[str(row["subject_id"])] > 1:
                # It only says that no exact match was found, which another row of the code may well agree with.
                rows.count[ONLY_NOT_EXACT] += 1
                rows.read += 1
                continue
            cells["relation"] = "noMatch"
            if predicate not in ("mappingRelation", "exactMatch"):
                refuse("relation", "ne dit pas qu'il n'y a pas d'équivalent", f"skos:mappingRelation à {target}")
        rows.take("", line, cells)
    named = tuple(Column(_SSSOM_ROLES[slot], slot, named=False) for slot in slots)
    sources = {str(row.get("object_source", "")) for row in found.rows}
    versions = {str(row.get("object_source_version", "")) for row in found.rows}
    [source] = sources if len(sources) == 1 else [""]
    [version] = versions if len(versions) == 1 else [""]
    layout = Layout("", reading.body, tuple(reading.columns), "\t")
    unused = tuple(name for name in reading.columns if name not in _SSSOM_ROLES and name not in (REASON, ACCEPTED))
    return replace(
        rows.imported("sssom", None, found.iri(source) if source else "", version),
        columns=named,
        unused=unused,
        layout=layout,
    )


def _shown(value: str | tuple[str, ...]) -> str:
    return value if isinstance(value, str) else ", ".join(value)
