"""Which column of somebody's table is what, and which word which relation: as departments write them.

A header is compared without case, accents, punctuation, plural or article: ``Codes``, ``N°`` and ``code_prestation``
are found in ``NAMES`` as ``code``, ``n`` and ``code prestation``. A role is first looked for among plain names, then
among names that may mean something else, then by a first word; so ``N°`` is the code only where no header says so.
Two headers that fit a role equally well are never guessed between where it matters: whoever sends the file says which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from registry import analysis
from registry.crosswalks import RELATIONS, Relation

ROLES = (
    "code",
    "label",
    "parent_code",
    "note",
    "frequency",
    "relation",
    "target_code",
    "target_label",
    "justification",
    "confidence",
    "covers",
    "weight",
    "comment",
    "author",
    "reviewer",
    "date",
    "status",
)
"""What a column can be. ``target_label`` is never believed: the registry knows the labels of its concepts."""

CODE_ROLES = ("code", "label", "parent_code", "note", "frequency")
"""The roles that tell of a local code; the others tell of its mapping."""

HEADERS: dict[str, str] = {
    "code": "code",
    "label": "libellé",
    "parent_code": "code parent",
    "note": "note",
    "frequency": "fréquence",
    "relation": "relation",
    "target_code": "code socle",
    "target_label": "libellé socle",
    "justification": "justification",
    "confidence": "confiance",
    "covers": "couvre",
    "weight": "poids",
    "comment": "commentaire",
    "author": "auteur",
    "reviewer": "relecteur",
    "date": "date",
    "status": "statut",
}
"""The header of each role in the files that Socle writes for people."""

REASON, ACCEPTED = "motif du refus", "accepté"
"""The columns that a file of refused rows has besides its own; they are passed over when it comes back."""

_ESSENTIAL = frozenset({"code", "label", "parent_code", "relation", "target_code", "status"})
_ARTICLES = frozenset({"a", "d", "de", "des", "du", "en", "l", "la", "le", "les"})


class Names(NamedTuple):
    """The headers that mean a role: for sure, perhaps, and the first words of headers that may mean it as well."""

    plain: tuple[str, ...]
    perhaps: tuple[str, ...] = ()
    first_words: tuple[str, ...] = ()


NAMES: dict[str, Names] = {
    "code": Names(
        (
            "code",
            "code local",
            "local code",
            "code prestation",
            "code aide",
            "code type",
            "code acte",
            "code interne",
            "code logiciel",
            "code métier",
            "code dispositif",
            "code mesure",
            "code nature",
            "code article",
            "code type aide",
        ),
        (
            "n",
            "no",
            "num",
            "numéro",
            "id",
            "identifiant",
            "identifiant local",
            "référence",
            "ref",
            "clé",
            "n prestation",
            "numéro prestation",
            "numéro aide",
            "subject id",
        ),
        ("code",),
    ),
    "label": Names(
        (
            "libellé",
            "label",
            "intitulé",
            "désignation",
            "libellé local",
            "local label",
            "libellé prestation",
            "libellé aide",
            "libellé type",
            "libellé code",
            "intitulé prestation",
            "nom prestation",
            "label fr",
        ),
        ("nom", "titre", "name", "prestation", "aide", "type aide", "dispositif", "mesure", "subject label"),
        ("libellé", "intitulé", "désignation"),
    ),
    "parent_code": Names(
        (
            "code parent",
            "parent",
            "parent code",
            "code père",
            "code supérieur",
            "code famille",
            "code catégorie",
            "code rubrique",
        )
    ),
    "note": Names(
        ("note", "définition", "description", "précision", "definition note", "note application"), ("observation",)
    ),
    "frequency": Names(
        (
            "fréquence",
            "frequency",
            "effectif",
            "nombre",
            "nb",
            "nbre",
            "occurrence",
            "volume",
            "nombre dossier",
            "nb dossier",
            "nombre bénéficiaire",
            "nb bénéficiaire",
            "nombre usage",
        ),
        (),
        ("nombre", "nb", "nbre", "effectif"),
    ),
    "relation": Names(
        (
            "relation",
            "type relation",
            "relation skos",
            "type correspondance",
            "nature correspondance",
            "type équivalence",
            "predicate id",
        ),
        ("équivalence", "predicate"),
    ),
    "target_code": Names(
        (
            "code socle",
            "socle",
            "code cible",
            "cible",
            "target code",
            "target",
            "code concept",
            "code nomenclature",
            "code correspondant",
            "code correspondance",
            "code pivot",
            "code partagé",
            "code national",
            "object id",
        ),
        ("correspondance", "concept"),
    ),
    "target_label": Names(
        (
            "libellé socle",
            "libellé cible",
            "target label",
            "libellé concept",
            "libellé nomenclature",
            "libellé correspondant",
            "libellé correspondance",
            "libellé pivot",
            "libellé partagé",
            "libellé national",
            "object label",
        )
    ),
    "justification": Names(("justification", "mapping justification")),
    "confidence": Names(("confiance", "confidence", "indice confiance", "niveau confiance"), ("score",)),
    "covers": Names(("couvre", "covers", "couvre tout", "couverture complète")),
    "weight": Names(("poids", "weight", "pondération", "coefficient")),
    "comment": Names(("commentaire", "comment", "remarque", "commentaire correspondance")),
    "author": Names(("auteur", "author", "author label", "saisi par", "proposé par")),
    "reviewer": Names(("relecteur", "reviewer", "reviewer label", "validé par", "vérifié par", "relu par", "réviseur")),
    "date": Names(("date", "date décision", "date validation", "date revue", "mapping date")),
    "status": Names(("statut", "status", "état", "état revue", "avancement")),
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a file: what it is taken for, its header as it stands, and whether the sender said so."""

    role: str
    header: str
    named: bool


