"""Crosswalks: the relations between a local code and shared concepts, what must hold of them, and their files.

Relations are SKOS and read from local to shared: ``broadMatch`` says that the shared concept is broader. ``noMatch`` is
a decision too: the code was reviewed and has no equivalent.
"""

from __future__ import annotations

import collections.abc
import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, TypeVar, get_args
from urllib.parse import quote

from registry.errors import Invalid, Problem
from registry.formats.tabular import rows
from registry.model import Concept, LinkKind, Nomenclature, preferred
from registry.rules import LABEL_LENGTH, LISTED, NOTE_LENGTH, text_fault
from registry.signing import instant

Relation = Literal["exactMatch", "closeMatch", "broadMatch", "narrowMatch", "relatedMatch", "noMatch"]
RELATIONS: tuple[Relation, ...] = get_args(Relation)

INVERSES: dict[Relation, Relation] = {
    "exactMatch": "exactMatch",
    "closeMatch": "closeMatch",
    "broadMatch": "narrowMatch",
    "narrowMatch": "broadMatch",
    "relatedMatch": "relatedMatch",
}
"""What a relation is from shared to local (SSSOM chaining rules RI1, RI2); ``noMatch`` has no other way."""

LINEAGE: dict[LinkKind, Relation | None] = {
    "same": "exactMatch",
    "wider": "broadMatch",
    "narrower": "narrowMatch",
    "overlaps": None,
}
"""What a link of lineage is as a relation, from the old code to the new one; no relation says that two overlap."""


def compose(first: Relation, second: Relation) -> Relation | None:
    """What relates the ends of two mappings of which the second begins where the first ends; None: nothing sound.

    Exact changes nothing; broad after broad is broad, and narrow after narrow narrow. Nothing else follows: two that
    are close to a third may be far from each other, and ``noMatch`` is a word on one list, not a relation to carry on.
    """
    if "noMatch" in (first, second):
        return None
    if first == "exactMatch":
        return second
    if second == "exactMatch" or (first == second and first in ("broadMatch", "narrowMatch")):
        return first
    return None


def turned(relation: Relation | None) -> Relation | None:
    """A relation read from its other end; None for one that is none, and for ``noMatch``."""
    return INVERSES.get(relation) if relation else None


JUSTIFICATIONS = (
    "semapv:ManualMappingCuration",
    "semapv:MappingReview",
    "semapv:LexicalMatching",
    "semapv:MappingChaining",
    "semapv:MappingInversion",
    "semapv:UnspecifiedMatching",
)

LIST_COLUMNS = ("code", "label", "parent_code", "note", "frequency")
MAPPING_COLUMNS = (
    "local_code",
    "relation",
    "target_code",
    "justification",
    "confidence",
    "covers",
    "weight",
    "comment",
    "author",
    "reviewer",
    "date",
)
_LATER_COLUMNS = frozenset({"frequency", "author", "reviewer", "date"})
"""Columns that the canonical CSV has only where a row fills one: older editions keep their bytes, and their hash."""

CODE_LENGTH = 200


AS_KIND = "as kind"
"""A college that is to be the one that the kind of organisation belongs to."""

COLLEGES = ("", "state", "departements")
"""The colleges of the committee; most organisations belong to none."""


def college_of(kind: str) -> str:
    """The college that organisations of a kind belong to, unless another is said."""
    colleges = {"state": "state", "etat": "state", "departement": "departements", "metropole": "departements"}
    return colleges.get(kind, "")


@dataclass(frozen=True, slots=True)
class Organisation:
    """Whoever keeps local code lists, votes or reads: a département, a CCAS, a vendor, a State body, the committee.

    ``college`` is where its vote counts in the committee, by its kind unless it is given; empty for none.
    """

    slug: str
    name: str
    kind: str
    insee: str = ""
    demonstration: bool = False
    siret: str = ""
    college: str = AS_KIND

    def __post_init__(self) -> None:
        if self.college == AS_KIND:
            object.__setattr__(self, "college", college_of(self.kind))


@dataclass(frozen=True, slots=True)
class CodeList:
    """The codes of one organisation's software; ``whole`` says that no code of the source is missing."""

    organisation: str
    slug: str
    title: str
    source: str = ""
    license: str = ""
    whole: bool = True


