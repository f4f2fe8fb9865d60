"""The main flow through the API: request a code and log in."""

from tests.support.api_client import ApiClient
from tests.support.providers.twilio import TwilioServer


async def test_user_logs_in_with_the_code_that_was_sent(
    api: ApiClient, twilio_server: TwilioServer, phone: str
) -> None:
    tenant = await api.tenant(sms_branding="MyApp")

    requested = await api.post("/api/auth/request", {"phone": phone}, tenant["api_key"])

    assert requested.status_code == 200
    assert requested.json() == {
        "challenge_id": requested.json()["challenge_id"],
        "channel": "sms",
        "status": "sent",
        "destination": f"+1•••••••{phone[-3:]}",
        "expires_in": 600,
        "resend_after": 30,
        "code_length": 6,
    }
    code = twilio_server.code_for(phone)
    assert twilio_server.sent_to(phone) == [f"Your MyApp verification code is: {code}. Expires in 10 minutes."]

    verified = await api.post("/api/auth/verify", {"phone": phone, "code": code}, tenant["api_key"])

    assert verified.status_code == 200
    assert verified.json()["verified"] is True
    assert verified.json()["is_new_user"] is True
