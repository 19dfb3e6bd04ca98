"""Drafts: making one, editing it concept by concept or by file, and what checks find in it."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from flask import Response, request

from api import access, current
from api.caching import answer
from api.errors import problem_document
from api.reading import IS_VERSION, PageQuery, Query, Routes, cursor, listing, next_link, position
from api.schemas import (
    ChangeSchema,
    ConceptStateSchema,
    ConsumerSchema,
    DraftSchema,
    FaultSchema,
    ImpactChangesSchema,
    ImpactCodeSchema,
    ImpactOrganisationSchema,
    ReleaseFileSchema,
    UsesSchema,
)
from api.schemas import listing as listing_schema
from registry import drafts, editing
from registry import impact as impact_
from registry.changes import link_shapes
from registry.errors import Invalid, Problem
from registry.formats import FORMATS, read_content
from registry.formats.document import change_document, concept_from, concept_state
from registry.formats.skos_scope import Choices
from registry.merging import FIELDS, GROUP, HEADING, SIDES, WHOLE
from registry.model import LINK_KINDS, Acceptance, Content, Decision, Link
from registry.rules import LANGUAGE
from registry.store import Store
from registry.store.drafts import DRAFT_STATES, DraftHead

blueprint = Routes("drafts", __name__, description="Preparing a release: drafts, edits, checks")

READABLE = [format.name for format in FORMATS.values() if format.read]
ADDRESS = "/drafts/<int(max=2147483647):number>"

_TEXT = ma.validate.Length(max=20_000)
_CODE = ma.fields.String(required=True, validate=ma.validate.Length(1, 128))


class _LinkBody(Query):
    """A lineage link."""

    old = _CODE
    new = _CODE
    date = ma.fields.Date(required=True)
    kind = ma.fields.String(required=True, validate=ma.validate.OneOf(LINK_KINDS))


class _AcceptanceBody(Query):
    """A warning accepted in writing."""

    rule = ma.fields.String(required=True, validate=_TEXT)
    reason = ma.fields.String(required=True, validate=_TEXT)
    codes = ma.fields.List(ma.fields.String(validate=_TEXT), load_default=list)


class _SaidBody(Query):
    """What is said of a draft as a whole."""

    title = ma.fields.String(validate=_TEXT, metadata={"description": "What it is about"})
    basis = ma.fields.String(validate=_TEXT, metadata={"description": "On what ground the release is made"})
    acts = ma.fields.List(
        ma.fields.String(validate=_TEXT), metadata={"description": "The legal acts behind it, by NOR or ELI"}
    )
    sameMeaning = ma.fields.List(
        ma.fields.String(validate=_TEXT), metadata={"description": "Codes whose text changed, and not their meaning"}
    )
    accepted = ma.fields.List(
        ma.fields.Nested(_AcceptanceBody), metadata={"description": "Warnings accepted in writing"}
    )


class _CreationBody(_SaidBody):
    """A new draft, on the last release; `PUT …/content` then gives it a file's content."""

    nomenclature = ma.fields.String(required=True, validate=ma.validate.Length(1, 63))
    fromRelease = ma.fields.String(
        validate=IS_VERSION, metadata={"description": "Take the content of this release; nothing changes without it"}
    )


class _RevisionBody(_SaidBody):
    """What changes in a draft beside its concepts; what is left out stays."""

    linksAdded = ma.fields.List(ma.fields.Nested(_LinkBody), load_default=list)
    linksRemoved = ma.fields.List(ma.fields.Nested(_LinkBody), load_default=list)


class _ConceptBody(ConceptStateSchema):
    """A whole concept, as a draft shows it; its code may be left to the address."""

    code = ma.fields.String()
    status = ma.fields.String(validate=ma.validate.OneOf(["active", "deprecated"]))
    prefLabel = ma.fields.Dict(keys=ma.fields.String(), metadata={"description": "language → preferred label"})

    class Meta:
        """A misspelt field is refused, not dropped."""

        unknown = ma.RAISE


class _ResolutionBody(Query):
    """Which side holds, in one field of a code or in all of them."""

    code = ma.fields.String(required=True)
    field = ma.fields.String(load_default="", validate=ma.validate.OneOf(["", *FIELDS, WHOLE, GROUP, HEADING]))
    take = ma.fields.String(required=True, validate=ma.validate.OneOf(SIDES))


