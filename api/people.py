"""People as opaque ids, their tokens, and the journal of what they did."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
import orjson
from flask import Response

from api import access, current
from api.caching import answer
from api.reading import PageQuery, Query, Routes, cursor, listing, next_link, position
from api.schemas import JournalEntrySchema, MeSchema, NewTokenSchema, PersonSchema, SeenSchema, TokenSchema
from api.schemas import listing as listing_schema
from registry import access as registry_access
from registry.access import MOST_DAYS, ROLES
from registry.formats.document import notice_document, token_document
from registry.signing import instant

blueprint = Routes("people", __name__, description="People as opaque ids, their tokens, and the journal")

_PERSON = ma.validate.Regexp(r"^p[0-9a-f]{16}\Z", error="accepted is the id of a person, such as p0123456789abcdef")


class PersonBody(Query):
    """A new person."""

    name = ma.fields.String(required=True, validate=ma.validate.Length(1, 300))
    email = ma.fields.String(load_default="", validate=ma.validate.Length(max=300))


class TokenBody(Query):
    """For which organisation a new token is, in which roles, and for how long."""

    organisation = ma.fields.String(required=True, validate=ma.validate.Length(1, 100))
    roles = ma.fields.List(
        ma.fields.String(validate=ma.validate.OneOf(ROLES)), required=True, validate=ma.validate.Length(1, len(ROLES))
    )
    days = ma.fields.Integer(
        strict=True,
        load_default=None,
        validate=ma.validate.Range(1, MOST_DAYS),
        metadata={"description": "90 unless given, and never longer than the token that asks"},
    )
    label = ma.fields.String(load_default="", validate=ma.validate.Length(max=100))


class TokensQuery(Query):
    """Whose tokens."""

    person = ma.fields.String(validate=_PERSON, metadata={"description": "Administrators may ask for another's"})


@blueprint.get("/me")
@access.needs("self.read")
@blueprint.arguments(Query, location="query")
@blueprint.response(200, MeSchema)
def me(query: dict[str, Any]) -> Response:
    """Say who asks: their name, the roles they act in, and what they were told and have not seen."""
    actor, store = access.actor(), current.store()
    person = store.person(actor.person)
    notices = store.unseen_notices(actor.person)
    return answer(
        {
            "person": person.id,
            "name": person.name,
            "email": person.email,
            "door": actor.door,
            "memberships": [
                {"organisation": organisation, "role": role} for organisation, role in sorted(actor.memberships)
            ],
            "notices": [notice_document(one) for one in notices],
        }
    )


class SeenBody(Query):
    """Up to which notice."""

    last = ma.fields.Integer(
        required=True,
        strict=True,
        validate=ma.validate.Range(1, 2**31 - 1),
        metadata={"description": "The id of the last notice that was read; the earlier ones were too"},
    )


@blueprint.post("/me/notices/seen")
@access.needs("notice.see")
@blueprint.arguments(SeenBody)
@blueprint.response(200, SeenSchema)
def see_notices(body: dict[str, Any]) -> Response:
    """Note that one has seen what one was told, so that it is not told again."""
    return access.done({"seen": registry_access.see_notices(current.store(), body["last"], actor=access.actor())})


@blueprint.post("/people")
@access.needs("person.write")
@access.once()
@blueprint.arguments(PersonBody)
@blueprint.response(201, PersonSchema)
def create(body: dict[str, Any]) -> Response:
    """Make a person known; the answer is the id that stands for them everywhere, and no name."""
    made = registry_access.create_person(current.store(), body["name"], body["email"], actor=access.actor())
    return access.done({"id": made.id, "created": instant(made.created)}, 201)


@blueprint.delete("/people/<person>")
@access.needs("person.write")
@blueprint.arguments(Query, location="query")
@blueprint.response(204)
def erase(query: dict[str, Any], person: str) -> Response:
    """Erase a person (GDPR, article 17): name, address, roles, sessions and tokens; what they did keeps their id."""
    registry_access.erase(current.store(), person, actor=access.actor())
    return access.done(status=204)


@blueprint.get("/tokens")
@access.needs("self.read")
@blueprint.arguments(TokensQuery, location="query")
@blueprint.response(200, listing_schema(TokenSchema))
def tokens(query: dict[str, Any]) -> Response:
    """List one's tokens, never their secrets, with the last use of each."""
    actor = access.actor()
    found = registry_access.tokens(current.store(), query.get("person", actor.person), actor=actor)
    return answer(listing([token_document(token) for token in found], len(found), None))


@blueprint.post("/tokens")
@access.needs("token.create")
@access.once(without="token")
@blueprint.arguments(TokenBody)
@blueprint.response(201, NewTokenSchema)
def create_token(body: dict[str, Any]) -> Response:
    """Make a token for oneself: shown in this answer and never again, not even for the same Idempotency-Key."""
    actor = access.actor()
    token, text = registry_access.create_token(
        current.store(),
        actor.person,
        body["organisation"],
        body["roles"],
        days=body["days"],
        label=body["label"],
        actor=actor,
    )
    return access.done({**token_document(token), "token": text}, 201)


@blueprint.delete("/tokens/<int(max=2147483647):number>")
@access.needs("token.revoke")
@blueprint.arguments(Query, location="query")
@blueprint.response(204)
def revoke_token(query: dict[str, Any], number: int) -> Response:
    """End a token: one's own, or as an administrator anybody's."""
    registry_access.revoke_token(current.store(), number, actor=access.actor())
    return access.done(status=204)


@blueprint.get("/journal")
@access.needs("journal.read")
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, listing_schema(JournalEntrySchema))
def journal(query: dict[str, Any]) -> Response:
    """List what was done and refused, oldest first: who by opaque id, what, by which door, from which network."""
    after, limit = min(max(position(query, int) or 0, 0), 2**31 - 1), query["limit"]
    entries = [orjson.loads(entry) for entry in current.store().journal_entries(after, limit + 1)]
    token = cursor(str(entries[limit - 1]["seq"])) if len(entries) > limit else None
    return answer(listing(entries[:limit], None, token), links=next_link(token))
