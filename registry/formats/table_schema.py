"""Table Schema out: what the columns of a release's CSV hold, in the words that schema.data.gouv.fr reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from registry.formats import tabular
from registry.model import Release, preferred

_DESCRIBED: dict[str, tuple[str, str]] = {
    "code": ("Code", "Le code du concept, qui ne change jamais de sens sans que la filiation le dise."),
    "libelle": ("Libellé", "Le libellé préféré."),
    "autres_libelles": ("Autres libellés", "Les synonymes, séparés par une barre verticale."),
    "libelles_caches": ("Libellés cachés", "Ce qui se cherche et ne s'affiche pas, séparé par une barre verticale."),
    "definition": ("Définition", "Ce que le concept désigne."),
    "note_application": ("Note d'application", "Comment le concept s'emploie."),
    "inclut": ("Inclut", "Ce que le concept comprend."),
    "exclut": ("Exclut", "Ce que le concept ne comprend pas."),
    "exemple": ("Exemple", "Un cas auquel le concept s'applique."),
    "note_historique": ("Note historique", "Ce que le concept est devenu, et pourquoi."),
    "code_parent": ("Code parent", "Le code du concept plus large ; plusieurs sont séparés par une barre verticale."),
    "codes_associes": ("Codes associés", "Les codes des concepts liés, séparés par une barre verticale."),
    "reference_juridique": ("Référence juridique", "Les textes qui fondent le concept."),
    "date_debut": ("Date de début", "Le premier jour de validité du concept."),
    "date_fin": ("Date de fin", "Le dernier jour de validité du concept."),
    "statut": ("Statut", "Un code déprécié n'est plus à employer."),
    "remplace_par": ("Remplacé par", "Les codes qui succèdent à celui-ci, séparés par une barre verticale."),
    "filiation": ("Filiation", "Ce que le code devient : CODE@AAAA-MM-JJ:nature, séparés par une barre verticale."),
    tabular.GROUPS: ("Groupes", "Les codes des groupes du concept, séparés par une barre verticale."),
}


def write(release: Release) -> Iterator[bytes]:
    """The Table Schema of a release's CSV, which is valid against it."""
    nomenclature = release.nomenclature
    title = preferred(nomenclature.title) or nomenclature.slug
    found: dict[str, Any] = {
        "$schema": "https://frictionlessdata.io/schemas/table-schema.json",
        "name": nomenclature.slug,
        "title": title,
        "description": preferred(nomenclature.description) or title,
        "version": release.version,
        "homepage": nomenclature.iri,
        "fields": [_field(release, name) for name in tabular.header(release)],
        "missingValues": [""],
        "primaryKey": "code",
    }
    if all(len(concept.broader) < 2 for concept in release.concepts.values()):
        # A cell of several codes is the key of no row.
        found["foreignKeys"] = [{"fields": "code_parent", "reference": {"resource": "", "fields": "code"}}]
    yield orjson.dumps(found, option=orjson.OPT_INDENT_2) + b"\n"


def _field(release: Release, name: str) -> dict[str, Any]:
    base, _, language = name.partition("@")
    title, description = _DESCRIBED[base]
    found: dict[str, Any] = {
        "name": name,
        "title": f"{title} ({language})" if language else title,
        "description": description,
        "type": "date" if base in ("date_debut", "date_fin") else "string",
    }
    if base == "code":
        pattern = release.nomenclature.code_pattern
        found["constraints"] = {"required": True, "unique": True, "pattern": f"^(?:{pattern})$"}
    elif base == "statut":
        found["constraints"] = {"required": True, "enum": ["actif", "déprécié"]}
    elif name == "libelle" and all(dict(one.pref_label).get("fr") for one in release.concepts.values()):
        found["constraints"] = {"required": True}
    return found
