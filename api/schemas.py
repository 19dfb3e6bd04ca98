"""The JSON that clients see, described: for the OpenAPI document and its checks, not for rendering."""

from __future__ import annotations

from typing import Any

import marshmallow as ma

from registry.store.proposals import PROPOSAL_STATES

_f = ma.fields


def _texts(about: str = "") -> _f.Dict:
    return _f.Dict(keys=_f.String(), values=_f.List(_f.String()), metadata={"description": about})


def _labels() -> _f.Dict:
    return _f.Dict(keys=_f.String(), values=_f.String(), metadata={"description": "language → preferred label"})


class ReferenceSchema(ma.Schema):
    """A concept named by another: code and label in the same release."""

    code = _f.String(required=True)
    prefLabel = _labels()


class LineageEndSchema(ReferenceSchema):
    """The other end of a lineage link."""

    date = _f.Date(required=True)
    kind = _f.String(required=True, validate=ma.validate.OneOf(["same", "wider", "narrower", "overlaps"]))


class LinkSchema(ma.Schema):
    """A lineage link; ``kind`` says what the new concept is, seen from the old one."""

    old = _f.String(required=True)
    new = _f.String(required=True)
    date = _f.Date(required=True)
    kind = _f.String(required=True)
    shape = _f.String()


class SealedSchema(ma.Schema):
    """An entry of the release log, canonical JSON that the next entry's ``previous`` is the SHA-256 of."""

    type = _f.String(required=True)
    nomenclature = _f.String(required=True)
    version = _f.String(required=True)
    seq = _f.Integer(required=True)
    previous = _f.String(required=True)

    class Meta:
        """The specification of the release says what else it holds."""

        unknown = ma.INCLUDE


class SignatureSchema(ma.Schema):
    """A signature in an envelope; `sig` is base64."""

    keyid = _f.String(required=True)
    sig = _f.String(required=True)


class EnvelopeSchema(ma.Schema):
    """What was signed and by whom, as DSSE has it; `payload` is base64."""

    payload = _f.String(required=True)
    payloadType = _f.String(required=True)
    signatures = _f.List(_f.Nested(SignatureSchema), required=True)


class LogEntrySchema(ma.Schema):
    """An entry of the release log: its line without the line feed, and the envelope that signs it."""

    seq = _f.Integer(required=True)
    entry = _f.String(required=True)
    envelope = _f.Nested(EnvelopeSchema, required=True, allow_none=True)


class ConceptStateSchema(ma.Schema):
    """A concept alone, as a release holds it."""

    code = _f.String(required=True)
    status = _f.String(required=True, validate=ma.validate.OneOf(["active", "deprecated"]))
    prefLabel = _labels()
    altLabel = _texts()
    hiddenLabel = _texts()
    definition = _texts()
    scopeNote = _texts()
    inclusionNote = _texts()
    exclusionNote = _texts()
    example = _texts()
    historyNote = _texts()
    broader = _f.List(_f.String())
    related = _f.List(_f.String())
    legalBasis = _f.List(_f.String())
    validFrom = _f.Date(allow_none=True)
    validUntil = _f.Date(allow_none=True)


class ConceptSchema(ConceptStateSchema):
    """A concept in one release, with its neighbours and its lineage as that release knows them."""

    iri = _f.String(required=True)
    nomenclature = _f.String(required=True)
    release = _f.String(required=True)
    broader = _f.List(_f.Nested(ReferenceSchema))
    narrower = _f.List(_f.Nested(ReferenceSchema))
    related = _f.List(_f.Nested(ReferenceSchema))
    replacedBy = _f.List(_f.Nested(LineageEndSchema))
    replaces = _f.List(_f.Nested(LineageEndSchema))


class ConceptBriefSchema(ma.Schema):
    """A concept in a list."""

    code = _f.String(required=True)
    iri = _f.String(required=True)
    nomenclature = _f.String(required=True)
    release = _f.String(required=True)
    status = _f.String(required=True)
    prefLabel = _labels()
    broader = _f.List(_f.String())
    validFrom = _f.Date(allow_none=True)
    validUntil = _f.Date(allow_none=True)


