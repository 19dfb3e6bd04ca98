"""A department's own file, as it is: CSV, XLSX, ODS, XLS or SSSOM/TSV becomes local codes and mappings.

Nothing has to be renamed or moved first: title lines above the header are passed over, the columns are recognised
(``registry.columns``) or named by whoever sends the file, relations are read in French too. A code stays the text that
the agent sees; only blanks at its edges go, and the answer says so, as it says whatever else was tidied up.

Every row is accepted or refused, and each refusal says sheet, line, column, value, rule and what would be accepted.
``refused_file`` gives the refused rows back in the format that came in, to mend and send again.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from collections.abc import Mapping as Table
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple, Protocol
from urllib.parse import unquote

from registry import analysis
from registry.columns import (
    ACCEPTED,
    CODE_ROLES,
    HEADERS,
    MAPPED,
    REASON,
    RELATION_WORDS,
    ROLES,
    STATE_WORDS,
    UNREVIEWED,
    Column,
    Recognised,
    essential,
    recognise,
    relation_of,
    state_of,
)
from registry.crosswalks import (
    JUSTIFICATIONS,
    RELATIONS,
    LocalCode,
    Mapping,
    local_code_from,
    mapping_from,
)
from registry.errors import Invalid, Problem, TooLarge
from registry.formats import opendocument, spreadsheet, sssom, tabular
from registry.formats.spreadsheet import Fault
from registry.model import WIDEST_CODE, Nomenclature
from registry.rules import NOTE_LENGTH
from registry.sandbox import REQUEST_LIMITS, Limits

__all__ = ("ROLES", "Column", "Imported", "Refusal", "read", "refused_file")

HEADER_WITHIN = 10
"""The header stands in one of the first lines that hold something; what stands above is a title."""

LONGEST_CELL = NOTE_LENGTH
"""The most characters of a cell: no code, label or note of a list is longer."""

_WIDEST = 1000
_CELL = "cell_is_acceptable"
_YES = frozenset(map(analysis.key, ("oui", "x", "vrai", "true", "1", "yes", "o")))
_NO = frozenset(map(analysis.key, ("non", "faux", "false", "0", "no", "n")))
_TEXTS = frozenset({"label", "note", "comment", "author", "reviewer", "target_label"})
_LINE_BREAKS = re.compile("[\t\n\v\f\r\x85\u2028\u2029]+")
_INVISIBLE = re.compile("[\u00ad\u200b\u2060\ufeff]")
_CODE_AND_LABEL = re.compile(rf"({WIDEST_CODE.pattern})\s+[—–:-]\s+(\S.*)", re.DOTALL)
_FRENCH_DAY = re.compile(r"(\d{1,2})[/.](\d{1,2})[/.](\d{4})")
_PERCENT = re.compile(r"(\d{1,3})\s*%")
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
_CSV = ("text/csv", "csv")


class Refusal(NamedTuple):
    """A cell of a row that is refused: where it stands, what stands there, which rule it breaks and what would not."""

    sheet: str
    line: int
    column: str
    value: str
    rule: str
    message: str
    accepted: str

    @property
    def problem(self) -> Problem:
        """The refusal as the errors of the registry say it."""
        sheet = f"feuille {self.sheet}, " if self.sheet else ""
        where = f"{sheet}ligne {self.line}, colonne {self.column}"
        return Problem(self.rule, self.message, (), where, self.value, self.accepted)


class Layout(NamedTuple):
    """Where the table of a file stands: its sheet, the line of its header, its headers, and the CSV's delimiter."""

    sheet: str = ""
    line: int = 1
    headers: tuple[str, ...] = ()
    delimiter: str = ""


@dataclass(frozen=True, slots=True)
class Imported:
    """What a file tells: the codes and mappings of the rows accepted, and every refusal.

    ``nomenclature`` (its IRI) and ``release`` are what the file itself says that it maps to, else empty.
    ``target_labels`` are the labels that the file gives to its targets, to be compared and never believed.
    """

    format: str
    columns: tuple[Column, ...]
    unused: tuple[str, ...]
    read: int
    codes: tuple[LocalCode, ...]
    mappings: tuple[Mapping, ...]
    refusals: tuple[Refusal, ...]
    remarks: tuple[str, ...]
    nomenclature: str = ""
    release: str = ""
    target_labels: tuple[tuple[str, str], ...] = ()
    layout: Layout = Layout()

    @property
    def refused(self) -> int:
        """How many rows were refused."""
        return len({(refusal.sheet, refusal.line) for refusal in self.refusals})

    @property
    def accepted(self) -> int:
        """How many rows were accepted."""
        return self.read - self.refused