@dataclass(frozen=True, slots=True, order=True)
class LocalCode:
    """One code of a local list, exactly as it came; ``frequency`` is how often it is used, a whole number as text."""

    code: str
    label: str
    parent_code: str = ""
    note: str = ""
    frequency: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Mapping:
    """One row of a crosswalk. ``target_code`` is empty for ``noMatch``; numbers stay the text that was given.

    ``covers`` is the reviewer's word that the narrow targets of this code together exhaust it. ``author`` and
    ``reviewer`` are whoever stands for the row, ``date`` the day of the decision (ISO 8601); empty where unknown.
    """

    local_code: str
    target_code: str
    relation: Relation
    justification: str = "semapv:UnspecifiedMatching"
    confidence: str = ""
    covers: bool = False
    weight: str = ""
    comment: str = ""
    author: str = ""
    reviewer: str = ""
    date: str = ""


@dataclass(frozen=True, slots=True)
class CrosswalkEdition:
    """A published edition of a crosswalk: which edition of the list it maps, to which release."""

    organisation: str
    code_list: str
    nomenclature: str
    release: str
    edition: int
    list_edition: int
    valid_from: date
    issued: datetime
    author: str
    license: str
    mappings: int
    codes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Crosswalk:
    """A crosswalk whole, as it goes out to a file: a published edition, or a draft (``edition`` 0, no dates).

    ``codes`` are all those of the local list, mapped or not; ``labels`` gives the concepts of the release that may be
    chosen, at least those that a mapping aims at.
    """

    code_list: CodeList
    nomenclature: Nomenclature
    release: str
    codes: tuple[LocalCode, ...]
    mappings: tuple[Mapping, ...]
    labels: collections.abc.Mapping[str, str]
    edition: int = 0
    list_edition: int = 0
    valid_from: date | None = None
    issued: datetime | None = None
    author: str = ""
    license: str = ""

    @property
    def registry(self) -> str:
        """The address of the registry, which ends with a slash."""
        return self.nomenclature.iri.removesuffix(self.nomenclature.slug)

    @property
    def list_iri(self) -> str:
        """The IRI of the local list."""
        return f"{self.registry}code-lists/{self.code_list.organisation}/{self.code_list.slug}"

    @property
    def iri(self) -> str:
        """The IRI of the crosswalk, without its edition."""
        names = (self.code_list.organisation, self.code_list.slug, self.nomenclature.slug)
        return f"{self.registry}crosswalks/{'/'.join(names)}"

    @property
    def title(self) -> str:
        """What the crosswalk is, in French words."""
        target = preferred(self.nomenclature.title) or self.nomenclature.slug
        return f"{self.code_list.title} → {target} {self.release}"

    def code_iri(self, code: str) -> str:
        """The IRI of a local code, which may hold any character."""
        return f"{self.list_iri}/{quote(code, safe='')}"

    def concept_iri(self, code: str) -> str:
        """The IRI of a concept."""
        return f"{self.nomenclature.iri}/{code}"


def edition_document(edition: CrosswalkEdition) -> dict[str, object]:
    """An edition of a crosswalk as JSON."""
    return {
        "organisation": edition.organisation,
        "codeList": f"{edition.organisation}/{edition.code_list}",
        "nomenclature": edition.nomenclature,
        "release": edition.release,
        "edition": edition.edition,
        "listEdition": edition.list_edition,
        "validFrom": edition.valid_from.isoformat(),
        "issued": instant(edition.issued),
        "author": edition.author,
        "license": edition.license,
        "mappings": edition.mappings,
        "codes": edition.codes,
        "sha256": edition.sha256,
    }


_Item = TypeVar("_Item")


Refuse = Callable[[str, str, str], None]
"""Told of each cell that is refused: its column, why, and what would be accepted."""


def local_code_from(row: collections.abc.Mapping[str, str], refuse: Refuse) -> LocalCode:
    """A code of a local list from a row, by column (``LIST_COLUMNS``); a code without a label is its own label."""
    found = LocalCode(
        row["code"], row.get("label", "") or row["code"], *(row.get(name, "") for name in LIST_COLUMNS[2:])
    )
    _check(row, LIST_COLUMNS, refuse)
    return found


