"""The first state: domains, points, jobs, schedules, analyses, restores, accounts, audit."""

from alembic import op

from smartbackup_panel.adapters.db.tables import metadata

revision = "0001"
down_revision = None


def upgrade() -> None:
    metadata.create_all(op.get_bind())
