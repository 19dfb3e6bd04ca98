"""Webhooks and what was delivered to them; warnings of what will break; who pulls which list, by day.

Revision ID: 0004
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables of those who follow the registry."""
    _table(
        "webhook",
        _integer("id"),
        _integer("organisation_id"),
        _text("person_id"),
        sa.Column("nomenclature_id", sa.Integer()),
        *(_text(name) for name in ("url", "kinds", "secret", "created", "disabled", "failing_since")),
        *(_integer(name) for name in ("slow", "position", "warned")),
        sa.PrimaryKeyConstraint("id", name="pk_webhook"),
        _refers("webhook", "organisation_id", "organisation.id"),
        _refers("webhook", "person_id", "person.id"),
        _refers("webhook", "nomenclature_id", "nomenclature.id"),
    )
    _table(
        "delivery",
        _integer("id"),
        _integer("webhook_id"),
        *(_text(name) for name in ("event", "kind", "body", "created", "until", "state", "due", "attempts")),
        sa.PrimaryKeyConstraint("id", name="pk_delivery"),
        _refers("delivery", "webhook_id", "webhook.id", ondelete="CASCADE"),
        sa.CheckConstraint("state IN ('pending', 'delivered', 'failed')", name="ck_delivery_state"),
        sa.UniqueConstraint("webhook_id", "event", name="uq_delivery_webhook_id_event"),
    )
    op.create_index("ix_delivery_state_due", "delivery", ["state", "due"])
    _table(
        "warning",
        _integer("id"),
        _text("key"),
        _integer("nomenclature_id"),
        _text("at"),
        _integer("codes"),
        _text("document"),
        sa.PrimaryKeyConstraint("id", name="pk_warning"),
        _refers("warning", "nomenclature_id", "nomenclature.id"),
        sa.UniqueConstraint("key", name="uq_warning_key"),
    )
    _table(
        "pull",
        *(_integer(name) for name in ("organisation_id", "nomenclature_id", "release_id")),
        _text("day"),
        _integer("count"),
        sa.PrimaryKeyConstraint("organisation_id", "nomenclature_id", "release_id", "day", name="pk_pull"),
        _refers("pull", "organisation_id", "organisation.id"),
        _refers("pull", "nomenclature_id", "nomenclature.id"),
        _refers("pull", "release_id", "release.id"),
    )
    op.create_index("ix_pull_nomenclature_id_day", "pull", ["nomenclature_id", "day"])


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, TEXT, nullable=False)


def _integer(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False)


def _table(name: str, *parts: Any, **options: Any) -> None:
    op.create_table(name, *parts, sqlite_strict=True, **options)


def _refers(table: str, column: str, target: str, **options: Any) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [target], name=f"fk_{table}_{column}", **options)
