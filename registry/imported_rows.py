"""The rows of somebody's table, one by one: accepted, tidied up and remarked on, or refused with what would not be."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from collections.abc import Mapping as Table
from typing import Protocol

from registry import analysis
from registry.columns import (
    CODE_ROLES,
    HEADERS,
    MAPPED,
    RELATION_WORDS,
    ROLES,
    STATE_WORDS,
    UNREVIEWED,
    Column,
    relation_of,
    state_of,
)
from registry.crosswalks import JUSTIFICATIONS, RELATIONS, LocalCode, Mapping, local_code_from, mapping_from
from registry.errors import Invalid, Problem
from registry.formats import sssom
from registry.formats.spreadsheet import Fault
from registry.imported import Found, Imported, Layout, Refusal
from registry.model import WIDEST_CODE, Nomenclature
from registry.rules import NOTE_LENGTH

LONGEST_CELL = NOTE_LENGTH
"""The most characters of a cell: no code, label or note of a list is longer."""

_CELL = "cell_is_acceptable"
_NO_CODE = "code absent"
_YES = frozenset(map(analysis.key, ("oui", "x", "vrai", "true", "1", "yes", "o")))
_NO = frozenset(map(analysis.key, ("non", "faux", "false", "0", "no", "n")))
_TEXTS = frozenset({"label", "note", "comment", "author", "reviewer", "target_label"})
_LINE_BREAKS = re.compile("[\t\n\v\f\r\x85\u2028\u2029]+")
_INVISIBLE = re.compile("[\u00ad\u200b\u2060\ufeff]")
_CODE_AND_LABEL = re.compile(rf"({WIDEST_CODE.pattern})\s+[—–:-]\s+(\S.*)", re.DOTALL)
_FRENCH_DAY = re.compile(r"(\d{1,2})[/.](\d{1,2})[/.](\d{4})")
_PERCENT = re.compile(r"(\d{1,3})\s*%")

# What was tidied up or passed over, told once with how often: of one, and of several.
_TITLES = ("ligne de titre passée au-dessus de l'en-tête", "lignes de titre passées au-dessus de l'en-tête")
_NAMELESS = ("cellule sans nom de colonne non lue", "cellules sans nom de colonne non lues")
_BLANKS = (
    "cellule dont les blancs aux bords ont été retirés",
    "cellules dont les blancs aux bords ont été retirés",
)
_ONE_LINE = (
    "texte remis sur une ligne, sans caractères invisibles",
    "textes remis sur une ligne, sans caractères invisibles",
)
_REWRITTEN = (
    "date ou nombre récrit (jj/mm/aaaa, virgule, espaces, oui/non)",
    "dates et nombres récrits (jj/mm/aaaa, virgule, espaces, oui/non)",
)
_LEFT_OPEN = (
    "ligne à examiner, dont la cible n'a pas été retenue",
    "lignes à examiner, dont la cible n'a pas été retenue",
)
_STATES_OF_ITS_OWN = (
    "statut qui ne dit rien d'une correspondance, non lu",
    "statuts qui ne disent rien d'une correspondance, non lus",
)
_REPEATED = ("ligne répétée à l'identique, gardée une fois", "lignes répétées à l'identique, gardées une fois")
ONLY_NOT_EXACT = (
    "ligne qui ne nie qu'une correspondance exacte, passée",
    "lignes qui ne nient qu'une correspondance exacte, passées",
)
_HEADERS_AGAIN = ("ligne d'en-tête répétée, passée", "lignes d'en-tête répétées, passées")
_AS_TEXT = (
    'cellule écrite ="…" pour un tableur, dont le texte seul est lu',
    'cellules écrites ="…" pour un tableur, dont le texte seul est lu',
)
_EXAMPLES = 5
"""How many codes a remark about codes names at most."""

_SCIENTIFIC = re.compile(r"\d([.,]\d+)?E[+-]?\d+", re.IGNORECASE)
"""How a spreadsheet writes a long number that it took a code for."""

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(T[\d:]+)?|\d{1,2}/\d{1,2}/\d{4}")
_TEXT_FOR_EXCEL = re.compile(r'="([^"]*)"')
"""How a CSV file has a spreadsheet keep a code's zeros."""


