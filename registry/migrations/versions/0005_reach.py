"""What crosswalks point at, counted from their mappings; of what confirms a proposal, a hash alone.

Revision ID: 0005
"""

from __future__ import annotations

import hashlib
from typing import Any

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
BITS = sa.LargeBinary().with_variant(postgresql.BIT(varying=True), "postgresql")


def upgrade() -> None:
    """Make the tables that the impact of a draft is counted in.

    They follow from others: whoever migrates fills them by the rule of the day, once the schema is that of the day.
    """
    _table(
        "target",
        _integer("nomenclature_id"),
        sa.Column("code", TEXT, nullable=False),
        *(_integer(name) for name in ("place", "organisations", "crosswalks", "mappings")),
        sa.PrimaryKeyConstraint("nomenclature_id", "code", name="pk_target"),
        sa.UniqueConstraint("nomenclature_id", "place", name="uq_target_nomenclature_id_place"),
        sa.ForeignKeyConstraint(["nomenclature_id"], ["nomenclature.id"], name="fk_target_nomenclature_id"),
    )
    _table(
        "reach",
        *(_integer(name) for name in ("crosswalk_edition_id", "number", "together", "times")),
        sa.Column("targets", BITS, nullable=False),
        sa.PrimaryKeyConstraint("crosswalk_edition_id", "number", name="pk_reach"),
        sa.ForeignKeyConstraint(
            ["crosswalk_edition_id"], ["crosswalk_edition.id"], name="fk_reach_crosswalk_edition_id"
        ),
    )
    context.config.attributes["count_uses"] = True
    _hash_what_confirms(op.get_bind())


def _hash_what_confirms(connection: sa.Connection) -> None:
    """Whoever holds a link can still use it; whoever reads the table finds nothing to use."""
    proposal = sa.table("proposal", sa.column("id"), sa.column("confirmation"))
    held = sa.select(proposal.c.id, proposal.c.confirmation).where(proposal.c.confirmation != "")
    for number, secret in connection.execute(held).all():
        sha256 = hashlib.sha256(secret.encode()).hexdigest()
        connection.execute(sa.update(proposal).where(proposal.c.id == number).values(confirmation=sha256))


def _integer(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False)


def _table(name: str, *parts: Any) -> None:
    op.create_table(name, *parts, sqlite_strict=True)