class WhySchema(ma.Schema):
    """Why a hit matched; highlights are offsets into ``text``."""

    kind = _f.String(required=True)
    text = _f.String(required=True)
    correction = _f.String()
    source = _f.String(metadata={"description": "The local list whose label it is, ORG/LIST@EDITION, else empty"})
    highlights = _f.List(_f.List(_f.Integer()))


class HitSchema(ConceptBriefSchema):
    """A concept found, with its score from 0 to 1, why it matched, and the labels above it, top first."""

    score = _f.Float(required=True)
    why = _f.Nested(WhySchema, required=True)
    path = _f.List(_f.String())


class FacetsSchema(ma.Schema):
    """How many concepts were found in all, by nomenclature and by status."""

    nomenclature = _f.Dict(keys=_f.String(), values=_f.Integer())
    status = _f.Dict(keys=_f.String(), values=_f.Integer())


class CandidateSchema(HitSchema):
    """A concept that a local label may mean, in which relation, and whether surely."""

    relation = _f.String(
        required=True, validate=ma.validate.OneOf(["exactMatch", "closeMatch", "broadMatch", "narrowMatch"])
    )
    sure = _f.Boolean(required=True, metadata={"description": "This concept alone is called so, letter for letter"})


class CandidatesSchema(ma.Schema):
    """A local label with its candidates, best first."""

    label = _f.String(required=True)
    items = _f.List(_f.Nested(CandidateSchema), required=True)


class ChangeSchema(ma.Schema):
    """What happened to one code."""

    code = _f.String(required=True)
    kinds = _f.List(_f.String(), required=True)
    compatibility = _f.String(required=True, validate=ma.validate.OneOf(["compatible", "breaking"]))
    before = _f.Nested(ConceptStateSchema, allow_none=True)
    after = _f.Nested(ConceptStateSchema, allow_none=True)
    lineage = _f.List(_f.Nested(LinkSchema))


class FeedItemSchema(ChangeSchema):
    """An item of the feed: a release that came (``release``), one of its changes (``change``), or its withdrawal."""

    type = _f.String(required=True, validate=ma.validate.OneOf(["release", "change", "withdrawal"]))
    nomenclature = _f.String(required=True)
    release = _f.String(required=True)
    seq = _f.Integer(required=True)
    issued = _f.DateTime(required=True)
    validFrom = _f.Date(required=True)
    why = _f.String(metadata={"description": "of a withdrawal"})
    code = _f.String()
    kinds = _f.List(_f.String())
    compatibility = _f.String()


class FileSchema(ma.Schema):
    """One stored file of a release."""

    format = _f.String(required=True)
    mediaType = _f.String(required=True)
    size = _f.Integer(required=True)
    sha256 = _f.String(required=True)


class ReleaseSchema(ma.Schema):
    """A release as it was published."""

    nomenclature = _f.String(required=True)
    version = _f.String(required=True)
    validFrom = _f.Date(required=True)
    issued = _f.DateTime(required=True)
    seq = _f.Integer(required=True)
    concepts = _f.Integer(required=True)
    active = _f.Integer(required=True)
    deprecated = _f.Integer(required=True)
    corrects = _f.String(allow_none=True)
    predecessor = _f.String(allow_none=True)
    contentSha256 = _f.String(required=True)
    title = _texts()
    license = _f.String()
    attribution = _f.String()
    files = _f.List(_f.Nested(FileSchema))


class ReleaseStatusSchema(ma.Schema):
    """What is known today of a release: it may have been withdrawn, corrected, overtaken."""

    nomenclature = _f.String(required=True)
    version = _f.String(required=True)
    status = _f.String(required=True, validate=ma.validate.OneOf(["published", "withdrawn"]))
    withdrawnAt = _f.DateTime(allow_none=True)
    why = _f.String(allow_none=True)
    correctedBy = _f.List(_f.String())
    validUntil = _f.Date(allow_none=True)
    inForce = _f.Boolean(required=True)


