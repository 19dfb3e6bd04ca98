"""The Reconciliation API 0.2, which OpenRefine speaks: a service for each nomenclature, and for each pinned release.

``/reconcile/N`` reads the release in force, ``/reconcile/N@V`` that one for ever. What is proposed are the candidates
of ``registry.candidates``; a code, or a label that is one concept's alone, is a match. Nothing is mapped by it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from flask import Blueprint, Response, render_template, request

from api import access, consumption, current
from api.caching import answer
from registry import analysis, finding
from registry.candidates import MOST_LABELS, candidates
from registry.errors import Invalid, Problem, TooLarge
from registry.model import SKOS, Concept, Edition, Nomenclature, preferred, today
from registry.search import Document, Index

blueprint = Blueprint("reconciliation", __name__, url_prefix="/reconcile", template_folder="../templates")

TYPE = {"id": "Concept", "name": "Concept"}
_LONGEST, _FEW, _MOST, _PAGE = 1_000, 5, 50, 10


@dataclass(frozen=True, slots=True)
class _Service:
    """One service: its name in the address, and the release that it reads."""

    name: str
    edition: Edition
    heading: Nomenclature
    pinned: bool

    @property
    def index(self) -> Index:
        if not self.pinned:
            return current.index()
        return finding.index_of(current.store(), current.settings().index, [self.edition], today())

    def concepts(self, codes: Sequence[str]) -> dict[str, Concept]:
        return current.store().labels(self.edition.nomenclature, self.edition.version, codes)


def _service(name: str) -> _Service:
    slug, at, version = name.partition("@")
    store = current.store()
    edition = store.edition(slug, version) if at else store.in_force(slug, today())
    consumption.note((slug, edition.version))
    return _Service(name, edition, store.heading(slug, edition.version), bool(at))


@blueprint.route("/<name>", methods=["GET", "POST"], strict_slashes=False)
@access.needs(access.OPEN)
def service(name: str) -> Response:
    """Describe the service, or answer its ``queries`` or its ``extend``."""
    found = _service(name)
    asked = request.values
    if "queries" in asked:
        return _json(_reconciled(found, _object(asked["queries"], "queries")))
    if "extend" in asked:
        return _json(_extended(found, _object(asked["extend"], "extend")))
    return _json(_manifest(found))


@blueprint.get("/<name>/suggest/entity")
@access.needs(access.OPEN)
def suggest_entity(name: str) -> Response:
    """Suggest concepts as somebody types."""
    found, start = _service(name), _cursor()
    hits = found.index.suggest(_prefix(), nomenclature=found.edition.nomenclature, limit=start + _PAGE)
    return _suggested(
        [
            {"id": hit.document.code, "name": hit.document.pref_label, "description": _description(hit.document)}
            for hit in hits[start:]
        ]
    )


@blueprint.get("/<name>/suggest/type")
@access.needs(access.OPEN)
def suggest_type(name: str) -> Response:
    """Suggest types: there is one, the concept."""
    _service(name)
    return _suggested(_beginning([TYPE])[_cursor() :])


@blueprint.get("/<name>/suggest/property")
@access.needs(access.OPEN)
def suggest_property(name: str) -> Response:
    """Suggest what a table may be extended with."""
    _service(name)
    return _suggested(_beginning(_PROPERTY_NAMES)[_cursor() :][:_PAGE])


@blueprint.get("/<name>/properties")
@access.needs(access.OPEN)
def properties(name: str) -> Response:
    """Propose what a table may be extended with."""
    _service(name)
    return _json({"type": TYPE["id"], "properties": _PROPERTY_NAMES})


@blueprint.get("/<name>/preview")
@access.needs(access.OPEN)
def preview(name: str) -> Response:
    """Show a concept in the small frame of a table's cell."""
    found = _service(name)
    concept = current.store().concept(found.edition.nomenclature, found.edition.version, request.args.get("id", ""))
    body = render_template(
        "preview.html",
        concept=concept.concept,
        definition=preferred(concept.concept.definition) or preferred(concept.concept.scope_note),
        read=found.edition,
        title=preferred(found.heading.title),
        above=[preferred(concept.labels.get(code, ())) or code for code in concept.concept.broader],
        address=f"{request.host_url}nomenclatures/{found.edition.nomenclature}/{concept.concept.code}",
    )
    response = answer(body.encode(), media_type="text/html")
    # It is made to be shown in a frame of somebody else's page; it runs nothing and fetches nothing.
    response.headers["Content-Security-Policy"] = "default-src 'none'; base-uri 'none'; frame-ancestors *"
    return response