def mapping_from(row: collections.abc.Mapping[str, str], refuse: Refuse) -> Mapping:
    """A row of a crosswalk from a row, by column (``MAPPING_COLUMNS``); what was refused is not in it."""
    _check(row, MAPPING_COLUMNS, refuse)
    relation: Relation = next((known for known in RELATIONS if known == row["relation"]), "noMatch")
    if row["relation"] in RELATIONS and (relation == "noMatch") != (row["target_code"] == ""):
        refuse("target_code", "une cible pour noMatch, ou une relation sans cible", "noMatch sans cible, sinon un code")
    return Mapping(
        local_code=row["local_code"],
        target_code=row["target_code"],
        relation=relation,
        justification=row.get("justification", "") or "semapv:UnspecifiedMatching",
        covers=row.get("covers") == "true",
        **{name: row.get(name, "") for name in ("confidence", "weight", "comment", "author", "reviewer", "date")},
    )


def _check(row: collections.abc.Mapping[str, str], columns: Sequence[str], refuse: Refuse) -> None:
    for column in columns:
        value = row.get(column, "")
        if not value and column not in _NEVER_EMPTY:
            continue
        if column in _LIMITS and (fault := text_fault(value, limit=_LIMITS[column])):
            refuse(column, fault, _TEXTS_ACCEPTED.get(column, "texte propre"))
        elif column in _CHECKS and not _CHECKS[column][0](value):
            refuse(column, *_CHECKS[column][1:])


def read_list(data: bytes) -> list[LocalCode]:
    """The codes of a local list from canonical CSV (columns ``LIST_COLUMNS``; ``code`` is required), by code.

    :raises Invalid: with the line, column and value of each problem.
    """
    return _read(data, LIST_COLUMNS, ("code",), local_code_from, lambda item: (item.code,))


def read_mappings(data: bytes) -> list[Mapping]:
    """The rows of a crosswalk from canonical CSV (columns ``MAPPING_COLUMNS``), by local code and target.

    :raises Invalid: with the line, column and value of each problem.
    """
    required = ("local_code", "relation", "target_code")
    return _read(data, MAPPING_COLUMNS, required, mapping_from, lambda item: (item.local_code, item.target_code))


def is_frequency(text: str) -> bool:
    """Whether a text is how often a code is used: a whole number, in digits alone."""
    return text.isascii() and text.isdecimal() and len(text) <= 12


def is_day(text: str) -> bool:
    """Whether a text is a day, YYYY-MM-DD."""
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def is_share(text: str) -> bool:
    """Whether a text is a number from 0 to 1, with a point, as confidences and weights are written."""
    try:
        return 0 <= float(text) <= 1 and text.replace(".", "", 1).isdecimal() and text.isascii()
    except ValueError:
        return False


_NEVER_EMPTY = frozenset({"code", "local_code", "relation"})
_LIMITS = {
    "code": CODE_LENGTH,
    "local_code": CODE_LENGTH,
    "label": LABEL_LENGTH,
    "parent_code": CODE_LENGTH,
    "note": NOTE_LENGTH,
    "comment": NOTE_LENGTH,
    "author": LABEL_LENGTH,
    "reviewer": LABEL_LENGTH,
}
_TEXTS_ACCEPTED = {"local_code": "un code de la liste locale"}
_SHARE_ACCEPTED = "un nombre de 0 à 1, avec un point"
_CHECKS: dict[str, tuple[Callable[[str], bool], str, str]] = {
    "relation": (lambda text: text in RELATIONS, "relation inconnue", ", ".join(RELATIONS)),
    "justification": (lambda text: text in JUSTIFICATIONS, "justification inconnue", ", ".join(JUSTIFICATIONS)),
    "confidence": (is_share, "nombre attendu", _SHARE_ACCEPTED),
    "weight": (is_share, "nombre attendu", _SHARE_ACCEPTED),
    "covers": (lambda text: text in ("true", "false"), "valeur inconnue", "true, false ou vide"),
    "frequency": (is_frequency, "fréquence mal écrite", "un nombre entier, de 0 à 999999999999"),
    "date": (is_day, "date mal écrite", "AAAA-MM-JJ"),
}
"""What a cell must be where the text gate is not all: the test, why it is refused, what is accepted."""


