"""The JSON that clients see, described: for the OpenAPI document and its checks, not for rendering."""

from __future__ import annotations

from typing import Any, get_args

import marshmallow as ma

from registry.store.proposals import PROPOSAL_STATES
from registry.store.webhooks import EVENT_KINDS
from registry.translation import State

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


class HeadingSchema(ma.Schema):
    """A nomenclature, as one of its releases describes it."""

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


class GroupSchema(ma.Schema):
    """A labelled group of concepts."""

    code = _f.String(required=True)
    prefLabel = _f.Dict(keys=_f.String(), values=_f.String())
    members = _f.List(_f.String())


class GroupChangesSchema(ma.Schema):
    """Groups as they are now, where they changed, and those that are no more."""

    changed = _f.List(_f.Nested(GroupSchema))
    removed = _f.List(_f.String())


class PassageSchema(ma.Schema):
    """What leads to a release beside what happened to single codes; ``contentSha256`` is that of its canonical form."""

    contentSha256 = _f.String()
    heading = _f.Nested(HeadingSchema)
    groups = _f.Nested(GroupChangesSchema)
    lineageRemoved = _f.List(_f.Nested(LinkSchema))


class SuccessorSchema(ma.Schema):
    """A code that takes over what another meant, with its label in the release that says so."""

    code = _f.String(required=True)
    prefLabel = _f.Dict(keys=_f.String(), values=_f.String())
    date = _f.Date(required=True)
    kind = _f.String(required=True)


class FeedItemSchema(PassageSchema, ChangeSchema):
    """An item of the feed: a release that came (``release``), one of its changes (``change``), or its withdrawal."""

    type = _f.String(required=True, validate=ma.validate.OneOf(["release", "change", "withdrawal"]))
    nomenclature = _f.String(required=True)
    release = _f.String(required=True)
    seq = _f.Integer(required=True)
    issued = _f.DateTime(required=True)
    validFrom = _f.Date(required=True)
    cursor = _f.String(required=True, metadata={"description": "The place after this item"})
    why = _f.String(metadata={"description": "of a withdrawal"})
    predecessor = _f.String(allow_none=True, metadata={"description": "The release that this one was made from"})
    corrects = _f.String(allow_none=True)
    successors = _f.List(_f.Nested(SuccessorSchema))
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


class ListedReleaseSchema(ReleaseSchema):
    """A release in a list, with what was learnt of it since: whether it was withdrawn, and why."""

    status = _f.String(required=True, validate=ma.validate.OneOf(["published", "withdrawn"]))
    withdrawnAt = _f.DateTime(allow_none=True)
    why = _f.String(allow_none=True)


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


class WebhookSchema(ma.Schema):
    """A webhook, without its secret."""

    id = _f.Integer(required=True)
    organisation = _f.String(required=True)
    nomenclature = _f.String(required=True, allow_none=True, metadata={"description": "None: of all"})
    url = _f.String(required=True)
    kinds = _f.List(_f.String(validate=ma.validate.OneOf(EVENT_KINDS)), required=True)
    created = _f.DateTime(required=True)
    state = _f.String(required=True, validate=ma.validate.OneOf(["active", "failing", "disabled"]))
    failingSince = _f.DateTime(required=True, allow_none=True)
    disabled = _f.DateTime(required=True, allow_none=True, metadata={"description": "When it was given up"})


class NewWebhookSchema(WebhookSchema):
    """A webhook that was just made."""

    secret = _f.String(
        required=True, allow_none=True, metadata={"description": "What signs, which nothing shows again"}
    )


class AttemptSchema(ma.Schema):
    """One try to deliver."""

    at = _f.DateTime(required=True)
    status = _f.Integer(required=True, allow_none=True, metadata={"description": "None: no answer came"})
    milliseconds = _f.Integer(required=True)
    fault = _f.String(
        required=True,
        allow_none=True,
        validate=ma.validate.OneOf(["address", "name", "connection", "tls", "time", "answer", "redirect", "status"]),
        metadata={"description": "Why it failed; none: it was taken"},
    )


