"""The keys of rows that the statements of several packages name."""

from typing import NamedTuple


class TenantKey(NamedTuple):
    """The key of a tenant."""

    tenant_id: str


class UserKey(NamedTuple):
    """The key of a user."""

    tenant_id: str
    user_id: str


class IdentifierKey(NamedTuple):
    """The key of an identifier."""

    tenant_id: str
    identifier: str


class IdRow(NamedTuple):
    """A row of which only the id is read."""

    id: str
