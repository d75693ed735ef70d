"""The only wiring: adapters are made here and handed to the services."""

from __future__ import annotations

import functools
import os
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from smartbackup_panel.adapters import state_folder
from smartbackup_panel.adapters.access_logs import LogFiles
from smartbackup_panel.adapters.clock import SystemClock
from smartbackup_panel.adapters.cron_files import CronFiles
from smartbackup_panel.adapters.databases.admin_logins import read_admin_logins
from smartbackup_panel.adapters.db.state import open_state
from smartbackup_panel.adapters.locks import held
from smartbackup_panel.adapters.notify import Notifications
from smartbackup_panel.adapters.panels.directory import DirectoryPanel
from smartbackup_panel.adapters.pressure import KernelPressure
from smartbackup_panel.adapters.process import Account
from smartbackup_panel.adapters.web_server import WebServer
from smartbackup_panel.core.database_hosts import parse_database_hosts
from smartbackup_panel.core.databases import DatabaseServer, DumpRun
from smartbackup_panel.core.errors import StateUnavailable
from smartbackup_panel.core.model import JobKind
from smartbackup_panel.core.ports import JobEngine, PanelAdapter
from smartbackup_panel.core.surroundings import Surroundings
from smartbackup_panel.core.tree import Tenant
from smartbackup_panel.services import catalog
from smartbackup_panel.services.accounts import Accounts
from smartbackup_panel.services.analysis import analyse
from smartbackup_panel.services.backup import back_up
from smartbackup_panel.services.contents import Contents
from smartbackup_panel.services.downloads import Downloads, make_download
from smartbackup_panel.services.exclusion_preview import ExclusionPreviews
from smartbackup_panel.services.importing import import_archives
from smartbackup_panel.services.installation import Installation
from smartbackup_panel.services.jobs import Runner, this_process
from smartbackup_panel.services.left_out import RowsLeftOut
from smartbackup_panel.services.policies import Policies
from smartbackup_panel.services.queries import Queries
from smartbackup_panel.services.requests import Requests
from smartbackup_panel.services.restore import restore, undo
from smartbackup_panel.services.restore_plan import plan_restore
from smartbackup_panel.services.retention import remove_old_points
from smartbackup_panel.services.schedule_choice import ScheduleChoice
from smartbackup_panel.services.scrub import scrub
from smartbackup_panel.services.sites import Sites
from smartbackup_panel.services.verification import verify
from smartbackup_panel.settings import Settings

KEY_BYTES = 32

USE_CASES = {
    JobKind.ANALYSE: analyse,
    JobKind.BACKUP: back_up,
    JobKind.VERIFY: verify,
    JobKind.PLAN: plan_restore,
    JobKind.RESTORE: restore,
    JobKind.UNDO: undo,
    JobKind.RETENTION: remove_old_points,
    JobKind.SCRUB: scrub,
    JobKind.EXPORT: make_download,
    JobKind.IMPORT: import_archives,
}


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that pages, the worker and the command line call."""

    installation: Installation
    queries: Queries
    requests: Requests
    accounts: Accounts
    policies: Policies
    exclusion_previews: ExclusionPreviews
    left_out: RowsLeftOut
    schedule_choice: ScheduleChoice
    contents: Contents
    downloads: Downloads
    sites: Sites

    def web_secret(self) -> bytes:
        """Return the key that signs the standalone host's sessions; made at first use."""
        return _secret(self.installation.settings, os.path.join(state_folder.DATABASE_FOLDER, "web-secret"))

    def runner(self, name: str | None = None) -> Runner:
        """Return what runs jobs here; `name` is the worker's, without it this process's."""
        return Runner(self.installation, USE_CASES, name=name or this_process(), afterwards=catalog.after_job)

    def job_engine(self) -> JobEngine:
        """Return the durable engine of the worker (imported here: it is large)."""
        from smartbackup_panel.adapters.dbos_engine import DbosEngine

        settings = self.installation.settings
        return DbosEngine(settings.state_url, settings.concurrency)


