"""Reads in the shape of Skosmos' REST API, for software that already reads vocabularies from one.

A vocabulary is a nomenclature: ``/rest/v1/N/`` reads the release in force, ``/rest/v1/N@V/`` that one for ever. A
concept is named by its IRI (``uri``). Answers are JSON with a JSON-LD context; errors are one line of plain text.
Parameters that Skosmos has and this door doesn't know are left alone, as Skosmos itself does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson
from flask import Blueprint, Response, abort, redirect, request, url_for

from api import consumption, current, negotiation
from api.caching import answer
from api.concepts import alone
from registry import analysis
from registry.errors import NotFound
from registry.formats import FORMATS
from registry.model import SKOS, Concept, Edition, Nomenclature, Texts, preferred, today
from registry.search import Hit, Index
from registry.signing import DCT, OWL
from registry.store.concepts import ConceptView

blueprint = Blueprint("skosmos", __name__, url_prefix="/rest/v1")

_ONKI = "http://schema.onki.fi/onki#"
_RDFS = "http://www.w3.org/2000/01/rdf-schema#"
_MOST, _FEW, _LONGEST = 1_000, 100, 1_000
_DEEPEST = 1_000
_KNOWN = {"skos": SKOS, "onki": _ONKI, "rdfs": _RDFS, "dct": DCT, "owl": OWL, "uri": "@id", "type": "@type"}
_SYNTAXES = {
    "application/rdf+xml": "rdfxml",
    "text/turtle": "turtle",
    "application/ld+json": "jsonld",
    "application/json": "jsonld",
}
"""What a concept's data comes in, by media type, as Skosmos names them."""


def error(problem: Response) -> Response:
    """A problem as Skosmos tells it."""
    found = orjson.loads(problem.get_data())
    status = HTTPStatus(problem.status_code)
    refused = "; ".join(f"{item['pointer']}: {item['accepted']}" for item in found.get("errors", ()))
    told = found.get("detail") or refused or found["title"]
    return Response(f"{status.value} {status.phrase} : {told}", mimetype="text/plain")


@dataclass(frozen=True, slots=True)
class _Vocabulary:
    """A release as this door names it, and the language asked for."""

    name: str
    edition: Edition
    heading: Nomenclature
    pinned: bool
    language: str

    @property
    def scheme(self) -> str:
        return self.heading.iri

    def iri(self, code: str) -> str:
        return f"{self.heading.iri}/{code}"

    def label(self, values: Texts, code: str = "") -> str:
        return preferred(values, self.language) or code

    def code(self, uri: str) -> str:
        """The code in a concept's IRI, with or without a version."""
        if not uri.startswith(f"{self.scheme}/"):
            raise NotFound("concept", f"<{uri[:300]}>")
        return uri.removeprefix(f"{self.scheme}/").partition("@")[0]

    def view(self) -> ConceptView:
        """The concept that ``uri`` names."""
        return current.store().concept(self.edition.nomenclature, self.edition.version, self.code(_asked("uri")))

    def concepts(self, codes: Iterable[str]) -> dict[str, Concept]:
        return current.store().labels(self.edition.nomenclature, self.edition.version, codes)

    def index(self) -> Index:
        return current.index_of(self.edition) if self.pinned else current.index()

    def children(self, code: str) -> list[Concept]:
        """The concepts right under a code, or at the top."""
        found: list[Concept] = []
        while len(found) % _MOST == 0:
            after = found[-1].code if found else ""
            page, _ = current.store().concepts(
                self.edition.nomenclature, self.edition.version, broader=code, after=after, limit=_MOST
            )
            if not page:
                break
            found += page
        return found

    def described(self, concept: Concept, parents: set[str], *, name: str = "prefLabel") -> dict[str, Any]:
        """A concept under another: ``parents`` are the codes that have something under them."""
        return {
            "uri": self.iri(concept.code),
            name: self.label(concept.pref_label, concept.code),
            "notation": concept.code,
            "hasChildren": concept.code in parents,
        }

    def parents(self) -> set[str]:
        rows = current.store().tree(self.edition.nomenclature, self.edition.version)
        return {code for row in rows for code in row.broader}


def _vocabulary(name: str) -> _Vocabulary:
    slug, at, version = name.partition("@")
    store = current.store()
    edition = store.edition(slug, version) if at else store.in_force(slug, today())
    if name == (request.view_args or {}).get("name"):
        # Answers that only list nomenclatures, or search in all of them, use none.
        consumption.note((slug, edition.version))
    return _Vocabulary(name, edition, store.heading(slug, edition.version), bool(at), _language())