class _Line(NamedTuple):
    """A line of a file that holds something."""

    sheet: str
    line: int
    cells: Sequence[str | Fault]

    def texts(self) -> list[str]:
        return [cell if isinstance(cell, str) else cell.value for cell in self.cells]


class _Found(NamedTuple):
    """A table found in a file: where its header stands, what its columns are, its lines below."""

    layout: Layout
    recognised: Recognised
    lines: Iterable[_Line]
    above: int


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
    rows = _Rows(relation, nomenclature, targets)
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
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


def _read_workbook(data: bytes, named: Table[str, str], sheet: str, rows: _Rows, limits: Limits) -> Imported:
    workbook = spreadsheet.rows_of(data, limits=limits)
    by_sheet: dict[str, list[_Line]] = {}
    for row in workbook.rows:
        by_sheet.setdefault(row.sheet, []).append(_Line(*row))
    if sheet and sheet not in by_sheet:
        raise Invalid(
            [Problem("workbook_is_readable", "feuille absente", (), "", sheet, ", ".join(by_sheet) or "aucune")]
        )
    tables = [_table(lines, named) for title, lines in by_sheet.items() if sheet in ("", title)]
    found = _complete(max(tables, key=_worth, default=None), named)
    below = list(found.lines)
    if len(below) > limits.rows:
        raise TooLarge(f"au plus {limits.rows} lignes")
    found = found._replace(lines=below)
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


def _read_csv(text: str, named: Table[str, str], rows: _Rows, limits: Limits) -> Imported:
    tables = [(_worth(found), delimiter) for delimiter in tabular.DELIMITERS if (found := _top(text, delimiter, named))]
    if not tables:
        # Nothing can be read as a table: the reader says why.
        next(tabular.records(text, ";"), None)
        raise Invalid([Problem("csv_is_readable", "fichier vide", (), "ligne 1", "", "une ligne d'en-tête")])
    # The first delimiter wins where two are as good.
    delimiter = max(tables, key=lambda table: table[0])[1]
    lines = (_Line("", line, cells) for line, cells in tabular.records(text, delimiter))
    found = _complete(_table(lines, named), named)
    if len(found.layout.headers) > limits.columns:
        raise TooLarge(f"{len(found.layout.headers)} colonnes, {limits.columns} au plus")
    below = list(found.lines)
    if len(below) > limits.rows:
        raise TooLarge(f"au plus {limits.rows} lignes")
    rows.take_all(found._replace(lines=below))
    return rows.imported("csv", found._replace(layout=found.layout._replace(delimiter=delimiter)))


def _top(text: str, delimiter: str, named: Table[str, str]) -> _Found | None:
    """The table that a delimiter shows at the beginning of a text."""
    lines: list[_Line] = []
    try:
        for line, cells in islice(tabular.records(text, delimiter), HEADER_WITHIN):
            lines.append(_Line("", line, cells))
    except Invalid:
        # Another delimiter may be the right one; if none is, reading on tells the same.
        pass
    return _table(lines, named)


def _table(lines: Iterable[_Line], named: Table[str, str]) -> _Found | None:
    """The table whose header fits best among the first lines, if there are any."""
    rest = iter(lines)
    first = list(islice(rest, HEADER_WITHIN))
    found = []
    for place, line in enumerate(first):
        headers = tuple(cell.strip() for cell in line.texts()[:_WIDEST])
        layout = Layout(line.sheet, line.line, headers)
        below = _chained(first[place + 1 :], rest)
        found.append(_Found(layout, recognise(headers, named), below, place))
    # The first line wins where two are as good.
    return max(found, key=_worth, default=None)


def _chained(first: list[_Line], rest: Iterator[_Line]) -> Iterator[_Line]:
    yield from first
    yield from rest