class DeliverySchema(ma.Schema):
    """An event on its way to a webhook."""

    id = _f.Integer(required=True)
    event = _f.String(required=True, metadata={"description": "The event's id, the same however often it is sent"})
    kind = _f.String(required=True, validate=ma.validate.OneOf(EVENT_KINDS))
    created = _f.DateTime(required=True)
    state = _f.String(required=True, validate=ma.validate.OneOf(["pending", "delivered", "failed"]))
    next = _f.DateTime(required=True, allow_none=True, metadata={"description": "When it is tried next"})
    attempts = _f.List(_f.Nested(AttemptSchema), required=True)


class PulledReleaseSchema(ma.Schema):
    """How often a release was pulled in the last 90 days, and on which day last."""

    release = _f.String(required=True)
    last = _f.Date(required=True)
    pulls = _f.Integer(required=True)


class ConsumerSchema(ma.Schema):
    """An organisation that pulled the list by token in the last 90 days; ``release`` is the one that it pulled last."""

    organisation = _f.String(required=True)
    name = _f.String(required=True)
    kind = _f.String(required=True)
    release = _f.String(required=True)
    last = _f.Date(required=True)
    pulls = _f.Integer(required=True)
    releases = _f.List(_f.Nested(PulledReleaseSchema), required=True)


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
    frequency = _f.Integer(allow_none=True, metadata={"description": "how often it is used, where the list says it"})


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
    author = _f.String(metadata={"description": "who stands for it: a name that was given, or a person's opaque id"})
    reviewer = _f.String()
    date = _f.Date(allow_none=True, metadata={"description": "the day of the decision"})


class CrosswalkRowsSchema(CrosswalkSchema):
    """An edition of a crosswalk whole."""

    items = _f.List(_f.Nested(RowSchema), required=True)
    total = _f.Integer(required=True)
    cursor = _f.String(allow_none=True)


class StepSchema(ma.Schema):
    """One step of a path, and on whose word: a crosswalk's edition, a link of lineage, the hierarchy."""

    relation = _f.String(required=True, allow_none=True, metadata={"description": "none where no relation says it"})
    target = _f.Nested(TargetSchema, required=True, allow_none=True)
    by = _f.Dict(
        keys=_f.String(),
        required=True,
        metadata={
            "description": "`type` is `crosswalk` (with `edition` and `sha256`), `lineage` (with the link: `old`, "
            "`new`, `date`, `kind`), `unchanged`, `withoutSuccessor`, `undeclared` or `hierarchy`"
        },
    )


class PathMappingSchema(MappingSchema):
    """What a code is on the other side, and the path that says so."""

    path = _f.List(_f.Nested(StepSchema), required=True)


class HalfSchema(ma.Schema):
    """Some steps, and what relates their ends."""

    relation = _f.String(required=True, allow_none=True)
    path = _f.List(_f.Nested(StepSchema), required=True)


class RefusedSchema(ma.Schema):
    """Two halves of a path from which nothing sound follows, and why (in French)."""

    why = _f.String(required=True)
    first = _f.Nested(HalfSchema, required=True)
    second = _f.Nested(HalfSchema, required=True)


class EndSchema(ma.Schema):
    """One end of a route: a release and, for a local list, the edition of its crosswalk to it."""

    nomenclature = _f.String(required=True)
    release = _f.String(required=True)
    contentSha256 = _f.String(required=True)
    codeList = _f.String()
    edition = _f.Integer()
    listEdition = _f.Integer()
    sha256 = _f.String()

    class Meta:
        """The rest is what is said of a crosswalk's edition elsewhere."""

        unknown = ma.INCLUDE


class RouteSchema(ma.Schema):
    """The way that translations took: both ends, and each crosswalk or lineage between them."""

    from_ = _f.Nested(EndSchema, required=True, data_key="from")
    to = _f.Nested(EndSchema, required=True)
    hops = _f.List(_f.Dict(keys=_f.String()), required=True)


class CountsSchema(ma.Schema):
    """How much there is in each state of a local code; the three are never mixed up."""

    total = _f.Integer(required=True)
    mapped = _f.Integer(required=True)
    noMatch = _f.Integer(required=True)
    unreviewed = _f.Integer(required=True)


