"""What a code of one list is in another, as a published crosswalk says: local to shared, and shared to local.

A local code is mapped, or reviewed and without equivalent, or not yet reviewed; the three are never mixed up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal, NamedTuple

from registry.crosswalks import INVERSES, CrosswalkEdition, Mapping, Relation
from registry.errors import Invalid, Problem
from registry.model import Texts, french
from registry.store import Store

State = Literal["mapped", "noMatch", "unreviewed", "unmapped", "unknown"]


@dataclass(frozen=True, slots=True)
class Found:
    """One mapping, read from what was asked: ``code`` is empty for ``noMatch``.

    ``read_in`` names the release of a shared code, or the list and edition of a local one.
    """

    relation: Relation
    code: str
    pref_label: Texts
    status: str
    read_in: dict[str, object]
    mapping: Mapping


@dataclass(frozen=True, slots=True)
class Translation:
    """What one code is on the other side. ``unmapped`` says of a shared concept that no local code maps to it."""

    code: str
    label: str | None
    status: State
    found: tuple[Found, ...]


class Answer(NamedTuple):
    """Translations in the order asked, and the edition of the crosswalk that they were read in."""

    edition: CrosswalkEdition
    items: list[Translation]


def translate(store: Store, source: str, target: str, codes: Sequence[str], *, at: date) -> Answer:
    """Translate codes from ``source`` to ``target``, one of which is a local list and the other a nomenclature.

    ``ORG/LIST@E`` pins the edition of the crosswalk, else the last that applies on ``at`` is read; ``N@V`` must be the
    release that the edition maps to.

    :raises Invalid: if the two are not of these kinds, or the edition maps to another release.
    :raises NotFound: if there is no such crosswalk.
    """
    local, shared = (source, target) if "/" in source else (target, source)
    if "/" not in local or "/" in shared:
        accepted = "ORG/LIST ou ORG/LIST@ÉDITION d'un côté, NOMENCLATURE ou NOMENCLATURE@VERSION de l'autre"
        raise Invalid(
            [Problem("translate_ends", "extrémités refusées", (), "from, to", f"{source}, {target}", accepted)]
        )
    name, _, number = local.partition("@")
    slug, _, version = shared.partition("@")
    if number and not (number.isascii() and number.isdecimal() and len(number) < 10):
        raise Invalid([Problem("translate_ends", "édition mal écrite", (), "from, to", local, "ORG/LIST@1")])
    organisation, _, code_list = name.partition("/")
    edition = store.crosswalk_edition(organisation, code_list, slug, edition=int(number) if number else None, at=at)
    if version and version != edition.release:
        raise Invalid(
            [
                Problem(
                    "translate_release",
                    "cette édition de la table vise une autre version",
                    (),
                    "from, to",
                    shared,
                    f"{slug}@{edition.release}, ou {slug}",
                )
            ]
        )
    if local is source:
        return Answer(edition, _from_local(store, edition, codes))
    return Answer(edition, _from_shared(store, edition, codes))


def _from_local(store: Store, edition: CrosswalkEdition, codes: Sequence[str]) -> list[Translation]:
    wanted = sorted(set(codes))
    by_code: dict[str, list[Mapping]] = {}
    for mapping, _ in store.mappings(edition, local_codes=wanted):
        by_code.setdefault(mapping.local_code, []).append(mapping)
    targets = {mapping.target_code for found in by_code.values() for mapping in found} - {""}
    concepts = store.labels(edition.nomenclature, edition.release, targets)
    labels = store.local_labels(edition, wanted)
    read_in: dict[str, object] = {"nomenclature": edition.nomenclature, "release": edition.release}
    answers = {}
    for code in wanted:
        found = tuple(
            Found(
                mapping.relation,
                mapping.target_code,
                concepts[mapping.target_code].pref_label if mapping.target_code else (),
                concepts[mapping.target_code].status if mapping.target_code else "",
                read_in,
                mapping,
            )
            for mapping in by_code.get(code, ())
        )
        state: State = "unknown" if code not in labels else "unreviewed"
        if found:
            state = "noMatch" if found[0].relation == "noMatch" else "mapped"
        answers[code] = Translation(code, labels[code].label if code in labels else None, state, found)
    return [answers[code] for code in codes]


def _from_shared(store: Store, edition: CrosswalkEdition, codes: Sequence[str]) -> list[Translation]:
    wanted = sorted(set(codes))
    concepts = store.labels(edition.nomenclature, edition.release, wanted)
    by_code: dict[str, list[tuple[Mapping, str]]] = {}
    for mapping, label in store.mappings(edition, target_codes=[code for code in wanted if code]):
        by_code.setdefault(mapping.target_code, []).append((mapping, label))
    read_in: dict[str, object] = {
        "codeList": f"{edition.organisation}/{edition.code_list}",
        "edition": edition.list_edition,
    }
    answers = {}
    for code in wanted:
        found = tuple(
            Found(INVERSES[mapping.relation], mapping.local_code, french(label), "", read_in, mapping)
            for mapping, label in by_code.get(code, ())
        )
        state: State = "unknown" if code not in concepts else "mapped" if found else "unmapped"
        answers[code] = Translation(code, concepts[code].label if code in concepts else None, state, found)
    return [answers[code] for code in codes]
