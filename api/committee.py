"""The committee: voting rules, submissions, votes, publication, withdrawal, and the public record of decisions."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from flask import Response, request

from api import access, current
from api.caching import answer
from api.drafts import ADDRESS, changed
from api.reading import IS_VERSION, PageQuery, Query, Routes, cursor, listing, next_link, position
from api.schemas import DecisionSchema, DraftSchema, ReleaseSchema, VotingRulesSchema
from api.schemas import listing as listing_schema
from registry import ballots, drafts, publishing
from registry.formats.document import edition_document
from registry.votes import CHOICES, Attendance

blueprint = Routes("committee", __name__, description="Votes, publication, and the record of decisions")

_SLUG = ma.validate.Length(max=63)
_TEXT = ma.validate.Length(max=20_000)


class _DaysBody(Query):
    """When a vote is open; both days are of Europe/Paris, the last one included."""

    opens = ma.fields.Date(metadata={"description": "The first day; today unless it is given"})
    closes = ma.fields.Date(metadata={"description": "The last day; the voting rules say otherwise how long it is"})


class _SubmissionBody(_DaysBody):
    """What a draft is submitted as."""

    version = ma.fields.String(required=True, validate=IS_VERSION)
    validFrom = ma.fields.Date(required=True)
    corrects = ma.fields.String(load_default="", validate=_TEXT, metadata={"description": "What an erratum mends"})
    revision = ma.fields.Integer(strict=True, metadata={"description": "Refuse unless the draft is still at this one"})


class _VoteBody(Query):
    """A vote."""

    choice = ma.fields.String(required=True, validate=ma.validate.OneOf(CHOICES))
    comment = ma.fields.String(
        load_default="", validate=_TEXT, metadata={"description": "Why, in public; a rejection needs it"}
    )
    organisation = ma.fields.String(
        load_default="", validate=_SLUG, metadata={"description": "For whom, if you are a member of several voters"}
    )
    submission = ma.fields.String(
        load_default="", validate=ma.validate.Length(max=64), metadata={"description": "The hash that you vote on"}
    )


class _AttendanceBody(Query):
    """Who takes part in a mandatory consultation."""

    present = ma.fields.List(ma.fields.String(validate=_SLUG), load_default=list)
    mandates = ma.fields.Dict(
        keys=ma.fields.String(validate=_SLUG),
        values=ma.fields.String(validate=_SLUG),
        load_default=dict,
        metadata={"description": "Represented organisation → the one that holds its mandate"},
    )


class _PublicationBody(Query):
    """How a draft is published; version and first day where it was not submitted."""

    version = ma.fields.String(load_default="", validate=ma.validate.Length(max=20))
    validFrom = ma.fields.Date(load_default=None)
    corrects = ma.fields.String(load_default="", validate=_TEXT)
    publishAt = ma.fields.AwareDateTime(
        load_default=None, metadata={"description": "Not now: at this instant, with its offset"}
    )


class _WithdrawalBody(Query):
    """Why a release is withdrawn."""

    why = ma.fields.String(required=True, validate=ma.validate.Length(1, 2_000))


class _RulesBody(VotingRulesSchema):
    """How the committee decides; an empty object asks for no votes."""

    class Meta:
        """The registry says what is wrong, in the words of its rules."""

        unknown = ma.INCLUDE


class _DecisionsQuery(PageQuery):
    """Which decisions."""

    nomenclature = ma.fields.String()


@blueprint.get("/nomenclatures/<slug>/rules")
@blueprint.arguments(Query, location="query")
@blueprint.response(200, VotingRulesSchema)
def rules(query: dict[str, Any], slug: str) -> Response:
    """Say how the committee decides on a nomenclature; an empty object where no votes are asked for."""
    return answer(ballots.rules_of(current.store(), slug))


@blueprint.put("/nomenclatures/<slug>/rules")
@access.needs("nomenclature.rules", if_match=True)
@blueprint.arguments(_RulesBody)
@blueprint.response(200, VotingRulesSchema)
def set_rules(body: dict[str, Any], slug: str) -> Response:
    """Say how the committee decides from now on; ballots that are open keep the rules that they began under."""
    store = current.store()
    with store.at_once():
        access.unchanged(access.etag(ballots.rules_of(store, slug)))
        ballots.set_rules(store, slug, request.get_json(), actor=access.actor())
        return access.done(ballots.rules_of(store, slug))


@blueprint.post(f"{ADDRESS}/submit")
@access.needs("draft.submit")
@blueprint.arguments(_SubmissionBody)
@blueprint.response(200, DraftSchema)
def submit(body: dict[str, Any], number: int) -> Response:
    """Freeze a draft under one hash, and open the vote on it; where no votes are asked for it is approved at once."""
    store = current.store()
    head = drafts.submit(
        store,
        number,
        version=body["version"],
        valid_from=body["validFrom"],
        corrects=body["corrects"],
        opens=body.get("opens"),
        closes=body.get("closes"),
        revision=body.get("revision"),
        actor=access.actor(),
    )
    return changed(store, head)


@blueprint.post(f"{ADDRESS}/votes")
@access.needs("draft.vote")
@access.once()
@blueprint.arguments(_VoteBody)
@blueprint.response(200, DraftSchema)
def vote(body: dict[str, Any], number: int) -> Response:
    """Vote on what is submitted, for your organisation; a later vote takes the place of the one before."""
    store = current.store()
    head = ballots.vote(
        store,
        number,
        body["choice"],
        actor=access.actor(),
        reason=body["comment"],
        organisation=body["organisation"],
        submission=body["submission"],
    )
    return changed(store, head)


@blueprint.post(f"{ADDRESS}/attendance")
@access.needs("draft.attend")
@blueprint.arguments(_AttendanceBody)
@blueprint.response(200, DraftSchema)
def attend(body: dict[str, Any], number: int) -> Response:
    """Write down who is present or represented at a consultation, in the place of the list before."""
    store = current.store()
    rows = [Attendance(slug) for slug in body["present"]]
    rows += [Attendance(slug, holder) for slug, holder in body["mandates"].items()]
    return changed(store, ballots.attend(store, number, rows, actor=access.actor()))


@blueprint.post(f"{ADDRESS}/second-call")
@access.needs("draft.submit")
@blueprint.arguments(_DaysBody)
@blueprint.response(200, DraftSchema)
def second_call(body: dict[str, Any], number: int) -> Response:
    """Call a consultation again that had no quorum: the same submission, and no quorum is needed."""
    store = current.store()
    head = ballots.second_call(store, number, actor=access.actor(), opens=body.get("opens"), closes=body.get("closes"))
    return changed(store, head)


@blueprint.post(f"{ADDRESS}/publish")
@access.needs("release.publish")
@access.once(long=True)
@blueprint.arguments(_PublicationBody)
@blueprint.response(201, ReleaseSchema)
@blueprint.alt_response(202, schema=DraftSchema, description="It will be published at the instant given")
def publish(body: dict[str, Any], number: int) -> Response:
    """Turn a draft into a release that never changes again, now or at an instant to come: whole, or not at all."""
    store, actor = current.store(), access.actor()
    store.draft_head(number)
    told = {"version": body["version"], "valid_from": body["validFrom"], "corrects": body["corrects"]}
    if body["publishAt"] is not None:
        return changed(store, publishing.schedule(store, number, body["publishAt"], actor=actor, **told), 202)
    edition = publishing.publish(store, number, current.keys(), actor=actor, **told)
    location = f"/api/v1/nomenclatures/{edition.nomenclature}/releases/{edition.version}"
    return access.done(edition_document(edition), 201, location=location)


@blueprint.post("/nomenclatures/<slug>/releases/<version>/withdraw")
@access.needs("release.withdraw")
@access.once()
@blueprint.arguments(_WithdrawalBody)
@blueprint.response(200, ReleaseSchema)
def withdraw(body: dict[str, Any], slug: str, version: str) -> Response:
    """Withdraw a faulty release: it stays readable and marked, and is no longer in force. There is no way back."""
    edition = publishing.withdraw(current.store(), slug, version, body["why"], current.keys(), actor=access.actor())
    return access.done({**edition_document(edition), "why": edition.withdrawn_why})


@blueprint.get("/decisions")
@blueprint.arguments(_DecisionsQuery, location="query")
@blueprint.response(200, listing_schema(DecisionSchema))
def decisions(query: dict[str, Any]) -> Response:
    """Give the public record: every vote that is over, by organisation, with the reasons; the last one first."""
    after = max(position(query, int) or 0, 0)
    slug = query.get("nomenclature")
    if slug is not None:
        current.store().nomenclature(slug)
    found = ballots.decisions(current.store(), slug)
    page = found[after : after + query["limit"]]
    token = cursor(str(after + len(page))) if after + len(page) < len(found) else None
    return answer(listing(page, len(found), token), links=next_link(token))
