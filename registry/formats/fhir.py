"""FHIR R4 out: a release as a CodeSystem, a crosswalk as a ConceptMap, for the terminology servers in health care.

The local list and the nomenclature are named as code systems by their IRIs, and "all their codes" as value sets at
``?vs``. A code without equivalent is ``unmatched``; one that nobody has reviewed is absent. The standard asks for a
comment wherever something is lost: where the reviewer left none, one stands there that says what is. R4 has no element
for a target's weight, nor for the word that narrower targets together exhaust a code: both are extensions of ours
(``…/-/fhir/weight``, a decimal, and ``…/-/fhir/covers``, a boolean), which whoever does not know them passes over.

Concepts of a CodeSystem stand in one list and name their parents as properties, since a concept may have several. Its
codes that are no longer to be used are ``inactive``, and have the ``status`` that the French agency of digital health
gives codes. Hidden labels, groups, and definitions in a second language are left out.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import orjson

from registry.model import SKOS, Concept, Link, Release, preferred
from registry.signing import DCT, SCHEMA, instant

if TYPE_CHECKING:
    # It imports this package.
    from registry.crosswalks import Crosswalk, Mapping, Relation

EQUIVALENCES: dict[Relation, str] = {
    "exactMatch": "equivalent",
    "closeMatch": "inexact",
    "broadMatch": "wider",
    "narrowMatch": "narrower",
    "relatedMatch": "relatedto",
    "noMatch": "unmatched",
}
"""What the target is, seen from the source, in the words of R4."""

LOST: dict[Relation, str] = {
    "closeMatch": "Correspondance proche : les deux sens ne se recouvrent pas tout à fait.",
    "narrowMatch": "Le concept visé est plus étroit que le code local.",
}
COVERED = "Le concept visé est plus étroit que le code local, que les concepts plus étroits couvrent ensemble."
_AT_ONCE = 500

_STANDARD = "http://hl7.org/fhir/concept-properties#"
_PROPERTIES: tuple[tuple[str, str, str], ...] = (
    ("parent", "code", _STANDARD + "parent"),
    ("inactive", "boolean", _STANDARD + "inactive"),
    ("deprecated", "dateTime", _STANDARD + "deprecated"),
    ("status", "code", _STANDARD + "status"),
    ("validFrom", "dateTime", SCHEMA + "startDate"),
    ("validUntil", "dateTime", SCHEMA + "endDate"),
    ("related", "code", SKOS + "related"),
    ("replacedBy", "code", DCT + "isReplacedBy"),
    ("legalBasis", "string", DCT + "source"),
    ("note", "string", SKOS + "note"),
)
"""What concepts say beside their names: the code of the property, its type, what it means."""

_NOTES = ("scope_note", "inclusion_note", "exclusion_note", "example", "history_note")


def write_code_system(release: Release) -> Iterator[bytes]:
    """A release as a CodeSystem in JSON, one concept a line."""
    heading = orjson.dumps(_code_system(release))
    if not release.concepts:
        yield heading + b"\n"
        return
    yield heading[:-1] + b',"concept":['
    separator = b"\n"
    for code in sorted(release.concepts):
        yield separator + orjson.dumps(code_system_concept(release, release.concepts[code]))
        separator = b",\n"
    yield b"\n]}\n"


def _described(release: Release, kind: str) -> dict[str, Any]:
    nomenclature = release.nomenclature
    title = preferred(nomenclature.title) or nomenclature.slug
    return {
        "version": release.version or "0.0",
        "name": f"{kind}_" + nomenclature.slug.replace("-", "_"),
        "title": title,
        "status": "active" if release.version else "draft",
        "experimental": False,
        "date": release.valid_from.isoformat(),
        "publisher": nomenclature.publisher or "Socle",
        "description": preferred(nomenclature.description) or title,
        "copyright": " ".join(filter(None, (nomenclature.license, nomenclature.attribution))) or title,
    }


def _code_system(release: Release) -> dict[str, Any]:
    nomenclature = release.nomenclature
    return {
        "resourceType": "CodeSystem",
        "meta": {"profile": ["http://hl7.org/fhir/StructureDefinition/shareablecodesystem"]},
        "language": "fr",
        "url": nomenclature.iri,
        **_described(release, "Nomenclature"),
        "caseSensitive": True,
        "valueSet": f"{nomenclature.iri}?vs",
        "hierarchyMeaning": "is-a" if nomenclature.generic else "grouped-by",
        "compositional": False,
        # A code whose meaning shifted says nothing without the version that it was taken from.
        "versionNeeded": any(link.old == link.new for link in release.links),
        "content": "complete",
        "count": len(release.concepts),
        "property": [{"code": code, "uri": uri, "type": type} for code, type, uri in _PROPERTIES],
    }


def value_set(release: Release) -> dict[str, Any]:
    """All codes of a release as a ValueSet: what its CodeSystem names as ``valueSet``."""
    nomenclature = release.nomenclature
    included = {"system": nomenclature.iri, "version": release.version or "0.0"}
    return {
        "resourceType": "ValueSet",
        "meta": {"profile": ["http://hl7.org/fhir/StructureDefinition/shareablevalueset"]},
        "language": "fr",
        "url": f"{nomenclature.iri}?vs",
        **_described(release, "Codes"),
        "immutable": True,
        "compose": {"inactive": True, "include": [included]},
    }


def code_system_concept(release: Release, concept: Concept) -> dict[str, Any]:
    """A concept as a CodeSystem holds it."""
    found: dict[str, Any] = {"code": concept.code, "display": concept.label}
    if concept.definition:
        found["definition"] = preferred(concept.definition)
    names = [("prefLabel", *pair) for pair in concept.pref_label if pair[1] != concept.label]
    names += [("altLabel", *pair) for pair in concept.alt_label]
    if names:
        found["designation"] = [
            {"language": language, "use": {"system": SKOS[:-1], "code": use}, "value": text}
            for use, language, text in names
        ]
    return found | {"property": [*_properties(release, concept)]}


def _properties(release: Release, concept: Concept) -> Iterator[dict[str, Any]]:
    links = [link for link in release.links_from.get(concept.code, ()) if link.new != concept.code]
    dates = {"deprecated": _deprecated_from(concept, links), "validFrom": concept.valid_from}
    said: dict[str, tuple[str, Iterable[Any]]] = {
        "parent": ("valueCode", concept.broader),
        "status": ("valueCode", [concept.status]),
        "inactive": ("valueBoolean", [concept.status == "deprecated"]),
        **{
            name: ("valueDateTime", [day.isoformat()] if day else [])
            for name, day in {**dates, "validUntil": concept.valid_until}.items()
        },
        "related": ("valueCode", concept.related),
        "replacedBy": ("valueCode", dict.fromkeys(link.new for link in links)),
        "legalBasis": ("valueString", concept.legal_basis),
        "note": ("valueString", [text for kind in _NOTES for _, text in getattr(concept, kind)]),
    }
    for name, (member, values) in said.items():
        for value in values:
            yield {"code": name, member: value}


def _deprecated_from(concept: Concept, links: Sequence[Link]) -> date | None:
    """The first day on which a code was no longer to be used, if it is known."""
    if concept.status != "deprecated":
        return None
    ended = [concept.valid_until + timedelta(days=1)] if concept.valid_until else []
    return min([*ended, *(link.date for link in links)], default=None)


def write(crosswalk: Crosswalk) -> Iterator[bytes]:
    """A crosswalk as a ConceptMap in JSON."""
    if not crosswalk.mappings:
        yield orjson.dumps(_heading(crosswalk)) + b"\n"
        return
    # The elements go out a few at a time: there may be tens of thousands.
    yield (
        orjson.dumps(_heading(crosswalk))[:-1] + b',"group":[' + orjson.dumps(_group(crosswalk))[:-1] + b',"element":['
    )
    labels = {item.code: item.label for item in crosswalk.codes}
    by_code = itertools.groupby(sorted(crosswalk.mappings), key=lambda mapping: mapping.local_code)
    elements = (_element(crosswalk, code, labels.get(code, ""), mappings) for code, mappings in by_code)
    separator = b""
    while some := list(itertools.islice(elements, _AT_ONCE)):
        yield separator + orjson.dumps(some)[1:-1]
        separator = b","
    yield b"]}]}\n"


def _heading(crosswalk: Crosswalk) -> dict[str, Any]:
    names: Sequence[str] = (crosswalk.code_list.organisation, crosswalk.code_list.slug, crosswalk.nomenclature.slug)
    given = {
        "resourceType": "ConceptMap",
        "url": crosswalk.iri,
        "version": str(crosswalk.edition) if crosswalk.edition else "",
        "name": "Crosswalk_" + re.sub("[^A-Za-z0-9]", "_", "__".join(names)),
        "title": crosswalk.title,
        "status": "active" if crosswalk.edition else "draft",
        "date": instant(crosswalk.issued) if crosswalk.issued else "",
        "publisher": crosswalk.author,
        "copyright": crosswalk.license,
        "sourceUri": f"{crosswalk.list_iri}?vs",
        "targetUri": f"{crosswalk.nomenclature.iri}?vs",
    }
    return _filled(given)


def _group(crosswalk: Crosswalk) -> dict[str, Any]:
    return _filled(
        {
            "source": crosswalk.list_iri,
            "sourceVersion": str(crosswalk.list_edition) if crosswalk.list_edition else "",
            "target": crosswalk.nomenclature.iri,
            "targetVersion": crosswalk.release,
        }
    )


def _element(crosswalk: Crosswalk, code: str, label: str, mappings: Iterable[Mapping]) -> dict[str, Any]:
    targets = [_target(crosswalk, mapping) for mapping in mappings]
    return _filled({"code": code, "display": label}) | {"target": targets}


def _target(crosswalk: Crosswalk, mapping: Mapping) -> dict[str, Any]:
    lost = COVERED if mapping.covers else LOST.get(mapping.relation, "")
    found = _filled(
        {
            "code": mapping.target_code,
            "display": crosswalk.labels.get(mapping.target_code, ""),
            "equivalence": EQUIVALENCES[mapping.relation],
            "comment": mapping.comment or lost,
        }
    )
    extensions: list[dict[str, Any]] = []
    if mapping.covers:
        extensions.append({"url": f"{crosswalk.registry}-/fhir/covers", "valueBoolean": True})
    if mapping.weight:
        extensions.append({"url": f"{crosswalk.registry}-/fhir/weight", "valueDecimal": float(mapping.weight)})
    return {"extension": extensions, **found} if extensions else found


def _filled(given: dict[str, str]) -> dict[str, Any]:
    """What has a value: FHIR takes no empty text."""
    return {key: value for key, value in given.items() if value}