def _worth(found: _Found | None) -> tuple[bool, bool, int, int]:
    """How well a header fits: whether it has what was named, and a code; how many roles; how many cells."""
    if found is None:
        return (False, False, 0, 0)
    recognised = found.recognised
    roles = len(recognised.places) + len(recognised.doubtful)
    has_code = "code" in recognised.places or "code" in recognised.doubtful
    return (not recognised.absent, has_code, roles, len(list(filter(None, found.layout.headers))))


def _complete(found: _Found | None, named: Table[str, str]) -> _Found:
    """The table, if nothing that matters is missing or in doubt.

    :raises Invalid: saying what is, and how to name a column.
    """
    rule = "columns_are_recognised"
    if found is None:
        raise Invalid([Problem(rule, "aucune ligne", (), "", "", "une ligne d'en-tête, puis un code par ligne")])
    layout, recognised = found.layout, found.recognised
    where = f"feuille {layout.sheet}, ligne {layout.line}" if layout.sheet else f"ligne {layout.line}"
    there = ", ".join(filter(None, layout.headers))[:1000]
    problems = [Problem(rule, "colonne absente", (), where, name, there) for name in recognised.absent]
    for role, headers in recognised.doubtful.items():
        if essential(role):
            message = f"plusieurs colonnes peuvent être {HEADERS[role]!r}"
            accepted = f'--column {role}="{headers[0]}"'
            problems.append(Problem(rule, message, (), where, ", ".join(headers), accepted))
    if "code" not in recognised.places and not problems:
        accepted = 'une colonne « code », ou --column code="…" avec l\'une des colonnes du fichier'
        problems.append(Problem(rule, "la colonne des codes n'est pas reconnue", (), where, there, accepted))
    if problems:
        raise Invalid(problems)
    return found


def _read_sssom(data: bytes, rows: _Rows, limits: Limits) -> Imported:
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
                rows.count["lignes qui ne nient qu'une correspondance exacte passées"] += 1
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


# The rows of tables.


class _Refuse(Protocol):
    def __call__(self, column: str, message: str, accepted: str, rule: str = ...) -> None: ...


