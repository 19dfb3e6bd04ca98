"""The draft beside a crosswalk: an organisation's own file in, codes decided, candidates, carried, published."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import marshmallow as ma
from flask import Response, g, request

from api import access, current
from api.caching import answer
from api.crosswalks import ADDRESS as CROSSWALK
from api.errors import problem, problem_document
from api.reading import IS_VERSION, PageQuery, Query, Routes, cursor, listing, next_link, position
from api.schemas import (
    AcceptedSchema,
    CarriedSchema,
    CrosswalkDifferenceSchema,
    DraftEditionSchema,
    DraftRowsSchema,
    FaultSchema,
    FileReportSchema,
    ProposedCodeSchema,
    PublishedEditionSchema,
    ReleaseFileSchema,
    ReviewSchema,
    StaleSchema,
)
from api.schemas import listing as listing_schema
from api.search import iri_of
from registry import draft_editions, draft_files, editions, finding, importing, staleness
from registry.crosswalks import RELATIONS, edition_document
from registry.draft_editions import STATES, Choice, Said
from registry.draft_files import Change
from registry.errors import NotFound, Stale
from registry.formats.crosswalks import CROSSWALK_FORMATS
from registry.formats.document import candidate_document
from registry.importing import Imported
from registry.model import today
from registry.rules import LISTED
from registry.search import Index
from registry.store import Store
from registry.store.draft_editions import CrosswalkName, DraftEdition

blueprint = Routes("draft editions", __name__, description="Preparing an edition of a crosswalk")

ADDRESS = f"{CROSSWALK}/draft"
MOST_CHOICES = 10_000

_TEXT = ma.validate.Length(max=2_000)
_A_NUMBER = ma.validate.Range(1, 2**31 - 1)


class _DraftQuery(PageQuery):
    """Which codes."""

    status = ma.fields.String(validate=ma.validate.OneOf(STATES))


class _FileQuery(Query):
    """How to read the file, and what to do with it."""

    name = ma.fields.String(load_default="", validate=_TEXT, metadata={"description": "What the file is called"})
    column = ma.fields.List(
        ma.fields.String(validate=[_TEXT, ma.validate.Regexp(r"^[a-z_]+:", error="accepted is ROLE:HEADER")]),
        load_default=list,
        metadata={"description": "Which header a role has: `code:N°`; repeatable. Columns are recognised without it"},
    )
    relation = ma.fields.String(
        load_default="",
        validate=ma.validate.OneOf(["", *RELATIONS]),
        metadata={"description": "What a row with a target and without a relation is taken for"},
    )
    sheet = ma.fields.String(load_default="", validate=_TEXT, metadata={"description": "The sheet of a workbook"})
    release = ma.fields.String(
        validate=IS_VERSION,
        metadata={"description": "What the targets are of; the draft's, the file's own, or in force today"},
    )
    validFrom = ma.fields.Date(metadata={"description": "The day from which the edition will apply"})
    author = ma.fields.String(validate=_TEXT)
    license = ma.fields.String(validate=_TEXT)
    title = ma.fields.String(validate=_TEXT, metadata={"description": "Of a list that has no edition yet"})
    drop = ma.fields.Boolean(
        load_default=False, metadata={"description": "Let decisions go that the file does not have any more"}
    )
    dryRun = ma.fields.Boolean(load_default=False, metadata={"description": "Only say what it would do"})
    report = ma.fields.String(
        load_default="json",
        validate=ma.validate.OneOf(["json", "file"]),
        metadata={"description": "`file`: where rows are refused, the file again with the reasons beside them"},
    )


class _FormatQuery(Query):
    """In which format."""

    format = ma.fields.String(required=True, validate=ma.validate.OneOf(list(CROSSWALK_FORMATS)))


class _EditionBody(Query):
    """What is said of a draft as a whole; what is left out stays."""

    validFrom = ma.fields.Date(metadata={"description": "The day from which the edition will apply"})
    author = ma.fields.String(validate=_TEXT, metadata={"description": "Who stands for the mappings"})
    license = ma.fields.String(validate=_TEXT)
    title = ma.fields.String(validate=_TEXT, metadata={"description": "Of a list that has no edition yet"})


class _MappingBody(Query):
    """One row: a relation, and the code of a concept of the draft's release."""

    relation = ma.fields.String(required=True, validate=_TEXT)
    target = ma.fields.String(load_default="", validate=_TEXT)
    covers = ma.fields.Boolean(load_default=False)
    weight = ma.fields.String(load_default="", validate=_TEXT)
    confidence = ma.fields.String(load_default="", validate=_TEXT)
    comment = ma.fields.String(load_default="", validate=_TEXT)
    justification = ma.fields.String(load_default="", validate=_TEXT)
    author = ma.fields.String(load_default="", validate=_TEXT)
    reviewer = ma.fields.String(load_default="", validate=_TEXT)
    date = ma.fields.String(load_default="", validate=_TEXT)