class Recognised(NamedTuple):
    """What the headers of a table are: the place of each role; roles that several headers fit; what nobody fits."""

    places: Mapping[str, int]
    named: frozenset[str]
    doubtful: Mapping[str, tuple[str, ...]]
    unused: tuple[str, ...]
    absent: tuple[str, ...]


def recognise(headers: Sequence[str], named: Mapping[str, str], *, relation: int | None = None) -> Recognised:
    """Say which header is which role; ``named`` gives the headers that the sender named, by role.

    A role named with an empty header is not looked for. ``relation`` is the place of the column that tells by its
    cells that it is the relation, whatever its header may mean besides.
    """
    keys = [_key(header) for header in headers]
    places, absent = _named(headers, keys, named)
    if relation is not None:
        places["relation"] = relation
    passed_over = {_key(REASON), _key(ACCEPTED)}
    free = {place for place, name in enumerate(keys) if name not in passed_over} - set(places.values())
    doubtful: dict[str, tuple[str, ...]] = {}
    for rank in range(3):
        for role in ROLES:
            if role in places or role in doubtful or role in named:
                continue
            fitting = sorted(place for place in free if _fits(keys[place], role, rank))
            if len(fitting) > 1:
                doubtful[role] = tuple(headers[place] for place in fitting)
            if len(fitting) == 1 or (fitting and role not in _ESSENTIAL):
                places[role] = fitting[0]
                free.discard(fitting[0])
    if not {"relation", "target_code", "status"} & {*places, *doubtful}:
        # Where nothing is mapped, what is remarked is remarked about the code, and a date or an author is of something
        # else.
        if "comment" in places and "note" not in places:
            places["note"] = places.pop("comment")
        free |= {places.pop(role) for role in ROLES if role in places and role not in (*CODE_ROLES, *named)}
    unused = tuple(headers[place] for place in sorted(free) if headers[place])
    return Recognised(places, frozenset(named) & set(places), doubtful, unused, absent)


