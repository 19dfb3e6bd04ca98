"""Linked data: the IRIs of nomenclatures and concepts lead to a page or to data; the catalogue says what there is.

``/N``, ``/N/CODE`` and both with ``@V`` answer 303 (see other): a concept is not a document. People get the page, and
software the data in the syntax that ``Accept`` asks for. Only what exists leads anywhere, and only within the service.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from flask import Blueprint, Response, abort, redirect, request, url_for
from werkzeug.routing import BaseConverter

from api import current, negotiation
from api.caching import answer
from api.reading import VERSION
from registry import catalogue
from registry.errors import NotFound
from registry.model import NAMES_IN_USE, SLUG, WIDEST_CODE, Edition, today
from registry.signing import Statement
from registry.store import Store

blueprint = Blueprint("linked_data", __name__)

_PAGE = "html"
_OFFERED = {
    _PAGE: "text/html",
    "turtle": "text/turtle",
    "jsonld": "application/ld+json",
    "rdfxml": "application/rdf+xml",
    "ntriples": "application/n-triples",
    "json": "application/json",
}
"""What an IRI may lead to, a page for whoever does not say."""

_AT = f"(?:@{VERSION.replace('(', '(?:')})?"


class _Pinned(BaseConverter):
    """A name, perhaps with a version after ``@``: a pair, of which the second is empty where no version is named."""

    def to_python(self, value: str) -> tuple[str, str]:
        """The name and the version."""
        name, _, version = value.partition("@")
        return name, version


class _Slug(_Pinned):
    """A nomenclature's slug: a first segment of the service's own is none."""

    regex = rf"(?!(?:{'|'.join(map(re.escape, sorted(NAMES_IN_USE)))})(?:@|\Z)){SLUG.pattern}{_AT}"


class _Code(_Pinned):
    """A concept's code."""

    regex = WIDEST_CODE.pattern + _AT


blueprint.record(lambda state: state.app.url_map.converters.update(slug=_Slug, code=_Code))


@blueprint.get("/<slug:named>")
def nomenclature(named: tuple[str, str]) -> Response:
    """Lead from the IRI of a nomenclature, or of one of its releases, to what describes it."""
    slug, version = named
    edition, pinned = _edition(slug, version)
    return _see_other(slug, edition, pinned)


@blueprint.get("/<slug:named>/<code:concept>")
def concept(named: tuple[str, str], concept: tuple[str, str]) -> Response:
    """Lead from the IRI of a concept, as it is or as a release holds it, to what describes it."""
    (slug, of_nomenclature), (code, version) = named, concept
    if of_nomenclature:
        raise NotFound("concept", f"{slug}@{of_nomenclature}/{code}")
    edition, pinned = _edition(slug, version)
    if not current.store().labels(slug, edition.version, [code]):
        current.store().concept(slug, edition.version, code)  # It knows what to say of a code that is elsewhere.
    return _see_other(slug, edition, pinned, code)


@blueprint.get("/<slug:named>/-/<path:rest>")
def part(named: tuple[str, str], rest: str) -> Response:
    """Lead from the IRI of a level, a collection, a lineage … to the nomenclature that describes it."""
    slug, version = named
    edition, pinned = _edition(slug, version)
    return _see_other(slug, edition, pinned)


def _edition(slug: str, version: str) -> tuple[Edition, bool]:
    """The release that an IRI is read in, and whether its address must name it: in force needs no name."""
    store = current.store()
    if not any(nomenclature.slug == slug for nomenclature in store.nomenclatures()):
        abort(404)  # It may have been meant as the address of anything.
    if version:
        return store.edition(slug, version), True
    try:
        return store.in_force(slug, today()), False
    except NotFound:
        return store.latest(slug), True


def _see_other(slug: str, edition: Edition, pinned: bool, code: str = "") -> Response:
    chosen = negotiation.chosen_name(_OFFERED, None)
    given: dict[str, Any] = {"slug": slug, **({"code": code} if code else {})}
    if chosen == _PAGE:
        endpoint = "pages.concept" if code else "pages.nomenclature"
    elif code:
        endpoint = "concepts.concept"
    else:
        endpoint = "nomenclatures.export"
    if pinned:
        given["release"] = edition.version
    if chosen != _PAGE:
        given["format"] = chosen
    response = redirect(url_for(endpoint, **given), 303)
    response.headers["Vary"] = "Accept"
    response.headers["Cache-Control"] = "no-cache"
    return response  # type: ignore[return-value] # werkzeug's Response is Flask's here.


@blueprint.get("/code-lists/<organisation>/<code_list>", defaults={"code": ""})
@blueprint.get("/code-lists/<organisation>/<code_list>/<path:code>")
def code_list(organisation: str, code_list: str, code: str) -> Response:
    """Lead from the IRI of a local list, or of one of its codes, to the list."""
    if not current.store().list_editions(organisation, code_list):
        raise NotFound("code list", f"{organisation}/{code_list}")
    return _moved(url_for("crosswalks.code_list", organisation=organisation, slug=code_list))


@blueprint.get("/crosswalks/<organisation>/<code_list>/<nomenclature>")
def crosswalk(organisation: str, code_list: str, nomenclature: str) -> Response:
    """Lead from the IRI of a crosswalk to the edition of it that applies today."""
    current.store().crosswalk_edition(organisation, code_list, nomenclature, at=today())
    address = url_for("crosswalks.crosswalk", organisation=organisation, slug=code_list, nomenclature=nomenclature)
    return _moved(address)


@blueprint.get("/organisations/<organisation>")
def organisation(organisation: str) -> Response:
    """Lead from the IRI of an organisation to what is known of it."""
    store = current.store()
    try:
        store.organisation(organisation)
    except NotFound:
        # A publisher need not be an organisation with lists or members: the catalogue says all there is of it.
        if not any(iri.endswith(f"/organisations/{organisation}") for iri in catalogue.publishers(store)):
            raise
        return _moved(url_for("linked_data.catalog"))
    return _moved(url_for("organisations.organisation", slug=organisation))


def _moved(address: str) -> Response:
    response = redirect(address, 303)
    response.headers["Cache-Control"] = "no-cache"
    return response  # type: ignore[return-value] # werkzeug's Response is Flask's here.


@blueprint.get("/catalog")
def catalog() -> Response:
    """Describe the registry, its nomenclatures, releases and files in DCAT-AP 3."""
    return _description(catalogue.catalogue)


@blueprint.get("/.well-known/void")
def void() -> Response:
    """Describe the data sets to crawlers of linked data, in VoID."""
    return _description(catalogue.linkset)


def _description(statements: Callable[[Store, str], Iterator[Statement]]) -> Response:
    media_types = {name: media_type for name, (media_type, _) in catalogue.FORMATS.items()}
    given = request.args.get("format")
    if given is not None and given not in media_types:
        raise NotFound("format", given[:100], {"accepted": ", ".join(media_types)})
    chosen = negotiation.chosen_name(media_types, given)
    body = catalogue.written(statements(current.store(), current.settings().address), chosen)
    return answer(body, media_type=media_types[chosen])