class CoverageSchema(ma.Schema):
    """How far a list is covered: in codes, and in uses where the list says how often its codes are used."""

    codes = _f.Nested(CountsSchema, required=True)
    uses = _f.Nested(CountsSchema, required=True, allow_none=True)


class CrosswalkStatusSchema(CrosswalkSchema):
    """An edition of a crosswalk, and how far it covers its list."""

    coverage = _f.Nested(CoverageSchema, required=True)


class PlainMappingSchema(ma.Schema):
    """A mapping by the codes alone of what it joins; without a target, the code has no equivalent."""

    code = _f.String(required=True)
    relation = _f.String(required=True)
    target = _f.String(required=True, allow_none=True)
    justification = _f.String()
    confidence = _f.String(allow_none=True)
    covers = _f.Boolean()
    weight = _f.String(allow_none=True)
    comment = _f.String()
    author = _f.String()
    reviewer = _f.String()
    date = _f.Date(allow_none=True)


class CodeChangeSchema(ma.Schema):
    """A local code that changed."""

    before = _f.Nested(LocalCodeSchema, required=True)
    after = _f.Nested(LocalCodeSchema, required=True)


class MappingChangeSchema(ma.Schema):
    """A mapping that changed."""

    before = _f.Nested(PlainMappingSchema, required=True)
    after = _f.Nested(PlainMappingSchema, required=True)


class CodeChangesSchema(ma.Schema):
    """What changed among the codes of a list."""

    added = _f.List(_f.Nested(LocalCodeSchema), required=True)
    removed = _f.List(_f.Nested(LocalCodeSchema), required=True)
    changed = _f.List(_f.Nested(CodeChangeSchema), required=True)


class MappingChangesSchema(ma.Schema):
    """What changed among the mappings."""

    added = _f.List(_f.Nested(PlainMappingSchema), required=True)
    removed = _f.List(_f.Nested(PlainMappingSchema), required=True)
    changed = _f.List(_f.Nested(MappingChangeSchema), required=True)


class CrosswalkDifferenceSchema(ma.Schema):
    """What leads from one edition of a crosswalk to another, or to the draft."""

    codes = _f.Nested(CodeChangesSchema, required=True)
    mappings = _f.Nested(MappingChangesSchema, required=True)


class ProposedSchema(ma.Schema):
    """A concept that may take the place of a target; ``relation`` is null where nothing sound follows."""

    relation = _f.String(required=True, allow_none=True)
    target = _f.Nested(TargetSchema, required=True)


class StaleSchema(ma.Schema):
    """A mapping whose target was touched: how, and what is proposed."""

    code = _f.String(required=True)
    label = _f.String(required=True)
    relation = _f.String(required=True)
    target = _f.Nested(TargetSchema, required=True)
    kinds = _f.List(_f.String(), required=True)
    action = _f.String(required=True, validate=ma.validate.OneOf(["keep", "successor", "byHand"]))
    proposed = _f.List(_f.Nested(ProposedSchema), required=True)
    reason = _f.String(metadata={"description": "Why the target has no successor, where it has none"})


class ReviewSchema(ma.Schema):
    """The review list of a crosswalk between two releases, counted."""

    nomenclature = _f.String(required=True)
    release = _f.String(required=True)
    to = _f.String(required=True)
    counts = _f.Dict(
        keys=_f.String(),
        values=_f.Integer(),
        required=True,
        metadata={"description": "by action; `codes` to decide on"},
    )


class DraftEditionSchema(ma.Schema):
    """The draft beside a crosswalk, without its codes."""

    organisation = _f.String(required=True)
    codeList = _f.String(required=True)
    title = _f.String(required=True)
    nomenclature = _f.String(required=True)
    release = _f.String(required=True)
    base = _f.Integer(required=True, allow_none=True, metadata={"description": "the edition that it was begun from"})
    validFrom = _f.Date(allow_none=True)
    author = _f.String()
    license = _f.String()
    revision = _f.Integer(required=True)
    created = _f.DateTime()
    coverage = _f.Nested(CoverageSchema, required=True)


