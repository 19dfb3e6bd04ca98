"""The first schema: releases as intervals, the release log, drafts, local lists, crosswalks, and the triggers.

Revision ID: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from registry.migrations.triggers import exists, never_changes, refuse

revision = "0001"
down_revision = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

IMMUTABLE = (
    "release",
    "withdrawal",
    "file",
    "log",
    "list_edition",
    "local_code",
    "crosswalk_edition",
    "mapping",
)
INTERVALS = {
    "concept_state": ("code", "status", "label", "valid_from", "valid_until", "state"),
    "broader_state": ("broader", "code"),
    "link_state": ("old", "new", "date", "kind"),
    "group_state": ("code", "state"),
}
OPEN_KEYS = {
    "concept_state": ("code",),
    "broader_state": ("broader", "code"),
    "link_state": ("old", "new", "date"),
    "group_state": ("code",),
}
SEALED_BY = {
    "local_code": ("list_edition", "list_edition_id"),
    "mapping": ("crosswalk_edition", "crosswalk_edition_id"),
}


def upgrade() -> None:
    """Make every table, then the triggers that keep what is published as it is."""
    _tables()
    for table in IMMUTABLE:
        never_changes(table, _keys(table))
    for table, (seal, column) in SEALED_BY.items():
        refuse(table, "INSERT", exists(seal, f"id = NEW.{column}"), f"{table} is sealed")
    for table, columns in INTERVALS.items():
        published = "SELECT 1 FROM release r WHERE r.nomenclature_id = NEW.nomenclature_id AND r.number >= NEW"
        refuse(table, "INSERT", f"EXISTS ({published}.since)", f"{table} is sealed")
        if op.get_bind().dialect.name == "sqlite":
            # As above: the unique index on open intervals refuses a second one, but for INSERT OR REPLACE.
            key = " AND ".join(f"{column} = NEW.{column}" for column in OPEN_KEYS[table])
            opened = exists(table, f"until IS NULL AND nomenclature_id = NEW.nomenclature_id AND {key}")
            refuse(table, "INSERT", f"NEW.until IS NULL AND {opened}", f"{table} is open")
        changed = " OR ".join(
            f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in ("nomenclature_id", "since", *columns)
        )
        refuse(
            table,
            "UPDATE",
            f"OLD.until IS NOT NULL OR NEW.until IS NULL OR {changed} OR EXISTS ({published}.until)",
            f"{table} never changes",
        )
        refuse(table, "DELETE", "", f"{table} never goes")


def _keys(table: str) -> tuple[tuple[str, ...], ...]:
    """The unique keys of a table whose rows never change."""
    return {
        "release": (("id",), ("nomenclature_id", "number"), ("nomenclature_id", "version")),
        "log": (("seq",), ("sha256",)),
        "withdrawal": (("release_id",),),
        "file": (("release_id", "format"),),
        "list_edition": (("id",), ("code_list_id", "number")),
        "local_code": (("list_edition_id", "code"),),
        "crosswalk_edition": (("id",), ("crosswalk_id", "number")),
        "mapping": (("crosswalk_edition_id", "local_code", "target_code"),),
    }[table]


def _tables() -> None:
    op.create_table(
        "log",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sha256", TEXT, nullable=False),
        sa.Column("entry", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_log"),
        sa.UniqueConstraint("sha256", name="uq_log_sha256"),
        sqlite_strict=True,
    )
    op.create_table(
        "nomenclature",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("slug", TEXT, nullable=False),
        sa.Column("document", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_nomenclature"),
        sa.UniqueConstraint("slug", name="uq_nomenclature_slug"),
        sqlite_strict=True,
    )
    op.create_table(
        "organisation",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("slug", TEXT, nullable=False),
        sa.Column("document", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_organisation"),
        sa.UniqueConstraint("slug", name="uq_organisation_slug"),
        sqlite_strict=True,
    )
    op.create_table(
        "broader_state",
        sa.Column("nomenclature_id", sa.Integer(), nullable=False),
        sa.Column("broader", TEXT, nullable=False),
        sa.Column("code", TEXT, nullable=False),
        sa.Column("since", sa.Integer(), nullable=False),
        sa.Column("until", sa.Integer(), nullable=True),
        sa.CheckConstraint("since >= 1 AND (until IS NULL OR until > since)", name="ck_broader_state_interval"),
        sa.ForeignKeyConstraint(["nomenclature_id"], ["nomenclature.id"], name="fk_broader_state_nomenclature_id"),
        sa.PrimaryKeyConstraint("nomenclature_id", "broader", "code", "since", name="pk_broader_state"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_broader_state_nomenclature_id_since", "broader_state", ["nomenclature_id", "since"], unique=False
    )
    op.create_index(
        "ix_broader_state_nomenclature_id_until", "broader_state", ["nomenclature_id", "until"], unique=False
    )
    op.create_index(
        "ix_broader_state_open",
        "broader_state",
        ["nomenclature_id", "broader", "code"],
        unique=True,
        sqlite_where=sa.text("until IS NULL"),
        postgresql_where=sa.text("until IS NULL"),
    )
    op.create_table(
        "code_list",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("organisation_id", sa.Integer(), nullable=False),
        sa.Column("slug", TEXT, nullable=False),
        sa.Column("document", TEXT, nullable=False),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisation.id"], name="fk_code_list_organisation_id"),
        sa.PrimaryKeyConstraint("id", name="pk_code_list"),
        sa.UniqueConstraint("organisation_id", "slug", name="uq_code_list_organisation_id_slug"),
        sqlite_strict=True,
    )
    op.create_table(
        "concept_state",
        sa.Column("nomenclature_id", sa.Integer(), nullable=False),
        sa.Column("code", TEXT, nullable=False),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("label", TEXT, nullable=False),
        sa.Column("valid_from", TEXT, nullable=True),
        sa.Column("valid_until", TEXT, nullable=True),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("since", sa.Integer(), nullable=False),
        sa.Column("until", sa.Integer(), nullable=True),
        sa.CheckConstraint("since >= 1 AND (until IS NULL OR until > since)", name="ck_concept_state_interval"),
        sa.ForeignKeyConstraint(["nomenclature_id"], ["nomenclature.id"], name="fk_concept_state_nomenclature_id"),
        sa.PrimaryKeyConstraint("nomenclature_id", "code", "since", name="pk_concept_state"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_concept_state_nomenclature_id_since", "concept_state", ["nomenclature_id", "since"], unique=False
    )
    op.create_index(
        "ix_concept_state_nomenclature_id_until", "concept_state", ["nomenclature_id", "until"], unique=False
    )
    op.create_index(
        "ix_concept_state_open",
        "concept_state",
        ["nomenclature_id", "code"],
        unique=True,
        sqlite_where=sa.text("until IS NULL"),
        postgresql_where=sa.text("until IS NULL"),
    )
    op.create_table(
        "group_state",
        sa.Column("nomenclature_id", sa.Integer(), nullable=False),
        sa.Column("code", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("since", sa.Integer(), nullable=False),
        sa.Column("until", sa.Integer(), nullable=True),
        sa.CheckConstraint("since >= 1 AND (until IS NULL OR until > since)", name="ck_group_state_interval"),
        sa.ForeignKeyConstraint(["nomenclature_id"], ["nomenclature.id"], name="fk_group_state_nomenclature_id"),
        sa.PrimaryKeyConstraint("nomenclature_id", "code", "since", name="pk_group_state"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("ix_group_state_nomenclature_id_since", "group_state", ["nomenclature_id", "since"], unique=False)
    op.create_index("ix_group_state_nomenclature_id_until", "group_state", ["nomenclature_id", "until"], unique=False)
    op.create_index(
        "ix_group_state_open",
        "group_state",
        ["nomenclature_id", "code"],
        unique=True,
        sqlite_where=sa.text("until IS NULL"),
        postgresql_where=sa.text("until IS NULL"),
    )
    op.create_table(
        "link_state",
        sa.Column("nomenclature_id", sa.Integer(), nullable=False),
        sa.Column("old", TEXT, nullable=False),
        sa.Column("new", TEXT, nullable=False),
        sa.Column("date", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("since", sa.Integer(), nullable=False),
        sa.Column("until", sa.Integer(), nullable=True),
        sa.CheckConstraint("since >= 1 AND (until IS NULL OR until > since)", name="ck_link_state_interval"),
        sa.ForeignKeyConstraint(["nomenclature_id"], ["nomenclature.id"], name="fk_link_state_nomenclature_id"),
        sa.PrimaryKeyConstraint("nomenclature_id", "old", "new", "date", "since", name="pk_link_state"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("ix_link_state_nomenclature_id_new", "link_state", ["nomenclature_id", "new"], unique=False)
    op.create_index("ix_link_state_nomenclature_id_since", "link_state", ["nomenclature_id", "since"], unique=False)
    op.create_index("ix_link_state_nomenclature_id_until", "link_state", ["nomenclature_id", "until"], unique=False)
    op.create_index(
        "ix_link_state_open",
        "link_state",
        ["nomenclature_id", "old", "new", "date"],
        unique=True,
        sqlite_where=sa.text("until IS NULL"),
        postgresql_where=sa.text("until IS NULL"),
    )
    op.create_table(
        "release",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("nomenclature_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("follows", sa.Integer(), nullable=False),
        sa.Column("version", TEXT, nullable=False),
        sa.Column("valid_from", TEXT, nullable=False),
        sa.Column("issued", TEXT, nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("content_sha256", TEXT, nullable=False),
        sa.Column("concepts", sa.Integer(), nullable=False),
        sa.Column("deprecated", sa.Integer(), nullable=False),
        sa.Column("corrects", TEXT, nullable=False),
        sa.Column("heading", TEXT, nullable=False),
        sa.Column("decision", TEXT, nullable=False),
        sa.CheckConstraint("length(content_sha256) = 64 AND length(valid_from) = 10", name="ck_release_shapes"),
        sa.CheckConstraint(
            "number >= 1 AND follows >= 0 AND follows < number AND concepts >= deprecated AND deprecated >= 0",
            name="ck_release_counts",
        ),
        sa.ForeignKeyConstraint(["nomenclature_id"], ["nomenclature.id"], name="fk_release_nomenclature_id"),
        sa.PrimaryKeyConstraint("id", name="pk_release"),
        sa.UniqueConstraint("nomenclature_id", "number", name="uq_release_nomenclature_id_number"),
        sa.UniqueConstraint("nomenclature_id", "version", name="uq_release_nomenclature_id_version"),
        sqlite_strict=True,
    )
    op.create_table(
        "crosswalk",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("code_list_id", sa.Integer(), nullable=False),
        sa.Column("nomenclature_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["code_list_id"], ["code_list.id"], name="fk_crosswalk_code_list_id"),
        sa.ForeignKeyConstraint(["nomenclature_id"], ["nomenclature.id"], name="fk_crosswalk_nomenclature_id"),
        sa.PrimaryKeyConstraint("id", name="pk_crosswalk"),
        sa.UniqueConstraint("code_list_id", "nomenclature_id", name="uq_crosswalk_code_list_id_nomenclature_id"),
        sqlite_strict=True,
    )
    op.create_table(
        "draft",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("nomenclature_id", sa.Integer(), nullable=False),
        sa.Column("base_number", sa.Integer(), nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("created", TEXT, nullable=False),
        sa.Column("heading", TEXT, nullable=False),
        sa.Column("groups", TEXT, nullable=False),
        sa.Column("links", TEXT, nullable=False),
        sa.Column("decision", TEXT, nullable=False),
        sa.Column("release_id", sa.Integer(), nullable=True),
        sa.CheckConstraint(
            "state IN ('open', 'submitted', 'approved', 'rejected', 'scheduled', 'published', 'withdrawn')",
            name="ck_draft_state",
        ),
        sa.ForeignKeyConstraint(["nomenclature_id"], ["nomenclature.id"], name="fk_draft_nomenclature_id"),
        sa.ForeignKeyConstraint(["release_id"], ["release.id"], name="fk_draft_release_id"),
        sa.PrimaryKeyConstraint("id", name="pk_draft"),
        sqlite_strict=True,
    )
    op.create_table(
        "file",
        sa.Column("release_id", sa.Integer(), nullable=False),
        sa.Column("format", TEXT, nullable=False),
        sa.Column("media_type", TEXT, nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("sha256", TEXT, nullable=False),
        sa.ForeignKeyConstraint(
            ["release_id"], ["release.id"], name="fk_file_release_id", initially="DEFERRED", deferrable=True
        ),
        sa.PrimaryKeyConstraint("release_id", "format", name="pk_file"),
        sqlite_strict=True,
    )
    op.create_table(
        "list_edition",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("code_list_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("valid_from", TEXT, nullable=False),
        sa.Column("issued", TEXT, nullable=False),
        sa.Column("codes", sa.Integer(), nullable=False),
        sa.Column("sha256", TEXT, nullable=False),
        sa.ForeignKeyConstraint(["code_list_id"], ["code_list.id"], name="fk_list_edition_code_list_id"),
        sa.PrimaryKeyConstraint("id", name="pk_list_edition"),
        sa.UniqueConstraint("code_list_id", "number", name="uq_list_edition_code_list_id_number"),
        sqlite_strict=True,
    )
    op.create_table(
        "withdrawal",
        sa.Column("release_id", sa.Integer(), nullable=False),
        sa.Column("at", TEXT, nullable=False),
        sa.Column("why", TEXT, nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["release_id"], ["release.id"], name="fk_withdrawal_release_id"),
        sa.PrimaryKeyConstraint("release_id", name="pk_withdrawal"),
        sqlite_strict=True,
    )
    op.create_table(
        "crosswalk_edition",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("crosswalk_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("list_edition_id", sa.Integer(), nullable=False),
        sa.Column("release_id", sa.Integer(), nullable=False),
        sa.Column("valid_from", TEXT, nullable=False),
        sa.Column("issued", TEXT, nullable=False),
        sa.Column("author", TEXT, nullable=False),
        sa.Column("license", TEXT, nullable=False),
        sa.Column("mappings", sa.Integer(), nullable=False),
        sa.Column("sha256", TEXT, nullable=False),
        sa.ForeignKeyConstraint(["crosswalk_id"], ["crosswalk.id"], name="fk_crosswalk_edition_crosswalk_id"),
        sa.ForeignKeyConstraint(["list_edition_id"], ["list_edition.id"], name="fk_crosswalk_edition_list_edition_id"),
        sa.ForeignKeyConstraint(["release_id"], ["release.id"], name="fk_crosswalk_edition_release_id"),
        sa.PrimaryKeyConstraint("id", name="pk_crosswalk_edition"),
        sa.UniqueConstraint("crosswalk_id", "number", name="uq_crosswalk_edition_crosswalk_id_number"),
        sqlite_strict=True,
    )
    op.create_table(
        "draft_concept",
        sa.Column("draft_id", sa.Integer(), nullable=False),
        sa.Column("code", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=True),
        sa.ForeignKeyConstraint(["draft_id"], ["draft.id"], name="fk_draft_concept_draft_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("draft_id", "code", name="pk_draft_concept"),
        sqlite_strict=True,
    )
    op.create_table(
        "local_code",
        sa.Column("list_edition_id", sa.Integer(), nullable=False),
        sa.Column("code", TEXT, nullable=False),
        sa.Column("label", TEXT, nullable=False),
        sa.Column("parent_code", TEXT, nullable=False),
        sa.Column("note", TEXT, nullable=False),
        sa.ForeignKeyConstraint(
            ["list_edition_id"],
            ["list_edition.id"],
            name="fk_local_code_list_edition_id",
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("list_edition_id", "code", name="pk_local_code"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "mapping",
        sa.Column("crosswalk_edition_id", sa.Integer(), nullable=False),
        sa.Column("local_code", TEXT, nullable=False),
        sa.Column("target_code", TEXT, nullable=False),
        sa.Column("relation", TEXT, nullable=False),
        sa.Column("justification", TEXT, nullable=False),
        sa.Column("confidence", TEXT, nullable=False),
        sa.Column("covers", sa.Integer(), nullable=False),
        sa.Column("weight", TEXT, nullable=False),
        sa.Column("comment", TEXT, nullable=False),
        sa.CheckConstraint("(relation = 'noMatch') = (target_code = '')", name="ck_mapping_no_match_has_no_target"),
        sa.CheckConstraint(
            "relation IN ('exactMatch', 'closeMatch', 'broadMatch', 'narrowMatch', 'relatedMatch', 'noMatch')",
            name="ck_mapping_relation",
        ),
        sa.ForeignKeyConstraint(
            ["crosswalk_edition_id"],
            ["crosswalk_edition.id"],
            name="fk_mapping_crosswalk_edition_id",
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("crosswalk_edition_id", "local_code", "target_code", name="pk_mapping"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_mapping_crosswalk_edition_id_target_code", "mapping", ["crosswalk_edition_id", "target_code"], unique=False
    )