class _ChoiceBody(Query):
    """What was decided of a code: `mapped` with its mappings, `noMatch`, or `unreviewed` again."""

    code = ma.fields.String(required=True, validate=_TEXT)
    status = ma.fields.String(required=True, validate=ma.validate.OneOf(STATES))
    mappings = ma.fields.List(ma.fields.Nested(_MappingBody), load_default=list, validate=ma.validate.Length(max=100))
    comment = ma.fields.String(load_default="", validate=_TEXT, metadata={"description": "Why it has no equivalent"})

    @ma.validates_schema
    def _fits(self, data: dict[str, Any], **_: Any) -> None:
        if (data["status"] == "mapped") != bool(data["mappings"]):
            raise ma.ValidationError("accepted are mappings with the status `mapped`, and none otherwise", "mappings")


class _ChoicesBody(Query):
    """What was decided of some codes."""

    items = ma.fields.List(ma.fields.Nested(_ChoiceBody), required=True, validate=ma.validate.Length(max=MOST_CHOICES))


class _AcceptanceOfBody(Query):
    """What to accept: the candidates that are sure, or the one successor of what was carried."""

    what = ma.fields.String(required=True, validate=ma.validate.OneOf(["sure", "successors"]))
    threshold = ma.fields.Float(
        load_default=0.0,
        validate=ma.validate.Range(0, 1),
        metadata={"description": "The score that a sure candidate needs"},
    )


class _CarryBody(Query):
    """To which release."""

    release = ma.fields.String(validate=IS_VERSION, metadata={"description": "In force today unless given"})


class _EditionPublicationBody(Query):
    """From when it applies."""

    validFrom = ma.fields.Date(metadata={"description": "What the draft says, else today"})
    edition = ma.fields.Integer(validate=_A_NUMBER, metadata={"description": "The next number unless given"})


@blueprint.get(ADDRESS)
@access.needs("crosswalk.read", organisation="organisation")
@blueprint.arguments(_DraftQuery, location="query")
@blueprint.response(200, DraftRowsSchema)
def draft(query: dict[str, Any], organisation: str, slug: str, nomenclature: str) -> Response:
    """Give the draft beside a crosswalk, with a page of its codes: mapped, without equivalent, not reviewed.

    Its ETag is that of the draft, whatever the page: the next change is made from it.
    """
    store, found = _draft(organisation, slug, nomenclature)
    after, limit = position(query) or "", query["limit"]
    rows = store.draft_rows(found, state=query.get("status"), after=after, limit=limit + 1)
    token = cursor(rows[limit - 1].code.code) if len(rows) > limit else None
    document = draft_editions.document(store, found)
    counts = document["coverage"]["codes"]
    total = counts[query.get("status", "total")]
    response = answer(
        {**document, **listing([draft_editions.row_document(row) for row in rows[:limit]], total, token)},
        links=next_link(token),
    )
    # A page follows from the draft and its revision, so their tag is as strong as one of the page's own bytes.
    g.etag = access.etag(document)
    response.headers["ETag"] = f'"{g.etag}"'
    return response


