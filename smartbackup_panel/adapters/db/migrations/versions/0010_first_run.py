"""A schedule knows its first run instead of when it was decided."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    with op.batch_alter_table("schedules") as schedules:
        schedules.alter_column("decided_at", new_column_name="first_run_at", nullable=True, existing_type=sa.String(32))