class _Rows:
    """The rows of a file being read: what was accepted, what was refused, what was tidied up."""

    def __init__(
        self, relation: str, nomenclature: Nomenclature | None, targets: Collection[str] | None = None
    ) -> None:
        self.nomenclature = nomenclature
        self.targets = targets
        self.headers: Table[str, str] = {}
        self.read = 0
        self.count: Counter[str] = Counter()
        self.remarks: list[str] = []
        self.refusals: list[Refusal] = []
        self._relation = relation
        self._codes: dict[str, tuple[LocalCode, int, bool]] = {}
        self._mappings: dict[str, dict[str, tuple[Mapping, int]]] = {}
        self._target_labels: dict[str, str] = {}

    def faults(self, faults: Iterable[sssom.Fault]) -> None:
        """Refuse the rows that the reader of a format refuses already."""
        for fault in faults:
            found = Refusal("", fault.line, fault.slot, fault.value, sssom.RULE, fault.message, fault.accepted)
            self.refusals.append(found)
        self.read += len({fault.line for fault in faults if fault.line})

    def take_all(self, found: _Found, *, ragged: bool = False) -> None:
        """Take the rows below a header; ``ragged`` says that rows end with their last cell that holds something."""
        places = found.recognised.places
        self.headers = {role: found.layout.headers[place] for role, place in places.items()}
        if found.above:
            self.count["lignes de titre passées au-dessus de l'en-tête"] += found.above
        width = len(found.layout.headers)
        for sheet, line, cells in found.lines:
            if all(isinstance(cell, str) and not cell.strip() for cell in cells):
                continue
            beyond = [cell for cell in cells[width:] if not isinstance(cell, str) or cell.strip()]
            if not ragged and (len(cells) < width or beyond):
                self.read += 1
                given = cells[0] if isinstance(cells[0], str) else cells[0].value
                message = f"{len(cells)} cellules pour {width} colonnes"
                accepted = "autant de cellules que l'en-tête a de colonnes, les textes à délimiteur entre guillemets"
                column = self.headers["code"]
                self.refusals.append(Refusal(sheet, line, column, given[:300], "row_fits_header", message, accepted))
                continue
            unnamed = [cell for cell, header in zip(cells, found.layout.headers, strict=False) if not header and cell]
            if beyond or unnamed:
                self.count["cellules sans nom de colonne non lues"] += len(beyond) + len(unnamed)
            row: dict[str, str] = {}
            refuse = self.refuser(sheet, line, row)
            for role, place in places.items():
                cell = cells[place] if place < len(cells) else ""
                row[role] = cell if isinstance(cell, str) else cell.value
                if isinstance(cell, Fault):
                    refuse(role, cell.message, cell.accepted)
                elif len(cell) > LONGEST_CELL and role not in ("note", "comment"):  # Which have this bound themselves.
                    refuse(role, f"cellule de {len(cell)} caractères", f"{LONGEST_CELL} caractères au plus")
            self.take(sheet, line, row)

    def refuser(self, sheet: str, line: int, row: Table[str, str]) -> _Refuse:
        """What a row's cells are refused with."""

        def refuse(column: str, message: str, accepted: str, rule: str = _CELL) -> None:
            role = "code" if column == "local_code" else column
            header = self.headers.get(role, HEADERS[role])
            found = Refusal(sheet, line, header, row.get(role, "")[:300], rule, message, accepted)
            # A code is looked at as a code of the list, then as that of a mapping.
            if not any(other[:3] == found[:3] and other.message == message for other in self.refusals[-10:]):
                self.refusals.append(found)

        return refuse

    def take(self, sheet: str, line: int, cells: Table[str, str]) -> None:
        """Take a row, by role; if anything of it is refused, nothing of it is kept."""
        self.read += 1
        refuse = self.refuser(sheet, line, cells)
        row = {role: self._tidied(role, cell) for role, cell in cells.items()}
        if not row["code"]:
            refuse("code", "code absent", "un code sur chaque ligne")
        else:
            code = local_code_from({role: row.get(role, "") for role in CODE_ROLES}, refuse)
            merged = self._merged(code, line, refuse, given=bool(row.get("label")))
            mapping, label = self._mapping(row, refuse)
            new = mapping is not None and self._is_new(mapping, refuse)
            last = self.refusals[-1] if self.refusals else None
            if last is None or (last.sheet, last.line) != (sheet, line):
                self._codes[code.code] = merged
                if mapping is not None and new:
                    self._mappings.setdefault(mapping.local_code, {})[mapping.target_code] = (mapping, line)
                    if label:
                        self._target_labels.setdefault(mapping.target_code, label)

    def _tidied(self, role: str, cell: str) -> str:
        text = cell.strip()
        if text != cell:
            self.count["cellules dont les blancs aux bords ont été retirés"] += 1
        if role in _TEXTS:
            plain = unicodedata.normalize("NFC", _INVISIBLE.sub("", _LINE_BREAKS.sub(" ", text))).strip()
            if plain != text:
                self.count["textes remis sur une ligne, sans caractères invisibles"] += 1
            text = plain
        if role in _NUMBERS and (number := _NUMBERS[role](text)) != text:
            self.count["dates et nombres récrits (jj/mm/aaaa, virgule, espaces, oui/non)"] += 1
            text = number
        return text

    def _mapping(self, row: Table[str, str], refuse: _Refuse) -> tuple[Mapping | None, str]:
        """The mapping that a row tells, none if nobody has reviewed it; and the label that it gives to its target."""
        relation, target, label = self._said(row, refuse)
        if relation == UNREVIEWED:
            if target:
                self.count["lignes à examiner, dont la cible n'a pas été retenue"] += 1
            return None, ""
        if not relation and not target:
            return None, ""
        if target and not relation:
            if not self._relation:
                accepted = f"{', '.join(RELATION_WORDS.values())} ; ou --relation pour toutes les lignes sans relation"
                refuse("relation", "la relation n'est pas dite", accepted)
                return None, ""
            relation = self._relation
            self.count[f"lignes sans relation prises pour {relation}"] += 1
        if target and not WIDEST_CODE.fullmatch(target):
            refuse("target_code", "ce n'est pas un code de concept", "un seul code par ligne, sans autre texte")
            return None, ""
        if target and self.targets is not None and target not in self.targets:
            message, accepted = "concept absent de la version visée", "un code de la version visée"
            refuse("target_code", message, accepted, "target_exists")
            return None, ""
        justification = row.get("justification", "")
        known = {name.partition(":")[2].lower(): name for name in JUSTIFICATIONS}
        if target and self.targets is not None and target not in self.targets:
            refuse("target_code", "concept absent de la version visée", "un code de cette version", "target_exists")
        if relation not in RELATIONS:
            accepted = f"{', '.join(RELATION_WORDS.values())} ; ou {', '.join(RELATIONS)}"
            refuse("relation", "relation inconnue", accepted)
            return None, ""
        mapping = mapping_from(
            {
                **{role: row.get(role, "") for role in ROLES},
                "local_code": row["code"],
                "target_code": target,
                "relation": relation,
                "justification": known.get(justification.lower(), justification),
            },
            refuse,
        )
        return mapping, label

    def _said(self, row: Table[str, str], refuse: _Refuse) -> tuple[str, str, str]:
        """What a row says of its relation, its target, and the target's label."""
        target, label = self._target(row.get("target_code", ""))
        relation = row.get("relation", "").removeprefix("skos:")
        relation = relation_of(relation) or relation
        status = row.get("status", "")
        state = state_of(status)
        if not {"relation", "target_code"} & set(self.headers) and state in ("", MAPPED):
            # A list has states of its own, "actif" or "fermé", that say nothing of a mapping.
            self.count["statuts qui ne disent rien d'une correspondance, non lus"] += bool(status)
            return "", "", ""
        if status and not state:
            accepted = f'{", ".join(STATE_WORDS.values())} ; ou --column status="" pour ne pas lire la colonne'
            refuse("status", "statut inconnu", accepted)
        word = "" if WIDEST_CODE.fullmatch(target) else relation_of(target)
        if word in ("noMatch", UNREVIEWED):
            state, target = word, ""
        if state == UNREVIEWED:
            return state, target, label
        if state == "noMatch" and relation in ("", "noMatch"):
            relation = state
        elif state == "noMatch":
            refuse("status", "sans équivalent, et une relation", "une relation avec un code, ou « sans équivalent »")
        elif state == MAPPED and not target and relation != "noMatch":
            refuse("target_code", "examiné, mais sans cible", "un code, ou « sans équivalent » comme relation")
        return relation, target, label or row.get("target_label", "")

    def _target(self, cell: str) -> tuple[str, str]:
        """The code and the label of a target's cell, which may be a code, a code and a label, or a concept's IRI."""
        iri = f"{self.nomenclature.iri}/" if self.nomenclature else ""
        if iri and cell.startswith(iri):
            return cell.removeprefix(iri), ""
        match = _CODE_AND_LABEL.fullmatch(cell)
        return (match[1], match[2]) if match else (cell, "")

    def _merged(self, code: LocalCode, line: int, refuse: _Refuse, *, given: bool) -> tuple[LocalCode, int, bool]:
        """A code with what earlier rows say of it; the line that gives it first; whether any gives it a label."""
        if code.code not in self._codes:
            return code, line, given
        known, first, was_given = self._codes[code.code]
        merged = {}
        for role in CODE_ROLES[1:]:
            before, now = getattr(known, role), getattr(code, role)
            if role == "label":
                before, now = before if was_given else "", now if given else ""
            if before and now and before != now:
                message = f"le code est déjà donné ligne {first}, avec « {before[:100]} »"
                refuse(role, message, "la même chose que là, ou un autre code", "code_is_given_once")
            merged[role] = before or now or (code.code if role == "label" else "")
        return LocalCode(code.code, **merged), first, was_given or given

    def _is_new(self, mapping: Mapping, refuse: _Refuse) -> bool:
        """Whether no earlier row gives a mapping; what contradicts an earlier row is refused."""
        found = self._mappings.get(mapping.local_code, {})
        if mapping.target_code in found:
            known, first = found[mapping.target_code]
            if known != mapping:
                message = f"cette correspondance est déjà donnée autrement ligne {first}"
                refuse("target_code", message, "une ligne par code et par cible", "mapping_is_given_once")
            else:
                self.count["lignes répétées à l'identique, gardées une fois"] += 1
            return False
        if not found:
            return True
        # Whatever stands alone is the first of its code: what came after it was refused.
        known, first = next(iter(found.values()))
        alone = next((one for one in (known.relation, mapping.relation) if one in ("exactMatch", "noMatch")), None)
        if alone:
            message = f"le code a une autre correspondance ligne {first}, et « {RELATION_WORDS[alone]} » vaut seule"
            accepted = "une seule correspondance, ou plusieurs plus étroites, plus larges, proches ou associées"
            refuse("relation", message, accepted, f"{alone}_stands_alone")
        return not alone

    def imported(self, format: str, found: _Found | None, nomenclature: str = "", release: str = "") -> Imported:
        """What was read, whole.

        :raises Invalid: if there is no row at all.
        """
        if not self.read:
            raise Invalid(
                [Problem("columns_are_recognised", "aucune ligne sous l'en-tête", (), "", "", "un code par ligne")]
            )
        told: tuple[Column, ...] = ()
        unused: tuple[str, ...] = ()
        if found:
            named = found.recognised.named
            told = tuple(Column(role, self.headers[role], role in named) for role in ROLES if role in self.headers)
            unused = found.recognised.unused
            for role, headers in found.recognised.doubtful.items():
                if role not in self.headers:
                    continue
                self.remarks.append(
                    f"plusieurs colonnes peuvent être « {HEADERS[role]} » : {', '.join(headers)} ; la première est lue"
                )
        return Imported(
            format,
            told,
            unused,
            self.read,
            tuple(sorted(code for code, _, _ in self._codes.values())),
            tuple(sorted(mapping for found in self._mappings.values() for mapping, _ in found.values())),
            tuple(sorted(self.refusals, key=lambda refusal: refusal.line)),
            (*self.remarks, *(f"{number} {what}" for what, number in self.count.items() if number)),
            nomenclature,
            release,
            tuple(sorted(self._target_labels.items())),
            found.layout if found else Layout(),
        )