def _language() -> str:
    return request.args.get("lang", "fr").lower()[:35] or "fr"


def _asked(name: str) -> str:
    text = request.args.get(name, "")
    if not text:
        abort(400, f"{name} parameter missing")
    if len(text) > _LONGEST:
        abort(400, f"{name} parameter is too long")
    return text


def _number(name: str, default: int, least: int = 0) -> int:
    text = request.args.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 10) or int(text) < least:
        abort(400, f"{name} parameter is invalid")
    return int(text)


def _answered(vocabulary: _Vocabulary | None, context: Mapping[str, Any], **members: Any) -> Response:
    """A document with its JSON-LD context, as JSON or as JSON-LD."""
    language = vocabulary.language if vocabulary else _language()
    names = {name: "application/" + name for name in ("json", "ld+json")}
    chosen = negotiation.chosen_name(names, None)
    described = {"@context": {**_KNOWN, **context, "@language": language}, **members}
    return answer(
        described,
        media_type=names[chosen],
        pinned=vocabulary.pinned if vocabulary else False,
        modified=vocabulary.edition.issued if vocabulary else None,
    )


# Across vocabularies


@blueprint.get("/vocabularies")
def vocabularies() -> Response:
    """List the nomenclatures that have a release in force."""
    _asked("lang")
    found = []
    for nomenclature in current.store().nomenclatures():
        try:
            vocabulary = _vocabulary(nomenclature.slug)
        except NotFound:
            continue
        title = vocabulary.label(vocabulary.heading.title, nomenclature.slug)
        found.append({"uri": nomenclature.slug, "id": nomenclature.slug, "title": title})
    context = {"title": "rdfs:label", "vocabularies": "onki:hasVocabulary", "id": "onki:vocabularyIdentifier"}
    return _answered(None, context, uri="", vocabularies=found)


@blueprint.get("/search")
def search_all() -> Response:
    """Search every nomenclature, or those that ``vocab`` names."""
    query = _asked("query")
    names = request.args.get("vocab", "").split()
    if len(names) == 1:
        return search(names[0])
    for name in names:
        if _vocabulary(name).pinned:
            abort(400, f"vocab parameter: {name[:100]} is pinned, and is searched alone")
    return _found(None, _hits(current.index(), query, names))


@blueprint.get("/types", defaults={"name": ""})
@blueprint.get("/<name>/types")
def types(name: str) -> Response:
    """List the types of what a vocabulary holds."""
    vocabulary = _vocabulary(name) if name else None
    kinds = [{"uri": SKOS + kind, "label": label} for kind, label in (("Concept", "Concept"), ("Collection", "Groupe"))]
    return _answered(vocabulary, {"label": "rdfs:label", "types": "onki:hasType"}, uri="", types=kinds)


@blueprint.get("/label")
def label_anywhere() -> Response:
    """Give the label of a concept of any nomenclature."""
    return label(_holder(_asked("uri")))


@blueprint.get("/data")
def data_anywhere() -> Response:
    """Give what is said of a concept of any nomenclature."""
    return data(_holder(_asked("uri")))


def _holder(uri: str) -> str:
    """The nomenclature that an IRI belongs to."""
    for nomenclature in current.store().nomenclatures():
        if uri.startswith(f"{nomenclature.iri}/"):
            return nomenclature.slug
    raise NotFound("concept", f"<{uri[:300]}>")


# One vocabulary


@blueprint.get("/<name>/", strict_slashes=False)
def vocabulary(name: str) -> Response:
    """Describe a vocabulary."""
    found = _vocabulary(name)
    title = found.label(found.heading.title, name)
    scheme = {"uri": found.scheme, "label": title, "prefLabel": title, "title": title, "type": "skos:ConceptScheme"}
    context = {
        "title": "dct:title",
        "label": "rdfs:label",
        "prefLabel": "skos:prefLabel",
        "id": "onki:vocabularyIdentifier",
        "defaultLanguage": "onki:defaultLanguage",
        "languages": "onki:language",
        "conceptschemes": "onki:hasConceptScheme",
        "version": "owl:versionInfo",
    }
    languages = sorted({"fr", *(language for language, _ in found.heading.title)})
    return _answered(
        found,
        context,
        uri="",
        id=name,
        title=title,
        defaultLanguage="fr",
        languages=languages,
        conceptschemes=[scheme],
        version=found.edition.version,
    )


