"""Alembic's environment: runs on the connection that the program hands over."""

from alembic import context

from smartbackup_panel.adapters.db.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table="smartbackup_alembic",
    transactional_ddl=False,
    render_as_batch=True,
)
context.run_migrations()
