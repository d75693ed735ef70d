"""One table of settings: their names, where they come from, and what they mean.

Order: the environment (SMARTBACKUP_*) wins over the configuration file, the file over the default.
The file is /etc/smartbackup/config.toml, or what `--config` or SMARTBACKUP_CONFIG names.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from smartbackup_panel.core.errors import BadSetting
from smartbackup_panel.core.exclusions import MOST_GENERAL_LINES, Profile
from smartbackup_panel.core.quiet_hours import Span, parse_spans
from smartbackup_panel.core.row_rules import LeaveOut, check_patterns

DEFAULT_CONFIG = "/etc/smartbackup/config.toml"
PREFIX = "SMARTBACKUP_"


def _server(text: str) -> str:
    host, _, port = text.rpartition(":")
    if text and not (port.isdigit() and 0 < int(port) < 65536 and host and "/" not in host):
        raise ValueError("must be host:port, for example 127.0.0.1:80, or empty")
    return text


def _absolute(text: str) -> str:
    if not text.startswith("/") or "\0" in text:
        raise ValueError("must be an absolute path")
    return os.path.normpath(text)


def _secret_source(text: str) -> str:
    number = text.removeprefix("fd:")
    return text if not text or (number != text and number.isdigit()) else _absolute(text)


def _count(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise ValueError(f"must lie between {low} and {high}")
        return value

    return parse


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _patterns(text: str) -> tuple[str, ...]:
    lines = _names(text)
    if len(lines) > MOST_GENERAL_LINES:
        raise ValueError(f"must be {MOST_GENERAL_LINES} patterns at most")
    return lines


def _table_patterns(text: str) -> tuple[str, ...]:
    return check_patterns(text.split(","))


def _access_log(text: str) -> str:
    if text and "{domain}" not in text:
        raise ValueError("must contain {domain}, for example /var/log/nginx/{domain}.access.log")
    return text and _absolute(text)


def _timezone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError) as unknown:
        raise ValueError("must be a time zone such as Europe/Berlin or UTC") from unknown
    return text


def _compression(text: str) -> str:
    kind, _, level = text.partition(":")
    top = {"gzip": 9, "zstd": 19}.get(kind)
    if top is None or (level and not (level.isdigit() and 1 <= int(level) <= top)):
        raise ValueError("must be gzip, gzip:1 to gzip:9, zstd or zstd:1 to zstd:19")
    return text


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError("must be one of " + ", ".join(choices))
        return text

    return parse


def _yes_or_no(text: str) -> bool:
    if text.lower() not in ("yes", "true", "no", "false"):
        raise ValueError("must be yes or no")
    return text.lower() in ("yes", "true")


def _spans(text: str) -> tuple[Span, ...]:
    return parse_spans(text)


def _window(text: str) -> Span:
    spans = parse_spans(text)
    if len(spans) != 1:
        raise ValueError("must be one span such as 01:00-06:00")
    return spans[0]


def _setting(default: str, parse: Callable[[str], object], doc: str) -> object:
    return field(default=default, metadata={"parse": parse, "doc": doc})


@dataclass(frozen=True, slots=True)
class _Table:
    """The settings as texts, with their defaults, parsers and meanings. The docs table is made from it."""

    state_dir: object = _setting(
        "/var/lib/smartbackup", _absolute, "Folder of the state: database, locks, keys, event spool."
    )
    backup_root: object = _setting(
        "/var/backups/smartbackup", _absolute, "Folder of the store: one folder of archives a domain."
    )
    domains_root: object = _setting("/var/www", _absolute, "Folder whose folders are the domains (directory panel).")
    access_log: object = _setting(
        "/var/log/nginx/{domain}.access.log",
        _access_log,
        "Template of a domain's access log; empty: no traffic is read.",
    )
    panel: object = _setting("directory", _one_of("directory"), "The hosting panel whose inventory is used.")
    database_hosts: object = _setting(
        "localhost:/run/mysqld/mysqld.sock,127.0.0.1:3306,localhost:/run/postgresql/.s.PGSQL.5432,127.0.0.1:5432",
        str,
        "Where tenants' databases may live: comma-separated host, host:port or localhost:/socket.",
    )
    database_admin: object = _setting(
        "",
        _secret_source,
        "File (or fd:N, an inherited descriptor) of logins that may make accounts and databases; see README.",
    )
    rows_left_out: object = _setting(
        "expired",
        _one_of(*LeaveOut),
        "What applications make again (transients, sessions, caches) is left out of dumps: nothing, expired or all.",
    )
    tables_without_rows: object = _setting(
        "",
        _table_patterns,
        "Comma-separated patterns of tables of which dumps keep the definition alone, for all domains.",
    )
    state_url: object = _setting(
        "",
        str,
        "SQLAlchemy address of the state database (postgresql+psycopg://user:password@host/name); "
        "default: SQLite in the state folder.",
    )
    spool_dir: object = _setting(
        "",
        lambda text: text and _absolute(text),
        "Folder that hooks write events to; default: events in the state folder.",
    )
    web_users: object = _setting(
        "www-data", _names, "Comma-separated users of web servers, whose files in a site belong to it (PHP uploads)."
    )
    timezone: object = _setting("UTC", _timezone, "Time zone of schedules.")
    backup_window: object = _setting(
        "01:00-06:00", _window, "Time of day in which daily and weekly runs are planned, in the schedules' time zone."
    )
    blackout_hours: object = _setting(
        "", _spans, "Comma-separated spans such as 08:00-10:00 in which no planned run begins."
    )
    schedule_mode: object = _setting(
        "worker", _one_of("worker", "cron"), "What starts planned runs: the worker, or files for the server's cron."
    )
    cron_dir: object = _setting("/etc/cron.d", _absolute, "Folder of the cron files where schedule_mode is cron.")
    pressure_limit: object = _setting(
        "60", _count(0, 100), "Percent of CPU or disk pressure from which planned runs wait and slow down; 0: never."
    )
    pressure_wait_minutes: object = _setting(
        "60", _count(0, 1440), "Minutes that a planned run waits for a busy server before it runs gently."
    )
    compression: object = _setting("gzip:6", _compression, "gzip or zstd, with a level after a colon.")
    concurrency: object = _setting("4", _count(1, 64), "Jobs that run at once.")
    full_every_days: object = _setting("7", _count(1, 366), "Days after which a point is a full one again.")
    rehash_days: object = _setting(
        "30",
        _count(0, 3650),
        "Days after which all content is read and hashed again, also what looks unchanged; 0: never.",
    )
    grace_days: object = _setting("30", _count(1, 3650), "Days that the points of a deleted domain are kept.")
    undo_days: object = _setting("7", _count(1, 90), "Days that a restore can be undone.")
    keep_last: object = _setting("7", _count(0, 10_000), "Restore points of a domain that stay: the last ones.")
    keep_days: object = _setting("7", _count(0, 10_000), "All points of so many days before the newest one stay.")
    keep_daily: object = _setting("14", _count(0, 10_000), "Of so many days with points one each stays.")
    keep_weekly: object = _setting("8", _count(0, 10_000), "Of so many weeks with points one each stays.")
    keep_monthly: object = _setting("6", _count(0, 10_000), "Of so many months with points one each stays.")
    keep_yearly: object = _setting("1", _count(0, 10_000), "Of so many years with points one each stays.")
    keep_at_least: object = _setting(
        "3", _count(1, 10_000), "Sound points of a domain that always stay, whatever the rules say."
    )
    scrub_days: object = _setting("30", _count(1, 3650), "Days in which every archive is read again, byte by byte.")
    exclude_profile: object = _setting(
        "safe",
        _one_of(*Profile),
        "What every domain leaves out: nothing, safe (caches, logs and sessions of its application) or full-list.",
    )
    exclude: object = _setting(
        "", _patterns, "Comma-separated patterns in gitignore syntax that every domain leaves out besides."
    )
    exclude_rebuildable: object = _setting(
        "no", _yes_or_no, "Leave out vendor and node_modules where a lock file beside them makes them again: yes or no."
    )
    reserve_mb: object = _setting("256", _count(0, 10_000_000), "Megabytes that stay free on the store's filesystem.")
    history_days: object = _setting("365", _count(1, 3650), "Days that ended jobs, their logs and traffic are kept.")
    notify_email: object = _setting("", _names, "Comma-separated addresses that alarms are mailed to.")
    notify_from: object = _setting("smartbackup@localhost", str, "Sender of the mails.")
    smtp_url: object = _setting(
        "smtp://localhost:25",
        str,
        "Mail server: smtp:// (STARTTLS where offered) or smtps://, with user:password@ if needed.",
    )
    notify_webhook: object = _setting("", str, "Address that alarms are posted to as JSON.")
    notify_apprise: object = _setting(
        "", _names, "Comma-separated Apprise addresses (needs the extra `notify`): chat and messaging services."
    )
    notify_every_minutes: object = _setting("60", _count(1, 1440), "Least minutes between two messages of alarms.")
    reconcile_seconds: object = _setting(
        "120", _count(5, 86_400), "Seconds between two looks at the panel's inventory."
    )
    web_address: object = _setting("127.0.0.1:8470", str, "Where the standalone pages listen: host:port.")
    site_server: object = _setting(
        "127.0.0.1:80",
        _server,
        "Web server that is asked how a domain's site answers (host:port; https at port 443 of it); empty: never.",
    )
    web_account: object = _setting(
        "smartbackup", str, "System user that the standalone pages become when root starts them; empty: they stay root."
    )
    web_https: object = _setting(
        "no",
        _yes_or_no,
        "yes where the standalone pages are reached by https alone: cookies are sent over nothing else.",
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting, parsed. `sources` says where each value came from: default, file or environment."""

    state_dir: str
    backup_root: str
    domains_root: str
    access_log: str
    panel: str
    database_hosts: str
    database_admin: str
    rows_left_out: str
    tables_without_rows: tuple[str, ...]
    state_url: str
    spool_dir: str
    web_users: tuple[str, ...]
    timezone: str
    backup_window: Span
    blackout_hours: tuple[Span, ...]
    schedule_mode: str
    cron_dir: str
    pressure_limit: int
    pressure_wait_minutes: int
    compression: str
    concurrency: int
    full_every_days: int
    rehash_days: int
    grace_days: int
    undo_days: int
    keep_last: int
    keep_days: int
    keep_daily: int
    keep_weekly: int
    keep_monthly: int
    keep_yearly: int
    keep_at_least: int
    scrub_days: int
    exclude_profile: str
    exclude: tuple[str, ...]
    exclude_rebuildable: bool
    reserve_mb: int
    history_days: int
    notify_email: tuple[str, ...]
    notify_from: str
    smtp_url: str
    notify_webhook: str
    notify_apprise: tuple[str, ...]
    notify_every_minutes: int
    reconcile_seconds: int
    web_address: str
    site_server: str
    web_account: str
    web_https: bool
    sources: Mapping[str, str] = field(default_factory=dict)

    @property
    def worker_lock(self) -> str:
        """The path of the lock that the one worker of this state folder holds while it runs."""
        return os.path.join(self.state_dir, "locks", "worker")


