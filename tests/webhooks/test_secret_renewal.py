"""Secrets of webhooks outlive a change of JWT_SECRET."""

from auth1.cli.webhook_checks import check_secrets
from auth1.endpoint_secrets import decrypt_secret
from auth1.secret_renewal import renew_secrets
from tests.conftest import JWT_SECRET, Started
from tests.webhooks.conftest import Owner
from tests.webhooks.test_webhooks import secret_of

NEW, NEWER = "another secret for signing that only the tests know", "a third secret for signing, unknown elsewhere"


async def secrets(owner: Owner, keyring: object, webhook_id: str) -> list[bytes | None]:
    row = await owner.database.fetchrow("select secret, previous_secret from webhooks where id = $1", webhook_id)
    assert row is not None
    return [decrypt_secret(keyring, owner.tenant_id, webhook_id, box) for box in row]  # type: ignore[arg-type]  # a Keyring


async def test_secrets_are_encrypted_again_under_the_new_jwt_secret(
    owner: Owner, webhook_url: str, start_app: Started
) -> None:
    webhook = await owner.webhook()
    rotated = (await owner.call("POST", f"/{webhook['webhook_id']}/rotate-secret")).json()
    expected = [secret_of(rotated["secret"]), secret_of(webhook["secret"])]

    changed = await start_app(DATABASE_URL=webhook_url, JWT_SECRET=NEW, JWT_SECRET_PREVIOUS=JWT_SECRET)
    [before] = await check_secrets(changed.settings)
    await renew_secrets(changed.services)
    [after] = await check_secrets(changed.settings)

    assert (before.status, after.status) == ("warn", "ok")
    assert await secrets(owner, changed.services.keyring, webhook["webhook_id"]) == expected
    later = await start_app(DATABASE_URL=webhook_url, JWT_SECRET=NEW)
    assert await secrets(owner, later.services.keyring, webhook["webhook_id"]) == expected

    lost = await start_app(DATABASE_URL=webhook_url, JWT_SECRET=NEWER)
    await renew_secrets(lost.services)
    assert (await check_secrets(lost.settings))[0].status == "warn"
    assert await secrets(owner, later.services.keyring, webhook["webhook_id"]) == expected
    assert "rotate these secrets" in await lost.log()
