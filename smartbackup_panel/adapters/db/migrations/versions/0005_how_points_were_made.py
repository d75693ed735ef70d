"""How points were made: whether anything had changed, whether content was taken over, whether all of it was read."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    with op.batch_alter_table("points") as points:
        for name in ("unchanged", "synthetic", "read_whole"):
            points.add_column(sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false()))
    op.execute(sa.text("UPDATE points SET read_whole = (kind = 'full')"))
