"""Which rows a domain's dumps leave out, where its choice differs from the settings."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    with op.batch_alter_table("policies") as policies:
        policies.add_column(sa.Column("databases", sa.JSON(), nullable=False, server_default="{}"))
