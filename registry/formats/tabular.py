"""CSV: a release as a table of its concepts, with the column names that French public data schemas use.

The table itself (``header``, ``table_rows``, ``content``) is the same in a workbook. ``csv`` is UTF-8, comma, RFC 4180,
verbatim. ``csv-excel`` is the same for a spreadsheet: BOM, semicolon, and an apostrophe before any cell that a
spreadsheet would run. Cells with several values join them with ``|``; a ``|`` or
``\\`` inside a value is escaped with ``\\``. ``filiation`` holds the lineage that leaves a code, as ``CODE@DATE:kind``;
``meme_sens`` (read only) says ``oui`` where a text changed and the meaning did not. A column ``libelle@en`` holds
English texts, and so on; without a suffix a text is French.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from typing import NamedTuple

from registry.errors import Invalid, Problem, TooLarge
from registry.model import LINK_KINDS, Concept, Content, Group, Link, Nomenclature, Release, Texts, texts
from registry.sandbox import REQUEST_LIMITS, Limits

TEXT_COLUMNS: dict[str, str] = {
    "libelle": "pref_label",
    "autres_libelles": "alt_label",
    "libelles_caches": "hidden_label",
    "definition": "definition",
    "note_application": "scope_note",
    "inclut": "inclusion_note",
    "exclut": "exclusion_note",
    "exemple": "example",
    "note_historique": "history_note",
}
OTHER_COLUMNS = (
    "code_parent",
    "codes_associes",
    "reference_juridique",
    "date_debut",
    "date_fin",
    "statut",
    "remplace_par",
    "filiation",
)
GROUPS = "groupes"
_READ_ONLY_COLUMNS = ("meme_sens", GROUPS)
STATUSES = {"": "active", "actif": "active", "active": "active", "déprécié": "deprecated", "deprecated": "deprecated"}

MAX_ROWS = 200_000
DELIMITERS = ";,\t"
MAX_CELL = 100_000

_LINK = re.compile(r"(?P<new>[^@|]+)@(?P<date>\d{4}-\d{2}-\d{2}):(?P<kind>[a-z]+)")
LINK_SHAPE = "CODE@AAAA-MM-JJ:" + "|".join(LINK_KINDS)
_RUNS = ("=", "+", "-", "@", "\t", "\r")


def write(release: Release) -> Iterator[bytes]:
    """The release as CSV, verbatim: UTF-8, comma, CRLF as RFC 4180 says, one concept a row, by code."""
    return _written(release, ",", lambda cell: cell)


def write_for_excel(release: Release) -> Iterator[bytes]:
    """The release as CSV for a spreadsheet: BOM, semicolon, CRLF, no cell that would be run as a formula."""
    yield b"\xef\xbb\xbf"
    yield from _written(release, ";", harmless)


def harmless(cell: str) -> str:
    """A cell that no spreadsheet runs: an apostrophe stands before ``= + - @``, tab and CR.

    So does one more before apostrophes that already stand there: ``harmed`` gives every cell back as it was.
    """
    return "'" + cell if cell.lstrip("'").startswith(_RUNS) else cell


def harmed(cell: str) -> str:
    """A cell as it was before ``harmless``."""
    return cell[1:] if cell.startswith("'") and harmless(cell) != cell else cell


def _written(release: Release, delimiter: str, shown: Callable[[str], str]) -> Iterator[bytes]:
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator="\r\n")
    writer.writerow(header(release))
    for number, row in enumerate(table_rows(release)):
        writer.writerow([shown(cell) for cell in row])
        if number % 500 == 499:
            yield _flushed(buffer)
    yield _flushed(buffer)


def header(release: Release) -> list[str]:
    """The names of the columns that a release fills: ``code`` first; other languages and groups where there are any."""
    others = [f"{column}@{language}" for column, language in _other_languages(release)]
    return ["code", *TEXT_COLUMNS, *others, *OTHER_COLUMNS, *([GROUPS] if group_of(release) else ())]


def table_rows(release: Release) -> Iterator[list[str]]:
    """The rows of a release under its ``header``: one concept a row, by code."""
    languages, groups = _other_languages(release), group_of(release)
    for code in sorted(release.concepts):
        concept = release.concepts[code]
        links = release.links_from.get(code, ())
        row = [code]
        # Most of these are empty in most concepts, and this runs for each of several formats.
        row += [
            join_cell(_in_language(values, "fr")) if (values := getattr(concept, name)) else ""
            for name in TEXT_COLUMNS.values()
        ]
        row += [
            join_cell(_in_language(getattr(concept, TEXT_COLUMNS[column]), language)) for column, language in languages
        ]
        row += [
            join_cell(concept.broader),
            join_cell(concept.related),
            join_cell(concept.legal_basis),
            concept.valid_from.isoformat() if concept.valid_from else "",
            concept.valid_until.isoformat() if concept.valid_until else "",
            "déprécié" if concept.status == "deprecated" else "actif",
            join_cell(dict.fromkeys(link.new for link in links if link.new != code)) if links else "",
            join_cell(map(link_text, links)) if links else "",
        ]
        yield [*row, join_cell(groups.get(code, ()))] if groups else row


def _other_languages(release: Release) -> list[tuple[str, str]]:
    found = {
        (column, language)
        for concept in release.concepts.values()
        for column, name in TEXT_COLUMNS.items()
        for language, _ in getattr(concept, name)
        if language != "fr"
    }
    return sorted(found)


def group_of(release: Release) -> dict[str, list[str]]:
    """The codes of the groups that hold a concept, by its code."""
    found: dict[str, list[str]] = {}
    for group in release.groups:
        for code in group.members:
            found.setdefault(code, []).append(group.code)
    return found


def link_text(link: Link) -> str:
    """The lineage that leaves a code, as a text: ``CODE@DATE:kind``."""
    return f"{link.new}@{link.date.isoformat()}:{link.kind}"


def link_from(old: str, text: str) -> Link | None:
    """The lineage that leaves ``old``, from a text as ``link_text`` gives it; None if it is not of that shape."""
    match = _LINK.fullmatch(text)
    kind = next((kind for kind in LINK_KINDS if match and match["kind"] == kind), None)
    if match is None or kind is None:
        return None
    try:
        return Link(old, match["new"], date.fromisoformat(match["date"]), kind)
    except ValueError:
        return None


def _flushed(buffer: io.StringIO) -> bytes:
    data = buffer.getvalue().encode()
    buffer.seek(0)
    buffer.truncate()
    return data


def _in_language(values: Texts, language: str) -> list[str]:
    return [text for tag, text in values if tag == language]


def join_cell(values: Iterable[str]) -> str:
    """The cell that holds values joined with ``|``: ``split_cell`` gives them back, but for empty ones."""
    return "|".join(
        [
            value.replace("\\", "\\\\").replace("|", "\\|") if "|" in value or "\\" in value else value
            for value in values
        ]
    )


def split_cell(cell: str) -> list[str]:
    """The values of a cell joined with ``|``; an empty cell has none."""
    if not cell:
        return []
    if "\\" not in cell:
        return cell.split("|")
    values, current, escaped = [], [], False
    for character in cell:
        if escaped or character not in "\\|":
            current.append(character)
            escaped = False
        elif character == "\\":
            escaped = True
        else:
            values.append("".join(current))
            current = []
    return [*values, "".join(current)]


def rows(data: bytes, *, max_rows: int = MAX_ROWS) -> Iterator[tuple[int, dict[str, str]]]:
    """Read a CSV file: (line number of the row's end, cell by column), the header's names stripped.

    The encoding is told by a BOM (UTF-8, UTF-16), else UTF-8 if the bytes are, else cp1252; the delimiter, among
    ``; , \\t``, by the header. A quote that is never closed is refused, not swallowed.

    :raises Invalid: naming line and column of what can't be read.
    :raises TooLarge: beyond ``max_rows`` rows.
    """
    header: list[str] | None = None
    count = 0
    text = decoded(data)
    for line, row in records(text, max(DELIMITERS, key=text.split("\n", 1)[0].count)):
        if header is None:
            header = [name.strip() for name in row]
            _check_header(header)
            continue
        count += 1
        if count > max_rows:
            raise TooLarge(f"au plus {max_rows} lignes")
        if len(row) != len(header):
            raise _unreadable(
                f"{len(row)} cellules pour {len(header)} colonnes",
                line,
                "autant de cellules que l'en-tête a de colonnes",
            )
        yield line, dict(zip(header, row, strict=True))
    if header is None:
        raise _unreadable("fichier vide", 1, "une ligne d'en-tête")


def records(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The records of a CSV text that hold something, title and header lines too, with the line that each ends on.

    :raises Invalid: at a quote that is never closed, or that stands where none may.
    """
    # Without newline translation a lone CR or a Unicode line separator inside a cell stays what it is.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    csv.field_size_limit(MAX_CELL)
    try:
        for row in reader:
            if any(row):
                yield reader.line_num, row
    except csv.Error as error:
        accepted = "des guillemets fermés, des cellules de taille raisonnable"
        raise _unreadable(f"CSV illisible : {error}", reader.line_num, accepted) from error


def _unreadable(message: str, line: int, accepted: str) -> Invalid:
    return Invalid([Problem("csv_is_readable", message, where=f"ligne {line}", accepted=accepted)])


def decoded(data: bytes) -> str:
    """Bytes as text: BOM (of UTF-16 too, which Excel's « Texte Unicode » is), else UTF-8 if they are, else cp1252.

    :raises Invalid: if they are none of these, or hold NUL characters.
    """
    try:
        text = data.decode("utf-16" if is_utf16(data) else "utf-8-sig")
    except UnicodeDecodeError:
        try:
            # UTF-16 that ends in the middle of a character is refused here: what its NULs are is told below.
            text = data.decode("cp1252")
        except UnicodeDecodeError as error:
            line = data[: error.start].count(b"\n") + 1
            raise Invalid(
                [
                    Problem(
                        "csv_is_readable",
                        "encodage inconnu",
                        where=f"ligne {line}",
                        value=f"octet 0x{data[error.start]:02X}",
                        accepted="UTF-8, ou cp1252 (Windows)",
                    )
                ]
            ) from error
    if "\x00" in text:
        line = text[: text.index("\x00")].count("\n") + 1
        raise Invalid([Problem("csv_is_readable", "caractère nul", where=f"ligne {line}", accepted="du texte")])
    return text


def is_utf16(data: bytes) -> bool:
    """Whether bytes begin with the byte order mark of UTF-16."""
    return data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))