@blueprint.get("/<name>/topConcepts")
def top_concepts(name: str) -> Response:
    """List the concepts that have none above them."""
    found = _vocabulary(name)
    scheme = request.args.get("scheme", found.scheme)
    parents = found.parents()
    tops = [
        {**found.described(concept, parents, name="label"), "topConceptOf": found.scheme}
        for concept in (found.children("") if scheme == found.scheme else ())
    ]
    context = {
        "topconcepts": "skos:hasTopConcept",
        "label": "skos:prefLabel",
        "notation": "skos:notation",
        "topConceptOf": {"@id": "skos:topConceptOf", "@type": "@id"},
        "hasChildren": "onki:hasChildren",
    }
    return _answered(found, context, uri=scheme, topconcepts=tops)


@blueprint.get("/<name>/search")
def search(name: str) -> Response:
    """Search a vocabulary; a final ``*`` asks for what begins so."""
    found = _vocabulary(name)
    return _found(found, _hits(found.index(), _asked("query"), [found.edition.nomenclature]))


def _hits(index: Index, query: str, names: Sequence[str]) -> list[Hit]:
    """What answers in the nomenclatures named, in all where none is."""
    first, most = _number("offset", 0), min(_number("maxhits", _FEW, 1), _MOST)
    for unknown in ("parent", "group"):
        if request.args.get(unknown):
            abort(400, f"{unknown} parameter is not supported here")
    if request.args.get("type", "skos:Concept") not in ("skos:Concept", SKOS + "Concept"):
        return []
    words, asterisk, more = query.strip().partition("*")
    if more:
        abort(400, "query parameter: * is understood at its end only")
    only = names[0] if len(names) == 1 else None
    # The index searches one nomenclature or all: among several, the page is cut once the others are out.
    begin, reach = (0, 10 * _MOST) if len(names) > 1 else (first, most)
    if asterisk:
        hits = index.suggest(words, nomenclature=only, limit=min(begin + reach, 10 * _MOST))[begin:]
    else:
        hits = index.search(words, nomenclature=only, limit=reach, offset=min(begin, 10**6)).hits
    if len(names) > 1:
        hits = tuple(hit for hit in hits if hit.document.nomenclature in names)[first : first + most]
    return list(hits)


def _found(vocabulary: _Vocabulary | None, hits: list[Hit]) -> Response:
    context = {
        "results": {"@id": "onki:results", "@container": "@list"},
        "prefLabel": "skos:prefLabel",
        "altLabel": "skos:altLabel",
        "hiddenLabel": "skos:hiddenLabel",
        "notation": "skos:notation",
    }
    return _answered(vocabulary, context, uri="", results=_results(vocabulary, hits))


def _results(vocabulary: _Vocabulary | None, hits: list[Hit]) -> list[dict[str, Any]]:
    read: dict[str, _Vocabulary] = {vocabulary.edition.nomenclature: vocabulary} if vocabulary else {}
    codes: dict[str, list[str]] = {}
    for hit in hits:
        codes.setdefault(hit.document.nomenclature, []).append(hit.document.code)
    for slug in codes:
        read.setdefault(slug, _vocabulary(slug))
    concepts = {slug: read[slug].concepts(wanted) for slug, wanted in codes.items()}
    return [
        _result(read[hit.document.nomenclature], concept, hit.why.text)
        for hit in hits
        if (concept := concepts[hit.document.nomenclature].get(hit.document.code))
    ]


def _result(vocabulary: _Vocabulary, concept: Concept, matched: str = "") -> dict[str, Any]:
    label = vocabulary.label(concept.pref_label, concept.code)
    known = {text: language for language, text in concept.pref_label}
    found = {
        "uri": vocabulary.iri(concept.code),
        "type": ["skos:Concept"],
        "localname": concept.code,
        "prefLabel": label,
        "lang": known.get(label, "fr"),
        "notation": concept.code,
        "vocab": vocabulary.name,
    }
    if matched and matched != label and matched in {text for _, text in concept.alt_label}:
        found["altLabel"] = matched
    return found


