"""JSKOS out, one JSON object a line, as library systems and Cocoda read it.

A release is its scheme, then its concepts; a crosswalk is its mappings. Where narrower concepts together exhaust a
local code, or have weights, JSKOS has no place for it but the mapping's note, which says so in French: the sets of
concepts that a mapping may lead to are either combined or chosen from, and no relation of theirs is a union.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import orjson

from registry.formats.document import language_map
from registry.model import SKOS, TEXT_PROPERTIES, Concept, Nomenclature, Release

if TYPE_CHECKING:
    # It imports this package.
    from registry.crosswalks import Crosswalk, Mapping

_CONTEXT = "https://gbv.github.io/jskos/context.json"


_TEXTS = ("altLabel", "hiddenLabel", "definition", "scopeNote", "example", "historyNote")


def write_concepts(release: Release) -> Iterator[bytes]:
    """A release as NDJSON: the scheme on the first line, then the concepts by code.

    Inclusion and exclusion notes are scope notes here; groups, and lineage but for successors, are left out.
    """
    tops = [{"uri": f"{release.nomenclature.iri}/{code}"} for code, one in release.concepts.items() if not one.broader]
    yield orjson.dumps(_scheme(release, sorted(tops, key=lambda top: top["uri"]))) + b"\n"
    for code in sorted(release.concepts):
        yield orjson.dumps(_published(release, release.concepts[code])) + b"\n"


def _scheme(release: Release, tops: list[dict[str, str]]) -> dict[str, Any]:
    nomenclature = release.nomenclature
    languages = {language for concept in release.concepts.values() for language, _ in concept.pref_label}
    found: dict[str, Any] = {
        "@context": _CONTEXT,
        "uri": nomenclature.iri,
        "identifier": [f"{nomenclature.iri}@{release.version}"],
        "type": [SKOS + "ConceptScheme"],
        "prefLabel": dict(nomenclature.title),
        "notation": [nomenclature.slug],
        "startDate": release.valid_from.isoformat(),
        "languages": sorted(languages),
        "topConcepts": tops,
    }
    if nomenclature.description:
        found["definition"] = language_map(nomenclature.description)
    for key, iri in (("publisher", nomenclature.publisher), ("license", nomenclature.license)):
        if iri:
            found[key] = [{"uri": iri}]
    return found


def _published(release: Release, concept: Concept) -> dict[str, Any]:
    nomenclature = release.nomenclature
    scheme = [{"uri": nomenclature.iri}]
    found: dict[str, Any] = {
        "@context": _CONTEXT,
        "uri": f"{nomenclature.iri}/{concept.code}",
        "type": [SKOS + "Concept"],
        "notation": [concept.code],
        "prefLabel": dict(concept.pref_label),
        "inScheme": scheme,
    }
    if not concept.broader:
        found["topConceptOf"] = scheme
    texts = {item.key: getattr(concept, item.name) for item in TEXT_PROPERTIES}
    texts["scopeNote"] = (*concept.scope_note, *concept.inclusion_note, *concept.exclusion_note)
    found |= {key: language_map(texts[key]) for key in _TEXTS if texts[key]}
    links = release.links_from.get(concept.code, ())
    successors = dict.fromkeys(link.new for link in links if link.new != concept.code)
    narrower = release.narrower.get(concept.code, ())
    for key, codes in (("broader", concept.broader), ("narrower", narrower), ("related", concept.related)):
        if codes:
            found[key] = [_named(nomenclature, release, code) for code in codes]
    if concept.status == "deprecated":
        found["deprecated"] = True
        if successors:
            found["replacedBy"] = [_named(nomenclature, release, code) for code in successors]
    if concept.valid_from:
        found["startDate"] = concept.valid_from.isoformat()
    if concept.valid_until:
        found["endDate"] = concept.valid_until.isoformat()
    if concept.legal_basis:
        found["source"] = [{"prefLabel": {"fr": text}} for text in concept.legal_basis]
    return found


def _named(nomenclature: Nomenclature, release: Release, code: str) -> dict[str, Any]:
    label = dict(release.concepts[code].pref_label) if code in release.concepts else {}
    return {"uri": f"{nomenclature.iri}/{code}", "notation": [code]} | ({"prefLabel": label} if label else {})


def write(crosswalk: Crosswalk) -> Iterator[bytes]:
    """The mappings of a crosswalk as NDJSON; a code that nobody has reviewed has none."""
    labels = {item.code: item.label for item in crosswalk.codes}
    for mapping in sorted(crosswalk.mappings):
        yield orjson.dumps(_mapping(crosswalk, mapping, labels)) + b"\n"


def _mapping(crosswalk: Crosswalk, mapping: Mapping, labels: dict[str, str]) -> dict[str, Any]:
    code, target = mapping.local_code, mapping.target_code
    # A relation to nothing: JSKOS says with an empty set of targets that there is no equivalent.
    found = mapping.relation != "noMatch"
    document: dict[str, Any] = {
        "@context": _CONTEXT,
        "type": [SKOS + (mapping.relation if found else "mappingRelation")],
        "from": {"memberSet": [_concept(crosswalk.code_iri(code), code, labels.get(code, ""))]},
        "to": {
            "memberSet": [_concept(crosswalk.concept_iri(target), target, crosswalk.labels.get(target, ""))]
            if found
            else []
        },
        "fromScheme": {"uri": crosswalk.list_iri, "prefLabel": {"fr": crosswalk.code_list.title}},
        "toScheme": {"uri": crosswalk.nomenclature.iri, "prefLabel": dict(crosswalk.nomenclature.title)},
        "partOf": [{"uri": crosswalk.iri + (f"@{crosswalk.edition}" if crosswalk.edition else "")}],
    }
    for key, name in (("creator", mapping.author), ("contributor", mapping.reviewer)):
        if name:
            document[key] = [{"prefLabel": {"fr": name}}]
    if mapping.date:
        document["created"] = mapping.date
    notes = [mapping.comment] if mapping.comment else []
    if mapping.covers:
        notes.append("Avec les autres concepts plus étroits de ce code, le couvre en entier.")
    if mapping.weight:
        notes.append(f"Part du code local : {mapping.weight}")
    if notes:
        document["note"] = {"fr": notes}
    if mapping.confidence:
        document["mappingRelevance"] = float(mapping.confidence)
    return document


def _concept(iri: str, code: str, label: str) -> dict[str, Any]:
    return {"uri": iri, "notation": [code]} | ({"prefLabel": {"fr": label}} if label else {})