def _read(
    data: bytes,
    columns: Sequence[str],
    required: Sequence[str],
    make: Callable[[dict[str, str], Refuse], _Item],
    key: Callable[[_Item], tuple[str, ...]],
) -> list[_Item]:
    problems: list[Problem] = []
    found: dict[tuple[str, ...], _Item] = {}
    header_checked = False
    for line, row in rows(data):
        if not header_checked:
            header_checked = True
            wrong = sorted((set(required) - set(row)) | (set(row) - set(columns)))
            if wrong:
                accepted = ", ".join(columns)
                raise Invalid(
                    [
                        Problem("csv_columns", "colonne absente ou inconnue", (), "ligne 1", name, accepted)
                        for name in wrong
                    ]
                )

        def refuse(column: str, message: str, accepted: str, line: int = line, row: dict[str, str] = row) -> None:
            where = f"ligne {line}, colonne {column}"
            problems.append(Problem("csv_cell", message, (row[required[0]],), where, row.get(column, ""), accepted))

        item = make(row, refuse)
        if key(item) in found:
            refuse(required[0], "ligne donnée deux fois", "une ligne par code et par cible")
        found[key(item)] = item
    if problems:
        raise Invalid(problems[:LISTED], len(problems))
    return [found[place] for place in sorted(found)]


def list_csv(codes: Iterable[LocalCode]) -> bytes:
    """A local list as canonical CSV: UTF-8, comma, LF, by code."""
    return _csv(
        LIST_COLUMNS, [(item.code, item.label, item.parent_code, item.note, item.frequency) for item in sorted(codes)]
    )


def crosswalk_csv(mappings: Iterable[Mapping]) -> bytes:
    """A crosswalk as canonical CSV: UTF-8, comma, LF, by local code and target."""
    return _csv(
        MAPPING_COLUMNS,
        [
            (
                item.local_code,
                item.relation,
                item.target_code,
                item.justification,
                item.confidence,
                "true" if item.covers else "",
                item.weight,
                item.comment,
                item.author,
                item.reviewer,
                item.date,
            )
            for item in sorted(mappings)
        ],
    )


def _csv(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> bytes:
    kept = [
        place
        for place, column in enumerate(columns)
        if column not in _LATER_COLUMNS or any(line[place] for line in lines)
    ]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([columns[place] for place in kept])
    writer.writerows([line[place] for place in kept] for line in lines)
    return buffer.getvalue().encode()


def problems(
    mappings: Sequence[Mapping], codes: collections.abc.Collection[str], concepts: collections.abc.Mapping[str, Concept]
) -> list[Problem]:
    """What is wrong with a crosswalk, given the codes of its local list and the concepts of its release.

    Exact and ``noMatch`` stand alone for their code; two local codes exact to one concept is only a warning.
    """
    return list(_problems(mappings, codes, concepts))


def _problems(
    mappings: Sequence[Mapping], codes: collections.abc.Collection[str], concepts: collections.abc.Mapping[str, Concept]
) -> Iterator[Problem]:
    by_code: dict[str, list[Mapping]] = {}
    exact_to: dict[str, list[str]] = {}
    for mapping in mappings:
        by_code.setdefault(mapping.local_code, []).append(mapping)
        if mapping.relation == "exactMatch":
            exact_to.setdefault(mapping.target_code, []).append(mapping.local_code)
        if mapping.local_code not in codes:
            yield Problem(
                "local_code_exists",
                "code absent de la liste locale",
                (mapping.local_code,),
                accepted="un code de la liste",
            )
        if mapping.target_code and mapping.target_code not in concepts:
            yield Problem(
                "target_exists",
                "concept absent de la version visée",
                (mapping.local_code,),
                "target_code",
                mapping.target_code,
                "un code de la version visée",
            )
    for code, found in by_code.items():
        alone = [mapping.relation for mapping in found if mapping.relation in ("exactMatch", "noMatch")]
        if alone and len(found) > 1:
            yield Problem(
                f"{alone[0]}_stands_alone",
                f"{alone[0]} à côté d'une autre correspondance",
                (code,),
                accepted="une seule",
            )
    for target, local_codes in exact_to.items():
        if len(local_codes) > 1:
            yield Problem(
                "exact_targets_differ",
                f"plusieurs codes locaux exactement équivalents à {target}",
                tuple(local_codes),
                severity="warning",
            )
