"""Organisations: who keeps local lists, votes or reads, and who belongs to them."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from flask import Response

from api import access, current
from api.caching import answer
from api.reading import PageQuery, Query, Routes, cursor, listing, next_link, position
from api.schemas import OrganisationSchema
from api.schemas import listing as listing_schema
from registry import access as registry_access
from registry.access import KINDS, ROLES
from registry.crosswalks import AS_KIND, COLLEGES, Organisation
from registry.errors import NotFound
from registry.formats.document import organisation_document

blueprint = Routes("organisations", __name__, description="Who keeps local lists, votes or reads")

_TEXT = ma.validate.Length(max=300)


class ChangeBody(Query):
    """What can be said of an organisation."""

    name = ma.fields.String(validate=_TEXT)
    kind = ma.fields.String(validate=ma.validate.OneOf(KINDS))
    insee = ma.fields.String(validate=_TEXT, metadata={"description": "Of a département or commune; empty if none"})
    siret = ma.fields.String(validate=_TEXT, metadata={"description": "Fourteen digits; empty if none"})
    college = ma.fields.String(
        validate=ma.validate.OneOf(COLLEGES),
        metadata={"description": "Where its vote counts; by its kind unless it is given, empty for none"},
    )


class CreationBody(ChangeBody):
    """A new organisation."""

    slug = ma.fields.String(required=True, validate=_TEXT)
    name = ma.fields.String(required=True, validate=_TEXT)
    kind = ma.fields.String(required=True, validate=ma.validate.OneOf(KINDS))


@blueprint.get("/organisations")
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, listing_schema(OrganisationSchema))
def organisations(query: dict[str, Any]) -> Response:
    """List the organisations that keep local code lists, vote or read."""
    known = current.store().organisations()
    after = position(query) or ""
    page = [item for item in known if item.slug > after][: query["limit"]]
    token = cursor(page[-1].slug) if page and page[-1].slug != known[-1].slug else None
    return answer(listing(page, len(known), token), links=next_link(token))


@blueprint.post("/organisations")
@access.needs("organisation.write")
@access.once()
@blueprint.arguments(CreationBody)
@blueprint.response(201, OrganisationSchema)
def create(body: dict[str, Any]) -> Response:
    """Make an organisation known."""
    made = Organisation(**{"college": AS_KIND, **body})
    registry_access.create_organisation(current.store(), made, actor=access.actor())
    return access.done(_document(made), 201, location=f"/api/v1/organisations/{made.slug}")


@blueprint.get("/organisations/<slug>")
@blueprint.arguments(Query, location="query")
@blueprint.response(200, OrganisationSchema)
def organisation(query: dict[str, Any], slug: str) -> Response:
    """Describe an organisation, and name its lists."""
    return answer(_document(current.store().organisation(slug)))


@blueprint.patch("/organisations/<slug>")
@access.needs("organisation.write", if_match=True)
@blueprint.arguments(ChangeBody)
@blueprint.response(200, OrganisationSchema)
def change(body: dict[str, Any], slug: str) -> Response:
    """Change what is known of an organisation; its slug stays."""
    store = current.store()
    with store.at_once():
        access.unchanged(access.etag(_document(store.organisation(slug))))
        found = registry_access.change_organisation(store, slug, body, actor=access.actor())
    return access.done(_document(found))


@blueprint.put("/organisations/<slug>/members/<person>/<role>")
@access.needs("person.write")
@blueprint.arguments(Query, location="query")
@blueprint.response(204)
def join(query: dict[str, Any], slug: str, person: str, role: str) -> Response:
    """Give a person a role in an organisation, if they lack it."""
    registry_access.join(current.store(), person, slug, _role(role), actor=access.actor())
    return access.done(status=204)


@blueprint.delete("/organisations/<slug>/members/<person>/<role>")
@access.needs("person.write")
@blueprint.arguments(Query, location="query")
@blueprint.response(204)
def leave(query: dict[str, Any], slug: str, person: str, role: str) -> Response:
    """Take a role in an organisation from a person; their tokens lose it at once."""
    registry_access.leave(current.store(), person, slug, _role(role), actor=access.actor())
    return access.done(status=204)


def _role(name: str) -> registry_access.Role:
    found = next((role for role in ROLES if role == name), None)
    if found is None:
        raise NotFound("role", name, {"roles": list(ROLES)})
    return found


def _document(found: Organisation) -> dict[str, Any]:
    lists = sorted({edition.code_list.slug for edition in current.store().list_editions(found.slug)})
    return {**organisation_document(found), "codeLists": [f"{found.slug}/{name}" for name in lists]}
