"""Users of a tenant: the base of all test users, and a user with a phone."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from tests.conftest import new_phone
from tests.support.api_client import ApiClient
from tests.support.providers.twilio import TwilioServer


@dataclass
class TestUser:
    """A user of a tenant, whose calls alternate between the instances. `key` names the tenant's key that it uses."""

    __test__ = False  # pytest would collect it for its name

    apis: list[ApiClient]
    tenant: dict[str, Any]
    key: str = field(default="api_key", kw_only=True)

    def __post_init__(self) -> None:
        self._turns: Iterator[ApiClient] = itertools.cycle(self.apis)

    @property
    def api(self) -> ApiClient:
        """Return the instance of the next call."""
        return next(self._turns)

    @property
    def tenant_id(self) -> str:
        return str(self.tenant["tenant_id"])

    @property
    def api_key(self) -> str:
        return str(self.tenant[self.key])


@dataclass
class PhoneUser(TestUser):
    """A user with a phone."""

    twilio: TwilioServer
    database: asyncpg.Connection
    phone: str = field(default_factory=new_phone)

    @property
    def code(self) -> str:
        """Return the code of the newest message; test keys have a fixed one."""
        return "000000" if self.key == "test_key" else self.twilio.code_for(self.phone)
