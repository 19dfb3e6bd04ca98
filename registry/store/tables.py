"""The tables, as SQLAlchemy Core sees them. Migrations make them; a test holds that the two agree.

Everything is text or integer, so that both databases keep the same bytes: dates as ISO 8601, instants as RFC 3339 in
UTC, documents as JSON. Text compares by code point on both (``COLLATE "C"`` on PostgreSQL, binary on SQLite). One
column holds bits, each database in its own way; what it holds is derived.

A concept's states are intervals over the release numbers of its nomenclature: a row holds from release ``since`` until
before release ``until`` (null: it still holds). So a release costs as many rows as it has changes, and any release, old
or new, is read by the same condition.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy import Text as PlainText
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

Text = PlainText().with_variant(PlainText(collation="C"), "postgresql")


class Bits(TypeDecorator[int]):
    """A set of small numbers as an integer: the bit 2ⁿ says that n is in it. Kept as bits on PostgreSQL, else bytes."""

    impl = LargeBinary
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """PostgreSQL counts bits by itself; in a string of them, the first is that of 0."""
        chosen = postgresql.BIT(varying=True) if dialect.name == "postgresql" else LargeBinary()
        return dialect.type_descriptor(chosen)

    def process_bind_param(self, value: int | None, dialect: Dialect) -> Any:
        """An integer as the database keeps it."""
        if value is None:
            return None
        if dialect.name == "postgresql":
            return postgresql.BitString(f"{value:b}"[::-1])
        return value.to_bytes((value.bit_length() + 7) // 8, "little")

    def process_result_value(self, value: Any, dialect: Dialect) -> int | None:
        """The integer again."""
        if value is None:
            return None
        return int(value[::-1], 2) if dialect.name == "postgresql" else int.from_bytes(value, "little")


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _table(name: str, *parts: Any, **options: Any) -> Table:
    return Table(name, metadata, *parts, sqlite_strict=True, **options)


def _text(name: str, **options: Any) -> Column[str]:
    return Column(name, Text, nullable=False, **options)


def _integer(name: str, **options: Any) -> Column[int]:
    return Column(name, Integer, nullable=False, **options)


def _reference(name: str, target: str, **options: Any) -> Column[int]:
    return Column(name, Integer, ForeignKey(target, **options), nullable=False)


def _intervals(name: str, *columns: Column[Any], key: tuple[str, ...]) -> Table:
    """A table of states as intervals over releases: at most one of a key holds at a time."""
    open_key = Index(f"ix_{name}_open", "nomenclature_id", *key, unique=True)
    table = _table(
        name,
        _reference("nomenclature_id", "nomenclature.id"),
        *columns,
        _integer("since"),
        Column("until", Integer),
        PrimaryKeyConstraint("nomenclature_id", *key, "since"),
        CheckConstraint("since >= 1 AND (until IS NULL OR until > since)", name="interval"),
        Index(None, "nomenclature_id", "since"),
        Index(None, "nomenclature_id", "until"),
        open_key,
        sqlite_with_rowid=False,
    )
    for dialect in ("sqlite", "postgresql"):
        open_key.dialect_options[dialect]["where"] = text("until IS NULL")
    return table


nomenclature = _table(
    "nomenclature",
    Column("id", Integer, primary_key=True),
    _text("slug", unique=True),
    _text("document"),
    _text("voting", server_default=""),
)

release = _table(
    "release",
    Column("id", Integer, primary_key=True),
    _reference("nomenclature_id", "nomenclature.id"),
    _integer("number"),
    _integer("follows"),
    _text("version"),
    _text("valid_from"),
    _text("issued"),
    _integer("seq"),
    _text("content_sha256"),
    _integer("concepts"),
    _integer("deprecated"),
    _text("corrects"),
    _text("heading"),
    _text("decision"),
    UniqueConstraint("nomenclature_id", "number"),
    UniqueConstraint("nomenclature_id", "version"),
    CheckConstraint(
        "number >= 1 AND follows >= 0 AND follows < number AND concepts >= deprecated AND deprecated >= 0",
        name="counts",
    ),
    CheckConstraint("length(content_sha256) = 64 AND length(valid_from) = 10", name="shapes"),
)

withdrawal = _table(
    "withdrawal",
    Column("release_id", Integer, ForeignKey("release.id"), primary_key=True),
    _text("at"),
    _text("why"),
    _integer("seq"),
)

file = _table(
    "file",
    _reference("release_id", "release.id", deferrable=True, initially="DEFERRED"),
    _text("format"),
    _text("media_type"),
    _integer("size"),
    _text("sha256"),
    PrimaryKeyConstraint("release_id", "format"),
)

concept_state = _intervals(
    "concept_state",
    _text("code"),
    _text("status"),
    _text("label"),
    Column("valid_from", Text),
    Column("valid_until", Text),
    _text("state"),
    key=("code",),
)
broader_state = _intervals("broader_state", _text("broader"), _text("code"), key=("broader", "code"))
link_state = _intervals(
    "link_state", _text("old"), _text("new"), _text("date"), _text("kind"), key=("old", "new", "date")
)
Index(None, link_state.c.nomenclature_id, link_state.c.new)
group_state = _intervals("group_state", _text("code"), _text("state"), key=("code",))

INTERVALS = (concept_state, broader_state, link_state, group_state)

log = _table(
    "log",
    Column("seq", Integer, primary_key=True, autoincrement=False),
    _text("sha256", unique=True),
    _text("entry"),
)

draft = _table(
    "draft",
    Column("id", Integer, primary_key=True),
    _reference("nomenclature_id", "nomenclature.id"),
    _integer("base_number"),
    _text("state"),
    _text("created"),
    _text("heading"),
    _text("groups"),
    _text("links"),
    _text("decision"),
    Column("release_id", Integer, ForeignKey("release.id")),
    _text("title", server_default=""),
    _text("author", server_default=""),
    _text("organisation", server_default=""),
    _integer("revision", server_default="1"),
    _text("version", server_default=""),
    _text("valid_from", server_default=""),
    _text("corrects", server_default=""),
    _text("submission", server_default=""),
    _integer("round", server_default="0"),
    _text("ballot", server_default=""),
    _text("publish_at", server_default=""),
    _text("scheduled_by", server_default=""),
    CheckConstraint(
        "state IN ('open', 'submitted', 'approved', 'rejected', 'scheduled', 'published', 'withdrawn')", name="state"
    ),
)

draft_concept = _table(
    "draft_concept",
    _reference("draft_id", "draft.id", ondelete="CASCADE"),
    _text("code"),
    Column("state", Text),
    _integer("revision", server_default="1"),
    _text("editor", server_default=""),
    PrimaryKeyConstraint("draft_id", "code"),
)

organisation = _table(
    "organisation",
    Column("id", Integer, primary_key=True),
    _text("slug", unique=True),
    _text("document"),
)

code_list = _table(
    "code_list",
    Column("id", Integer, primary_key=True),
    _reference("organisation_id", "organisation.id"),
    _text("slug"),
    _text("document"),
    UniqueConstraint("organisation_id", "slug"),
)

list_edition = _table(
    "list_edition",
    Column("id", Integer, primary_key=True),
    _reference("code_list_id", "code_list.id"),
    _integer("number"),
    _text("valid_from"),
    _text("issued"),
    _integer("codes"),
    _text("sha256"),
    UniqueConstraint("code_list_id", "number"),
)

local_code = _table(
    "local_code",
    _reference("list_edition_id", "list_edition.id", deferrable=True, initially="DEFERRED"),
    _text("code"),
    _text("label"),
    _text("parent_code"),
    _text("note"),
    _text("frequency", server_default=""),
    PrimaryKeyConstraint("list_edition_id", "code"),
    sqlite_with_rowid=False,
)

crosswalk = _table(
    "crosswalk",
    Column("id", Integer, primary_key=True),
    _reference("code_list_id", "code_list.id"),
    _reference("nomenclature_id", "nomenclature.id"),
    UniqueConstraint("code_list_id", "nomenclature_id"),
)

crosswalk_edition = _table(
    "crosswalk_edition",
    Column("id", Integer, primary_key=True),
    _reference("crosswalk_id", "crosswalk.id"),
    _integer("number"),
    _reference("list_edition_id", "list_edition.id"),
    _reference("release_id", "release.id"),
    _text("valid_from"),
    _text("issued"),
    _text("author"),
    _text("license"),
    _integer("mappings"),
    _text("sha256"),
    UniqueConstraint("crosswalk_id", "number"),
)

_RELATIONS = "relation IN ('exactMatch', 'closeMatch', 'broadMatch', 'narrowMatch', 'relatedMatch', 'noMatch')"
_NO_MATCH = "(relation = 'noMatch') = (target_code = '')"

mapping = _table(
    "mapping",
    _reference("crosswalk_edition_id", "crosswalk_edition.id", deferrable=True, initially="DEFERRED"),
    _text("local_code"),
    _text("target_code"),
    _text("relation"),
    _text("justification"),
    _text("confidence"),
    _integer("covers"),
    _text("weight"),
    _text("comment"),
    _text("author", server_default=""),
    _text("reviewer", server_default=""),
    _text("date", server_default=""),
    PrimaryKeyConstraint("crosswalk_edition_id", "local_code", "target_code"),
    CheckConstraint(_RELATIONS, name="relation"),
    CheckConstraint(_NO_MATCH, name="no_match_has_no_target"),
    Index(None, "target_code", "crosswalk_edition_id", "local_code"),
    sqlite_with_rowid=False,
)

target = _table(
    "target",
    _reference("nomenclature_id", "nomenclature.id"),
    _text("code"),
    _integer("place"),
    _integer("organisations"),
    _integer("crosswalks"),
    _integer("mappings"),
    PrimaryKeyConstraint("nomenclature_id", "code"),
    UniqueConstraint("nomenclature_id", "place"),
)
"""The shared codes that something was ever mapped to: each one's number, and how much is mapped to it now."""

