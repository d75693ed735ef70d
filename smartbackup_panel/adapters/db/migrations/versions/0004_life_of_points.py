"""The life of points: what is wrong with a damaged one and since when, and what was chosen for one domain."""

import sqlalchemy as sa
from alembic import op

from smartbackup_panel.adapters.db.tables import UtcTime

revision = "0004"
down_revision = "0002"


def upgrade() -> None:
    with op.batch_alter_table("points") as points:
        points.add_column(sa.Column("damage", sa.Text(), nullable=True))
        points.add_column(sa.Column("damaged_at", UtcTime(32), nullable=True))
    op.create_table(
        "policies",
        sa.Column("domain_id", sa.String(length=32), nullable=False),
        sa.Column("retention", sa.JSON(), nullable=False),
        sa.Column("exclusions", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["domain_id"], ["domains.id"], name=op.f("fk_policies_domain_id")),
        sa.PrimaryKeyConstraint("domain_id", name=op.f("pk_policies")),
    )
