"""Which archives of another program a point was made of."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    with op.batch_alter_table("points") as points:
        points.add_column(sa.Column("imported", sa.JSON()))
