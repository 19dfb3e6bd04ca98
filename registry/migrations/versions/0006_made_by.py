"""Which token made a token, so that both end together.

Revision ID: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the column; of tokens of before nobody knows any more."""
    op.add_column("token", sa.Column("made_by", sa.Integer()))