def _manifest(found: _Service) -> dict[str, Any]:
    address = f"{request.host_url}reconcile/{found.name}"
    slug = found.edition.nomenclature
    pages = f"{request.host_url}nomenclatures/{slug}/{{{{id}}}}"
    title = preferred(found.heading.title) or slug
    return {
        "versions": ["0.2"],
        "name": f"{title} ({slug}@{found.edition.version})" if found.pinned else title,
        "identifierSpace": f"{found.heading.iri}/",
        "schemaSpace": SKOS,
        "defaultTypes": [TYPE],
        "view": {"url": f"{pages}?release={found.edition.version}" if found.pinned else pages},
        "preview": {"url": f"{address}/preview?id={{{{id}}}}", "width": 430, "height": 260},
        "suggest": {
            kind: {"service_url": address, "service_path": f"/suggest/{kind}"}
            for kind in ("entity", "type", "property")
        },
        "extend": {"propose_properties": {"service_url": address, "service_path": "/properties"}},
    }


# Reconciling


def _reconciled(found: _Service, queries: dict[str, Any]) -> dict[str, Any]:
    if len(queries) > MOST_LABELS:
        raise TooLarge(f"au plus {MOST_LABELS} questions à la fois")
    texts = {key: _query(key, query) for key, query in queries.items()}
    codes = found.concepts(list({text for text, _ in texts.values() if text}))
    index = found.index if texts else None
    return {key: {"result": _results(found, index, codes.get(text), text, most)} for key, (text, most) in texts.items()}


def _query(key: str, query: Any) -> tuple[str, int]:
    text = query.get("query", "") if isinstance(query, dict) else None
    most = query.get("limit", _FEW) if isinstance(query, dict) else None
    if not isinstance(text, str) or len(text) > _LONGEST or not isinstance(most, int) or isinstance(most, bool):
        accepted = f"query : un texte d'au plus {_LONGEST} caractères ; limit : un entier"
        raise Invalid(
            [Problem("reconciliation_query", "question mal formée", (), f"/queries/{key[:100]}", "", accepted)]
        )
    return text.strip(), min(max(most, 1), _MOST)


def _results(found: _Service, index: Index | None, coded: Concept | None, text: str, most: int) -> list[dict[str, Any]]:
    results = []
    if coded is not None:
        description = preferred(coded.definition)[:200]
        results.append(_result(coded.code, coded.label, description, 1.0, match=True))
    if index is not None and text:
        likely = candidates(index, text, nomenclature=found.edition.nomenclature, limit=most)
        named = [one for one in likely if analysis.key(one.document.pref_label) == analysis.key(text)]
        for one in likely:
            sure = coded is None and (one.sure or named == [one])
            if coded is None or one.document.code != coded.code:
                document = one.document
                described = _description(document)
                results.append(_result(document.code, document.pref_label, described, one.score, match=sure))
    return sorted(results, key=lambda one: (not one["match"], -one["score"]))[:most]


def _result(code: str, label: str, description: str, score: float, *, match: bool) -> dict[str, Any]:
    return {
        "id": code,
        "name": label,
        "description": description,
        "type": [TYPE],
        "score": round(100 * score, 2),
        "match": match,
        "features": [{"id": "likeness", "name": "Likeness", "value": round(score, 4)}],
    }


