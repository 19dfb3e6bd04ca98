"""FHIR R4's terminology service, for the software of the health sector: code systems, value sets, concept maps.

A nomenclature is a CodeSystem, a release a version of it; all its codes are the ValueSet at ``?vs``; a crosswalk is a
ConceptMap. Without a version, the release in force is read, and named in the answer. Errors are OperationOutcomes.
Searches give headings, marked SUBSETTED; a read gives the whole.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any
from urllib.parse import urlencode

import orjson
from flask import Blueprint, Response, abort, request

from api import access, caching, consumption, current, negotiation
from api.concepts import alone
from api.doors import fhir_resources
from api.doors.fhir_requests import JSON, Asked, Coding, check_format, refuse
from api.doors.fhir_resources import KINDS, Resource
from registry import analysis, translation
from registry.errors import NotFound, TooLarge
from registry.formats import fhir
from registry.model import Concept, Edition, Nomenclature, preferred, today
from registry.signing import instant
from registry.store.concepts import ConceptView
from registry.translation import Found, Translation

blueprint = Blueprint("fhir", __name__, url_prefix="/fhir")

MOST_EXPANDED = 10_000
"""How many codes an expansion holds that was not asked for page by page."""

_PAGE, _MOST_RESOURCES = 50, 200
_DEFINED = "2026-11-22"
"""The day on which what this door can do last changed."""

_ISSUES = {
    400: "invalid",
    401: "login",
    403: "forbidden",
    404: "not-found",
    405: "not-supported",
    406: "not-supported",
    409: "conflict",
    411: "invalid",
    412: "conflict",
    413: "too-costly",
    415: "not-supported",
    422: "business-rule",
    503: "transient",
}
_ISSUES_OF_RULES = {"fhir_not_supported": "not-supported"}
"""What FHIR calls what went wrong, by status and by rule."""


def error(problem: Response) -> Response:
    """A problem as an OperationOutcome."""
    told = orjson.loads(problem.get_data())
    status = problem.status_code
    kind = _ISSUES.get(status, "exception" if status >= 500 else "processing")
    listed = told.get("errors") or [{}]
    issues = [
        {
            "severity": "error",
            "code": _ISSUES_OF_RULES.get(item.get("rule", ""), kind),
            "details": {"text": item.get("message") or told["title"]},
            "diagnostics": item.get("accepted") or told.get("detail") or told["title"],
        }
        for item in listed
    ]
    return Response(orjson.dumps({"resourceType": "OperationOutcome", "issue": issues}), mimetype=JSON[0])


def _answered(document: dict[str, Any], *, pinned: bool = False) -> Response:
    check_format()
    media_type = negotiation.chosen_name({kind: kind for kind in JSON}, None)
    return caching.answer(document, media_type=media_type, pinned=pinned)


def _parameters(*parameters: tuple[str, str, Any] | dict[str, Any] | None) -> Response:
    """Parameters, each a name, a type and a value, or whole; without those that have no value."""
    listed = [
        one if isinstance(one, dict) else {"name": one[0], f"value{one[1]}": one[2]}
        for one in parameters
        if one is not None and (isinstance(one, dict) or one[2] not in ("", None))
    ]
    return _answered({"resourceType": "Parameters", "parameter": listed})


def _base() -> str:
    return f"{current.settings().address}fhir"


# What this service can do


@blueprint.get("/metadata")
def metadata() -> Response:
    """Say what this service can do: the whole, or (``mode=terminology``) of which code systems."""
    mode = request.args.get("mode", "full")
    if mode not in ("full", "normative", "terminology"):
        abort(400, "mode: accepted are full, normative and terminology")
    return _answered(_terminology() if mode == "terminology" else _capabilities())


_SEARCHED = {"_id": "token", "url": "uri", "version": "token", "name": "string", "title": "string", "status": "token"}
_OPERATIONS: dict[str, dict[str, str]] = {
    "CodeSystem": {
        "lookup": "CodeSystem-lookup",
        "validate-code": "CodeSystem-validate-code",
        "subsumes": "CodeSystem-subsumes",
    },
    "ValueSet": {"expand": "ValueSet-expand", "validate-code": "ValueSet-validate-code"},
    "ConceptMap": {"translate": "ConceptMap-translate"},
}
_DEFINITIONS = "http://hl7.org/fhir/OperationDefinition/"


def _capabilities() -> dict[str, Any]:
    return {
        "resourceType": "CapabilityStatement",
        **_service("CapabilityStatement"),
        "instantiates": ["http://hl7.org/fhir/CapabilityStatement/terminology-server"],
        "fhirVersion": "4.0.1",
        "format": [JSON[0], "json"],
        "rest": [
            {
                "mode": "server",
                "security": {"cors": True, "description": "Open to all: what is published is public."},
                "resource": [
                    {
                        "type": kind,
                        "interaction": [
                            {"code": code} for code in ("read", "vread", "history-instance", "search-type")
                        ],
                        "versioning": "versioned",
                        "searchParam": [{"name": name, "type": type} for name, type in _SEARCHED.items()],
                        "operation": [
                            {"name": name, "definition": _DEFINITIONS + definition}
                            for name, definition in _OPERATIONS[kind].items()
                        ],
                    }
                    for kind in KINDS
                ],
            }
        ],
    }


def _service(kind: str) -> dict[str, Any]:
    return {
        "url": f"{_base()}/metadata#{kind}",
        "version": _DEFINED,
        "name": f"Socle{kind}",
        "title": "Socle: shared nomenclatures of French social services",
        "status": "active",
        "date": _DEFINED,
        "kind": "instance",
        "software": {"name": "Socle"},
        "implementation": {"description": "Socle", "url": _base()},
    }


def _terminology() -> dict[str, Any]:
    systems = []
    store = current.store()
    for nomenclature in store.nomenclatures():
        editions = store.editions(nomenclature.slug)
        try:
            read = store.in_force(nomenclature.slug, today()).version
        except NotFound:
            read = ""
        versions = [{"code": edition.version, "isDefault": edition.version == read} for edition in editions]
        if versions:
            generic = store.heading(nomenclature.slug, editions[-1].version).generic
            systems.append({"uri": nomenclature.iri, "version": versions, "subsumption": generic})
    asked = ("url", "valueSetVersion", "filter", "count", "offset", "activeOnly", "includeDesignations")
    return {
        "resourceType": "TerminologyCapabilities",
        **_service("TerminologyCapabilities"),
        **({"codeSystem": systems} if systems else {}),
        "expansion": {
            "hierarchical": False,
            "paging": True,
            "parameter": [{"name": name} for name in (*asked, "displayLanguage")],
            "textFilter": "Words of names and notes, as the search of the registry finds them, best first.",
        },
        "codeSearch": "explicit",
        "validateCode": {"translations": True},
        "translation": {"needsMap": False},
    }


@blueprint.get("", defaults={"rest": ""})
@blueprint.get("/", defaults={"rest": ""})
@blueprint.get("/<path:rest>")
def others(rest: str) -> Response:
    """Say that a registry of nomenclatures has terminology, and nothing else of FHIR."""
    abort(404, f"{rest[:100]}: this service has {', '.join(KINDS)} and what {_base()}/metadata names, and nothing else")


# Reading and searching


_KINDS = "<any(CodeSystem, ValueSet, ConceptMap):kind>"


@blueprint.get(f"/{_KINDS}")
def search(kind: str) -> Response:
    """Search the resources of a kind."""
    return _searched(kind)


@blueprint.post(f"/{_KINDS}/_search")
@access.needs(access.OPEN)
def search_by_form(kind: str) -> Response:
    """Search the resources of a kind, what is asked being in a form."""
    if request.content_length and request.mimetype != "application/x-www-form-urlencoded":
        abort(415, "Content-Type: accepted is application/x-www-form-urlencoded")
    return _searched(kind)


def _searched(kind: str) -> Response:
    asked = Asked.of_search()
    tests = _tests(asked)
    held = [one for one in fhir_resources.each(kind) if all(_holds(one, *test) for test in tests)]
    most = min(asked.number("_count", _PAGE) or 0, _MOST_RESOURCES)
    first = asked.number("_offset", 0) or 0
    counted = asked.text("_summary") == "count"
    page = [] if counted else held[first : first + most]
    applied = [(name, value) for name, value, *_ in ((f"{name}{modifier}", value) for name, modifier, value in tests)]
    links = [("self", [*applied, ("_count", str(most)), ("_offset", str(first))])]
    if page and first + most < len(held):
        links.append(("next", [*applied, ("_count", str(most)), ("_offset", str(first + most))]))
    bundle: dict[str, Any] = {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": len(held),
        "link": [{"relation": name, "url": f"{_base()}/{kind}?{urlencode(query)}"} for name, query in links],
    }
    if page:
        bundle["entry"] = [
            {
                "fullUrl": f"{_base()}/{kind}/{one.id}",
                "resource": one.shown(whole=False),
                "search": {"mode": "match"},
            }
            for one in page
        ]
    return _answered(bundle)


def _tests(asked: Asked) -> list[tuple[str, str, str]]:
    """What a search asks for: parameter, modifier, value. What is not known is left out, unless all must be kept to."""
    strict = "handling=strict" in request.headers.get("Prefer", "").replace(" ", "")
    found = []
    for given in asked.names():
        name, colon, modifier = given.partition(":")
        if name not in _SEARCHED:
            if strict and not name.startswith("_"):
                abort(400, f"{name[:50]}: accepted are {', '.join(_SEARCHED)}")
            continue
        if colon and not (modifier in ("exact", "contains") and _SEARCHED[name] == "string"):
            abort(400, f"{given[:50]}: this modifier is not supported")
        found += [(name, colon + modifier, value) for value in asked.each(given)]
    return found


def _holds(resource: Resource, name: str, modifier: str, value: str) -> bool:
    held = resource.id if name == "_id" else str(resource.heading.get(name, ""))
    wanted = value.split(",") if "," in value else [value]
    if name == "url":
        return any(
            held == address and version in ("", resource.heading["version"]) for address, version in _parts(wanted)
        )
    if _SEARCHED[name] == "token":
        return held in [one.rpartition("|")[2] for one in wanted]
    if modifier == ":exact":
        return held in wanted
    keys = [analysis.key(one) for one in wanted]
    if modifier == ":contains":
        return any(key in analysis.key(held) for key in keys)
    return any(analysis.key(held).startswith(key) for key in keys)


def _parts(addresses: Sequence[str]) -> list[tuple[str, str]]:
    return [(address, version) for address, _, version in (one.partition("|") for one in addresses)]


@blueprint.get(f"/{_KINDS}/<identifier>")
def read(kind: str, identifier: str) -> Response:
    """Give a resource whole."""
    return _answered(fhir_resources.found(kind, identifier).shown(whole=request.args.get("_summary") != "true"))


@blueprint.get(f"/{_KINDS}/<identifier>/_history")
def history(kind: str, identifier: str) -> Response:
    """Give the versions of a resource that are kept: what is published never changes, but may be withdrawn."""
    found = fhir_resources.found(kind, identifier)
    meta = found.heading["meta"]
    entry = {
        "fullUrl": f"{_base()}/{kind}/{identifier}",
        "resource": found.shown(whole=False),
        "request": {"method": "PUT", "url": f"{kind}/{identifier}"},
        "response": {"status": "200", "etag": f'W/"{meta["versionId"]}"', "lastModified": meta["lastUpdated"]},
    }
    bundle = {"resourceType": "Bundle", "type": "history", "total": 1, "entry": [entry]}
    return _answered(bundle)


@blueprint.get(f"/{_KINDS}/<identifier>/_history/<number>")
def version(kind: str, identifier: str, number: str) -> Response:
    """Give one version of a resource: the one there is."""
    found = fhir_resources.found(kind, identifier)
    if number != found.heading["meta"]["versionId"]:
        raise NotFound(kind, f"{identifier}/_history/{number[:50]}")
    return _answered(found.shown(whole=True))


# Code systems


@blueprint.route("/CodeSystem/$lookup", methods=["GET", "POST"])
@access.needs(access.OPEN)
def lookup() -> Response:
    """Say all that a release knows of a code."""
    asked = Asked.read()
    [coding] = asked.codings()[:1]
    edition, heading = _system(coding, asked.day("date"))
    view = current.store().concept(edition.nomenclature, edition.version, coding.code)
    wanted, language = asked.each("property"), asked.text("displayLanguage")
    described = fhir.code_system_concept(alone(view), view.concept)
    designations = [
        {"use": {"display": "preferred"}, "language": tag, "value": text} for tag, text in view.concept.pref_label
    ]
    listed = [_designation(one) for one in described.get("designation", designations[1:])]
    properties = [*described["property"], *({"code": "child", "valueCode": code} for code in view.narrower)]
    return _parameters(
        ("name", "String", preferred(heading.title) or heading.slug),
        ("version", "String", edition.version),
        ("display", "String", preferred(view.concept.pref_label, language) or coding.code),
        ("definition", "String", preferred(view.concept.definition, language)),
        *(listed if not wanted or "designation" in wanted else ()),
        *(_property(one, view) for one in properties if not wanted or one["code"] in wanted),
    )


def _designation(given: Mapping[str, Any]) -> dict[str, Any]:
    parts = [
        {"name": "language", "valueCode": given["language"]},
        {"name": "use", "valueCoding": given["use"]},
        {"name": "value", "valueString": given["value"]},
    ]
    return {"name": "designation", "part": parts}


def _property(given: Mapping[str, Any], view: ConceptView) -> dict[str, Any]:
    value = {key: value for key, value in given.items() if key != "code"}
    parts: list[dict[str, Any]] = [{"name": "code", "valueCode": given["code"]}, {"name": "value", **value}]
    label = preferred(view.labels.get(given.get("valueCode", ""), ()))
    if label:
        parts.append({"name": "description", "valueString": label})
    return {"name": "property", "part": parts}


def _system(coding: Coding, day: date | None = None) -> tuple[Edition, Nomenclature]:
    """The release that a code is to be read in."""
    if not coding.system:
        abort(400, "system: required")
    edition, heading = fhir_resources.system(coding.system, coding.version)
    if day is not None and not coding.version:
        edition = current.store().in_force(edition.nomenclature, day)
        heading = current.store().heading(edition.nomenclature, edition.version)
    return edition, heading


@blueprint.route("/CodeSystem/$validate-code", methods=["GET", "POST"])
@blueprint.route("/CodeSystem/<identifier>/$validate-code", methods=["GET", "POST"])
@access.needs(access.OPEN)
def validate_in_system(identifier: str = "") -> Response:
    """Say whether a code is one of a code system, and whether it is called so."""
    asked = Asked.read()
    asked.without("codeSystem")
    url, version = asked.canonical("url", "version")
    if identifier:
        heading = fhir_resources.found("CodeSystem", identifier).heading
        url, version = heading["url"], heading["version"]
    return _validated(asked, url, version)


def _validated(asked: Asked, system: str, version: str) -> Response:
    """The first of the codes given that is in the release, or why none is."""
    told: Response | None = None
    for coding in asked.codings():
        # A coding may leave to its context what that says already.
        own = coding.system if coding.system not in ("", f"{system}?vs") else system
        if system and own != system:
            told = told or _refused(f"{own} : ce système n'est pas celui qui est demandé, {system}", coding)
            continue
        if version and coding.version and coding.version != version:
            told = told or _refused(f"version {coding.version} : c'est {version} qui est demandée", coding)
            continue
        edition, heading = _system(coding._replace(system=own, version=version or coding.version))
        concept = current.store().labels(edition.nomenclature, edition.version, [coding.code]).get(coding.code)
        if concept is None:
            told = told or _refused(f"{heading.slug} {edition.version} n'a pas de code {coding.code}", coding)
            continue
        return _valid(asked, coding, concept, edition, heading)
    return told or _refused("aucun code", Coding("", "", "", ""))


def _refused(message: str, coding: Coding) -> Response:
    return _parameters(("result", "Boolean", False), ("message", "String", message), ("code", "Code", coding.code))


def _valid(asked: Asked, coding: Coding, concept: Concept, edition: Edition, heading: Nomenclature) -> Response:
    label = preferred(concept.pref_label, asked.text("displayLanguage")) or concept.code
    names = {analysis.key(text) for _, text in (*concept.pref_label, *concept.alt_label)}
    is_called_so = not coding.display or analysis.key(coding.display) in names
    told = [] if is_called_so else [f"« {coding.display} » n'est pas un libellé de {concept.code} : c'est « {label} »"]
    deprecated = concept.status == "deprecated"
    told += ["ce code n'est plus en usage"] if deprecated else []
    return _parameters(
        ("result", "Boolean", is_called_so),
        ("message", "String", " ; ".join(told)),
        ("display", "String", label),
        ("code", "Code", concept.code),
        ("system", "Uri", heading.iri),
        ("version", "String", edition.version),
        ("inactive", "Boolean", True) if deprecated else None,
    )


@blueprint.route("/CodeSystem/$subsumes", methods=["GET", "POST"])
@blueprint.route("/CodeSystem/<identifier>/$subsumes", methods=["GET", "POST"])
@access.needs(access.OPEN)
def subsumes(identifier: str = "") -> Response:
    """Say whether one code holds all that another means: where broader says "is a kind of", and nowhere else."""
    asked = Asked.read()
    system, version = asked.canonical("system", "version")
    if identifier:
        heading = fhir_resources.found("CodeSystem", identifier).heading
        system, version = heading["url"], heading["version"]
    ends = [asked.codings(code=f"code{end}", coding=f"coding{end}", concept="")[0] for end in "AB"]
    ends = [end._replace(system=end.system or system, version=end.version or version) for end in ends]
    if ends[0].system != ends[1].system or len({end.version for end in ends}) > 1:
        refuse("fhir_one_system", "les deux codes ne sont pas d'un même système et d'une même version", "system")
    edition, nomenclature = _system(ends[0])
    if not nomenclature.generic:
        refuse(
            "fhir_not_supported",
            f"{nomenclature.slug} : sa hiérarchie groupe ses codes, sans dire que l'un est une sorte de l'autre",
            "system",
            "a code system whose hierarchyMeaning is is-a",
        )
    above = {row.code: row.broader for row in current.store().tree(edition.nomenclature, edition.version)}
    first, second = (end.code for end in ends)
    for code in (first, second):
        if code not in above:
            current.store().concept(edition.nomenclature, edition.version, code)
    outcome = "not-subsumed"
    if first == second:
        outcome = "equivalent"
    elif first in _over(above, second):
        outcome = "subsumes"
    elif second in _over(above, first):
        outcome = "subsumed-by"
    return _parameters(("outcome", "Code", outcome))


def _over(above: Mapping[str, Sequence[str]], code: str) -> set[str]:
    """All that is above a code."""
    found: set[str] = set()
    step = [code]
    while step:
        step = [parent for one in step for parent in above.get(one, ()) if parent not in found]
        found.update(step)
    return found


# Value sets


def _value_set(asked: Asked, identifier: str) -> tuple[Edition, Nomenclature]:
    """The release whose codes are asked for."""
    asked.without("valueSet", "context", "tx-resource")
    if identifier:
        heading = fhir_resources.found("ValueSet", identifier).heading
        return fhir_resources.system(heading["compose"]["include"][0]["system"], heading["version"])
    url, version = asked.canonical("url", "valueSetVersion")
    if not url:
        abort(400, "url: required")
    if not url.endswith("?vs"):
        raise NotFound("ValueSet", url)
    return fhir_resources.system(url.removesuffix("?vs"), version)


@blueprint.route("/ValueSet/$validate-code", methods=["GET", "POST"])
@blueprint.route("/ValueSet/<identifier>/$validate-code", methods=["GET", "POST"])
@access.needs(access.OPEN)
def validate_in_set(identifier: str = "") -> Response:
    """Say whether a code is one of a value set, and whether it is called so."""
    asked = Asked.read()
    edition, heading = _value_set(asked, identifier)
    return _validated(asked, heading.iri, edition.version)


@blueprint.route("/ValueSet/$expand", methods=["GET", "POST"])
@blueprint.route("/ValueSet/<identifier>/$expand", methods=["GET", "POST"])
@access.needs(access.OPEN)
def expand(identifier: str = "") -> Response:
    """List the codes of a value set, all or page by page, or those that answer a few words."""
    asked = Asked.read()
    edition, heading = _value_set(asked, identifier)
    count, offset = asked.number("count"), asked.number("offset", 0) or 0
    words, active = asked.text("filter"), asked.flag("activeOnly")
    language = asked.text("displayLanguage")
    concepts, total = _expanded(edition, words, active, offset, MOST_EXPANDED + 1 if count is None else count)
    if count is None and total - offset > MOST_EXPANDED:
        raise TooLarge(f"{total} codes: ask for at most {MOST_EXPANDED} at a time, by count and offset")
    given: dict[str, tuple[str, Any]] = {
        "version": ("Uri", f"{heading.iri}|{edition.version}"),
        "filter": ("String", words),
        "activeOnly": ("Boolean", active or None),
        "displayLanguage": ("Code", language),
        "includeDesignations": ("Boolean", asked.flag("includeDesignations") or None),
        "count": ("Integer", count),
        "offset": ("Integer", offset if count is not None else None),
    }
    shown = fhir_resources.of_release("ValueSet", edition, heading).shown(whole=True)
    expansion = {
        # It says what was expanded and how, and is the same whenever that is.
        "identifier": uuid.uuid5(uuid.NAMESPACE_URL, repr((heading.iri, edition.version, given))).urn,
        "timestamp": instant(edition.issued),
        "total": total,
        **({"offset": offset} if count is not None else {}),
        "parameter": [
            {"name": name, f"value{kind}": value} for name, (kind, value) in given.items() if value not in ("", None)
        ],
    }
    if concepts:
        every = asked.flag("includeDesignations")
        expansion["contains"] = [_contained(one, edition, heading, language, every=every) for one in concepts]
    return _answered({**shown, "expansion": expansion})


def _expanded(edition: Edition, words: str, active: bool, first: int, most: int) -> tuple[list[Concept], int]:
    """Concepts of a release from a place on, by code or, where words are given, best first; and how many in all."""
    store, status = current.store(), "active" if active else None
    slug, version = edition.nomenclature, edition.version
    if words:
        most = min(most, MOST_EXPANDED)
        found = current.index_of(edition).search(
            words, nomenclature=slug, status=status, limit=most, offset=min(first, 10**6)
        )
        codes = [hit.document.code for hit in found.hits]
        known = store.labels(slug, version, codes)
        return [known[code] for code in codes if code in known], found.total
    most = min(most, MOST_EXPANDED + 1)
    concepts, total = store.concepts(slug, version, status=status, limit=min(first + most, edition.concepts))
    return concepts[first:], total


def _contained(
    concept: Concept, edition: Edition, heading: Nomenclature, language: str, *, every: bool
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "system": heading.iri,
        "version": edition.version,
        "code": concept.code,
        "display": preferred(concept.pref_label, language) or concept.code,
    }
    if concept.status == "deprecated":
        found["inactive"] = True
    if every:
        names = [("prefLabel", *pair) for pair in concept.pref_label] + [
            ("altLabel", *pair) for pair in concept.alt_label
        ]
        found["designation"] = [
            {"language": tag, "use": {"system": "http://www.w3.org/2004/02/skos/core", "code": use}, "value": text}
            for use, tag, text in names
        ]
    return found


# Concept maps


@blueprint.route("/ConceptMap/$translate", methods=["GET", "POST"])
@blueprint.route("/ConceptMap/<identifier>/$translate", methods=["GET", "POST"])
@access.needs(access.OPEN)
def translate(identifier: str = "") -> Response:
    """Say what a code is in another code system, by a map or by whatever the registry knows."""
    asked = Asked.read()
    asked.without("conceptMap", "dependency")
    told: list[tuple[Translation, str]] = []
    for coding in asked.codings(context=""):
        source, target, by = _ends(asked, coding, identifier)
        found = translation.translate(current.store(), source, target, [coding.code], at=today())
        told.append((found.items[0], by))
        if any(one.relation != "noMatch" for one in found.items[0].found):
            break
    item, by = told[-1]
    is_found = any(one.relation != "noMatch" for one in item.found)
    return _parameters(
        ("result", "Boolean", is_found),
        ("message", "String", "" if is_found else _why(item)),
        *(_match(one, by) for one in item.found),
    )


_MESSAGES = {
    "noMatch": "code examiné, sans équivalent",
    "refused": "rien de sûr ne relie ce code à l'autre liste",
    "unreviewed": "code pas encore examiné",
    "unmapped": "rien ne mène de ce code à l'autre liste",
    "unknown": "code inconnu de la liste de départ",
}


def _why(item: Translation) -> str:
    return _MESSAGES.get(item.status, "")


def _match(found: Found, by: str) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"name": "equivalence", "valueCode": fhir.EQUIVALENCES[found.relation]}]
    if found.code:
        place = found.read_in
        if "nomenclature" in place:
            slug, version = str(place["nomenclature"]), str(place["release"])
            consumption.note((slug, version))
            system = current.store().heading(slug, version).iri
        else:
            version = str(place["edition"])
            system = f"{_registry()}code-lists/{place['codeList']}"
        coding = {"system": system, "version": version, "code": found.code, "display": preferred(found.pref_label)}
        parts.append({"name": "concept", "valueCoding": {name: value for name, value in coding.items() if value}})
    if by:
        parts.append({"name": "source", "valueUri": by})
    return {"name": "match", "part": parts}


def _registry() -> str:
    """What the IRIs of local lists begin with: as those of crosswalks, with what those of nomenclatures do."""
    for nomenclature in current.store().nomenclatures():
        return nomenclature.iri.removesuffix(nomenclature.slug)
    return current.settings().base_iri


def _ends(asked: Asked, coding: Coding, identifier: str) -> tuple[str, str, str]:
    """From where to where a code is translated, as the registry names lists, and the map that says so."""
    url, version = asked.canonical("url", "conceptMapVersion")
    reverse = asked.flag("reverse")
    if identifier or url:
        found = _map(identifier, url, version)
        source, target = reversed(found.ends) if reverse else found.ends
        if coding.system and coding.system != source[0]:
            refuse("fhir_system", "le code n'est pas du système que cette table traduit", "system", source[0])
        return source[1], target[1], f"{found.heading['url']}|{found.heading['version']}"
    if not coding.system:
        abort(400, "system: required without url")
    other = asked.text("targetsystem") or asked.text("source" if reverse else "target")
    if not other:
        abort(400, f"url, targetsystem or {'source' if reverse else 'target'}: required")
    address, _, pinned = other.partition("|")
    return _name(coding.system, coding.version), _name(address.removesuffix("?vs"), pinned), ""


def _map(identifier: str, url: str, version: str) -> Resource:
    if identifier:
        return fhir_resources.found("ConceptMap", identifier)
    held = [one for one in fhir_resources.each("ConceptMap") if one.heading["url"] == url]
    wanted = [one for one in held if version in ("", one.heading["version"])]
    if not wanted:
        raise NotFound("ConceptMap", f"{url}|{version}" if version else url)
    day = today().isoformat()
    # Without a version: the last that applies already.
    applying = [one for one in wanted if one.heading.get("date", "")[:10] <= day] or wanted
    return max(applying, key=lambda one: [int(part) for part in one.heading["version"].split(".")])


def _name(iri: str, version: str = "") -> str:
    """A code system as the registry names it: ``N``, ``N@V``, ``ORG/LIST`` or ``ORG/LIST@E``."""
    beginning = f"{_registry()}code-lists/"
    if iri.startswith(beginning):
        name = iri.removeprefix(beginning)
        if not version:
            return name
        # A list is versioned by its own editions, which those of its crosswalks map.
        organisation, _, code_list = name.partition("/")
        held = current.store().crosswalk_editions(organisation=organisation, code_list=code_list)
        mapping = [one for one in held if str(one.list_edition) == version]
        if not mapping:
            raise NotFound("CodeSystem", f"{iri}|{version}")
        return f"{name}@{mapping[-1].edition}"
    for nomenclature in current.store().nomenclatures():
        if nomenclature.iri == iri:
            return f"{nomenclature.slug}@{version}" if version else nomenclature.slug
    raise NotFound("CodeSystem", iri)
