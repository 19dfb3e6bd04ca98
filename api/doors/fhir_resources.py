"""The registry's content as FHIR resources: which there are, by identifier and by canonical address.

A release is a CodeSystem and the ValueSet of all its codes, ``N-V`` by identifier. An edition of a crosswalk is a
ConceptMap, and so is what leads from one release to the next: of what did not change, it says so once (``unmapped``).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from api import consumption, current
from api.doors.renditions import written
from registry import editions, translation
from registry.crosswalks import Crosswalk, CrosswalkEdition
from registry.errors import NotFound
from registry.formats import FORMATS, fhir
from registry.formats.crosswalks import CROSSWALK_FORMATS
from registry.model import Edition, Nomenclature, Release, preferred, today
from registry.signing import instant
from registry.store import Store

_LONGEST_ID = 64
SUBSETTED = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}
KINDS = ("CodeSystem", "ValueSet", "ConceptMap")


@dataclass(frozen=True)
class Resource:
    """A resource that there is: its heading (what searches look at), and how to have it whole.

    A map has ``ends``: the system that it leads from and the one it leads to, each as an IRI and as the registry names
    it, pinned.
    """

    kind: str
    id: str
    heading: dict[str, Any]
    whole: Callable[[], dict[str, Any]]
    ends: tuple[tuple[str, str], ...] = ()

    def shown(self, *, whole: bool) -> dict[str, Any]:
        """The resource with its identifier; without its content it says that it is a part of itself."""
        found = self.whole() if whole else self.heading
        meta = {**found.get("meta", {}), **self.heading["meta"]}
        if not whole:
            meta["tag"] = [SUBSETTED]
        status = self.heading["status"]
        return {"resourceType": self.kind, "id": self.id, **found, "meta": meta, "status": status}


def system(iri: str, version: str = "") -> tuple[Edition, Nomenclature]:
    """The release that a code system and its version name: without a version, the one in force.

    :raises NotFound: if there is none.
    """
    store = current.store()
    for nomenclature in store.nomenclatures():
        if nomenclature.iri == iri:
            slug = nomenclature.slug
            edition = store.edition(slug, version) if version else store.in_force(slug, today())
            consumption.note((slug, edition.version))
            return edition, store.heading(slug, edition.version)
    raise NotFound("CodeSystem", f"{iri}|{version}" if version else iri)


def found(kind: str, identifier: str) -> Resource:
    """The resource of a kind and identifier.

    :raises NotFound: if there is none.
    """
    for resource in each(kind):
        if resource.id == identifier:
            return resource
    raise NotFound(kind, identifier)


def each(kind: str) -> Iterator[Resource]:
    """Every resource of a kind, in the order of identifiers."""
    yield from sorted(_MAKERS[kind](current.store()), key=lambda resource: resource.id)


# Releases


def _of_releases(kind: str) -> Callable[[Store], Iterator[Resource]]:
    def resources(store: Store) -> Iterator[Resource]:
        for nomenclature in store.nomenclatures():
            for edition in store.editions(nomenclature.slug):
                yield of_release(kind, edition, store.heading(edition.nomenclature, edition.version))

    return resources


def of_release(kind: str, edition: Edition, heading: Nomenclature) -> Resource:
    """The CodeSystem or the ValueSet of a release."""
    empty = Release(heading, edition.version, edition.valid_from)
    if kind == "ValueSet":
        shown = fhir.value_set(empty)

        def whole() -> dict[str, Any]:
            return shown
    else:
        shown = orjson.loads(b"".join(FORMATS["fhir"].write(empty)))
        # Whether a meaning shifted is told by the lineage, which a heading is made without.
        shown.pop("versionNeeded", None)
        shown |= {"count": edition.concepts}

        def whole() -> dict[str, Any]:
            read: dict[str, Any] = orjson.loads(written(edition, "fhir"))
            return read

    shown["status"] = "retired" if edition.withdrawn_at else "active"
    shown["meta"] = {**shown.get("meta", {}), **_meta(edition)}
    return Resource(kind, _identifier(edition.nomenclature, edition.version), shown, whole)


def _meta(edition: Edition) -> dict[str, Any]:
    changed = edition.withdrawn_at or edition.issued
    return {"versionId": "2" if edition.withdrawn_at else "1", "lastUpdated": instant(changed)}


def _identifier(*parts: str, joint: str = "-") -> str:
    """An identifier as FHIR allows it, which is not too long. Slugs, versions and numbers have no other characters."""
    whole = joint.join(parts)
    if len(whole) <= _LONGEST_ID:
        return whole
    return f"{whole[: _LONGEST_ID - 17]}.{hashlib.sha256(whole.encode()).hexdigest()[:16]}"


# Crosswalks, and what leads from one release to the next


def _concept_maps(store: Store) -> Iterator[Resource]:
    lists = {(one.code_list.organisation, one.code_list.slug): one.code_list for one in store.list_editions()}
    for edition in store.crosswalk_editions():
        heading = store.heading(edition.nomenclature, edition.release)
        code_list = lists[edition.organisation, edition.code_list]
        empty = Crosswalk(
            code_list,
            heading,
            edition.release,
            (),
            (),
            {},
            edition.edition,
            edition.list_edition,
            edition.valid_from,
            edition.issued,
            edition.author,
            edition.license,
        )
        yield _of_crosswalk(store, edition, empty)
    for nomenclature in store.nomenclatures():
        known = {edition.version: edition for edition in store.editions(nomenclature.slug)}
        for after in known.values():
            if after.predecessor:
                yield _of_correspondence(store, known[after.predecessor], after)


def _of_crosswalk(store: Store, edition: CrosswalkEdition, empty: Crosswalk) -> Resource:
    def read(crosswalk: Crosswalk) -> dict[str, Any]:
        document: dict[str, Any] = orjson.loads(b"".join(CROSSWALK_FORMATS["fhir"].write(crosswalk)))
        return document

    shown = read(empty) | {"meta": {"versionId": "1", "lastUpdated": instant(edition.issued)}}
    identifier = _identifier(
        edition.organisation, edition.code_list, edition.nomenclature, str(edition.edition), joint="."
    )
    ends = (
        (empty.list_iri, f"{edition.organisation}/{edition.code_list}@{edition.edition}"),
        (empty.nomenclature.iri, f"{edition.nomenclature}@{edition.release}"),
    )
    return Resource("ConceptMap", identifier, shown, lambda: read(editions.whole(store, edition)), ends)


def _of_correspondence(store: Store, before: Edition, after: Edition) -> Resource:
    heading = store.heading(after.nomenclature, after.version)
    title = preferred(heading.title) or heading.slug
    shown = {
        "resourceType": "ConceptMap",
        "meta": _meta(after),
        "url": correspondence_url(heading, before.version, after.version),
        "version": after.version,
        "name": re.sub(r"[^A-Za-z0-9]", "_", f"Releases_{heading.slug}_{before.version}_{after.version}"),
        "title": f"{title} : de {before.version} à {after.version}",
        "status": "retired" if after.withdrawn_at else "active",
        "date": instant(after.issued),
        "publisher": heading.publisher or "Socle",
        "sourceCanonical": f"{heading.iri}?vs|{before.version}",
        "targetCanonical": f"{heading.iri}?vs|{after.version}",
    }
    identifier = _identifier(heading.slug, before.version, after.version)

    def whole() -> dict[str, Any]:
        group = _correspondence(store, heading, before, after)
        return {**shown, "group": [group]} if group["element"] else shown

    ends = tuple((heading.iri, f"{heading.slug}@{edition.version}") for edition in (before, after))
    return Resource("ConceptMap", identifier, shown, whole, ends)


def correspondence_url(heading: Nomenclature, before: str, after: str) -> str:
    """The canonical address of what leads from one release to another."""
    return f"{heading.iri}/-/correspondence/{before}/{after}"


def _correspondence(store: Store, heading: Nomenclature, before: Edition, after: Edition) -> dict[str, Any]:
    """What became of the codes that the release changed; the others mean what they meant."""
    changes = store.difference(heading.slug, before.version, after.version).changes
    codes = [change.code for change in changes if change.before is not None and (change.lineage or not change.after)]
    route = translation.route(
        store, f"{heading.slug}@{before.version}", f"{heading.slug}@{after.version}", at=after.valid_from
    )
    elements = [
        {
            "code": item.code,
            **({"display": item.label} if item.label else {}),
            "target": [target(found) for found in item.found] or [{"equivalence": "unmatched"}],
        }
        for item in translation.translated(store, route, codes)
        # Halves that do not join say nothing of the whole: neither that it is mapped, nor that it is not.
        if item.found or not item.refused
    ]
    return {
        "source": heading.iri,
        "sourceVersion": before.version,
        "target": heading.iri,
        "targetVersion": after.version,
        "element": elements,
        "unmapped": {"mode": "provided"},
    }


def target(found: translation.Found) -> dict[str, Any]:
    """What a code was translated to, as a ConceptMap's target."""
    told = {
        "code": found.code,
        "display": preferred(found.pref_label),
        "equivalence": fhir.EQUIVALENCES[found.relation],
        "comment": found.comment or fhir.LOST.get(found.relation, ""),
    }
    return {key: value for key, value in told.items() if value}


_MAKERS: dict[str, Callable[[Store], Iterator[Resource]]] = {
    "CodeSystem": _of_releases("CodeSystem"),
    "ValueSet": _of_releases("ValueSet"),
    "ConceptMap": _concept_maps,
}
