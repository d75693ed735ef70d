"""Where the panel knows a domain's databases they are the ones, whatever the site's configuration names (SECURITY rule 10)."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from smartbackup_panel.adapters.panels.directory import DirectoryPanel
from smartbackup_panel.bootstrap import Services, open_services
from smartbackup_panel.core.database_grants import PanelDatabase, grant
from smartbackup_panel.core.database_hosts import DatabaseLogin
from smartbackup_panel.core.errors import WrongUsage
from smartbackup_panel.core.model import PANEL, Job, JobState
from smartbackup_panel.services.domains import reconcile
from smartbackup_panel.services.requests import Requests
from smartbackup_panel.settings import load_settings
from tests.integration.databases.laravel_site import DOMAIN, add_laravel
from tests.integration.databases.tenant import Tenant
from tests.support.installation import make_installation


class KnowingPanel(DirectoryPanel):
    """A panel whose inventory has databases too."""

    def __init__(self, domains_root: str, access_log: str) -> None:
        super().__init__(domains_root, access_log)
        self.databases: list[PanelDatabase] = []

    def list_databases(self, panel_uid: str) -> list[PanelDatabase]:  # type: ignore[override]
        return list(self.databases)


@dataclass
class Host:
    """An installation in this process whose panel knows databases."""

    services: Services
    panel: KnowingPanel
    domain_id: str = ""

    def run(self, job: Job) -> Job:
        return self.services.runner().run(job.id)

    def back_up(self) -> Job:
        return self.run(self.services.requests.backup(PANEL, self.domain_id))

    def restore(self, job: Job, into: str | None = None) -> Job:
        params = self.services.requests.restore_params(
            PANEL,
            self.domain_id,
            str((job.result or {})["point"]),
            files=False,
            databases=True,
            exact=True,
            paths=(),
            to=None,
            into=into,
        )
        return self.run(self.services.requests.restore_now(PANEL, self.domain_id, params, secrets.token_hex(8)))


@pytest.fixture
def host(alice: Tenant) -> Iterator[Host]:
    """A Laravel application whose .env names Alice's database."""
    alice.sql("CREATE TABLE notes (id INT PRIMARY KEY, body TEXT)", "INSERT INTO notes VALUES (1, 'hers')")
    with make_installation({"DATABASE_HOSTS": f"localhost:{alice.server.socket}"}) as place:
        add_laravel(place, "mysql", alice.login.name, alice.login.user, alice.login.password)
        services = open_services(load_settings(environment=place.environment))
        panel = KnowingPanel(services.installation.settings.domains_root, services.installation.settings.access_log)
        installation = replace(services.installation, panel=panel)
        reconcile(installation)
        made = Host(replace(services, installation=installation, requests=Requests(installation)), panel)
        made.domain_id = services.queries.domain_named(PANEL, DOMAIN).id
        yield made


def databases(job: Job) -> list[str]:
    listed = (job.result or {})["databases"]
    assert isinstance(listed, list)
    return [row["database"] for row in listed]


def test_a_database_that_the_panel_gives_is_backed_up_and_restored(host: Host, alice: Tenant) -> None:
    host.panel.databases = [PanelDatabase("mysql", alice.login.name)]
    job = host.back_up()
    assert (job.state, databases(job)) == (JobState.DONE, [alice.login.name])
    alice.sql("DELETE FROM notes")
    assert host.restore(job).state is JobState.DONE
    assert list(alice.sql("SELECT body FROM notes")) == [("hers",)]


def test_a_database_that_the_panel_does_not_give_is_shown_and_not_touched(host: Host, alice: Tenant) -> None:
    """A site's .env may name a neighbour's database, with its stolen password."""
    host.panel.databases = [PanelDatabase("mysql", alice.login.name)]
    before = host.back_up()
    alice.sql("DELETE FROM notes")
    host.panel.databases = []
    job = host.back_up()
    said = (
        f"The site's configuration names the database {alice.login.name}, which the panel does not give to this domain"
    )
    assert (job.state, databases(job)) == (JobState.PARTIAL, [])
    assert [text.startswith(said) for text in (job.result or {})["warnings"]] == [True]  # type: ignore[attr-defined]
    assert host.restore(before).state is JobState.FAILED
    assert list(alice.sql("SELECT body FROM notes")) == []
    assert alice.reserved_tables() == []


def test_the_panels_own_login_goes_before_the_sites(host: Host, alice: Tenant) -> None:
    alice.server.admin(
        f"CREATE USER panels@localhost IDENTIFIED BY 'x'; GRANT ALL ON `{alice.login.name}`.* TO panels@localhost"
    )
    login = replace(alice.login, user="panels", password="x")
    host.panel.databases = [PanelDatabase("mysql", alice.login.name, login)]
    alice.server.admin(f"SET PASSWORD FOR '{alice.login.user}'@localhost = PASSWORD('changed')")
    job = host.back_up()
    alice.server.admin("DROP USER panels@localhost")
    assert (job.state, databases(job)) == (JobState.DONE, [alice.login.name])


def test_a_database_without_a_login_is_said_to_be_missing(host: Host, alice: Tenant) -> None:
    host.panel.databases = [PanelDatabase("mysql", alice.login.name), PanelDatabase("mysql", "shop_stats")]
    job = host.back_up()
    assert (job.state, databases(job)) == (JobState.PARTIAL, [alice.login.name])
    warnings = (job.result or {})["warnings"]
    assert warnings == ["The database shop_stats is this domain's, and the site's configuration names no login for it."]


def test_another_database_to_restore_into_has_to_be_the_domains_too(host: Host, alice: Tenant, bob: Tenant) -> None:
    host.panel.databases = [PanelDatabase("mysql", alice.login.name)]
    job = host.back_up()
    with pytest.raises(WrongUsage, match="the panel does not give the database"):
        host.restore(job, into=bob.login.name)


def test_a_kind_is_part_of_a_database() -> None:
    site = DatabaseLogin("shop", "shop", "x")
    logins, warnings = grant([site], [PanelDatabase("pgsql", "shop")])
    assert (logins, len(warnings)) == ([], 2)
    assert grant([site], None) == ([site], [])