class Refuse(Protocol):
    """Refuses the cell of a role in the row at hand."""

    def __call__(self, column: str, message: str, accepted: str, rule: str = ...) -> None:
        """Refuse it: why, what would be accepted, which rule it breaks."""


class Rows:
    """The rows of a file being read: what was accepted, what was refused, what was tidied up."""

    def __init__(
        self, relation: str, nomenclature: Nomenclature | None, targets: Collection[str] | None = None
    ) -> None:
        self.nomenclature = nomenclature
        self.targets = targets
        self.headers: Table[str, str] = {}
        self.read = 0
        self.count: Counter[tuple[str, str]] = Counter()
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

    def take_all(self, found: Found, *, ragged: bool = False) -> None:
        """Take the rows below a header; ``ragged`` says that rows end with their last cell that holds something."""
        places = found.recognised.places
        self.headers = {role: found.layout.headers[place] for role, place in places.items()}
        if found.above:
            self.count[_TITLES] += found.above
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
                self.count[_NAMELESS] += len(beyond) + len(unnamed)
            if places["code"] < len(cells) and cells[places["code"]] == self.headers["code"]:
                # A header of two merged lines, or of each page that was printed.
                self.count[_HEADERS_AGAIN] += 1
                continue
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

    def refuser(self, sheet: str, line: int, row: Table[str, str]) -> Refuse:
        """What a row's cells are refused with."""

        def refuse(column: str, message: str, accepted: str, rule: str = _CELL) -> None:
            role = "code" if column == "local_code" else column
            header = self.headers.get(role, HEADERS[role])
            found = Refusal(sheet, line, header, row.get(role, "")[:300], rule, message, accepted)
            # A code is looked at as a code of the list, then as that of a mapping.
            before = [other for other in self.refusals[-10:] if other[:3] == found[:3]]
            # What can't be read is not absent as well.
            if not any(other.message == message for other in before) and not (before and message == _NO_CODE):
                self.refusals.append(found)

        return refuse

    def take(self, sheet: str, line: int, cells: Table[str, str]) -> None:
        """Take a row, by role; if anything of it is refused, nothing of it is kept."""
        self.read += 1
        refuse = self.refuser(sheet, line, cells)
        row = {role: self._tidied(role, cell) for role, cell in cells.items()}
        if not row["code"]:
            refuse("code", _NO_CODE, "un code sur chaque ligne ; un total ou un titre s'ôte du fichier")
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
            self.count[_BLANKS] += 1
        if match := _TEXT_FOR_EXCEL.fullmatch(text):
            self.count[_AS_TEXT] += 1
            text = match[1].strip()
        if role in _TEXTS:
            plain = unicodedata.normalize("NFC", _INVISIBLE.sub("", _LINE_BREAKS.sub(" ", text))).strip()
            if plain != text:
                self.count[_ONE_LINE] += 1
            text = plain
        if role in _NUMBERS and (number := _NUMBERS[role](text)) != text:
            self.count[_REWRITTEN] += 1
            text = number
        return text

    def _mapping(self, row: Table[str, str], refuse: Refuse) -> tuple[Mapping | None, str]:
        """The mapping that a row tells, none if nobody has reviewed it; and the label that it gives to its target."""
        relation, target, label = self._said(row, refuse)
        if relation == UNREVIEWED:
            if target:
                self.count[_LEFT_OPEN] += 1
            return None, ""
        if not relation and not target:
            return None, ""
        if target and not relation:
            if not self._relation:
                accepted = f"{', '.join(RELATION_WORDS.values())} ; ou une même relation pour toutes (--relation)"
                refuse("relation", "la relation n'est pas dite", accepted)
                return None, ""
            relation = self._relation
            self.count[
                (f"ligne sans relation prise pour {relation}", f"lignes sans relation prises pour {relation}")
            ] += 1
        if target and not WIDEST_CODE.fullmatch(target):
            refuse("target_code", "ce n'est pas un code de concept", "un seul code par ligne, sans autre texte")
            return None, ""
        if target and self.targets is not None and target not in self.targets:
            message, accepted = "concept absent de la version visée", "un code de la version visée"
            refuse("target_code", message, accepted, "target_exists")
            return None, ""
        if relation in RELATIONS and relation != "noMatch" and not target:
            refuse(
                "target_code", "une relation sans cible", "un code de concept, ou « sans équivalent » comme relation"
            )
            return None, ""
        justification = row.get("justification", "")
        known = {name.partition(":")[2].lower(): name for name in JUSTIFICATIONS}
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

    def _said(self, row: Table[str, str], refuse: Refuse) -> tuple[str, str, str]:
        """What a row says of its relation, its target, and the target's label."""
        target, label = self._target(row.get("target_code", ""))
        relation = row.get("relation", "").removeprefix("skos:")
        relation = relation_of(relation) or relation
        status = row.get("status", "")
        state = state_of(status)
        if not {"relation", "target_code"} & set(self.headers) and state in ("", MAPPED):
            # A list has states of its own, "actif" or "fermé", that say nothing of a mapping.
            self.count[_STATES_OF_ITS_OWN] += bool(status)
            return "", "", ""
        if status and not state:
            accepted = f'{", ".join(STATE_WORDS.values())} ; ou cette colonne non lue (--column status="")'
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

    def _merged(self, code: LocalCode, line: int, refuse: Refuse, *, given: bool) -> tuple[LocalCode, int, bool]:
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

    def _is_new(self, mapping: Mapping, refuse: Refuse) -> bool:
        """Whether no earlier row gives a mapping; what contradicts an earlier row is refused."""
        found = self._mappings.get(mapping.local_code, {})
        if mapping.target_code in found:
            known, first = found[mapping.target_code]
            if known != mapping:
                message = f"cette correspondance est déjà donnée autrement ligne {first}"
                refuse("target_code", message, "une ligne par code et par cible", "mapping_is_given_once")
            else:
                self.count[_REPEATED] += 1
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

    def _doubt_codes(self) -> None:
        """Remark on codes that a spreadsheet may have altered before they came here: they stay as they are."""
        codes = list(self._codes)
        by_number: dict[str, list[str]] = {}
        by_letters: dict[str, list[str]] = {}
        for code in codes:
            by_letters.setdefault("".join(code.split()).casefold(), []).append(code)
            if code.isdecimal():
                by_number.setdefault(code.lstrip("0"), []).append(code)
        bare = [code for code, _, given in self._codes.values() if not given] if "label" in self.headers else []
        for message, found in (
            ("codes qui ne diffèrent que par des zéros en tête, peut-être ôtés par un tableur", _twins(by_number)),
            ("codes qui ne diffèrent que par la casse ou des espaces", _twins(by_letters)),
            (
                "codes qui semblent des nombres abrégés par un tableur, à rétablir dans le fichier",
                [code for code in codes if _SCIENTIFIC.fullmatch(code)],
            ),
            (
                "codes qui semblent des dates faites par un tableur, à rétablir dans le fichier",
                [code for code in codes if _DATE.fullmatch(code)],
            ),
            (
                "codes précédés d'une apostrophe, gardée comme le reste",
                [code for code in codes if code.startswith("'")],
            ),
            (
                "codes sans libellé, dont le code en tient lieu ; un total ou une note s'ôte du fichier",
                [code.code for code in bare],
            ),
        ):
            if found:
                self.remarks.append(f"{message} : {_some(found)}")

    def imported(self, format: str, found: Found | None, nomenclature: str = "", release: str = "") -> Imported:
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
        self._doubt_codes()
        return Imported(
            format,
            told,
            unused,
            self.read,
            tuple(sorted(code for code, _, _ in self._codes.values())),
            tuple(sorted(mapping for found in self._mappings.values() for mapping, _ in found.values())),
            tuple(sorted(self.refusals, key=lambda refusal: refusal.line)),
            (*self.remarks, *(f"{number} {words[number > 1]}" for words, number in self.count.items() if number)),
            nomenclature,
            release,
            tuple(sorted(self._target_labels.items())),
            found.layout if found else Layout(),
        )


def _twins(alike: Table[str, Sequence[str]]) -> list[str]:
    """The codes that are alike, group by group."""
    return [" et ".join(sorted(codes)) for codes in alike.values() if len(codes) > 1]


def _some(codes: Sequence[str]) -> str:
    more = len(codes) - _EXAMPLES
    return ", ".join(codes[:_EXAMPLES]) + (f" et {more} de plus" if more > 0 else "")


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