class _RebaseBody(Query):
    """What was decided of each clash."""

    resolutions = ma.fields.List(ma.fields.Nested(_ResolutionBody), load_default=list)


class _ListQuery(PageQuery):
    """Which drafts."""

    state = ma.fields.String(validate=ma.validate.OneOf(DRAFT_STATES))
    nomenclature = ma.fields.String()


class _ImpactQuery(PageQuery):
    """Of which code, which organisations."""

    code = ma.fields.String(
        validate=ma.validate.Length(1, 128), metadata={"description": "Only the breaking change of this code"}
    )


class _FormatQuery(Query):
    """In which format."""

    format = ma.fields.String(required=True, validate=ma.validate.OneOf(list(FORMATS)))


class _ContentQuery(Query):
    """In which format the body is, and what is chosen where SKOS that others wrote leaves it open."""

    format = ma.fields.String(required=True, validate=ma.validate.OneOf(READABLE))
    scheme = ma.fields.String(
        load_default="", metadata={"description": "IRI of the concept scheme to take among several"}
    )
    language = ma.fields.String(
        load_default="",
        validate=lambda tag: not tag or LANGUAGE.fullmatch(tag) is not None,
        metadata={"description": "BCP 47 tag, in lower case, of texts without a language"},
    )
    insideOnly = ma.fields.Boolean(
        load_default=False, metadata={"description": "Leave relations to concepts out that the scheme does not hold"}
    )
    codes = ma.fields.String(
        load_default="notation",
        validate=ma.validate.OneOf(["notation", "iri"]),
        metadata={"description": "Where codes come from"},
    )
    replacedOn = ma.fields.Date(load_default=None, metadata={"description": "The day of each dct:isReplacedBy"})


# --- One draft, and all of them ------------------------------------------------------------------------------------


@blueprint.get("/drafts")
@access.needs("draft.read")
@blueprint.arguments(_ListQuery, location="query")
@blueprint.response(200, listing_schema(DraftSchema))
def list_drafts(query: dict[str, Any]) -> Response:
    """List drafts, oldest first."""
    store = current.store()
    found, total = store.drafts(
        slug=query.get("nomenclature"),
        state=query.get("state"),
        after=min(max(position(query, int) or 0, 0), 2**31 - 1),
        limit=query["limit"] + 1,
    )
    page = found[: query["limit"]]
    token = cursor(str(page[-1].id)) if len(found) > len(page) else None
    documents = [drafts.draft_document(store, one) for one in page]
    return answer(listing(documents, total, token), links=next_link(token))


@blueprint.post("/drafts")
@access.needs("draft.create")
@access.once()
@blueprint.arguments(_CreationBody)
@blueprint.response(201, DraftSchema)
def create(body: dict[str, Any]) -> Response:
    """Make a draft of a nomenclature, on its last release."""
    store, slug = current.store(), body["nomenclature"]
    content = None
    if "fromRelease" in body:
        release = store.release(slug, body["fromRelease"])
        content = Content(release.concepts, None, release.groups)
    decision = Decision(
        body.get("basis", ""),
        tuple(body.get("sameMeaning", ())),
        tuple(_acceptances(body) or ()),
        tuple(body.get("acts", ())),
    )
    number = drafts.from_content(
        store, slug, content, decision=decision, title=body.get("title", ""), actor=access.actor()
    )
    return changed(store, store.draft_head(number), 201)


@blueprint.get(ADDRESS)
@access.needs("draft.read")
@blueprint.arguments(Query, location="query")
@blueprint.response(200, DraftSchema)
def draft(query: dict[str, Any], number: int) -> Response:
    """Describe a draft: its state, what it was submitted with, its votes. People stand there as opaque ids."""
    store = current.store()
    return answer(drafts.draft_document(store, store.draft_head(number)))


@blueprint.patch(ADDRESS)
@access.needs("draft.edit", if_match=True)
@blueprint.arguments(_RevisionBody)
@blueprint.response(200, DraftSchema)
def revise(body: dict[str, Any], number: int) -> Response:
    """Change what a draft says beside its concepts. One that was submitted is open again, and its votes are void."""
    store = current.store()
    with store.at_once():
        unchanged(store, number)
        head = editing.revise(
            store,
            number,
            actor=access.actor(),
            title=body.get("title"),
            basis=body.get("basis"),
            acts=body.get("acts"),
            same_meaning=body.get("sameMeaning"),
            accepted=_acceptances(body),
            links_added=[Link(**link) for link in body["linksAdded"]],
            links_removed=[Link(**link) for link in body["linksRemoved"]],
        )
    return changed(store, head)