def _named(
    headers: Sequence[str], keys: Sequence[str], named: Mapping[str, str]
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Where the headers stand that were named, by role; and those that are not there."""
    places: dict[str, int] = {}
    absent = []
    for role, wanted in named.items():
        found = [place for place, header in enumerate(headers) if header == wanted.strip()]
        found = found or [place for place, name in enumerate(keys) if name and name == _key(wanted)]
        if found and wanted.strip():
            places[role] = found[0]
        elif wanted.strip():
            absent.append(wanted)
    return places, tuple(absent)


def relation_by_cells(recognised: Recognised, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> int | None:
    """The one column of which half of the filled cells or more say relations, where no header says that it is one.

    ``Correspondance`` or ``Type`` may be the relation, the target or anything else: what stands below tells.
    """
    told = {place for role, place in recognised.places.items() if role in CODE_ROLES}
    found = []
    for place, header in enumerate(headers):
        if not header or place in told:
            continue
        filled = [word for row in rows if place < len(row) and (word := row[place].strip())]
        said = [relation_of(word.removeprefix("skos:")) for word in filled]
        # Words for no equivalent, or for what is to be reviewed, are said of targets and states as well.
        if any(word in RELATIONS and word != "noMatch" for word in said) and 2 * sum(map(bool, said)) >= len(filled):
            found.append(place)
    return found[0] if len(found) == 1 else None


def essential(role: str) -> bool:
    """Whether a role is one that nothing may be guessed about."""
    return role in _ESSENTIAL


def _key(header: str) -> str:
    words = [word for word in analysis.key(header).split() if word not in _ARTICLES]
    return " ".join(word.removesuffix("s") if len(word) > 3 else word for word in words)


def _fits(name: str, role: str, rank: int) -> bool:
    if rank == len(_KEYS[role]) - 1:
        return name.partition(" ")[0] in _KEYS[role][rank]
    return name in _KEYS[role][rank]


_KEYS = {role: tuple(frozenset(map(_key, tier)) for tier in names) for role, names in NAMES.items()}


# What cells say of relations and states.

MAPPED, UNREVIEWED = "mapped", "unreviewed"

_WORDS: dict[str, tuple[str, ...]] = {
    "exactMatch": ("exactMatch", "exacte", "exact", "exact match", "identique", "équivalent", "équivalente", "même"),
    "closeMatch": ("closeMatch", "proche", "close", "close match", "approchante", "approchant", "voisine"),
    "broadMatch": ("broadMatch", "plus large", "large", "broad match", "plus générique", "générique", "englobante"),
    "narrowMatch": ("narrowMatch", "plus étroite", "plus étroit", "étroite", "narrow match", "plus précise", "précise"),
    "relatedMatch": ("relatedMatch", "associée", "associé", "related match", "liée", "lié", "connexe"),
    "noMatch": (
        "noMatch",
        "sans équivalent",
        "sans équivalence",
        "sans correspondance",
        "aucun équivalent",
        "aucune correspondance",
        "aucune",
        "aucun",
        "pas d'équivalent",
        "pas de correspondance",
        "no match",
        "néant",
        "sans objet",
    ),
    UNREVIEWED: (
        "unreviewed",
        "à examiner",
        "non examiné",
        "non examinée",
        "à revoir",
        "à faire",
        "à traiter",
        "à valider",
        "à vérifier",
        "en attente",
        "en cours",
        "proposé",
        "proposée",
    ),
}
_STATES: dict[str, tuple[str, ...]] = {
    MAPPED: ("mapped", "avec cible", "validé", "validée", "examiné", "examinée", "fait", "ok", "traité", "revu"),
    "noMatch": _WORDS["noMatch"],
    UNREVIEWED: _WORDS[UNREVIEWED],
}
_SIGNS: dict[str, Relation] = {
    "=": "exactMatch",
    "==": "exactMatch",
    "≡": "exactMatch",
    "~": "closeMatch",
    "≈": "closeMatch",
    "<": "broadMatch",
    ">": "narrowMatch",
}
"""Signs read from local to shared: ``<`` says that the local code is narrower than the shared concept."""

RELATION_WORDS: dict[Relation, str] = {relation: _WORDS[relation][1] for relation in RELATIONS}
"""Each relation as it is written for people, and read back."""

STATE_WORDS = {state: words[1] for state, words in _STATES.items()}
"""Each state of a code as it is written for people."""


@lru_cache(4096)
def relation_of(text: str) -> str:
    """The relation that a cell says, in French, in SKOS or by a sign; ``unreviewed``, or the empty string if none."""
    return _SIGNS.get(text) or _RELATION_OF.get(analysis.key(text), "")


@lru_cache(4096)
def state_of(text: str) -> str:
    """The state that a cell says: ``mapped``, ``noMatch`` or ``unreviewed``; the empty string if none."""
    return _STATE_OF.get(analysis.key(text), "")


_RELATION_OF = {analysis.key(word): relation for relation, words in _WORDS.items() for word in words}
_STATE_OF = {analysis.key(word): state for state, words in _STATES.items() for word in words}