@blueprint.get("/<name>/lookup")
def lookup(name: str) -> Response:
    """Give the concepts that bear a label: as their preferred one, else as another."""
    found = _vocabulary(name)
    label = _asked("label")
    near = found.index().suggest(label, nomenclature=found.edition.nomenclature, limit=_FEW)
    near += found.index().search(label, nomenclature=found.edition.nomenclature, limit=_FEW).hits
    concepts = found.concepts(hit.document.code for hit in near)
    key = analysis.key(label)
    for values, same in (
        ("pref_label", lambda text: text == label),
        ("pref_label", lambda text: analysis.key(text) == key),
        ("alt_label", lambda text: text == label),
        ("alt_label", lambda text: analysis.key(text) == key),
    ):
        bearing = [
            _result(found, concept, text)
            for concept in concepts.values()
            for text in {text for _, text in getattr(concept, values) if same(text)}
        ]
        if bearing:
            context = {"result": {"@id": "onki:results"}, "prefLabel": "skos:prefLabel", "altLabel": "skos:altLabel"}
            return _answered(found, context, uri="", result=bearing)
    raise NotFound("label", label)


@blueprint.get("/<name>/data")
def data(name: str) -> Response:
    """Give what is said of a concept in RDF; without ``uri``, lead to the whole release."""
    found = _vocabulary(name)
    asked = request.args.get("format")
    if asked is not None and asked not in _SYNTAXES:
        abort(400, f"Unsupported format. Supported MIME types are: {' '.join(_SYNTAXES)}")
    media_type = negotiation.chosen_name({kind: kind for kind in _SYNTAXES}, asked)
    if not request.args.get("uri"):
        address = url_for(
            "nomenclatures.export",
            slug=found.edition.nomenclature,
            format=_SYNTAXES[media_type],
            release=found.edition.version if found.pinned else None,
        )
        response = redirect(address, 302)
        response.headers["Cache-Control"], response.headers["Vary"] = "no-cache", "Accept"
        return response  # type: ignore[return-value] # werkzeug's Response is Flask's here.
    view = found.view()
    body = b"".join(FORMATS[_SYNTAXES[media_type]].write(alone(view)))
    return answer(body, media_type=media_type, pinned=found.pinned, modified=found.edition.issued)


@blueprint.get("/<name>/label")
def label(name: str) -> Response:
    """Give the label of a concept."""
    found = _vocabulary(name)
    concept = found.view().concept
    more = {"altLabel": [text for language, text in concept.alt_label if language == found.language]}
    context = {"prefLabel": "skos:prefLabel", "altLabel": "skos:altLabel"}
    shown = {name: values for name, values in more.items() if values}
    return _answered(
        found, context, uri=_asked("uri"), prefLabel=found.label(concept.pref_label, concept.code), **shown
    )


_NEIGHBOURS = {"prefLabel": "skos:prefLabel", "notation": "skos:notation", "hasChildren": "onki:hasChildren"}


@blueprint.get("/<name>/<any(broader, narrower, related):relation>")
def neighbours(name: str, relation: str) -> Response:
    """List the concepts right above, right below or beside a concept."""
    found = _vocabulary(name)
    view = found.view()
    codes = view.narrower if relation == "narrower" else getattr(view.concept, relation)
    listed = [{"uri": found.iri(code), "prefLabel": found.label(view.labels.get(code, ()), code)} for code in codes]
    return _answered(found, {**_NEIGHBOURS, relation: f"skos:{relation}"}, uri=_asked("uri"), **{relation: listed})


@blueprint.get("/<name>/children")
def children(name: str) -> Response:
    """List the concepts right below a concept, and whether there are others below these."""
    found = _vocabulary(name)
    code, parents = found.view().concept.code, found.parents()
    listed = [found.described(concept, parents) for concept in found.children(code)]
    return _answered(found, {**_NEIGHBOURS, "narrower": "skos:narrower"}, uri=_asked("uri"), narrower=listed)


@blueprint.get("/<name>/<any(broader, narrower):relation>Transitive")
def transitive(name: str, relation: str) -> Response:
    """Give a concept and all that is above it, or below it, by IRI."""
    found = _vocabulary(name)
    most = _number("limit", _DEEPEST, 1)
    code = found.view().concept.code
    next_to = _broader(found) if relation == "broader" else _narrower(found)
    reached = _reached(code, next_to, most)
    concepts = found.concepts(reached)
    key = f"{relation}Transitive"
    listed = {
        found.iri(one): {
            "uri": found.iri(one),
            "prefLabel": found.label(concepts[one].pref_label, one),
            **({relation: [found.iri(other) for other in next_to[one]]} if next_to.get(one) else {}),
        }
        for one in reached
    }
    context = {
        **_NEIGHBOURS,
        relation: {"@id": f"skos:{relation}", "@type": "@id"},
        key: {"@id": f"skos:{key}", "@container": "@index"},
    }
    return _answered(found, context, uri=_asked("uri"), **{key: listed})