@blueprint.delete(ADDRESS)
@access.needs("draft.withdraw", if_match=True)
@blueprint.arguments(Query, location="query")
@blueprint.response(200, DraftSchema)
def withdraw(query: dict[str, Any], number: int) -> Response:
    """Give a draft up; it stays readable."""
    store = current.store()
    with store.at_once():
        unchanged(store, number)
        head = drafts.withdraw(store, number, actor=access.actor())
    return changed(store, head)


@blueprint.get(f"{ADDRESS}/changes")
@access.needs("draft.read")
@blueprint.arguments(Query, location="query")
@blueprint.response(200, listing_schema(ChangeSchema))
def changes(query: dict[str, Any], number: int) -> Response:
    """Give what a draft changes in the release that it rests on, code by code."""
    found = drafts.changes(current.store(), number)
    shapes = link_shapes(found.links_added)
    items = [change_document(change, shapes) for change in found.changes]
    return answer(listing(items, len(items), None))


@blueprint.get(f"{ADDRESS}/problems")
@access.needs("draft.read")
@blueprint.arguments(Query, location="query")
@blueprint.response(200, listing_schema(FaultSchema))
def problems(query: dict[str, Any], number: int) -> Response:
    """Give what stands in the way: errors, and warnings that nobody has accepted in writing."""
    found = [problem_document(item) for item in drafts.problems(current.store(), number)]
    return answer(listing(found, len(found), None))


@blueprint.get(f"{ADDRESS}/impact")
@access.needs("draft.read")
@blueprint.arguments(_ImpactQuery, location="query")
@blueprint.response(
    200,
    listing_schema(
        ImpactOrganisationSchema,
        draft=ma.fields.Integer(required=True),
        revision=ma.fields.Integer(required=True),
        nomenclature=ma.fields.String(required=True),
        base=ma.fields.String(required=True, allow_none=True),
        changes=ma.fields.Nested(ImpactChangesSchema, required=True),
        totals=ma.fields.Nested(UsesSchema, required=True),
        codes=ma.fields.List(
            ma.fields.Nested(ImpactCodeSchema),
            required=True,
            metadata={"description": "Every breaking change, those with the most mappings first"},
        ),
        consumers=ma.fields.List(
            ma.fields.Nested(ConsumerSchema),
            required=True,
            metadata={"description": "Who pulled the list by token in the last 90 days"},
        ),
    ),
)
def impact(query: dict[str, Any], number: int) -> Response:
    """Say who must act if a draft is published: organisations, whoever has most local codes to look at first.

    Of each crosswalk the last edition counts. Totals are of all organisations, each local code once.
    """
    start, limit = min(max(position(query, int) or 0, 0), 2**31 - 1), query["limit"]
    found = impact_.impact(current.store(), number, code=query.get("code", ""), start=start, limit=limit)
    items, total = impact_.organisation_documents(found), found.total.organisations
    token = cursor(str(start + len(items))) if items and start + len(items) < total else None
    return answer({**impact_.impact_document(found), **listing(items, total, token)}, links=next_link(token))


@blueprint.post(f"{ADDRESS}/rebase")
@access.needs("draft.edit", if_match=True)
@blueprint.arguments(_RebaseBody)
@blueprint.response(200, DraftSchema)
def rebase(body: dict[str, Any], number: int) -> Response:
    """Put a draft on the release that overtook its base; 409 lists what clashes, until `resolutions` say what holds."""
    store = current.store()
    sides = {(one["code"], one["field"]): one["take"] for one in body["resolutions"]}
    with store.at_once():
        unchanged(store, number)
        head = editing.rebase(store, number, sides, actor=access.actor())
    return changed(store, head)


# --- By file -------------------------------------------------------------------------------------------------------


@blueprint.get(f"{ADDRESS}/export")
@access.needs("draft.read")
@blueprint.arguments(_FormatQuery, location="query")
@blueprint.response(200, ReleaseFileSchema)
def export(query: dict[str, Any], number: int) -> Response:
    """Download all that a draft holds, to be edited in a file and sent back."""
    format = FORMATS[query["format"]]
    data = b"".join(format.write(drafts.state_of(current.store(), number)))
    response = answer(data, media_type=format.media_type)
    response.headers["Content-Disposition"] = f'attachment; filename="projet-{number}.{format.extension}"'
    return response


