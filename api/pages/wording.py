"""The registry's words in the French of an agent: dates, kinds of change, relations, formats."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from registry.draft_editions import SURE as SURE
from registry.errors import Problem
from registry.model import Texts, preferred

_OPTIONS = re.compile(r" \(--[^)]*\)")
_MONTHS = "janvier février mars avril mai juin juillet août septembre octobre novembre décembre".split()

KINDS: dict[str, tuple[str, str, str]] = {
    "added": ("ajouté", "ajout", "ajouts"),
    "removed": ("retiré", "retrait", "retraits"),
    "relabelled": ("libellé modifié", "libellé modifié", "libellés modifiés"),
    "redefined": ("définition modifiée", "définition modifiée", "définitions modifiées"),
    "moved": ("déplacé", "déplacement", "déplacements"),
    "annotated": ("compléments modifiés", "complément modifié", "compléments modifiés"),
    "deprecated": ("devenu obsolète", "concept devenu obsolète", "concepts devenus obsolètes"),
    "reinstated": ("rétabli", "rétablissement", "rétablissements"),
    "replaced": ("remplacé", "remplacement", "remplacements"),
    "split": ("scindé", "scission", "scissions"),
    "merged": ("fusionné", "fusion", "fusions"),
    "reshaped": ("redécoupé", "redécoupage", "redécoupages"),
    "widened": ("sens élargi", "sens élargi", "sens élargis"),
    "narrowed": ("sens restreint", "sens restreint", "sens restreints"),
    "shifted": ("sens déplacé", "sens déplacé", "sens déplacés"),
}
"""What happened to a code; then what a release counts, one and several."""

LINKS = {
    "same": "même sens",
    "wider": "sens plus large que l’ancien",
    "narrower": "sens plus étroit que l’ancien",
    "overlaps": "recoupement partiel",
}
"""What the new concept is, seen from the old one."""

RELATIONS = {
    "exactMatch": "équivalent",
    "closeMatch": "très proche",
    "broadMatch": "plus précis que ce concept",
    "narrowMatch": "plus large que ce concept",
    "relatedMatch": "en rapport",
}
"""What a local code is, seen from the shared concept."""

TARGETS = {
    "exactMatch": "équivalent exact",
    "closeMatch": "concept très proche",
    "broadMatch": "concept plus large",
    "narrowMatch": "concept plus étroit",
    "relatedMatch": "concept en rapport",
    "noMatch": "sans équivalent",
}
"""What a shared concept is, seen from the local code."""

CODE_STATES = {
    "unreviewed": ("À examiner", "à examiner", "warning"),
    "mapped": ("Avec correspondance", "fait", "success"),
    "noMatch": ("Sans équivalent", "sans équivalent", "info"),
}
"""What was decided of a local code: to choose among them, of one of them, and the kind of its badge."""

ACTIONS = {
    "keep": "rien ne change : à relire",
    "successor": "un successeur est proposé",
    "byHand": "à décider",
}
"""What a mapping asks for after a release."""

ROLES_OF_COLUMNS = {
    "code": "code local",
    "label": "libellé",
    "parent_code": "code parent",
    "note": "note",
    "frequency": "nombre d’usages",
    "relation": "relation",
    "target_code": "code du concept",
    "target_label": "libellé du concept (comparé, jamais repris)",
    "justification": "justification",
    "confidence": "confiance",
    "covers": "couvre tout le code",
    "weight": "poids",
    "comment": "commentaire",
    "author": "auteur",
    "reviewer": "relecteur",
    "date": "date",
    "status": "état",
}
"""What a column of an organisation's own file can be."""

STATES = {"active": "Actifs", "deprecated": "Obsolètes"}
"""Concepts by their status, to choose among them."""

RELEASE_STATES = {
    "withdrawn": "retirée",
    "inForce": "en vigueur",
    "corrected": "corrigée",
    "coming": "à venir",
    "past": "remplacée",
}
"""What a release is today."""

WHY = {
    "code": "le code",
    "label": "un autre nom",
    "acronym": "le sigle",
    "stem": "une forme voisine dans",
    "prefix": "le début de mots dans",
    "corrected": "l’orthographe corrigée dans",
    "definition": "la définition ou une note",
    "everyday": "des mots courants, lus dans",
    "mapped": "la correspondance d’une autre liste :",
    "local": "le libellé d’une liste locale",
}
"""Why a concept was found."""

