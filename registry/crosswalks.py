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

from registry.errors import Invalid, Problem
from registry.formats.tabular import rows
from registry.model import Concept
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

JUSTIFICATIONS = (
    "semapv:ManualMappingCuration",
    "semapv:MappingReview",
    "semapv:LexicalMatching",
    "semapv:MappingChaining",
    "semapv:MappingInversion",
    "semapv:UnspecifiedMatching",
)

LIST_COLUMNS = ("code", "label", "parent_code", "note")
MAPPING_COLUMNS = (
    "local_code",
    "relation",
    "target_code",
    "justification",
    "confidence",
    "covers",
    "weight",
    "comment",
)
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
    """One code of a local list, exactly as it came."""

    code: str
    label: str
    parent_code: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Mapping:
    """One row of a crosswalk. ``target_code`` is empty for ``noMatch``; numbers stay the text that was given.

    ``covers`` is the reviewer's word that the narrow targets of this code together exhaust it.
    """

    local_code: str
    target_code: str
    relation: Relation
    justification: str = "semapv:UnspecifiedMatching"
    confidence: str = ""
    covers: bool = False
    weight: str = ""
    comment: str = ""


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


def read_list(data: bytes) -> list[LocalCode]:
    """The codes of a local list from canonical CSV (columns ``LIST_COLUMNS``; ``code`` is required), by code.

    :raises Invalid: with the line, column and value of each problem.
    """

    def local_code(row: dict[str, str], refuse: Callable[[str, str, str], None]) -> LocalCode:
        found = LocalCode(
            row["code"], row.get("label", "") or row["code"], row.get("parent_code", ""), row.get("note", "")
        )
        limits = {"code": CODE_LENGTH, "label": LABEL_LENGTH, "parent_code": CODE_LENGTH, "note": NOTE_LENGTH}
        for column, limit in limits.items():
            value = getattr(found, column)
            if (value or column == "code") and (fault := text_fault(value, limit=limit)):
                refuse(column, fault, "texte propre")
        return found

    return _read(data, LIST_COLUMNS, ("code",), local_code, lambda item: (item.code,))


def read_mappings(data: bytes) -> list[Mapping]:
    """The rows of a crosswalk from canonical CSV (columns ``MAPPING_COLUMNS``), by local code and target.

    :raises Invalid: with the line, column and value of each problem.
    """

    def mapping(row: dict[str, str], refuse: Callable[[str, str, str], None]) -> Mapping:
        relation = next((known for known in RELATIONS if known == row["relation"]), None)
        if relation is None:
            refuse("relation", "relation inconnue", ", ".join(RELATIONS))
            relation = "noMatch"
        target = row["target_code"]
        if row["relation"] in RELATIONS and (relation == "noMatch") != (target == ""):
            refuse(
                "target_code", "une cible pour noMatch, ou une relation sans cible", "noMatch sans cible, sinon un code"
            )
        if fault := text_fault(row["local_code"], limit=CODE_LENGTH):
            refuse("local_code", fault, "un code de la liste locale")
        justification = row.get("justification", "") or "semapv:UnspecifiedMatching"
        if justification not in JUSTIFICATIONS:
            refuse("justification", "justification inconnue", ", ".join(JUSTIFICATIONS))
        for column in ("confidence", "weight"):
            if row.get(column) and not _is_share(row[column]):
                refuse(column, "nombre attendu", "un nombre de 0 à 1, avec un point")
        if row.get("covers", "") not in ("", "true", "false"):
            refuse("covers", "valeur inconnue", "true, false ou vide")
        comment = row.get("comment", "")
        if comment and (fault := text_fault(comment, limit=NOTE_LENGTH)):
            refuse("comment", fault, "texte propre")
        return Mapping(
            row["local_code"],
            target,
            relation,
            justification,
            row.get("confidence", ""),
            row.get("covers") == "true",
            row.get("weight", ""),
            comment,
        )

    required = ("local_code", "relation", "target_code")
    return _read(data, MAPPING_COLUMNS, required, mapping, lambda item: (item.local_code, item.target_code))


def _is_share(text: str) -> bool:
    try:
        return 0 <= float(text) <= 1 and text.replace(".", "", 1).isdecimal() and text.isascii()
    except ValueError:
        return False


def _read(
    data: bytes,
    columns: Sequence[str],
    required: Sequence[str],
    make: Callable[[dict[str, str], Callable[[str, str, str], None]], _Item],
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
    return _csv(LIST_COLUMNS, ((item.code, item.label, item.parent_code, item.note) for item in sorted(codes)))


def crosswalk_csv(mappings: Iterable[Mapping]) -> bytes:
    """A crosswalk as canonical CSV: UTF-8, comma, LF, by local code and target."""
    return _csv(
        MAPPING_COLUMNS,
        (
            (
                item.local_code,
                item.relation,
                item.target_code,
                item.justification,
                item.confidence,
                "true" if item.covers else "",
                item.weight,
                item.comment,
            )
            for item in sorted(mappings)
        ),
    )


def _csv(header: Sequence[str], lines: Iterable[Sequence[str]]) -> bytes:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines)
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