@blueprint.put(f"{ADDRESS}/content")
@access.needs("draft.edit", if_match=True)
@blueprint.doc(requestBody={"required": True, "content": {"application/octet-stream": {"schema": {"type": "string"}}}})
@blueprint.arguments(_ContentQuery, location="query")
@blueprint.response(200, DraftSchema)
def replace_content(query: dict[str, Any], number: int) -> Response:
    """Let a draft hold what a file says, its whole content; what was not edited in it does not change."""
    store = current.store()
    choices = Choices(query["scheme"], query["language"], query["insideOnly"], query["codes"], query["replacedOn"])
    nomenclature = store.draft_head(number).nomenclature
    content = read_content(query["format"], request.get_data(), nomenclature, choices=choices)
    with store.at_once():
        unchanged(store, number)
        head, _ = editing.replace_content(store, number, content, actor=access.actor())
    return changed(store, head)


# --- Concept by concept --------------------------------------------------------------------------------------------


@blueprint.get(f"{ADDRESS}/concepts/<code>")
@access.needs("draft.read")
@blueprint.arguments(Query, location="query")
@blueprint.response(200, ConceptStateSchema)
def concept(query: dict[str, Any], number: int, code: str) -> Response:
    """Give a concept as a draft holds it; its ETag says what an edit of it is made from."""
    store = current.store()
    found = drafts.known_concept_in(store, store.draft_head(number), code)
    return answer(concept_state(found))


@blueprint.put(f"{ADDRESS}/concepts/<code>")
@access.needs("draft.edit", if_match=True, or_new=True)
@blueprint.arguments(_ConceptBody)
@blueprint.response(200, ConceptStateSchema)
def put_concept(body: dict[str, Any], number: int, code: str) -> Response:
    """Put a concept into a draft: `If-None-Match: *` for a new one, else `If-Match` with its ETag.

    412 shows both states if somebody else was first: `yours`, `theirs`, and the `base` of both.
    """
    store = current.store()
    state = request.get_json()
    try:
        if state.get("code", code) != code:
            raise ValueError(state["code"])
        put = concept_from({**state, "code": code})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        accepted = "un concept, tel que le projet le montre"
        raise Invalid(
            [Problem("json_is_readable", f"concept mal formé : {error}", (code,), accepted=accepted)]
        ) from error
    with store.at_once():
        tag = _tag(store, number, code)
        editing.put_concept(store, number, put, actor=access.actor(), tag=tag)
    return access.done(concept_state(put), 200 if tag else 201)


@blueprint.delete(f"{ADDRESS}/concepts/<code>")
@access.needs("draft.edit", if_match=True)
@blueprint.arguments(Query, location="query")
@blueprint.response(204)
def delete_concept(query: dict[str, Any], number: int, code: str) -> Response:
    """Take a concept out of a draft. Checks refuse that for a published one, which is deprecated instead."""
    store = current.store()
    with store.at_once():
        tag = _tag(store, number, code)
        drafts.known_concept_in(store, store.draft_head(number), code)
        editing.delete_concept(store, number, code, actor=access.actor(), tag=tag)
    return access.done(status=204)


def _tag(store: Store, number: int, code: str) -> str:
    """The tag of the state that the request was made from: that of the concept as it is, if the request names it."""
    if "If-Match" not in request.headers:
        return ""
    tag = drafts.concept_in(store, store.draft_head(number), code).tag
    return tag if tag and access.is_asked(tag) else "another"


# --- Shared with the committee's routes ----------------------------------------------------------------------------


def unchanged(store: Store, number: int) -> None:
    """Go on only if the draft is what the request was made from (If-Match)."""
    access.unchanged(access.etag(drafts.draft_document(store, store.draft_head(number))))


def changed(store: Store, head: DraftHead, status: int = 200) -> Response:
    """A draft as it is now, with its entity tag for the next edit."""
    location = f"/api/v1/drafts/{head.id}" if status == 201 else ""
    return access.done(drafts.draft_document(store, head), status, location=location)


def _acceptances(body: dict[str, Any]) -> list[Acceptance] | None:
    given = body.get("accepted")
    return None if given is None else [Acceptance(one["rule"], one["reason"], tuple(one["codes"])) for one in given]