class NomenclatureSchema(ma.Schema):
    """A nomenclature, as its release in force (else its last one) describes it."""

    slug = _f.String(required=True)
    iri = _f.String(required=True)
    title = _texts()
    description = _texts()
    publisher = _f.String()
    license = _f.String()
    attribution = _f.String()
    codePattern = _f.String()
    levelTitles = _f.List(_f.String())
    generic = _f.Boolean()
    current = _f.String(allow_none=True, metadata={"description": "the release in force today"})
    latest = _f.String(allow_none=True, metadata={"description": "the release issued last"})


class TreeNodeSchema(ReferenceSchema):
    """A concept and what is under it."""

    status = _f.String(required=True)
    narrower = _f.List(_f.Nested(lambda: TreeNodeSchema()), required=True)
    repeated = _f.Boolean(metadata={"description": "What is under it is shown where it first stands"})


class TreeSchema(ma.Schema):
    """The hierarchy of a release; ``total`` counts its concepts, each once."""

    nomenclature = _f.String(required=True)
    release = _f.String(required=True)
    items = _f.List(_f.Nested(TreeNodeSchema), required=True)
    total = _f.Integer(required=True)


class HistoryItemSchema(ChangeSchema):
    """A release that changed the code, and how; ``labels`` are those of every code in its lineage, in that release."""

    labels = _f.Dict(keys=_f.String(), values=_labels())
    release = _f.String(required=True)
    validFrom = _f.Date(required=True)
    issued = _f.DateTime(required=True)


class OrganisationSchema(ma.Schema):
    """Whoever keeps local code lists, votes or reads."""

    slug = _f.String(required=True)
    name = _f.String(required=True)
    kind = _f.String(required=True)
    insee = _f.String()
    siret = _f.String()
    college = _f.String(metadata={"description": "Where its vote counts in the committee; empty for none"})
    demonstration = _f.Boolean()
    codeLists = _f.List(_f.String())


class PersonSchema(ma.Schema):
    """A person: an opaque id."""

    id = _f.String(required=True)
    created = _f.DateTime(required=True)


class MembershipSchema(ma.Schema):
    """A role in an organisation."""

    organisation = _f.String(required=True)
    role = _f.String(required=True)


class NoticeSchema(ma.Schema):
    """Something that a person was told; ``object`` names what it is about."""

    id = _f.Integer(required=True)
    at = _f.DateTime(required=True)
    object = _f.String(required=True)
    text = _f.String(required=True, metadata={"description": "French"})


class SeenSchema(ma.Schema):
    """How many notices were new until now."""

    seen = _f.Integer(required=True)


class MeSchema(ma.Schema):
    """Who asks, in which roles, and what they were told."""

    person = _f.String(required=True)
    name = _f.String(required=True)
    email = _f.String(required=True)
    door = _f.String(required=True, metadata={"description": "`session`, or the token by its number"})
    memberships = _f.List(_f.Nested(MembershipSchema), required=True)
    notices = _f.List(_f.Nested(NoticeSchema), required=True)


class TokenSchema(ma.Schema):
    """A token, without its secret."""

    id = _f.Integer(required=True)
    person = _f.String(required=True)
    organisation = _f.String(required=True)
    roles = _f.List(_f.String(), required=True)
    label = _f.String(required=True)
    created = _f.DateTime(required=True)
    expires = _f.Date(required=True, metadata={"description": "The last day on which it can be used"})
    revoked = _f.DateTime(allow_none=True)
    lastUsed = _f.DateTime(allow_none=True, metadata={"description": "To the hour"})


class NewTokenSchema(TokenSchema):
    """A token that was just made."""

    token = _f.String(allow_none=True, metadata={"description": "The token itself, which nothing shows again"})


class JournalEntrySchema(ma.Schema):
    """An entry of the journal, canonical JSON that the next entry's ``previous`` is the SHA-256 of."""

    type = _f.String(required=True, validate=ma.validate.OneOf(["action", "refusal"]))
    seq = _f.Integer(required=True)
    at = _f.DateTime(required=True)
    previous = _f.String(required=True)
    person = _f.String(required=True)
    door = _f.String(required=True)
    operation = _f.String(required=True)
    object = _f.String(required=True)
    organisation = _f.String(required=True)
    before = _f.String(required=True)
    after = _f.String(required=True)
    origin = _f.String(required=True, metadata={"description": "The network that it came from, never an address"})
    request = _f.String(required=True)


