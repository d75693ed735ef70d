"""The tables of the state. A change here needs a migration in `migrations/versions`."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    false,
)


class UtcTime(TypeDecorator[datetime]):
    """An aware UTC datetime, kept as ISO text with microseconds, so that it sorts as text on every database."""

    impl = String(32)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else value.astimezone(UTC).isoformat(timespec="microseconds")

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else datetime.fromisoformat(value)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

domains = Table(
    "domains",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("panel", String(32), nullable=False),
    Column("panel_uid", String(255), nullable=False),
    Column("name", String(255), nullable=False),
    Column("display_name", String(255), nullable=False),
    Column("owner", String(255), nullable=False),
    Column("owner_uid", BigInteger, nullable=False),
    Column("owner_gid", BigInteger, nullable=False),
    Column("root", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("store_folder", String(300), nullable=False, unique=True),
    Column("access_log", Text),
    Column("nested_roots", JSON, nullable=False),
    Column("document_root", Text),
    Column("application", String(64)),
    Column("created_at", UtcTime, nullable=False),
    Column("state_changed_at", UtcTime, nullable=False),
    Column("deleted_at", UtcTime),
    Column("delete_announced_at", UtcTime),
    Index("ix_domains_name", "panel", "name"),
    # Of domains that are not deleted alone, as the migration says. Here that would load PostgreSQL's dialect for every
    # command, a tenth of its start.
    Index("ix_domains_live_uid", "panel", "panel_uid", unique=True),
)

points = Table(
    "points",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("domain_id", ForeignKey("domains.id"), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("verified", String(16), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("archive", String(300)),
    Column("archive_bytes", BigInteger, nullable=False),
    Column("original_bytes", BigInteger, nullable=False),
    Column("file_count", BigInteger, nullable=False),
    Column("added", BigInteger, nullable=False),
    Column("changed", BigInteger, nullable=False),
    Column("deleted", BigInteger, nullable=False),
    Column("parent_id", String(32)),
    Column("root_digest", String(64)),
    Column("sha256", String(64)),
    Column("databases", JSON, nullable=False),
    Column("skipped", JSON, nullable=False),
    Column("skipped_count", BigInteger, nullable=False),
    Column("warnings", JSON, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("database_only", Boolean, nullable=False),
    Column("pinned", Boolean, nullable=False),
    Column("verified_at", UtcTime),
    Column("unchanged", Boolean, nullable=False, server_default=false()),
    Column("synthetic", Boolean, nullable=False, server_default=false()),
    Column("read_whole", Boolean, nullable=False, server_default=false()),
    Column("damage", Text),
    Column("damaged_at", UtcTime),
    Column("left_out", JSON),
    Column("imported", JSON(none_as_null=True)),
    Index("ix_points_domain", "domain_id", "created_at"),
    Index("ix_points_created", "created_at"),
    Index("ix_points_damaged", "domain_id", "damaged_at"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("domain_id", ForeignKey("domains.id")),
    Column("actor", JSON, nullable=False),
    Column("params", JSON, nullable=False),
    Column("key", String(128), nullable=False),
    Column("state", String(16), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("started_at", UtcTime),
    Column("finished_at", UtcTime),
    Column("progress", JSON, nullable=False),
    Column("result", JSON),
    Column("error", JSON),
    Column("cancel_requested", Boolean, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("runner", String(64)),
    Index("ix_jobs_state", "state", "priority", "created_at"),
    Index("ix_jobs_domain", "domain_id", "created_at"),
    Index("ix_jobs_key", "key"),
    Index("ix_jobs_kind", "domain_id", "kind", "created_at"),
)

job_log = Table(
    "job_log",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("job_id", ForeignKey("jobs.id"), nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("level", String(8), nullable=False),
    Column("text", Text, nullable=False),
    Index("ix_job_log_job", "job_id", "id"),
)

schedules = Table(
    "schedules",
    metadata,
    Column("domain_id", ForeignKey("domains.id"), primary_key=True),
    Column("lines", JSON, nullable=False),
    Column("timezone", String(64), nullable=False),
    Column("strategy", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("pinned", Boolean, nullable=False),
    Column("next_run_at", UtcTime),
    Column("next_kind", String(16)),
    Column("first_run_at", UtcTime),
    Index("ix_schedules_next", "next_run_at"),
)

analyses = Table(
    "analyses",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("domain_id", ForeignKey("domains.id"), nullable=False),
    Column("analysed_at", UtcTime, nullable=False),
    Column("file_changes", BigInteger, nullable=False),
    Column("activity_level", String(16), nullable=False),
    Column("traffic_requests", BigInteger, nullable=False),
    Column("average_daily_changes", Float, nullable=False),
    Column("trend", String(16), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("size_category", String(16), nullable=False),
    Column("file_count", BigInteger, nullable=False),
    Column("application", String(64), nullable=False),
    Column("seconds", Float, nullable=False),
    Index("ix_analyses_domain", "domain_id", "analysed_at"),
)

restores = Table(
    "restores",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("domain_id", ForeignKey("domains.id"), nullable=False),
    Column("point_id", String(32)),
    Column("phase", String(16), nullable=False),
    Column("journal", JSON, nullable=False),
    Column("restored_by", String(255), nullable=False),
    Column("started_at", UtcTime, nullable=False),
    Column("swapped_at", UtcTime),
    Column("undo_until", UtcTime),
    Index("ix_restores_domain", "domain_id", "started_at"),
)

accounts = Table(
    "accounts",
    metadata,
    Column("login", String(255), primary_key=True),
    Column("password_hash", Text, nullable=False),
    Column("role", String(16), nullable=False),
    Column("owner", String(255)),
    Column("version", Integer, nullable=False),
    Column("created_at", UtcTime, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", UtcTime, nullable=False),
    Column("login", String(255), nullable=False),
    Column("role", String(16), nullable=False),
    Column("source", String(16), nullable=False),
    Column("action", String(64), nullable=False),
    Column("domain_id", String(32)),
    Column("object_id", String(64)),
    Column("detail", JSON, nullable=False),
    Index("ix_audit_at", "at"),
)

notes = Table(
    "notes",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
    Column("at", UtcTime, nullable=False),
)

log_positions = Table(
    "log_positions",
    metadata,
    Column("domain_id", ForeignKey("domains.id"), primary_key=True),
    Column("device", BigInteger, primary_key=True),
    Column("inode", BigInteger, primary_key=True),
    Column("first_line", String(64), nullable=False),
    Column("read_bytes", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("modified_ns", BigInteger, nullable=False),
)

traffic_days = Table(
    "traffic_days",
    metadata,
    Column("domain_id", ForeignKey("domains.id"), primary_key=True),
    Column("day", String(10), primary_key=True),
    Column("requests", JSON, nullable=False),
    Column("bots", JSON, nullable=False),
)

alarms = Table(
    "alarms",
    metadata,
    Column("key", String(128), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("domain_id", ForeignKey("domains.id")),
    Column("sentence", Text, nullable=False),
    Column("next_action", Text, nullable=False),
    Column("since", UtcTime, nullable=False),
    Column("opened_at", UtcTime, nullable=False),
    Column("told_at", UtcTime),
    Column("ended_at", UtcTime),
    Index("ix_alarms_ended", "ended_at"),
)

policies = Table(
    "policies",
    metadata,
    Column("domain_id", ForeignKey("domains.id"), primary_key=True),
    Column("retention", JSON, nullable=False),
    Column("exclusions", JSON, nullable=False),
    Column("databases", JSON, nullable=False, server_default="{}"),
)
