"""What happens by itself: how far access logs were read, requests a day, alarms."""

import sqlalchemy as sa
from alembic import op

from smartbackup_panel.adapters.db.tables import UtcTime

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "log_positions",
        sa.Column("domain_id", sa.String(length=32), nullable=False),
        sa.Column("device", sa.BigInteger(), nullable=False),
        sa.Column("inode", sa.BigInteger(), nullable=False),
        sa.Column("first_line", sa.String(length=64), nullable=False),
        sa.Column("read_bytes", sa.BigInteger(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("modified_ns", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["domain_id"], ["domains.id"], name=op.f("fk_log_positions_domain_id")),
        sa.PrimaryKeyConstraint("domain_id", "device", "inode", name=op.f("pk_log_positions")),
    )
    op.create_table(
        "traffic_days",
        sa.Column("domain_id", sa.String(length=32), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("requests", sa.JSON(), nullable=False),
        sa.Column("bots", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["domain_id"], ["domains.id"], name=op.f("fk_traffic_days_domain_id")),
        sa.PrimaryKeyConstraint("domain_id", "day", name=op.f("pk_traffic_days")),
    )
    op.create_table(
        "alarms",
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("domain_id", sa.String(length=32), nullable=True),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.Column("next_action", sa.Text(), nullable=False),
        sa.Column("since", UtcTime(32), nullable=False),
        sa.Column("opened_at", UtcTime(32), nullable=False),
        sa.Column("told_at", UtcTime(32), nullable=True),
        sa.Column("ended_at", UtcTime(32), nullable=True),
        sa.ForeignKeyConstraint(["domain_id"], ["domains.id"], name=op.f("fk_alarms_domain_id")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_alarms")),
    )
    op.create_index("ix_alarms_ended", "alarms", ["ended_at"], unique=False)