FORMATS = {
    "xlsx": ("Tableur (Excel, LibreOffice)", "se modifie à l’aide de listes, et se renvoie"),
    "csv-excel": ("Tableur (CSV pour Excel)", "s’ouvre d’un double-clic"),
    "csv": ("CSV", "UTF-8, virgules, pour les logiciels"),
    "json": ("JSON", "pour les logiciels"),
    "turtle": ("Turtle", "RDF, SKOS"),
    "rdfxml": ("RDF/XML", "RDF, SKOS"),
    "jsonld": ("JSON-LD", "RDF, SKOS"),
    "ntriples": ("N-Triples", "forme canonique, signée"),
}
"""How files are named to people, and what for; a format that is not here goes by its own name."""

CROSSWALK_FORMATS = {
    "xlsx": ("Tableur (Excel, LibreOffice)", "se complète à l’aide de listes, et se renvoie"),
    "csv": ("CSV", "UTF-8, virgules, pour les logiciels"),
    "sssom": ("SSSOM/TSV", "l’échange de correspondances"),
    "parquet": ("Parquet", "la statistique"),
    "fhir": ("FHIR ConceptMap", "la santé"),
    "jskos": ("JSKOS", "les outils de vocabulaires"),
}
"""How the files of a crosswalk are named to people, and what for."""

LICENCES = {"https://www.etalab.gouv.fr/licence-ouverte-open-licence": "Licence Ouverte 2.0"}


def day(value: date | datetime | None) -> str:
    """A day in words: ``1er juillet 2025``; an instant is told by its day in Paris."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        value = value.astimezone(ZoneInfo("Europe/Paris")).date()
    return f"{'1er' if value.day == 1 else value.day}\u00a0{_MONTHS[value.month - 1]}\u00a0{value.year}"


def count(number: int, one: str, several: str = "") -> str:
    """A number with its noun: ``1 concept``, ``1 204 concepts``; in French nought is singular."""
    noun = one if number < 2 else several or f"{one}s"
    return f"{number:,}".replace(",", "\u202f") + f"\u00a0{noun}"


def summary(counts: Mapping[str, int]) -> str:
    """What a release changed, in one line."""
    return ", ".join(count(number, *KINDS[kind][1:]) for kind, number in counts.items()) or "aucun changement"


def text(values: Texts) -> str:
    """The text to show, French first."""
    return preferred(values)


def texts(values: Texts) -> list[str]:
    """The French texts, or all where there is none."""
    found = [value for language, value in values if language == "fr"]
    return found or [value for _, value in values]


def share(part: int, total: int) -> str:
    """A part of a whole as a percentage, never rounded up to all nor down to nothing."""
    percent = round(100 * part / total) if total else 0
    if 0 < part < total:
        percent = min(max(percent, 1), 99)
    return f"{percent}\u00a0%"


def without_options(text: str) -> str:
    """A text without the options of commands in brackets, which mean nothing on a page."""
    return _OPTIONS.sub("", text)


def sentence(problem: Problem) -> str:
    """What is wrong, and what would be accepted, as a sentence."""
    accepted = f" (attendu\u00a0: {without_options(problem.accepted)})" if problem.accepted else ""
    return f"{problem.message[:1].upper()}{problem.message[1:]}{accepted}."


def size(number: int) -> str:
    """A file's size."""
    if number < 1_000_000:
        return f"{max(1, round(number / 1000))}\u00a0ko"
    return f"{number / 1_000_000:.1f}\u00a0Mo".replace(".", ",")


def is_address(value: str) -> bool:
    """Whether a text from the data may be a link's target; nothing but the web's own schemes is."""
    return value.startswith(("https://", "http://"))


PROPOSALS = {
    "received": ("reçue", ""),
    "studied": ("à l’étude", "info"),
    "retained": ("retenue", "info"),
    "declined": ("non retenue", "warning"),
    "released": ("publiée", "success"),
}
"""What became of a proposal, and the kind of its badge."""

ROLES = {
    "reader": "lecture",
    "mapper": "correspondances",
    "proposer": "demandes d’évolution",
    "editor": "rédaction",
    "member": "vote",
    "secretary": "secrétariat",
    "administrator": "administration",
}
"""What a role lets somebody do."""


FILTERS: dict[str, Callable[..., Any]] = {
    "day": day,
    "count": count,
    "text": text,
    "texts": texts,
    "share": share,
    "sentence": sentence,
    "without_options": without_options,
    "size": size,
    "summary": summary,
    "is_address": is_address,
}