def _share(text: str) -> str:
    if match := _PERCENT.fullmatch(text):
        number = int(match[1])
        return f"{number / 100:.2f}".rstrip("0").rstrip(".") if number <= 100 else text
    return text.replace(",", ".") if text.count(",") == 1 else text


def _whole(text: str) -> str:
    return re.sub(r"\s", "", text) if re.fullmatch(r"\d{1,3}(\s\d{3})*", text) else text


def _day(text: str) -> str:
    match = _FRENCH_DAY.fullmatch(text)
    return f"{match[3]}-{int(match[2]):02d}-{int(match[1]):02d}" if match else text


def _truth(text: str) -> str:
    word = analysis.key(text)
    return "true" if word in _YES else "" if word in _NO else text


_NUMBERS: dict[str, Callable[[str], str]] = {
    "frequency": _whole,
    "confidence": _share,
    "weight": _share,
    "covers": _truth,
    "date": _day,
}


# The rows that were refused, as a file.


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
        return head + _csv(lines(), data, "\t"), "text/tab-separated-values", "sssom.tsv"
    return _csv(lines(), data, layout.delimiter), *_CSV


def _lines(data: bytes, imported: Imported, limits: Limits) -> Iterator[_Line]:
    if imported.format in ("xlsx", "xls", "ods"):
        for row in spreadsheet.rows_of(data, limits=limits).rows:
            yield _Line(*row)
        return
    text = tabular.decoded(data)
    above = imported.layout.line - 1 if imported.format == "sssom" else 0
    body = "\n".join(text.split("\n")[above:])
    for line, cells in tabular.records(body, imported.layout.delimiter):
        yield _Line("", line + above, cells)


def _csv(lines: Iterable[list[str]], data: bytes, delimiter: str) -> bytes:
    """Rows in the dialect of a file: its encoding, byte order mark and line ends."""
    encoding = "utf-8"
    try:
        data.decode()
    except UnicodeDecodeError:
        encoding = "utf-16" if tabular.is_utf16(data) else "cp1252"
    buffer = io.StringIO(newline="")
    text = tabular.decoded(data)
    ends = "\r\n" if "\r\n" in text else "\n" if "\n" in text else "\r"
    csv.writer(buffer, delimiter=delimiter, lineterminator=ends).writerows(lines)
    mark = b"\xef\xbb\xbf" if data.startswith(b"\xef\xbb\xbf") else b""
    return mark + buffer.getvalue().encode(encoding, errors="replace")