class CodeListSchema(ma.Schema):
    """An edition of a local code list."""

    organisation = _f.String(required=True)
    slug = _f.String(required=True)
    title = _f.String(required=True)
    source = _f.String()
    license = _f.String()
    whole = _f.Boolean()
    edition = _f.Integer(required=True)
    validFrom = _f.Date()
    issued = _f.DateTime()
    codes = _f.Integer()
    sha256 = _f.String()


class LocalCodeSchema(ma.Schema):
    """One code of a local list."""

    code = _f.String(required=True)
    label = _f.String(required=True)
    parentCode = _f.String()
    note = _f.String()


class CrosswalkSchema(ma.Schema):
    """An edition of a crosswalk: from which edition of the list, to which release."""

    organisation = _f.String(required=True)
    codeList = _f.String(required=True)
    nomenclature = _f.String(required=True)
    release = _f.String(required=True)
    edition = _f.Integer(required=True)
    listEdition = _f.Integer(required=True)
    validFrom = _f.Date()
    issued = _f.DateTime()
    author = _f.String()
    license = _f.String()
    mappings = _f.Integer()
    codes = _f.Integer()
    sha256 = _f.String()


class TargetSchema(ReferenceSchema):
    """The end of a mapping that is a shared concept or a local code, with where it was read."""

    status = _f.String(allow_none=True, metadata={"description": "of a shared concept"})
    nomenclature = _f.String()
    release = _f.String()
    codeList = _f.String()
    edition = _f.Integer()


class MappingSchema(ma.Schema):
    """One mapping; ``relation`` reads from what was asked to ``target``."""

    relation = _f.String(required=True)
    target = _f.Nested(TargetSchema, allow_none=True)
    justification = _f.String()
    confidence = _f.String(allow_none=True)
    covers = _f.Boolean()
    weight = _f.String(allow_none=True)
    comment = _f.String()


class RowSchema(MappingSchema):
    """One row of a crosswalk: a local code and what it is mapped to."""

    code = _f.String(required=True)
    label = _f.String(required=True)


class CrosswalkRowsSchema(CrosswalkSchema):
    """An edition of a crosswalk whole."""

    items = _f.List(_f.Nested(RowSchema), required=True)
    total = _f.Integer(required=True)
    cursor = _f.String(allow_none=True)


class TranslationSchema(ma.Schema):
    """What a code is on the other side: mapped, reviewed without equivalent, not reviewed, or unknown."""

    code = _f.String(required=True)
    label = _f.String(allow_none=True)
    status = _f.String(
        required=True, validate=ma.validate.OneOf(["mapped", "noMatch", "unreviewed", "unmapped", "unknown"])
    )
    mappings = _f.List(_f.Nested(MappingSchema))


class DraftAcceptanceSchema(ma.Schema):
    """A warning accepted in writing, for the codes named or for all."""

    rule = _f.String(required=True)
    reason = _f.String(required=True)
    codes = _f.List(_f.String())


class VotingRulesSchema(ma.Schema):
    """How the committee decides on a nomenclature; empty where no votes are asked for."""

    voters = _f.List(_f.String(), metadata={"description": "organisations, one vote each"})
    threshold = _f.Integer(metadata={"description": "how many must approve"})
    eachCollege = _f.Boolean(metadata={"description": "of them one at least of each college"})
    consultation = _f.Boolean(metadata={"description": "mandatory by law: quorum, second call, majority"})
    chair = _f.String(allow_none=True, metadata={"description": "whose voice decides when they are equal"})
    days = _f.Integer(metadata={"description": "how long a vote is open"})


class VoteSchema(ma.Schema):
    """What an organisation said; people never stand here."""

    organisation = _f.String(required=True)
    choice = _f.String(required=True, validate=ma.validate.OneOf(["approve", "reject", "abstain"]))
    reason = _f.String(required=True)
    at = _f.String(required=True)


