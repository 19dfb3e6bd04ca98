"""Proposals: what anybody asks to be changed, and what becomes of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import marshmallow as ma
from flask import Response, after_this_request

from api import access, current
from api.caching import answer
from api.reading import PageQuery, Query, Routes, cursor, listing, next_link, position
from api.schemas import ProposalSchema
from api.schemas import listing as listing_schema
from registry import proposals
from registry.errors import Busy
from registry.proposals import proposal_document
from registry.store.proposals import PUBLIC_STATES, Proposal

blueprint = Routes("proposals", __name__, description="What anybody asks to be changed, and what becomes of it")

_ADDRESS = "/proposals/<int(max=2147483647):number>"
_TEXT = ma.validate.Length(max=5_000)
_log = logging.getLogger("socle")


class _ProposalBody(Query):
    """A change that is asked for."""

    nomenclature = ma.fields.String(required=True, validate=ma.validate.Length(1, 63))
    code = ma.fields.String(
        load_default="", validate=_TEXT, metadata={"description": "Of which concept; empty: one that is missing"}
    )
    what = ma.fields.String(required=True, validate=_TEXT)
    why = ma.fields.String(required=True, validate=_TEXT)
    legalBasis = ma.fields.String(load_default="", validate=_TEXT)
    email = ma.fields.String(
        load_default="",
        validate=ma.validate.Length(max=300),
        metadata={"description": "Of whoever has no token: the proposal is held until it is confirmed from there"},
    )


class _ConfirmationBody(Query):
    """What a held proposal is confirmed by."""

    confirmation = ma.fields.String(
        load_default="",
        validate=ma.validate.Length(max=100),
        metadata={"description": "What its sender was sent; editors and secretaries need none"},
    )


class _DecisionBody(Query):
    """What becomes of a proposal."""

    state = ma.fields.String(required=True, validate=ma.validate.OneOf(["studied", "retained", "declined"]))
    draft = ma.fields.Integer(
        strict=True,
        load_default=None,
        validate=ma.validate.Range(1, 2**31 - 1),
        metadata={"description": "The draft that retains it"},
    )
    reason = ma.fields.String(
        load_default="", validate=_TEXT, metadata={"description": "Why it is declined; it is public"}
    )

    @ma.validates_schema
    def _fits(self, data: dict[str, Any], **_: Any) -> None:
        if (data.get("draft") is not None) != (data.get("state") == "retained"):
            raise ma.ValidationError("needed with `retained`, and refused without", "draft")
        if data.get("reason") and data.get("state") != "declined":
            raise ma.ValidationError("refused without `declined`", "reason")


class _ProposalsQuery(PageQuery):
    """Which proposals."""

    nomenclature = ma.fields.String()
    code = ma.fields.String()
    state = ma.fields.String(validate=ma.validate.OneOf(PUBLIC_STATES))


@blueprint.post("/proposals")
@access.needs("proposal.create")
@access.once()
@blueprint.arguments(_ProposalBody)
@blueprint.response(201, ProposalSchema)
def create(body: dict[str, Any]) -> Response:
    """Ask for a change. Without a token it is `held`, and seen by nobody, until it is confirmed from the e-mail given.

    The address is never shown, and is erased when the proposal is decided.
    """
    made = proposals.propose(
        current.store(),
        body["nomenclature"],
        code=body["code"],
        what=body["what"],
        why=body["why"],
        legal_basis=body["legalBasis"],
        email=body["email"],
        actor=access.actor(),
    )
    if made.state == "held":
        # Not in the transaction that a repeatable request is: a slow mail server would keep all others from writing.
        after_this_request(lambda response: _sent(made, response))
    return access.done(proposal_document(made), 201, location=f"/api/v1/proposals/{made.id}")


@blueprint.get("/proposals")
@blueprint.arguments(_ProposalsQuery, location="query")
@blueprint.response(200, listing_schema(ProposalSchema))
def listed(query: dict[str, Any]) -> Response:
    """List what was asked for, the last first, with what became of it."""
    before, limit = position(query, int), query["limit"]
    found, total = current.store().proposals(
        slug=query.get("nomenclature"),
        code=query.get("code"),
        state=query.get("state"),
        before=None if before is None else min(max(before, 0), 2**31 - 1),
        limit=limit + 1,
    )
    token = cursor(str(found[limit - 1].id)) if len(found) > limit else None
    items = [proposal_document(one) for one in found[:limit]]
    return answer(listing(items, total, token), links=next_link(token))


@blueprint.get(_ADDRESS)
@blueprint.arguments(Query, location="query")
@blueprint.response(200, ProposalSchema)
def shown(query: dict[str, Any], number: int) -> Response:
    """Show what was asked for, and what became of it."""
    return answer(proposal_document(proposals.seen(current.store(), number)))


@blueprint.post(f"{_ADDRESS}/confirm")
@access.needs("proposal.confirm")
@blueprint.arguments(_ConfirmationBody)
@blueprint.response(200, ProposalSchema)
def confirm(body: dict[str, Any], number: int) -> Response:
    """Confirm a held proposal, by what its sender was sent."""
    found = proposals.confirm(current.store(), number, body["confirmation"], actor=access.actor())
    return access.done(proposal_document(found))


@blueprint.patch(_ADDRESS)
@access.needs("proposal.decide", if_match=True)
@blueprint.arguments(_DecisionBody)
@blueprint.response(200, ProposalSchema)
def decide(body: dict[str, Any], number: int) -> Response:
    """Study a proposal, retain it in a draft, or decline it with a reason; its sender is told."""
    store, actor = current.store(), access.actor()
    with store.at_once():
        before = proposals.seen(store, number)
        access.unchanged(access.etag(proposal_document(before)))
        if body["state"] == "studied":
            found = proposals.study(store, number, actor=actor)
        elif body["state"] == "retained":
            found = proposals.retain(store, number, body["draft"], actor=actor)
        else:
            found = proposals.decline(store, number, body["reason"], actor=actor)
    # Not in the transaction, in which nobody else writes; and by now the address is kept nowhere.
    _mailed(found, lambda: proposals.answer_mail(current.settings(), before.email, found))
    return access.done(proposal_document(found))


def sent(proposal: Proposal) -> bool:
    """Send a held proposal's confirmation; return whether it went: if not, the secretary passes it on."""
    return _mailed(proposal, lambda: proposals.confirmation_mail(current.settings(), proposal))


def _mailed(proposal: Proposal, send: Callable[[], None]) -> bool:
    """Send a mail about a proposal; return whether it went."""
    if not current.settings().smtp_url:
        return False
    try:
        send()
    except Busy as error:
        _log.error("proposal %s: %s", proposal.id, error)
        return False
    return True


def _sent(proposal: Proposal, response: Response) -> Response:
    sent(proposal)
    return response