reach = _table(
    "reach",
    _reference("crosswalk_edition_id", "crosswalk_edition.id"),
    _integer("number"),
    _integer("together"),
    _integer("times"),
    Column("targets", Bits, nullable=False),
    PrimaryKeyConstraint("crosswalk_edition_id", "number"),
)
"""What the edition that counts of each crosswalk points at, in few rows; derived from its mappings (``reach.py``)."""

draft_edition = _table(
    "draft_edition",
    Column("id", Integer, primary_key=True),
    _reference("organisation_id", "organisation.id"),
    _text("list_slug"),
    _text("list_document"),
    _reference("nomenclature_id", "nomenclature.id"),
    _reference("release_id", "release.id"),
    _integer("base"),
    _text("valid_from"),
    _text("author"),
    _text("license"),
    _integer("revision"),
    _text("created"),
    UniqueConstraint("organisation_id", "list_slug", "nomenclature_id"),
)

draft_code = _table(
    "draft_code",
    _reference("draft_edition_id", "draft_edition.id", ondelete="CASCADE"),
    _text("code"),
    _text("label"),
    _text("parent_code"),
    _text("note"),
    _text("frequency"),
    PrimaryKeyConstraint("draft_edition_id", "code"),
    sqlite_with_rowid=False,
)

draft_mapping = _table(
    "draft_mapping",
    _reference("draft_edition_id", "draft_edition.id", ondelete="CASCADE"),
    _text("local_code"),
    _text("target_code"),
    _text("relation"),
    _text("justification"),
    _text("confidence"),
    _integer("covers"),
    _text("weight"),
    _text("comment"),
    _text("author"),
    _text("reviewer"),
    _text("date"),
    _text("stale_from"),
    PrimaryKeyConstraint("draft_edition_id", "local_code", "target_code"),
    CheckConstraint(_RELATIONS, name="relation"),
    CheckConstraint(_NO_MATCH, name="no_match_has_no_target"),
    sqlite_with_rowid=False,
)