class DraftMappingSchema(PlainMappingSchema):
    """A mapping in a draft; ``staleFrom`` is the release that it held in, where its code has to be decided on again."""

    staleFrom = _f.String(required=True, allow_none=True)


class DraftRowSchema(LocalCodeSchema):
    """A code of a draft, its state, and its mappings."""

    status = _f.String(required=True, validate=ma.validate.OneOf(["mapped", "noMatch", "unreviewed"]))
    mappings = _f.List(_f.Nested(DraftMappingSchema), required=True)


class DraftRowsSchema(DraftEditionSchema):
    """A draft, with a page of its codes."""

    items = _f.List(_f.Nested(DraftRowSchema), required=True)
    total = _f.Integer(required=True)
    cursor = _f.String(allow_none=True)


class ProposedCodeSchema(LocalCodeSchema):
    """A code that nobody decided on, with its candidates, best first."""

    candidates = _f.List(_f.Nested(CandidateSchema), required=True)


class AcceptedSchema(ma.Schema):
    """What was written into a draft, and the draft as it is then."""

    draft = _f.Nested(DraftEditionSchema, required=True)
    accepted = _f.List(_f.Nested(PlainMappingSchema), required=True)


class CarriedSchema(ma.Schema):
    """A draft on its new release, and what it has to decide on again."""

    draft = _f.Nested(DraftEditionSchema, required=True)
    review = _f.Nested(ReviewSchema, required=True)


class ColumnSchema(ma.Schema):
    """A column of a file, and what it is taken for; ``named``: the sender said so."""

    role = _f.String(required=True)
    header = _f.String(required=True)
    named = _f.Boolean(required=True)


class FileRowsSchema(ma.Schema):
    """Rows of data, without titles and headers."""

    read = _f.Integer(required=True)
    accepted = _f.Integer(required=True)
    refused = _f.Integer(required=True)


class RefusalSchema(ma.Schema):
    """A cell of a row that is refused."""

    sheet = _f.String(required=True)
    line = _f.Integer(required=True)
    column = _f.String(required=True)
    value = _f.String(required=True)
    rule = _f.String(required=True)
    message = _f.String(required=True)
    accepted = _f.String(required=True)


class DroppedSchema(ma.Schema):
    """Decisions that a draft, or else the last edition, has and the file has not."""

    total = _f.Integer(required=True)
    examples = _f.List(_f.Nested(PlainMappingSchema), required=True)


class FileReportSchema(ma.Schema):
    """What was read in a file, and what it makes of the draft; ``draft`` is null where nothing was written."""

    format = _f.String(required=True)
    columns = _f.List(_f.Nested(ColumnSchema), required=True)
    unused = _f.List(_f.String(), required=True)
    rows = _f.Nested(FileRowsSchema, required=True)
    refusals = _f.List(_f.Nested(RefusalSchema), required=True)
    remarks = _f.List(_f.String(), required=True)
    release = _f.String(required=True)
    dropped = _f.Nested(DroppedSchema, required=True)
    changed = _f.Integer(required=True, metadata={"description": "decisions that become others"})
    coverage = _f.Nested(CoverageSchema, required=True)
    errors = _f.List(_f.Nested("FaultSchema"), required=True)
    total = _f.Integer(required=True, metadata={"description": "how many errors there are"})
    draft = _f.Nested(DraftEditionSchema, required=True, allow_none=True)


class PublishedEditionSchema(CrosswalkSchema):
    """The edition that a draft became, and warnings."""

    warnings = _f.List(_f.Nested("FaultSchema"))


class TranslationSchema(ma.Schema):
    """What a code is on the other side, and what is known of it where it is nothing there."""

    code = _f.String(required=True)
    label = _f.String(allow_none=True)
    status = _f.String(required=True, validate=ma.validate.OneOf(get_args(State)))
    mappings = _f.List(_f.Nested(PathMappingSchema), required=True)
    refused = _f.List(_f.Nested(RefusedSchema), required=True)


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