class QuorumSchema(ma.Schema):
    """Who takes part in a consultation, and whether they are enough."""

    asked = _f.Boolean(required=True)
    present = _f.List(_f.String(), required=True)
    mandates = _f.Dict(keys=_f.String(), values=_f.String(), required=True)
    reached = _f.Boolean(required=True, allow_none=True)


class BallotSchema(ma.Schema):
    """A vote on one submission, and what it comes to."""

    round = _f.Integer(required=True)
    call = _f.Integer(required=True)
    submission = _f.String(required=True)
    opens = _f.Date(required=True)
    closes = _f.Date(required=True)
    rules = _f.Nested(VotingRulesSchema, required=True)
    outcome = _f.String(required=True, validate=ma.validate.OneOf(["open", "approved", "rejected", "no_quorum"]))
    reasons = _f.List(_f.String(), required=True, metadata={"description": "why, in French"})
    decidedAt = _f.String(required=True, allow_none=True)
    voidedAt = _f.String(required=True, allow_none=True, metadata={"description": "when an edit undid it"})
    votes = _f.List(_f.Nested(VoteSchema), required=True)
    quorum = _f.Nested(QuorumSchema, required=True)


class DecisionSchema(BallotSchema):
    """A vote that is over, in the public record."""

    draft = _f.Integer(required=True)
    title = _f.String(required=True)
    nomenclature = _f.String(required=True)
    version = _f.String(required=True)
    validFrom = _f.Date(required=True, allow_none=True)
    released = _f.Boolean(required=True)


class DraftSchema(ma.Schema):
    """A draft without its content."""

    draft = _f.Integer(required=True)
    nomenclature = _f.String(required=True)
    title = _f.String(required=True)
    state = _f.String(required=True)
    base = _f.String(required=True, allow_none=True)
    overtakenBy = _f.String(required=True, allow_none=True, metadata={"description": "the release to rebase on"})
    author = _f.String(required=True, allow_none=True)
    organisation = _f.String(required=True, allow_none=True)
    created = _f.String(required=True)
    revision = _f.Integer(required=True)
    basis = _f.String(required=True)
    acts = _f.List(_f.String(), required=True)
    sameMeaning = _f.List(_f.String(), required=True)
    accepted = _f.List(_f.Nested(DraftAcceptanceSchema), required=True)
    version = _f.String(required=True, allow_none=True)
    validFrom = _f.Date(required=True, allow_none=True)
    corrects = _f.String(required=True, allow_none=True)
    submission = _f.String(required=True, allow_none=True, metadata={"description": "the hash that is voted on"})
    publishAt = _f.String(required=True, allow_none=True)
    release = _f.String(required=True, allow_none=True, metadata={"description": "the version that came of it"})
    ballot = _f.Nested(BallotSchema, required=True, allow_none=True)


class ProposalSchema(ma.Schema):
    """A change that somebody asks for, and what became of it; never who asks."""

    id = _f.Integer(required=True)
    nomenclature = _f.String(required=True)
    code = _f.String(required=True, allow_none=True, metadata={"description": "null: a concept that is missing"})
    what = _f.String(required=True)
    why = _f.String(required=True)
    legalBasis = _f.String(required=True, allow_none=True)
    created = _f.String(required=True)
    state = _f.String(required=True, validate=ma.validate.OneOf(PROPOSAL_STATES))
    draft = _f.Integer(required=True, allow_none=True, metadata={"description": "the draft that retains it"})
    reason = _f.String(required=True, allow_none=True, metadata={"description": "why it is declined"})
    release = _f.String(required=True, allow_none=True, metadata={"description": "the version that answers it"})


class UseSchema(ma.Schema):
    """How much is mapped; of the local codes, how many somebody must look at and how many have a successor."""

    crosswalks = _f.Integer(required=True)
    mappings = _f.Integer(required=True)
    localCodes = _f.Integer(required=True)
    byHand = _f.Integer(required=True)
    automatic = _f.Integer(required=True)