@blueprint.get("/<name>/hierarchy")
def hierarchy(name: str) -> Response:
    """Give the way from the top to a concept, what stands beside it on each step, and the other top concepts."""
    found = _vocabulary(name)
    code = found.view().concept.code
    above, below = _broader(found), _narrower(found)
    tops = [one for one in above if not above[one]]
    way = _reached(code, above, _DEEPEST)
    concepts = found.concepts([*way, *tops, *(child for one in way for child in below.get(one, ()))])
    listed: dict[str, dict[str, Any]] = {}
    for one in dict.fromkeys([*way, *tops]):
        shown = found.described(concepts[one], set(below))
        if not above[one]:
            shown["top"] = found.scheme
        if one in way:
            shown["broader"] = [found.iri(other) for other in above[one]]
            under = (found.described(concepts[child], set(below), name="label") for child in below.get(one, ()))
            shown["narrower"] = list(under)
        listed[found.iri(one)] = shown
    context = {
        **_NEIGHBOURS,
        "label": "skos:prefLabel",
        "narrower": {"@id": "skos:narrower", "@type": "@id"},
        "broader": {"@id": "skos:broader", "@type": "@id"},
        "broaderTransitive": {"@id": "skos:broaderTransitive", "@container": "@index"},
        "top": {"@id": "skos:topConceptOf", "@type": "@id"},
    }
    return _answered(found, context, uri=_asked("uri"), broaderTransitive=listed)


def _broader(vocabulary: _Vocabulary) -> dict[str, tuple[str, ...]]:
    rows = current.store().tree(vocabulary.edition.nomenclature, vocabulary.edition.version)
    return {row.code: tuple(row.broader) for row in rows}


def _narrower(vocabulary: _Vocabulary) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for code, broader in _broader(vocabulary).items():
        for parent in broader:
            found.setdefault(parent, []).append(code)
    return {code: tuple(codes) for code, codes in found.items()}


def _reached(code: str, next_to: Mapping[str, tuple[str, ...]], most: int) -> list[str]:
    """The code and what it leads to, nearest first, each once."""
    reached = {code: None}
    step = [code]
    while step and len(reached) < most:
        step = [other for one in step for other in next_to.get(one, ()) if other not in reached]
        reached.update(dict.fromkeys(step))
    return list(reached)[:most]


@blueprint.get("/<name>/groups")
def groups(name: str) -> Response:
    """List the groups of a vocabulary."""
    found = _vocabulary(name)
    held = current.store().release(found.edition.nomenclature, found.edition.version).groups
    listed = [
        {
            "uri": f"{found.scheme}/-/collection/{group.code}",
            "prefLabel": found.label(group.pref_label, group.code),
            "hasMembers": bool(group.members),
        }
        for group in held
    ]
    context = {"prefLabel": "skos:prefLabel", "groups": "onki:hasGroup", "hasMembers": "onki:hasMembers"}
    return _answered(found, context, uri=found.scheme, groups=listed)


@blueprint.get("/<name>/groupMembers")
def group_members(name: str) -> Response:
    """List the concepts of a group."""
    found = _vocabulary(name)
    uri = _asked("uri")
    held = current.store().release(found.edition.nomenclature, found.edition.version).groups
    group = next((one for one in held if uri == f"{found.scheme}/-/collection/{one.code}"), None)
    if group is None:
        raise NotFound("group", f"<{uri}>")
    concepts = found.concepts(group.members)
    listed = [
        {"uri": found.iri(code), "prefLabel": found.label(concept.pref_label, code), "type": ["skos:Concept"]}
        for code, concept in concepts.items()
    ]
    return _answered(found, {"prefLabel": "skos:prefLabel", "members": "skos:member"}, uri=uri, members=listed)


@blueprint.get("/<name>/vocabularyStatistics")
def statistics(name: str) -> Response:
    """Count the concepts of a vocabulary, and those that are no longer used."""
    found = _vocabulary(name)
    counted = {
        "class": SKOS + "Concept",
        "label": "Concept",
        "count": found.edition.concepts,
        "deprecatedCount": found.edition.deprecated,
    }
    context = {"label": "rdfs:label", "count": "onki:count", "class": {"@id": "onki:class", "@type": "@id"}}
    return _answered(found, context, id=name, title=found.label(found.heading.title, name), concepts=counted)


@blueprint.get("/<name>/<path:rest>")
def others(name: str, rest: str) -> Response:
    """Say that a read of a vocabulary is none of those that there are here, and where mappings are."""
    abort(404, f"{rest[:100]} is not offered here; mappings are at /api/v1/crosswalks and /api/v1/translate")