@blueprint.put(ADDRESS)
@access.needs("crosswalk.write", organisation="organisation", if_match=True, or_new=True)
@access.once(long=True)
@blueprint.doc(requestBody={"required": True, "content": {"application/octet-stream": {"schema": {"type": "string"}}}})
@blueprint.arguments(_FileQuery, location="query")
@blueprint.response(200, FileReportSchema)
def put(query: dict[str, Any], organisation: str, slug: str, nomenclature: str) -> Response:
    """Let a draft hold what a file says: CSV in any dialect, XLSX, ODS, XLS or SSSOM/TSV, with its own columns.

    All of it, or nothing. Where rows are refused, 422 lists them with sheet, line, column, value, rule and what is
    accepted. Where decisions would go that the file does not have, 409 counts them and shows some, and asks for
    `drop=true`. `If-None-Match: *` makes a draft. A dry run sends a condition too, as every write, and looks at none.
    """
    store, name, data = current.store(), CrosswalkName(organisation, slug, nomenclature), request.get_data()
    said = Said(
        query.get("release"), query.get("validFrom"), query.get("author"), query.get("license"), query.get("title")
    )
    imported = draft_files.read(
        store,
        name,
        data,
        said,
        file=query["name"],
        columns=dict(one.split(":", 1) for one in query["column"]),
        relation=query["relation"],
        sheet=query["sheet"],
    )
    given = draft_files.given(imported)
    found = draft_files.change(store, name, given, said)
    report = draft_files.report_document(store, imported, found)
    if imported.refusals and query["report"] == "file":
        return _refused_file(data, imported, 200 if query["dryRun"] else 422)
    if query["dryRun"]:
        return access.done({**report, **_problems_of(found), "draft": None})
    if found.problems:
        return _refused(report, found)
    with store.at_once():
        is_new = unchanged_or_new(store, name)
        after = draft_files.put(store, name, given, said, actor=access.actor(), drop=query["drop"])
    document = {**report, **_problems_of(found), "draft": draft_editions.document(store, after)}
    return _tagged(store, after, document, 201 if is_new else 200)


@blueprint.patch(ADDRESS)
@access.needs("crosswalk.write", organisation="organisation", if_match=True)
@access.once()
@blueprint.arguments(_EditionBody)
@blueprint.response(200, DraftEditionSchema)
def revise(body: dict[str, Any], organisation: str, slug: str, nomenclature: str) -> Response:
    """Change what a draft says as a whole."""
    store, name = current.store(), CrosswalkName(organisation, slug, nomenclature)
    said = Said(
        valid_from=body.get("validFrom"),
        author=body.get("author"),
        license=body.get("license"),
        title=body.get("title"),
    )
    with store.at_once():
        unchanged(store, name)
        found = draft_editions.revise(store, name, said, actor=access.actor())
    return changed(store, found)


@blueprint.delete(ADDRESS)
@access.needs("crosswalk.write", organisation="organisation", if_match=True)
@blueprint.arguments(Query, location="query")
@blueprint.response(204)
def discard(query: dict[str, Any], organisation: str, slug: str, nomenclature: str) -> Response:
    """Give a draft up; nothing of it is kept."""
    store, name = current.store(), CrosswalkName(organisation, slug, nomenclature)
    with store.at_once():
        unchanged(store, name)
        draft_editions.discard(store, name, actor=access.actor())
    return access.done(status=204)


@blueprint.patch(f"{ADDRESS}/mappings")
@access.needs("crosswalk.write", organisation="organisation", if_match=True)
@access.once()
@blueprint.arguments(_ChoicesBody)
@blueprint.response(200, DraftEditionSchema)
def decide(body: dict[str, Any], organisation: str, slug: str, nomenclature: str) -> Response:
    """Write down what was decided of some codes, in the place of what stood there: all of it, or nothing."""
    store, name = current.store(), CrosswalkName(organisation, slug, nomenclature)
    choices = [Choice(item["code"], tuple(_rows(item))) for item in body["items"]]
    with store.at_once():
        unchanged(store, name)
        found = draft_editions.decide(store, name, choices, actor=access.actor())
    return changed(store, found)


@blueprint.get(f"{ADDRESS}/export")
@access.needs("crosswalk.read", organisation="organisation")
@blueprint.arguments(_FormatQuery, location="query")
@blueprint.response(200, ReleaseFileSchema)
def export(query: dict[str, Any], organisation: str, slug: str, nomenclature: str) -> Response:
    """Download all that a draft holds, to be edited in a file and sent back."""
    store, found = _draft(organisation, slug, nomenclature)
    format = CROSSWALK_FORMATS[query["format"]]
    response = answer(b"".join(format.write(draft_editions.whole(store, found))), media_type=format.media_type)
    response.headers["Content-Disposition"] = f'attachment; filename="table.{format.extension}"'
    return response


@blueprint.get(f"{ADDRESS}/problems")
@access.needs("crosswalk.read", organisation="organisation")
@blueprint.arguments(Query, location="query")
@blueprint.response(200, listing_schema(FaultSchema, "DraftEditionFaultList"))
def problems(query: dict[str, Any], organisation: str, slug: str, nomenclature: str) -> Response:
    """Give what stands in the way of publishing a draft, and warnings."""
    store, found = _draft(organisation, slug, nomenclature)
    items = [problem_document(item) for item in draft_editions.problems(store, found)]
    return answer(listing(items, len(items), None))


