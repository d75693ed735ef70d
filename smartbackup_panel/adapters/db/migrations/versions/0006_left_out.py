"""What the rules left out of a point, and how much that was."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    with op.batch_alter_table("points") as points:
        points.add_column(sa.Column("left_out", sa.JSON(), nullable=True))