def open_services(settings: Settings) -> Services:
    """Return the services of an installation; its state is made where it is not there yet. Safe between threads."""
    _make_folders(settings)
    installation = Installation(
        settings=settings,
        state=open_state(settings.state_url),
        panel=_panel(settings),
        clock=SystemClock(),
        database_servers={"mysql": _mariadb(settings), "pgsql": _postgres(settings)},
        read_signing_key=functools.cache(lambda: _secret(settings, "signing-key")),
        surroundings=_surroundings(settings),
        read_foreign_dump=_read_foreign_dump,
    )
    return Services(
        installation,
        Queries(installation),
        Requests(installation),
        Accounts(installation),
        Policies(installation),
        ExclusionPreviews(installation),
        RowsLeftOut(installation),
        ScheduleChoice(installation),
        Contents(installation),
        Downloads(installation),
        Sites(installation),
    )


def _panel(settings: Settings) -> PanelAdapter:
    return DirectoryPanel(settings.domains_root, settings.access_log)


def _surroundings(settings: Settings) -> Surroundings:
    return Surroundings(
        access_logs=LogFiles(),
        pressure=KernelPressure(),
        notifier=Notifications(
            settings.notify_email,
            settings.notify_from,
            settings.smtp_url,
            settings.notify_webhook,
            settings.notify_apprise,
        ),
        cron=CronFiles(settings.cron_dir),
        sites=WebServer(settings.site_server),
    )


def _mariadb(settings: Settings) -> Callable[[Tenant], DatabaseServer]:
    allowed = parse_database_hosts(settings.database_hosts)
    admin_logins = functools.cache(lambda: read_admin_logins(settings.database_admin))

    def connect(tenant: Tenant) -> DatabaseServer:
        from smartbackup_panel.adapters.databases.mariadb import MariaDBServer  # only jobs with databases pay for it

        return MariaDBServer(allowed, Account(tenant.uid, tenant.gid, tenant.groups), admin_logins)

    return connect


def _postgres(settings: Settings) -> Callable[[Tenant], DatabaseServer]:
    allowed = parse_database_hosts(settings.database_hosts)
    admin_logins = functools.cache(lambda: read_admin_logins(settings.database_admin))

    def connect(tenant: Tenant) -> DatabaseServer:
        from smartbackup_panel.adapters.databases.postgres import PostgresServer

        return PostgresServer(allowed, Account(tenant.uid, tenant.gid, tenant.groups), admin_logins)

    return connect


def _read_foreign_dump(name: str, chunks: Iterable[bytes]) -> DumpRun:
    from smartbackup_panel.adapters.databases.foreign_dump import ForeignDump

    return ForeignDump(name, chunks)


def become_web_account(settings: Settings) -> str:
    """Have this process serve the pages and do nothing else; return a sentence where it stays root, else an empty text.

    The state and the sessions' key are made before, since the account can make nothing in the state folder.
    """
    if os.geteuid() != 0 or not settings.web_account:
        return ""
    services = open_services(settings)
    services.web_secret()
    services.installation.state.close()
    account = state_folder.find_account(settings.web_account)
    if account is None:
        return (
            f"The pages run as root: there is no user {settings.web_account} (useradd --system {settings.web_account})."
        )
    if not state_folder.become(account, settings.state_dir):
        return f"The pages run as root: the user {settings.web_account} may not read the program or the state folder."
    return ""


def _make_folders(settings: Settings) -> None:
    try:
        state_folder.prepare(settings.state_dir, state_folder.find_account(settings.web_account))
        os.makedirs(settings.spool_dir, mode=0o700, exist_ok=True)
    except OSError as wrong:
        raise StateUnavailable(f"the folder {wrong.filename} cannot be made: {wrong.strerror}") from wrong


def _secret(settings: Settings, name: str) -> bytes:
    """Return a key of the state folder (0600), made once by whoever comes first."""
    path = os.path.join(settings.state_dir, name)
    try:
        return _read_secret(path)
    except FileNotFoundError:
        pass
    with held(os.path.join(settings.state_dir, "locks", os.path.basename(name)), timeout_seconds=10):
        if not os.path.exists(path):
            fd = os.open(path + ".part", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(fd, "wb") as file:
                state_folder.give_to_owner_of(os.path.dirname(path), fd)
                file.write(secrets.token_bytes(KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            os.rename(path + ".part", path)
        return _read_secret(path)


def _read_secret(path: str) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        raise
    except OSError as wrong:
        raise StateUnavailable(f"the key {path} cannot be read: {wrong.strerror}") from wrong
    with os.fdopen(fd, "rb") as file:
        key = file.read(KEY_BYTES + 1)
    if len(key) != KEY_BYTES:
        raise StateUnavailable(f"the key {path} has {len(key)} bytes instead of {KEY_BYTES}")
    return key
