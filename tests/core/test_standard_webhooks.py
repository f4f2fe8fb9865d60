"""Signatures of Standard Webhooks: the reference library is the oracle."""

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from auth1.core.standard_webhooks import format_secret, new_secret, sign

BODY = b'{"type":"challenge.answered","data":{"n":1}}'
SECRET, OTHER = bytes(range(32)), bytes(range(1, 33))
ID = "evt_0123456789"


def verify(headers: dict[str, str], body: bytes = BODY, secret: bytes = SECRET) -> None:
    Webhook(format_secret(secret)).verify(body, headers)


def test_reference_library_makes_the_same_signature() -> None:
    now = int(time.time())

    headers = sign([SECRET], ID, now, BODY)

    verify(headers)
    assert headers["webhook-id"] == ID
    assert headers["webhook-timestamp"] == str(now)


def test_signature_equals_the_example_of_the_specification() -> None:
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")

    headers = sign([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')

    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(st.binary(max_size=200), st.lists(st.binary(min_size=24, max_size=64), min_size=1, max_size=3))
def test_each_secret_verifies_any_body(text: bytes, secrets: list[bytes]) -> None:
    body = b'"' + base64.b64encode(text) + b'"'
    headers = sign(secrets, ID, int(time.time()), body)

    for secret in secrets:
        verify(headers, body, secret)


def test_changed_message_is_rejected() -> None:
    now = int(time.time())
    headers = sign([SECRET], ID, now, BODY)

    for changed, body, secret in [
        (headers, BODY + b" ", SECRET),
        (headers, BODY[:-1], SECRET),
        (headers | {"webhook-id": ID + "0"}, BODY, SECRET),
        (headers | {"webhook-timestamp": str(now + 1)}, BODY, SECRET),
        (headers, BODY, OTHER),
        (sign([SECRET], ID, now - 3600, BODY), BODY, SECRET),  # an old message, sent again by a stranger
    ]:
        with pytest.raises(WebhookVerificationError):
            verify(changed, body, secret)


def test_both_secrets_verify_during_a_rotation() -> None:
    headers = sign([OTHER, SECRET], ID, int(time.time()), BODY)

    verify(headers, secret=OTHER)
    verify(headers, secret=SECRET)
    with pytest.raises(WebhookVerificationError):
        verify(headers, secret=bytes(32))


def test_id_with_a_full_stop_is_rejected() -> None:
    with pytest.raises(ValueError, match="full stop"):
        sign([SECRET], "a.b", 1, BODY)


def test_new_secret_is_random_and_has_its_prefix() -> None:
    first, second = new_secret(), new_secret()

    assert first != second
    assert len(first) == 32
    assert format_secret(first).startswith("whsec_")