# --- People --------------------------------------------------------------------------------------------------------

person = _table(
    "person",
    Column("id", Text, primary_key=True),
    _text("name"),
    Column("email", Text, unique=True),
    Column("subject", Text, unique=True),
    _text("created"),
    _text("erased"),
)

membership = _table(
    "membership",
    Column("person_id", Text, ForeignKey("person.id"), nullable=False),
    _reference("organisation_id", "organisation.id"),
    _text("role"),
    PrimaryKeyConstraint("person_id", "organisation_id", "role"),
    CheckConstraint(
        "role IN ('reader', 'mapper', 'proposer', 'editor', 'member', 'secretary', 'administrator')", name="role"
    ),
)

token = _table(
    "token",
    Column("id", Integer, primary_key=True),
    _text("sha256"),
    Column("person_id", Text, ForeignKey("person.id"), nullable=False),
    _reference("organisation_id", "organisation.id"),
    _text("roles"),
    _text("label"),
    _text("created"),
    _text("expires"),
    _text("revoked"),
    _text("last_used"),
    Column("made_by", Integer),
)

sign_in_link = _table(
    "sign_in_link",
    Column("sha256", Text, primary_key=True),
    Column("person_id", Text, ForeignKey("person.id"), nullable=False),
    _text("expires"),
    _text("used"),
)

session = _table(
    "session",
    Column("sha256", Text, primary_key=True),
    Column("person_id", Text, ForeignKey("person.id"), nullable=False),
    _text("created"),
    _text("expires"),
    _text("document"),
)

# --- Chains and signatures -----------------------------------------------------------------------------------------

journal = _table(
    "journal",
    Column("seq", Integer, primary_key=True, autoincrement=False),
    _text("sha256", unique=True),
    _text("entry"),
)

signature = _table(
    "signature",
    Column("seq", Integer, ForeignKey("log.seq"), primary_key=True, autoincrement=False),
    _text("envelope"),
)

checkpoint = _table(
    "checkpoint",
    Column("size", Integer, primary_key=True, autoincrement=False),
    _text("note"),
)

key_set = _table(
    "key_set",
    Column("version", Integer, primary_key=True, autoincrement=False),
    _text("envelope"),
)