@blueprint.get(f"{ADDRESS}/diff")
@access.needs("crosswalk.read", organisation="organisation")
@blueprint.arguments(Query, location="query")
@blueprint.response(200, CrosswalkDifferenceSchema)
def difference(query: dict[str, Any], organisation: str, slug: str, nomenclature: str) -> Response:
    """Give what publishing a draft would change in the last edition."""
    store, found = _draft(organisation, slug, nomenclature)
    return answer(draft_editions.difference(store, found).document())


@blueprint.get(f"{ADDRESS}/review")
@access.needs("crosswalk.read", organisation="organisation")
@blueprint.arguments(Query, location="query")
@blueprint.response(
    200, listing_schema(StaleSchema, "DraftReviewList", reviews=ma.fields.List(ma.fields.Nested(ReviewSchema)))
)
def review(query: dict[str, Any], organisation: str, slug: str, nomenclature: str) -> Response:
    """List what a draft was carried with and has to decide on again, with what is proposed."""
    store, found = _draft(organisation, slug, nomenclature)
    reviews = staleness.draft_review(store, found)
    items = [item for one in reviews for item in staleness.item_documents(one, one.items)]
    told = [staleness.review_document(one) for one in reviews]
    return answer({**listing(items, len(items), None), "reviews": told})


@blueprint.post(f"{ADDRESS}/candidates")
@access.needs("crosswalk.read", organisation="organisation")
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, listing_schema(ProposedCodeSchema))
def candidates(query: dict[str, Any], organisation: str, slug: str, nomenclature: str) -> Response:
    """Propose five concepts at most for each code that nobody decided on; nothing is written."""
    store, found = _draft(organisation, slug, nomenclature)
    limit = min(query["limit"], 200)
    after = position(query) or ""
    proposed = draft_editions.candidates(store, _index(store, found), found, after=after, limit=limit + 1)
    token = cursor(proposed[limit - 1].code.code) if len(proposed) > limit else None
    items = [
        {
            **editions.code_document(one.code),
            "candidates": [candidate_document(each, iri_of(each.document)) for each in one.candidates],
        }
        for one in proposed[:limit]
    ]
    total = draft_editions.coverage(store, found).codes.unreviewed
    return answer(listing(items, total, token), links=next_link(token))


@blueprint.post(f"{ADDRESS}/accept")
@access.needs("crosswalk.write", organisation="organisation", if_match=True)
@access.once(long=True)
@blueprint.arguments(_AcceptanceOfBody)
@blueprint.response(200, AcceptedSchema)
def accept(body: dict[str, Any], organisation: str, slug: str, nomenclature: str) -> Response:
    """Map what nobody needs to look at: codes whose candidate is sure, or carried codes with one successor.

    Only codes that nobody decided on are mapped.
    """
    store, name, actor = current.store(), CrosswalkName(organisation, slug, nomenclature), access.actor()
    # Finding candidates takes long, so it is not one transaction with the comparison: the revision stands between.
    found = unchanged(store, name)
    if body["what"] == "sure":
        index, threshold = _index(store, found), body["threshold"]
        after, written = draft_editions.accept_sure(
            store, index, name, threshold=threshold, actor=actor, revision=found.revision
        )
    else:
        after, written = staleness.accept_successors(store, name, actor=actor, revision=found.revision)
    accepted = [editions.mapping_document(one) for one in written]
    return _tagged(store, after, {"draft": draft_editions.document(store, after), "accepted": accepted})


@blueprint.post(f"{ADDRESS}/carry")
@access.needs("crosswalk.write", organisation="organisation", if_match=True, or_new=True)
@access.once()
@blueprint.arguments(_CarryBody)
@blueprint.response(200, CarriedSchema)
def carry(body: dict[str, Any], organisation: str, slug: str, nomenclature: str) -> Response:
    """Put a crosswalk on another release: its draft, or (`If-None-Match: *`) a new one beside its last edition.

    Mappings that hold stay. Codes of which one does not are unreviewed, and the review list says what is proposed.
    """
    store, name = current.store(), CrosswalkName(organisation, slug, nomenclature)
    with store.at_once():
        is_new = unchanged_or_new(store, name)
        release = body.get("release") or store.in_force(nomenclature, today()).version
        found, left = staleness.carry(store, name, release, actor=access.actor())
    carried = {"draft": draft_editions.document(store, found), "review": staleness.review_document(left)}
    return _tagged(store, found, carried, 201 if is_new else 200)


