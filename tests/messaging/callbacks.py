"""Twilio's status callbacks, signed by Twilio's own library."""

from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
from twilio.request_validator import RequestValidator

from tests.support.api_client import ApiClient
from tests.support.providers.twilio import ACCOUNT_SID, AUTH_TOKEN, SERVICE_SID

PATH = "/api/callbacks/twilio/status"
SID = "SM" + "5" * 32
UNDELIVERED, FAILED = {"ErrorCode": "30003"}, {"ErrorCode": "30008"}
Pairs = list[tuple[str, str]]


class Parameters:
    """A form as Twilio's validator reads it: every value of a name (Django's QueryDict)."""

    def __init__(self, pairs: Pairs) -> None:
        self._pairs = pairs

    def __iter__(self) -> "object":
        return iter([name for name, _ in self._pairs])

    def __len__(self) -> int:
        return len(self._pairs)

    def getlist(self, name: str) -> list[str]:
        return [value for other, value in self._pairs if other == name]


def signature(url: str, pairs: Pairs, token: str = AUTH_TOKEN, algorithm: str | None = None) -> str:
    """Return the signature that Twilio's own library computes."""
    return str(RequestValidator(token).compute_signature(url, Parameters(pairs), algorithm))


@dataclass
class Report:
    """One status callback, which a test may change before or after it is signed."""

    url: str
    status: str
    sid: str = SID
    more: dict[str, str] = field(default_factory=dict)

    @property
    def pairs(self) -> Pairs:
        """Return the parameters that Twilio sends (its documentation, "Track outbound message status")."""
        named = {
            "ApiVersion": "2010-04-01",
            "AccountSid": ACCOUNT_SID,
            "MessagingServiceSid": SERVICE_SID,
            "From": "+15005550006",
            "To": "+15551234567",
            "MessageSid": self.sid,
            "SmsSid": self.sid,
            "MessageStatus": self.status,
            "SmsStatus": self.status,
        }
        return list((named | self.more).items())

    async def send(self, api: ApiClient, signed: str | None = None, **headers: str) -> httpx.Response:
        """Send the callback to an application, by default signed for the URL."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named["x-twilio-signature"] = signature(self.url, self.pairs) if signed is None else signed
        return await post_form(api, target(self.url), self.pairs, named)


def target(url: str) -> str:
    """Return the request target of a URL."""
    parts = urlsplit(url)
    return PATH + (f"?{parts.query}" if parts.query else "")


async def post_form(api: ApiClient, path: str, pairs: Pairs, headers: dict[str, str]) -> httpx.Response:
    content = urlencode(pairs)
    named = {"content-type": "application/x-www-form-urlencoded; charset=UTF-8"} | headers
    return await api.client.post(
        path, content=content, headers=[(n.encode(), v.encode("latin-1")) for n, v in named.items()]
    )


def ids_in(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query))