# --- The committee -------------------------------------------------------------------------------------------------

vote = _table(
    "vote",
    _reference("draft_id", "draft.id"),
    _integer("round"),
    _reference("organisation_id", "organisation.id"),
    Column("person_id", Text, ForeignKey("person.id"), nullable=False),
    _text("choice"),
    _text("reason"),
    _text("at"),
    _text("submission"),
    PrimaryKeyConstraint("draft_id", "round", "organisation_id"),
    CheckConstraint("choice IN ('approve', 'reject', 'abstain')", name="choice"),
    CheckConstraint("choice <> 'reject' OR reason <> ''", name="reason"),
)

attendance = _table(
    "attendance",
    _reference("draft_id", "draft.id"),
    _integer("round"),
    _reference("organisation_id", "organisation.id"),
    Column("represented_by", Integer, ForeignKey("organisation.id")),
    PrimaryKeyConstraint("draft_id", "round", "organisation_id"),
    UniqueConstraint("draft_id", "round", "represented_by"),
    CheckConstraint("represented_by <> organisation_id", name="other"),
)

proposal = _table(
    "proposal",
    Column("id", Integer, primary_key=True),
    _reference("nomenclature_id", "nomenclature.id"),
    _text("code"),
    _text("what"),
    _text("why"),
    _text("legal_basis"),
    _text("created"),
    Column("person_id", Text, ForeignKey("person.id")),
    _text("email"),
    _text("confirmation"),
    _text("state"),
    Column("draft_id", Integer, ForeignKey("draft.id")),
    _text("reason"),
    CheckConstraint("state IN ('held', 'received', 'studied', 'retained', 'declined', 'released')", name="state"),
    CheckConstraint("state <> 'declined' OR reason <> ''", name="reason"),
)

notice = _table(
    "notice",
    Column("id", Integer, primary_key=True),
    Column("person_id", Text, ForeignKey("person.id"), nullable=False, index=True),
    _text("at"),
    _text("object"),
    _text("text"),
    _text("seen"),
)

# --- Those who follow ----------------------------------------------------------------------------------------------

webhook = _table(
    "webhook",
    Column("id", Integer, primary_key=True),
    _reference("organisation_id", "organisation.id"),
    Column("person_id", Text, ForeignKey("person.id"), nullable=False),
    Column("nomenclature_id", Integer, ForeignKey("nomenclature.id")),
    _text("url"),
    _text("kinds"),
    _text("secret"),
    _text("created"),
    _text("disabled"),
    _text("failing_since"),
    _integer("slow"),
    _integer("position"),
    _integer("warned"),
)

delivery = _table(
    "delivery",
    Column("id", Integer, primary_key=True),
    _reference("webhook_id", "webhook.id", ondelete="CASCADE"),
    _text("event"),
    _text("kind"),
    _text("body"),
    _text("created"),
    _text("until"),
    _text("state"),
    _text("due"),
    _text("attempts"),
    CheckConstraint("state IN ('pending', 'delivered', 'failed')", name="state"),
    UniqueConstraint("webhook_id", "event"),
    Index(None, "state", "due"),
)

warning = _table(
    "warning",
    Column("id", Integer, primary_key=True),
    _text("key", unique=True),
    _reference("nomenclature_id", "nomenclature.id"),
    _text("at"),
    _integer("codes"),
    _text("document"),
)

pull = _table(
    "pull",
    _reference("organisation_id", "organisation.id"),
    _reference("nomenclature_id", "nomenclature.id"),
    _reference("release_id", "release.id"),
    _text("day"),
    _integer("count"),
    PrimaryKeyConstraint("organisation_id", "nomenclature_id", "release_id", "day"),
    Index(None, "nomenclature_id", "day"),
)

idempotency = _table(
    "idempotency",
    _text("key"),
    _text("actor"),
    _text("request"),
    _integer("status"),
    _text("headers"),
    _text("body"),
    _text("at"),
    PrimaryKeyConstraint("actor", "key"),
)

IMMUTABLE = (
    release,
    withdrawal,
    file,
    log,
    list_edition,
    local_code,
    crosswalk_edition,
    mapping,
    journal,
    signature,
    checkpoint,
    key_set,
)
"""Tables whose rows never change and never go, by triggers on both databases."""

SEALED = (
    (concept_state, "since", "release", "number", True),
    (broader_state, "since", "release", "number", True),
    (link_state, "since", "release", "number", True),
    (group_state, "since", "release", "number", True),
    (local_code, "list_edition_id", "list_edition", "id", False),
    (mapping, "crosswalk_edition_id", "crosswalk_edition", "id", False),
)
"""(table, its column, the row that seals it, that row's column, within one nomenclature): once the sealing row
exists no row may be added; it is inserted last."""