def _check_header(header: list[str]) -> None:
    repeated = sorted({name for name in header if header.count(name) > 1} | ({""} & set(header)))
    if repeated:
        raise Invalid(
            [
                Problem(
                    "csv_is_readable",
                    "colonne sans nom ou répétée",
                    where="ligne 1",
                    value=", ".join(repr(name) for name in repeated),
                    accepted="des noms de colonnes distincts",
                )
            ]
        )


def read_from_excel(data: bytes, nomenclature: Nomenclature, limits: Limits = REQUEST_LIMITS) -> Content:
    """A state from CSV as ``write_for_excel`` gives it: as ``read``, without the apostrophes that it adds.

    :raises Invalid: as ``read`` does.
    """
    return read(data, nomenclature, limits, meant=harmed)


def read(
    data: bytes, nomenclature: Nomenclature, limits: Limits = REQUEST_LIMITS, *, meant: Callable[[str], str] = str
) -> Content:
    """A state from CSV as ``write`` gives it; only ``code`` and ``libelle`` are required.

    ``meant`` turns a cell as it stands into what it means.

    :raises Invalid: with the line, the column, the value and what is accepted, for the first hundred problems.
    :raises TooLarge: beyond the limits.
    """
    limits.check(data)
    return content(Table("ligne 1", ((f"ligne {line}", cells) for line, cells in rows(data))), meant=meant)


