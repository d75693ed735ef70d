"""Looking for alarms every minute reads no whole table: points by time and by damage, jobs by kind and domain."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_index("ix_points_created", "points", ["created_at"])
    op.create_index("ix_points_damaged", "points", ["domain_id", "damaged_at"])
    op.create_index("ix_jobs_kind", "jobs", ["domain_id", "kind", "created_at"])