def _description(document: Document) -> str:
    old = "déprécié" if document.status == "deprecated" else ""
    return " · ".join(part for part in (document.code, " > ".join(document.path), old) if part)


# Extending


def _texts(name: str) -> Callable[[Concept, Mapping[str, Concept]], list[dict[str, str]]]:
    return lambda concept, _: [{"str": text} for _, text in getattr(concept, name)]


def _neighbours(name: str) -> Callable[[Concept, Mapping[str, Concept]], list[dict[str, str]]]:
    return lambda concept, others: [
        {"id": code, "name": others[code].label if code in others else code} for code in getattr(concept, name)
    ]


def _days(name: str) -> Callable[[Concept, Mapping[str, Concept]], list[dict[str, str]]]:
    return lambda concept, _: [{"date": day.isoformat()}] if (day := getattr(concept, name)) else []


_PROPERTIES: dict[str, tuple[str, Callable[[Concept, Mapping[str, Concept]], list[dict[str, str]]]]] = {
    "prefLabel": ("Libellé", _texts("pref_label")),
    "altLabel": ("Autres libellés", _texts("alt_label")),
    "definition": ("Définition", _texts("definition")),
    "scopeNote": ("Note d'application", _texts("scope_note")),
    "historyNote": ("Note historique", _texts("history_note")),
    "broader": ("Concept plus large", _neighbours("broader")),
    "related": ("Concepts associés", _neighbours("related")),
    "status": ("Statut", lambda concept, _: [{"str": concept.status}]),
    "notation": ("Code", lambda concept, _: [{"str": concept.code}]),
    "legalBasis": ("Référence juridique", lambda concept, _: [{"str": text} for text in concept.legal_basis]),
    "validFrom": ("Premier jour légal", _days("valid_from")),
    "validUntil": ("Dernier jour légal", _days("valid_until")),
}
"""What a table may be extended with: its name, and its values for a concept, whose neighbours are at hand."""

_PROPERTY_NAMES = [{"id": key, "name": name} for key, (name, _) in _PROPERTIES.items()]


def _extended(found: _Service, asked: dict[str, Any]) -> dict[str, Any]:
    ids, wanted = asked.get("ids"), asked.get("properties")
    listed = wanted if isinstance(wanted, list) else [None]
    names = [str(one.get("id")) if isinstance(one, dict) else "" for one in listed]
    if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids) or set(names) - _PROPERTIES.keys():
        accepted = f"ids : des codes ; properties : {', '.join(_PROPERTIES)}"
        raise Invalid([Problem("reconciliation_extend", "extension mal formée", (), "/extend", "", accepted)])
    if len(ids) > MOST_LABELS:
        raise TooLarge(f"au plus {MOST_LABELS} codes à la fois")
    concepts = found.concepts(ids)
    near = found.concepts([code for one in concepts.values() for code in (*one.broader, *one.related)])
    rows = {
        code: {name: _PROPERTIES[name][1](concepts[code], near) if code in concepts else [] for name in names}
        for code in ids
    }
    meta: list[dict[str, Any]] = [{"id": name, "name": _PROPERTIES[name][0]} for name in names]
    for column in meta:
        if column["id"] in ("broader", "related"):
            column["type"] = TYPE
    return {"meta": meta, "rows": rows}


# What requests carry


def _object(text: str, name: str) -> dict[str, Any]:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise Invalid([Problem("reconciliation_json", "JSON attendu", (), name, "", "un objet JSON")])
    return found


def _prefix() -> str:
    return request.args.get("prefix", "")[:_LONGEST]


def _cursor() -> int:
    """How many suggestions the client has; 0 where that is not said, or not as a number that anybody reaches."""
    text = request.args.get("cursor", "0")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 4 else 0


def _beginning(known: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    prefix = analysis.key(_prefix())
    return [one for one in known if any(analysis.key(text).startswith(prefix) for text in one.values())]


def _suggested(items: list[dict[str, str]]) -> Response:
    return _json({"result": items})


def _json(document: dict[str, Any]) -> Response:
    return answer(document)
