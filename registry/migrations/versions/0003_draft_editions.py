"""Draft editions of crosswalks; how often a local code is used; who stands for a mapping, and since when.

Revision ID: 0003
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

_RELATIONS = "relation IN ('exactMatch', 'closeMatch', 'broadMatch', 'narrowMatch', 'relatedMatch', 'noMatch')"


def upgrade() -> None:
    """Let published rows say more, in columns that are empty for those there are; then make the drafts' tables."""
    op.add_column("local_code", _text("frequency", default=""))
    for name in ("author", "reviewer", "date"):
        op.add_column("mapping", _text(name, default=""))
    _table(
        "draft_edition",
        _integer("id"),
        _integer("organisation_id"),
        _text("list_slug"),
        _text("list_document"),
        _integer("nomenclature_id"),
        _integer("release_id"),
        _integer("base"),
        _text("valid_from"),
        _text("author"),
        _text("license"),
        _integer("revision"),
        _text("created"),
        sa.PrimaryKeyConstraint("id", name="pk_draft_edition"),
        _refers("draft_edition", "organisation_id", "organisation.id"),
        _refers("draft_edition", "nomenclature_id", "nomenclature.id"),
        _refers("draft_edition", "release_id", "release.id"),
        sa.UniqueConstraint(
            "organisation_id",
            "list_slug",
            "nomenclature_id",
            name="uq_draft_edition_organisation_id_list_slug_nomenclature_id",
        ),
    )
    _table(
        "draft_code",
        _integer("draft_edition_id"),
        *(_text(name) for name in ("code", "label", "parent_code", "note", "frequency")),
        sa.PrimaryKeyConstraint("draft_edition_id", "code", name="pk_draft_code"),
        _refers("draft_code", "draft_edition_id", "draft_edition.id", ondelete="CASCADE"),
        sqlite_with_rowid=False,
    )
    _table(
        "draft_mapping",
        _integer("draft_edition_id"),
        *(_text(name) for name in ("local_code", "target_code", "relation", "justification", "confidence")),
        _integer("covers"),
        *(_text(name) for name in ("weight", "comment", "author", "reviewer", "date", "stale_from")),
        sa.PrimaryKeyConstraint("draft_edition_id", "local_code", "target_code", name="pk_draft_mapping"),
        _refers("draft_mapping", "draft_edition_id", "draft_edition.id", ondelete="CASCADE"),
        sa.CheckConstraint(_RELATIONS, name="ck_draft_mapping_relation"),
        sa.CheckConstraint(
            "(relation = 'noMatch') = (target_code = '')", name="ck_draft_mapping_no_match_has_no_target"
        ),
        sqlite_with_rowid=False,
    )


def _text(name: str, *, default: str | None = None) -> sa.Column[str]:
    return sa.Column(name, TEXT, nullable=False, server_default=default)


def _integer(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False)


def _table(name: str, *parts: Any, **options: Any) -> None:
    op.create_table(name, *parts, sqlite_strict=True, **options)


def _refers(table: str, column: str, target: str, **options: Any) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [target], name=f"fk_{table}_{column}", **options)