class UsesSchema(UseSchema):
    """How much is mapped, and by how many organisations."""

    organisations = _f.Integer(required=True)


class ImpactCodeSchema(UsesSchema):
    """A breaking change of a draft, what is mapped to its code, and the active concept that takes over, if one does."""

    code = _f.String(required=True)
    prefLabel = _f.Dict(keys=_f.String(), required=True)
    release = _f.String(required=True, allow_none=True, metadata={"description": "what the label was read in"})
    kinds = _f.List(_f.String(), required=True)
    action = _f.String(required=True, validate=ma.validate.OneOf(["automatic", "byHand"]))
    successor = _f.Dict(required=True, allow_none=True, metadata={"description": "code and prefLabel, in the draft"})
    lineage = _f.List(_f.Nested(LinkSchema), required=True)


class ImpactChangesSchema(ma.Schema):
    """How many codes a draft changes, by what it asks of those who mapped them."""

    breaking = _f.Integer(required=True)
    automatic = _f.Integer(required=True)
    byHand = _f.Integer(required=True)
    compatible = _f.Integer(required=True)


class ImpactListSchema(ma.Schema):
    """How much of one crosswalk is concerned: the local list, the crosswalk's edition, the release that it maps to."""

    codeList = _f.String(required=True)
    edition = _f.Integer(required=True)
    release = _f.String(required=True)
    mappings = _f.Integer(required=True)
    localCodes = _f.Integer(required=True)
    byHand = _f.Integer(required=True)
    automatic = _f.Integer(required=True)


class ImpactOrganisationSchema(UseSchema):
    """An organisation that mapped what a draft touches."""

    organisation = _f.String(required=True)
    name = _f.String(required=True)
    kind = _f.String(required=True)
    lists = _f.List(_f.Nested(ImpactListSchema), required=True)


class FaultSchema(ma.Schema):
    """One thing that was refused: where it stands, which rule refuses it, what is accepted."""

    pointer = _f.String(required=True)
    rule = _f.String(required=True)
    accepted = _f.String(required=True)
    message = _f.String(metadata={"description": "French, for the person who mends it"})
    value = _f.String()
    codes = _f.List(_f.String())
    severity = _f.String()


class ProblemSchema(ma.Schema):
    """What went wrong (RFC 9457), in English and French, with a request id that stands in the log."""

    type = _f.String(required=True)
    title = _f.String(required=True)
    titleFr = _f.String(required=True)
    status = _f.Integer(required=True)
    detail = _f.String()
    errors = _f.List(_f.Nested(FaultSchema))
    total = _f.Integer(metadata={"description": "How many were refused, where only the first are listed"})
    request_id = _f.String(required=True)
    releases = _f.List(_f.String(), metadata={"description": "Releases that have what this one has not"})
    successors = _f.List(_f.String(), metadata={"description": "Codes that succeed the one asked for"})

    class Meta:
        """What was not found may come with other hints of where to look."""

        unknown = ma.INCLUDE


class ReleaseFileSchema(ma.Schema):
    """A whole release in our JSON, the bytes that were written when it was published."""

    nomenclature = _f.String(required=True)
    iri = _f.String(required=True)
    release = _f.String(required=True)
    validFrom = _f.Date(required=True)
    title = _texts()
    description = _texts()
    publisher = _f.String()
    license = _f.String()
    attribution = _f.String()
    concepts = _f.List(_f.Nested(ConceptSchema), required=True)
    lineage = _f.List(_f.Nested(LinkSchema), required=True)
    groups = _f.List(_f.Dict(), required=True)


def listing(item: type[ma.Schema], name: str = "", **more: _f.Field[Any]) -> type[ma.Schema]:
    """The schema of a list of items: ``items``, ``total`` (null: not counted), ``cursor`` (null at the end)."""
    fields: dict[str, _f.Field[Any]] = {
        "items": _f.List(_f.Nested(item), required=True),
        "total": _f.Integer(allow_none=True),
        "cursor": _f.String(allow_none=True),
        **more,
    }
    return ma.Schema.from_dict(fields, name=name or item.__name__.removesuffix("Schema") + "List")