@blueprint.post(f"{ADDRESS}/publish")
@access.needs("crosswalk.write", organisation="organisation", if_match=True)
@access.once()
@blueprint.arguments(_EditionPublicationBody)
@blueprint.response(201, PublishedEditionSchema)
def publish(body: dict[str, Any], organisation: str, slug: str, nomenclature: str) -> Response:
    """Turn a draft into a numbered edition that never changes; the draft is no more."""
    store, name = current.store(), CrosswalkName(organisation, slug, nomenclature)
    with store.at_once():
        unchanged(store, name)
        edition, warnings = draft_editions.publish(
            store, name, actor=access.actor(), valid_from=body.get("validFrom"), number=body.get("edition")
        )
    address = f"/api/v1/crosswalks/{organisation}/{slug}/{nomenclature}?edition={edition.edition}"
    told = [problem_document(one) for one in warnings]
    return access.done({**edition_document(edition), "warnings": told}, 201, location=address)


# --- Shared by these ------------------------------------------------------------------------------------------------


def unchanged(store: Store, name: CrosswalkName) -> DraftEdition:
    """The draft, if it is what the request was made from (If-Match)."""
    found = store.draft_edition(name)
    access.unchanged(access.etag(draft_editions.document(store, found)))
    return found


def unchanged_or_new(store: Store, name: CrosswalkName) -> bool:
    """Go on if the draft is what the request was made from, or if there is none and it asks for a new one: then True.

    :raises Stale: if it asks for a new one, and there is one.
    """
    if "If-Match" in request.headers:
        unchanged(store, name)
        return False
    with suppress(NotFound):
        store.draft_edition(name)
        raise Stale(f"If-None-Match: {name} has a draft already")
    return True


def changed(store: Store, found: DraftEdition, status: int = 200) -> Response:
    """A draft as it is now, with its entity tag for the next change."""
    return access.done(draft_editions.document(store, found), status)


def _refused(report: dict[str, Any], found: Change) -> Response:
    title, french = "The content breaks rules", "Le contenu ne respecte pas les règles"
    errors = [problem_document(one) for one in found.problems[:LISTED]]
    return problem(422, "invalid", title, french=french, errors=errors, total=len(found.problems), report=report)


def _problems_of(found: Change) -> dict[str, Any]:
    errors = [problem_document(one) for one in found.problems[:LISTED]]
    return {"errors": errors, "total": len(found.problems)}


def _refused_file(data: bytes, imported: Imported, status: int) -> Response:
    """The file again, with the reasons beside the rows that are refused: what is mended there is sent as it is."""
    body, media_type, extension = importing.refused_file(data, imported, whole=True)
    response = Response(body, status, content_type=media_type)
    response.headers["Content-Disposition"] = f'attachment; filename="lignes-refusees.{extension}"'
    return response


def _draft(organisation: str, slug: str, nomenclature: str) -> tuple[Store, DraftEdition]:
    store, name = current.store(), CrosswalkName(organisation, slug, nomenclature)
    return store, draft_editions.draft(store, name, actor=access.actor())


def _index(store: Store, found: DraftEdition) -> Index:
    release = store.edition(found.nomenclature, found.release)
    return finding.index_of(store, current.settings().index, [release], today())


def _rows(item: dict[str, Any]) -> list[dict[str, str]]:
    """The rows of a choice, by column of the canonical file."""
    if item["status"] == "noMatch":
        return [{"relation": "noMatch", "target_code": "", "comment": item["comment"]}]
    return [
        {**{name: value for name, value in row.items() if name not in ("target", "covers")}, **_columns(row)}
        for row in item["mappings"]
    ]


def _columns(row: dict[str, Any]) -> dict[str, str]:
    return {"target_code": row["target"], "covers": "true" if row["covers"] else ""}


def _tagged(store: Store, found: DraftEdition, document: dict[str, Any], status: int = 200) -> Response:
    response = access.done(document, status)
    response.headers["ETag"] = f'"{access.etag(draft_editions.document(store, found))}"'
    return response
