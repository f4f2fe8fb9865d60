"""Encrypt the secrets of webhooks again after a change of JWT_SECRET, when a worker starts."""

from auth1.core.crypto import Keyring
from auth1.endpoint_secrets import current_seal, encrypt_again
from auth1.services import Services
from auth1.webhooks import store
from auth1.webhooks.store import OutdatedSecrets, WebhookKey

PAGE = 200


async def renew_secrets(app: Services) -> None:
    """Encrypt every secret that only the previous JWT_SECRET opens under the current one. Raises Unavailable.

    A secret that neither opens stays; `auth1 doctor` counts these.
    """
    seal = current_seal(app.keyring)
    after, lost = WebhookKey("", ""), 0
    while page := await store.list_outdated_secrets(app.postgres, after, seal, PAGE):
        for outdated in page:
            lost += not await _renew(app, outdated)
        after = WebhookKey(page[-1].tenant_id, page[-1].webhook_id)
    if lost:
        app.log.warn("JWT_SECRET was replaced without JWT_SECRET_PREVIOUS; rotate these secrets", webhooks=lost)


async def _renew(app: Services, outdated: OutdatedSecrets) -> bool:
    """Encrypt the secrets of a webhook; return whether the one in use could be opened."""
    secret = _encrypt(app.keyring, outdated, outdated.secret)
    if secret is None:
        return False
    previous = outdated.previous_secret and _encrypt(app.keyring, outdated, outdated.previous_secret)
    await store.replace_secrets(app.postgres, outdated, secret, previous)
    return True


def _encrypt(keyring: Keyring, outdated: OutdatedSecrets, encrypted: bytes) -> bytes | None:
    return encrypt_again(keyring, outdated.tenant_id, outdated.webhook_id, encrypted)