@dataclass(frozen=True, slots=True)
class SettingDoc:
    """One row of the docs' table of settings."""

    name: str
    variable: str
    default: str
    doc: str


def table() -> list[SettingDoc]:
    """Return every setting with its variable, default and meaning."""
    return [
        SettingDoc(row.name, PREFIX + row.name.upper(), str(row.default), str(row.metadata["doc"]))
        for row in fields(_Table)
    ]


def load_settings(config: str | None = None, environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings from the environment, the file and the defaults.

    Raises BadSetting for a missing named file, a file that is no TOML, an unknown name or a value that cannot be used.
    """
    path = config or environment.get(PREFIX + "CONFIG")
    from_file = _read_file(path or DEFAULT_CONFIG, required=path is not None)
    unknown = sorted(set(from_file) - {row.name for row in fields(_Table)})
    if unknown:
        raise BadSetting(f"{path or DEFAULT_CONFIG}: there is no setting {unknown[0]!r}")
    values: dict[str, object] = {}
    sources: dict[str, str] = {}
    for row in fields(_Table):
        variable = PREFIX + row.name.upper()
        text, source = str(row.default), "default"
        if row.name in from_file:
            text, source = from_file[row.name], "file"
        if variable in environment:
            text, source = environment[variable], "environment"
        try:
            values[row.name] = row.metadata["parse"](text)
        except ValueError as wrong:
            name = variable if source == "environment" else row.name
            raise BadSetting(f"the setting {name} = {text!r} cannot be used: {wrong}") from wrong
        sources[row.name] = source
    values["state_url"] = values["state_url"] or f"sqlite:///{values['state_dir']}/db/state.sqlite"
    values["spool_dir"] = values["spool_dir"] or f"{values['state_dir']}/events"
    return Settings(**values, sources=sources)  # type: ignore[arg-type]  # each value was made by its own parser


def _read_file(path: str, *, required: bool) -> dict[str, str]:
    try:
        content = tomllib.loads(Path(path).read_text("utf-8"))
    except FileNotFoundError:
        if required:
            raise BadSetting(f"the configuration file {path} does not exist") from None
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as wrong:
        raise BadSetting(f"the configuration file {path} cannot be read: {wrong}") from wrong
    return {
        name: ",".join(map(str, value)) if isinstance(value, list) else str(value) for name, value in content.items()
    }