class Table(NamedTuple):
    """A table with a header: where the header stands; and of each row, where it stands and its cells by column."""

    header: str
    rows: Iterable[tuple[str, Mapping[str, str]]]


def content(table: Table, *, meant: Callable[[str], str] = str) -> Content:
    """The state that a table tells, wherever it comes from; ``meant`` as for ``read``.

    :raises Invalid: with the place, the column, the value and what is accepted, for the first hundred problems.
    """
    problems: list[Problem] = []
    concepts: dict[str, Concept] = {}
    places: dict[str, str] = {}
    links: set[Link] = set()
    same: list[str] = []
    members: dict[str, list[str]] = {}
    columns: set[str] = set()
    for place, cells in table.rows:
        row = {column: meant(cell) for column, cell in cells.items()}
        if not columns:
            columns = set(row)
            _check_columns(row, table.header)
        reader = _Row(place, row, problems)
        code = row["code"]
        if code in places:
            reader.refuse("code", f"code déjà donné ({places[code]})", "un code par ligne")
            continue
        places[code] = place
        concept = reader.concept()
        links.update(reader.links())
        concepts[code] = concept
        if reader.choice("meme_sens", {"": "", "oui": "oui", "non": ""}):
            same.append(code)
        for group in split_cell(row.get(GROUPS, "")):
            members.setdefault(group, []).append(code)
    if not columns:
        accepted = f"un concept par ligne, sous l'en-tête ({table.header})"
        problems.append(Problem("csv_is_readable", "aucun concept", where=table.header, accepted=accepted))
    if problems:
        raise Invalid(problems[:100], len(problems))
    # A table has no place for a group's label: the code stands for it until the draft finds the label in its base.
    groups = tuple(Group(group, (), tuple(sorted(codes))) for group, codes in sorted(members.items()))
    return Content(
        dict(sorted(concepts.items())),
        frozenset(links) if "filiation" in columns else None,
        groups if GROUPS in columns else None,
        tuple(same),
    )


