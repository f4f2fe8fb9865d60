"""Delivery reports without a signature are rejected before their body is read."""

from auth1.messaging.providers.twilio import CALLBACK_PATH
from tests.conftest import Started
from tests.support.raw_asgi import RawAsgi

FORM = (b"content-type", b"application/x-www-form-urlencoded")
SIGNATURE = (b"x-twilio-signature", b"invalid")


async def test_callback_without_a_signature_is_rejected_unread(raw_asgi: RawAsgi) -> None:
    response = await raw_asgi.answer("POST", CALLBACK_PATH, [FORM], [b"a="], then="stall")

    assert (response.status_code, response.json()["code"]) == (403, "forbidden")


async def test_callback_is_rejected_unread_when_twilio_is_not_configured(start_app: Started) -> None:
    nothing = {"TWILIO_ACCOUNT_SID": "", "TWILIO_AUTH_TOKEN": "", "TWILIO_MESSAGING_SERVICE_SID": ""}
    raw_asgi = RawAsgi(await start_app(**nothing))

    response = await raw_asgi.answer("POST", CALLBACK_PATH, [FORM, SIGNATURE], [b"a="], then="stall")

    assert (response.status_code, response.json()["code"]) == (403, "forbidden")
