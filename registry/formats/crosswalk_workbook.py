"""A crosswalk as a workbook to fill in: all the codes of the list, mapped or not, with lists to choose from.

It is what a department edits and sends back. ``registry.importing`` reads it, and what was not edited comes back as it
went out: every column of a code and of its mapping is there. A target is shown, and chosen, as ``CODE — label``: no
code of a nomenclature holds a blank, so the code is what stands before the first. The custom properties say to which
nomenclature and release it maps, and to which edition.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import xlsxwriter

from registry.columns import CODE_ROLES, HEADERS, RELATION_WORDS
from registry.crosswalks import JUSTIFICATIONS, Crosswalk, Mapping
from registry.formats import spreadsheet
from registry.formats.spreadsheet import NOMENCLATURE, REGISTRY, VERSION, Formats

ROLES = (
    *CODE_ROLES,
    "relation",
    "target_code",
    "covers",
    "weight",
    "confidence",
    "justification",
    "comment",
    "author",
    "reviewer",
    "date",
)
"""The columns of the workbook, in order."""

SHEET = "Correspondances"
_WIDTHS = {"code": 16, "label": 40, "target_code": 50, "note": 40, "comment": 40, "justification": 32}
_USUAL_WIDTH = 14
_LISTS = {"relation": "relations", "target_code": "concepts", "covers": "oui", "justification": "justifications"}
_HINTS = {
    "relation": "Ce que le concept partagé est, vu du code local. Vide : le code reste à examiner.",
    "target_code": "Un concept de la liste, ou son code. Plusieurs concepts : une ligne pour chacun, même code.",
    "covers": "oui : ces concepts plus étroits, ensemble, couvrent tout le code local.",
    "weight": "La part de chaque concept, de 0 à 1, si elle est connue.",
    "confidence": "De 0 à 1.",
    "date": "AAAA-MM-JJ : le jour de la décision.",
    "frequency": "Combien de fois le code est employé : un nombre entier.",
}


def write(crosswalk: Crosswalk) -> Iterator[bytes]:
    """A crosswalk as a workbook; the same bytes for the same crosswalk.

    :raises Invalid: if a cell would be longer than spreadsheets keep.
    """
    properties = {
        REGISTRY: crosswalk.registry,
        NOMENCLATURE: crosswalk.nomenclature.iri,
        VERSION: crosswalk.release,
        "crosswalk": crosswalk.iri,
        "edition": str(crosswalk.edition),
    }

    def fill(workbook: Any, formats: Formats) -> None:
        _write_rows(workbook, crosswalk, formats)
        _write_lists(workbook, crosswalk, formats)

    yield from spreadsheet.written(crosswalk.title, properties, fill)


def _write_rows(workbook: Any, crosswalk: Crosswalk, formats: Formats) -> None:
    sheet = workbook.add_worksheet(SHEET, worksheet_class=spreadsheet.Sheet)
    sheet.freeze_panes(1, 2)
    for column, role in enumerate(ROLES):
        sheet.set_column(column, column, _WIDTHS.get(role, _USUAL_WIDTH), formats.text)
        described: dict[str, Any] = {"validate": "any"}
        if role in _LISTS:
            # A code may be typed without its label; the others take what is listed alone.
            described = {"validate": "list", "source": f"={_LISTS[role]}", "show_error": role != "target_code"}
            described |= {"error_title": "Valeur inconnue", "error_message": "Choisissez une valeur de la liste."}
        if role in _HINTS:
            described |= {"input_title": HEADERS[role], "input_message": _HINTS[role]}
        if len(described) > 1:
            sheet.data_validation(1, column, spreadsheet.MOST_CONCEPTS, column, described)
    for column, role in enumerate(ROLES):
        sheet.write_string(0, column, HEADERS[role], formats.header)
    count = 0
    for count, row in enumerate(_rows(crosswalk), 1):
        for column, cell in enumerate(row):
            if cell:
                spreadsheet.check_length(cell, row[0], HEADERS[ROLES[column]])
                sheet.write_string(count, column, cell, formats.text)
    sheet.autofilter(0, 0, max(1, count), len(ROLES) - 1)


def _rows(crosswalk: Crosswalk) -> Iterator[list[str]]:
    by_code: dict[str, list[Mapping | None]] = {}
    for mapping in sorted(crosswalk.mappings):
        by_code.setdefault(mapping.local_code, []).append(mapping)
    for code in sorted(crosswalk.codes):
        for found in by_code.get(code.code, [None]):
            yield [*(getattr(code, role) for role in CODE_ROLES), *_cells(crosswalk, found)]


def _cells(crosswalk: Crosswalk, mapping: Mapping | None) -> list[str]:
    if mapping is None:
        return [""] * (len(ROLES) - len(CODE_ROLES))
    given = {
        "relation": RELATION_WORDS[mapping.relation],
        "target_code": _shown(mapping.target_code, crosswalk.labels.get(mapping.target_code, "")),
        "covers": "oui" if mapping.covers else "",
    }
    return [given.get(role) or str(getattr(mapping, role) or "") for role in ROLES[len(CODE_ROLES) :]]


def _shown(code: str, label: str) -> str:
    return f"{code} — {label}" if code and label else code


def _write_lists(workbook: Any, crosswalk: Crosswalk, formats: Formats) -> None:
    lists = {
        "relations": list(RELATION_WORDS.values()),
        "concepts": [_shown(code, label) for code, label in sorted(crosswalk.labels.items())],
        "oui": ["oui"],
        "justifications": list(JUSTIFICATIONS),
    }
    sheet = workbook.add_worksheet("Listes", worksheet_class=spreadsheet.Sheet)
    sheet.freeze_panes(1, 0)
    for column, (name, values) in enumerate(lists.items()):
        sheet.set_column(column, column, _WIDTHS["target_code"] if name == "concepts" else 32, formats.text)
        sheet.write_string(0, column, name, formats.header)
        letter = xlsxwriter.utility.xl_col_to_name(column)
        workbook.define_name(name, f"=Listes!${letter}$2:${letter}${max(2, len(values) + 1)}")
    for line, row in enumerate(itertools.zip_longest(*lists.values(), fillvalue=""), 1):
        for column, cell in enumerate(row):
            if cell:
                sheet.write_string(line, column, cell, formats.text)