def _check_columns(row: Mapping[str, str], where: str) -> None:
    known = {"code", *TEXT_COLUMNS, *OTHER_COLUMNS, *_READ_ONLY_COLUMNS}
    unknown = [name for name in row if name.split("@")[0] not in known]
    missing = [name for name in ("code", "libelle") if name not in row]
    if "remplace_par" in row and "filiation" not in row:
        missing.append("filiation")
    if unknown or missing:
        problems = [
            Problem("csv_columns", "colonne inconnue", where=where, value=name, accepted=", ".join(sorted(known)))
            for name in unknown
        ]
        problems += [Problem("csv_columns", f"colonne {name} absente", where=where) for name in missing]
        raise Invalid(problems)


class _Row:
    """One row being read: what it gives, and where it is wrong."""

    def __init__(self, place: str, row: Mapping[str, str], problems: list[Problem]) -> None:
        self.place, self.row, self.problems = place, row, problems

    def refuse(self, column: str, message: str, accepted: str) -> None:
        self.problems.append(
            Problem(
                "csv_cell",
                message,
                (self.row["code"],),
                f"{self.place}, colonne {column}",
                self.row.get(column, ""),
                accepted,
            )
        )

    def concept(self) -> Concept:
        pairs: dict[str, list[tuple[str, str]]] = {name: [] for name in TEXT_COLUMNS.values()}
        for column, cell in self.row.items():
            base, _, language = column.partition("@")
            if cell and base in TEXT_COLUMNS:
                pairs[TEXT_COLUMNS[base]] += ((language or "fr", text) for text in split_cell(cell))
        values = {name: texts(found) for name, found in pairs.items()}
        if not self.row["code"]:
            self.refuse("code", "code absent", "un code")
        status = self.choice("statut", STATUSES)
        return Concept(
            code=self.row["code"],
            status="deprecated" if status == "deprecated" else "active",
            broader=tuple(sorted(set(split_cell(self.row.get("code_parent", ""))))),
            related=tuple(sorted(set(split_cell(self.row.get("codes_associes", ""))))),
            legal_basis=tuple(sorted(set(split_cell(self.row.get("reference_juridique", ""))))),
            valid_from=self.day("date_debut"),
            valid_until=self.day("date_fin"),
            **values,
        )

    def choice(self, column: str, accepted: Mapping[str, str]) -> str:
        value = self.row.get(column, "").strip().lower()
        if value not in accepted:
            self.refuse(column, "valeur inconnue", ", ".join(name for name in accepted if name))
        return accepted.get(value, "")

    def day(self, column: str) -> date | None:
        value = self.row.get(column, "").strip()
        if not value:
            return None
        try:
            # fromisoformat also takes 20220101 and 2022-W01-1, which no reader of a CSV column of dates expects.
            if len(value) != 10:
                raise ValueError(value)
            return date.fromisoformat(value)
        except ValueError:
            self.refuse(column, "date illisible", "AAAA-MM-JJ")
            return None

    def links(self) -> Iterator[Link]:
        for value in split_cell(self.row.get("filiation", "")):
            link = link_from(self.row["code"], value)
            if link is None:
                self.refuse("filiation", "filiation illisible", LINK_SHAPE)
            else:
                yield link
