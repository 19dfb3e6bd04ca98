"""People, roles and tokens; submissions, votes, proposals; signatures over the release log; the journal.

Revision ID: 0002
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from registry.migrations.triggers import never_changes

revision = "0002"
down_revision = "0001"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables of the committee, and the triggers that keep its chains as they are."""
    _people()
    _chains()
    _committee()
    _impact()
    never_changes("journal", (("seq",), ("sha256",)))
    never_changes("signature", (("seq",),))
    never_changes("checkpoint", (("size",),))
    never_changes("key_set", (("version",),))


def _text(name: str, *, default: str | None = None) -> sa.Column[str]:
    return sa.Column(name, TEXT, nullable=False, server_default=default)


def _integer(name: str, *, default: str | None = None, autoincrement: Any = "auto") -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False, server_default=default, autoincrement=autoincrement)


def _table(name: str, *parts: Any) -> None:
    op.create_table(name, *parts, sqlite_strict=True)


def _key(table: str, *columns: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*columns, name=f"pk_{table}")


def _refers(table: str, column: str, target: str, **options: Any) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [target], name=f"fk_{table}_{column}", **options)


def _people() -> None:
    _table(
        "person",
        _text("id"),
        _text("name"),
        sa.Column("email", TEXT, nullable=True),
        sa.Column("subject", TEXT, nullable=True),
        _text("created"),
        _text("erased"),
        _key("person", "id"),
        sa.UniqueConstraint("email", name="uq_person_email"),
        sa.UniqueConstraint("subject", name="uq_person_subject"),
    )
    _table(
        "membership",
        _text("person_id"),
        _integer("organisation_id"),
        _text("role"),
        _key("membership", "person_id", "organisation_id", "role"),
        _refers("membership", "person_id", "person.id"),
        _refers("membership", "organisation_id", "organisation.id"),
        sa.CheckConstraint(
            "role IN ('reader', 'mapper', 'proposer', 'editor', 'member', 'secretary', 'administrator')",
            name="ck_membership_role",
        ),
    )
    _table(
        "token",
        _integer("id"),
        _text("sha256"),
        _text("person_id"),
        _integer("organisation_id"),
        _text("roles"),
        _text("label"),
        _text("created"),
        _text("expires"),
        _text("revoked"),
        _text("last_used"),
        _key("token", "id"),
        _refers("token", "person_id", "person.id"),
        _refers("token", "organisation_id", "organisation.id"),
    )
    _table(
        "sign_in_link",
        _text("sha256"),
        _text("person_id"),
        _text("expires"),
        _text("used"),
        _key("sign_in_link", "sha256"),
        _refers("sign_in_link", "person_id", "person.id"),
    )
    _table(
        "session",
        _text("sha256"),
        _text("person_id"),
        _text("created"),
        _text("expires"),
        _text("document"),
        _key("session", "sha256"),
        _refers("session", "person_id", "person.id"),
    )


def _chains() -> None:
    _table(
        "journal",
        _integer("seq", autoincrement=False),
        _text("sha256"),
        _text("entry"),
        _key("journal", "seq"),
        sa.UniqueConstraint("sha256", name="uq_journal_sha256"),
    )
    _table(
        "signature",
        _integer("seq", autoincrement=False),
        _text("envelope"),
        _key("signature", "seq"),
        _refers("signature", "seq", "log.seq"),
    )
    _table(
        "checkpoint",
        _integer("size", autoincrement=False),
        _text("note"),
        _key("checkpoint", "size"),
    )
    _table(
        "key_set",
        _integer("version", autoincrement=False),
        _text("envelope"),
        _key("key_set", "version"),
    )


def _committee() -> None:
    op.add_column("nomenclature", _text("voting", default=""))
    for column in (
        _text("title", default=""),
        _text("author", default=""),
        _text("organisation", default=""),
        _integer("revision", default="1"),
        _text("version", default=""),
        _text("valid_from", default=""),
        _text("corrects", default=""),
        _text("submission", default=""),
        _integer("round", default="0"),
        _text("ballot", default=""),
        _text("publish_at", default=""),
        _text("scheduled_by", default=""),
    ):
        op.add_column("draft", column)
    for column in (_integer("revision", default="1"), _text("editor", default="")):
        op.add_column("draft_concept", column)
    _table(
        "vote",
        _integer("draft_id"),
        _integer("round"),
        _integer("organisation_id"),
        _text("person_id"),
        _text("choice"),
        _text("reason"),
        _text("at"),
        _text("submission"),
        _key("vote", "draft_id", "round", "organisation_id"),
        _refers("vote", "draft_id", "draft.id"),
        _refers("vote", "organisation_id", "organisation.id"),
        _refers("vote", "person_id", "person.id"),
        sa.CheckConstraint("choice IN ('approve', 'reject', 'abstain')", name="ck_vote_choice"),
        sa.CheckConstraint("choice <> 'reject' OR reason <> ''", name="ck_vote_reason"),
    )
    _table(
        "attendance",
        _integer("draft_id"),
        _integer("round"),
        _integer("organisation_id"),
        sa.Column("represented_by", sa.Integer(), nullable=True),
        _key("attendance", "draft_id", "round", "organisation_id"),
        _refers("attendance", "draft_id", "draft.id"),
        _refers("attendance", "organisation_id", "organisation.id"),
        _refers("attendance", "represented_by", "organisation.id"),
        # A member holds one mandate at most (code des relations entre le public et l'administration, R133-9).
        sa.UniqueConstraint("draft_id", "round", "represented_by", name="uq_attendance_draft_id_round_represented_by"),
        sa.CheckConstraint("represented_by <> organisation_id", name="ck_attendance_other"),
    )
    _table(
        "proposal",
        _integer("id"),
        _integer("nomenclature_id"),
        _text("code"),
        _text("what"),
        _text("why"),
        _text("legal_basis"),
        _text("created"),
        sa.Column("person_id", TEXT, nullable=True),
        _text("email"),
        _text("confirmation"),
        _text("state"),
        sa.Column("draft_id", sa.Integer(), nullable=True),
        _text("reason"),
        _key("proposal", "id"),
        _refers("proposal", "nomenclature_id", "nomenclature.id"),
        _refers("proposal", "person_id", "person.id"),
        _refers("proposal", "draft_id", "draft.id"),
        sa.CheckConstraint(
            "state IN ('held', 'received', 'studied', 'retained', 'declined', 'released')", name="ck_proposal_state"
        ),
        sa.CheckConstraint("state <> 'declined' OR reason <> ''", name="ck_proposal_reason"),
    )
    _table(
        "notice",
        _integer("id"),
        _text("person_id"),
        _text("at"),
        _text("object"),
        _text("text"),
        _text("seen"),
        _key("notice", "id"),
        _refers("notice", "person_id", "person.id"),
    )
    op.create_index("ix_notice_person_id", "notice", ["person_id"])
    _table(
        "idempotency",
        _text("key"),
        _text("actor"),
        _text("request"),
        _integer("status"),
        _text("headers"),
        _text("body"),
        _text("at"),
        _key("idempotency", "actor", "key"),
    )


def _impact() -> None:
    """Let mappings be found by their target in all crosswalks at once, and counted in the index alone.

    It finds those of one edition as well as the index that it replaces.
    """
    op.drop_index("ix_mapping_crosswalk_edition_id_target_code", "mapping")
    op.create_index(
        "ix_mapping_target_code_crosswalk_edition_id_local_code",
        "mapping",
        ["target_code", "crosswalk_edition_id", "local_code"],
    )
