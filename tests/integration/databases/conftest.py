"""Alice and Bob, two tenants of one private MariaDB, made new for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.databases.tenant import Tenant, create_tenant, drop_tenant
from tests.support.mariadb import MariaDB, mariadb_server

__all__ = ["mariadb_server"]


@pytest.fixture
def alice(mariadb_server: MariaDB) -> Iterator[Tenant]:
    tenant = create_tenant(mariadb_server, "alice")
    yield tenant
    drop_tenant(tenant)


@pytest.fixture
def bob(mariadb_server: MariaDB) -> Iterator[Tenant]:
    tenant = create_tenant(mariadb_server, "bob", "bobs-secret")
    tenant.sql("CREATE TABLE accounts (id INT PRIMARY KEY, note TEXT)", "INSERT INTO accounts VALUES (1, 'bobs money')")
    yield tenant
    drop_tenant(tenant)
