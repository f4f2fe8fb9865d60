"""Secrets of hooks outlive a change of JWT_SECRET."""

from standardwebhooks.webhooks import Webhook

from auth1.cli.webhook_checks import check_hook_secrets
from auth1.core.crypto import Keyring
from auth1.secret_renewal import encrypt_all_again
from tests.conftest import JWT_SECRET, Started
from tests.hooks.conftest import ALLOWED
from tests.hooks.user import HookUser, outcome

NEW_SECRET = "another secret for signing that only the tests know"


async def test_secrets_are_encrypted_again_after_a_change_of_jwt_secret(user: HookUser, start_app: Started) -> None:
    first = await user.set_hook("before_send")
    second = await user.set_hook("before_send", rotate_secret=True)
    changed = await start_app(JWT_SECRET=NEW_SECRET, JWT_SECRET_PREVIOUS=JWT_SECRET, **ALLOWED)
    before = await check_hook_secrets(changed.settings)

    lost = await encrypt_all_again(changed.services.postgres, changed.services.keyring)

    after = await check_hook_secrets(changed.settings)
    user.apis = [await start_app(JWT_SECRET=NEW_SECRET, **ALLOWED)]
    user.__post_init__()
    assert outcome(await user.request()) == (200, "")
    [call] = user.calls("before_send")
    for saved in (first, second):
        assert Webhook(saved["secret"]).verify(call.body, call.headers)
    assert lost["hooks"] == 0
    assert (before[0].status, after[0].status) == ("warn", "ok")
    # Back to the secret of the other tests.
    assert (await encrypt_all_again(changed.services.postgres, Keyring(JWT_SECRET, NEW_SECRET)))["hooks"] == 0


async def test_hook_whose_secret_is_lost_decides_nothing(user: HookUser, start_app: Started) -> None:
    await user.set_hook("before_send")
    changed = await start_app(JWT_SECRET=NEW_SECRET, **ALLOWED)
    stored = "select secret from hooks where tenant_id = $1"
    before = await user.database.fetchval(stored, user.tenant_id)

    lost = await encrypt_all_again(changed.services.postgres, changed.services.keyring)
    user.apis = [changed]
    user.__post_init__()
    denied = await user.request()
    await user.set_hook("before_send", rotate_secret=True)
    allowed = await user.request()

    assert lost["hooks"] >= 1
    assert await user.database.fetchval(stored, user.tenant_id) != before
    assert outcome(denied) == (403, "hook_denied")
    assert outcome(allowed) == (200, "")
