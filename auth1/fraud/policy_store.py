"""Store the fraud policies of tenants and the operator's default, and their captcha secrets."""

from typing import NamedTuple

import msgspec

from auth1.core.crypto import Keyring
from auth1.core.ids import new_id
from auth1.core.postgres import Postgres, Queries, Transaction
from auth1.errors import FieldError, NotFound, ValidationFailed
from auth1.events.log import EventContext, RecordedEvent, RecordedEvents, read_events
from auth1.fraud.policy import Captcha, FraudPolicy, read_policy
from auth1.tenants.settings import OPERATOR, Tenant

_QUERIES = Queries("fraud_policy")
_SECRET = "captcha secret"  # noqa: S105  # the purpose of a key


class _Owner(NamedTuple):
    tenant_id: str


class _PolicyRow(NamedTuple):
    is_own: bool
    policy: str | None


class _Found(NamedTuple):
    found: int


class _SettingsRow(NamedTuple):
    policy: str | None
    captcha_secret: bytes | None
    list_entries: int


class _ReplacePolicy(NamedTuple):
    tenant_id: str
    policy: str | None
    captcha_secret: bytes | None
    changed: list[str]
    event_id: str
    actor: str
    request_id: str | None
    network: str | None


_GET_POLICY = _QUERIES.statement("get_policy", _Owner, _PolicyRow)
_SHARE_TENANT = _QUERIES.statement("share_tenant", _Owner, _Found)
_LOCK_SETTINGS = _QUERIES.statement("lock_settings", _Owner, _SettingsRow)
_REPLACE_POLICY = _QUERIES.statement("replace_policy", _ReplacePolicy, RecordedEvents)


async def get_policy(postgres: Postgres, owner: str) -> FraudPolicy:
    """Return the policy of a tenant, or the operator's default."""
    row = await postgres.row(_GET_POLICY, _Owner(owner))
    return read_policy(row.policy if row is not None else None)


async def replace_policy(
    postgres: Postgres, keyring: Keyring, owner: str, policy: FraudPolicy | None, context: EventContext
) -> list[RecordedEvent]:
    """Replace a policy, or remove it (None), and return the event if anything changed.

    A captcha without a secret keeps the stored one. Raises NotFound, ValidationFailed.
    """

    async def work(transaction: Transaction) -> list[RecordedEvent]:
        row = await lock_settings(transaction, owner)
        stored = read_policy(row.policy)
        captcha = policy.captcha if policy is not None else None
        secret = _new_secret(keyring, owner, captcha, row.captcha_secret)
        text = None if policy is None else _without_secret(policy)
        changed = _changed_fields(stored, read_policy(text))
        has_new_secret = captcha is not None and captcha.secret is not msgspec.UNSET
        if has_new_secret and "captcha" not in changed:
            changed.append("captcha")
        if not changed and (text is None) == (row.policy is None):
            return []
        parameters = _ReplacePolicy(owner, text, secret, changed, new_id("evt"), *context)
        updated = await transaction.row(_REPLACE_POLICY, parameters)
        return read_events(updated.events) if updated is not None else []

    return await postgres.in_transaction(work)


async def lock_settings(transaction: Transaction, owner: str) -> _SettingsRow:
    """Lock the row of a tenant or of the operator until the end of the transaction. Raises NotFound."""
    if owner != OPERATOR and await transaction.row(_SHARE_TENANT, _Owner(owner)) is None:
        raise NotFound
    row = await transaction.row(_LOCK_SETTINGS, _Owner(owner))
    assert row is not None  # the upsert returns its row
    return row


def captcha_secret(keyring: Keyring, tenant: Tenant) -> str | None:
    """Decrypt the captcha secret of the tenant's policy; None where no accepted JWT_SECRET decrypts it."""
    owner = tenant.id.removesuffix(":test") if tenant.has_own_policy else OPERATOR
    if tenant.captcha_secret is None:
        return None
    text = keyring.open(_SECRET, tenant.captcha_secret, owner.encode())
    return text.decode() if text is not None else None


def _new_secret(keyring: Keyring, owner: str, captcha: Captcha | None, stored: bytes | None) -> bytes | None:
    """Return the encrypted secret of a new policy: its own, or the stored one. Raises ValidationFailed."""
    if captcha is None:
        return None
    if captcha.secret is not msgspec.UNSET:
        return keyring.seal(_SECRET, captcha.secret.encode(), owner.encode())
    if stored is None:
        message = "Required: no secret is stored yet."
        raise ValidationFailed(errors=[FieldError("captcha.secret", message)])
    return stored


def _without_secret(policy: FraudPolicy) -> str:
    if policy.captcha is not None:
        captcha = msgspec.structs.replace(policy.captcha, secret=msgspec.UNSET)
        policy = msgspec.structs.replace(policy, captcha=captcha)
    return msgspec.json.encode(policy).decode()


def _changed_fields(before: FraudPolicy, after: FraudPolicy) -> list[str]:
    return [name for name in FraudPolicy.__struct_fields__ if getattr(before, name) != getattr(after, name)]
