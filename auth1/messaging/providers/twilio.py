"""SMS through Twilio's Messages resource (Programmable Messaging, API 2010-04-01).

One attempt with one deadline: the API has no idempotency key, so nothing is retried here. Redirects are not followed,
and proxy variables of the environment are ignored. `core/outbound` sends the request and bounds the response.
"""

import base64
import re
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import httpx
import msgspec

from auth1.config.providers import TwilioAccount
from auth1.config.sms_rates import MICRO
from auth1.core.outbound import NOT_SENT, ResponseTooLarge, Transport
from auth1.messaging.providers.protocol import Cause, Failure, OutgoingMessage, SendError, SendResult

DEADLINE_S = 2.0
CONNECT_S = 1.0
MAX_VALIDITY_S = 36_000  # Twilio's own bound of ValidityPeriod
MAX_CONNECTIONS = 100
CALLBACK_PATH = "/api/callbacks/twilio/status"

_PRICE = re.compile(r"-?[0-9]{1,4}(?:\.[0-9]{1,12})?", re.ASCII)  # negative: a debit
SID = re.compile(r"(SM|MM)[0-9a-fA-F]{32}")
_SERVICE = re.compile(r"MG[0-9A-Za-z]{32}")

# MessageStatus of a status callback -> our state. `receiving` and `received` concern incoming messages.
STATES = {
    **dict.fromkeys(("queued", "accepted", "scheduled", "sending", "sent"), "sent"),
    **dict.fromkeys(("delivered", "read"), "delivered"),
    **dict.fromkeys(("undelivered", "failed", "canceled"), "failed"),
}

# Twilio's error codes (its "Error and Warning Dictionary") by what follows and by cause.
_ERRORS = {
    (Failure.IMPOSSIBLE, Cause.RECIPIENT): (21211, 21217, 21265, 21614, 21635, 30005, 30006),
    (Failure.OPTED_OUT, Cause.RECIPIENT): (21610,),
    (Failure.THROTTLED, Cause.PROVIDER): (20429, 30001),
    (Failure.THROTTLED, Cause.SENDER): (21611, 30022),  # the queue or the daily cap of one sender
    (Failure.CONFIGURATION, Cause.ACCOUNT): (20003, 20005, 30002, 30010),
    (Failure.CONFIGURATION, Cause.SENDER): (21212, 21603, 21606, 21659, *range(21701, 21706), 30032, 30034),
    (Failure.CONFIGURATION, Cause.RECIPIENT): (21219, 21608, 30004, 30007),  # trial account; blocked; filtered
    (Failure.TRANSIENT, Cause.COUNTRY): (21408, 21612, 30450),
    (Failure.TRANSIENT, Cause.RECIPIENT): (30003, 30008),
}
# Blocked or filtered texts, and suspected SMS pumping: no other provider should send them either.
_BLOCKED = frozenset((30004, 30007, 30450))
_BY_CODE = {code: kind for kind, codes in _ERRORS.items() for code in codes}


class _Response(msgspec.Struct):
    """The fields used of a message, of a legacy error and of an RFC 9457 error. Odd types are no reason to fail."""

    sid: Any = None
    status: Any = None
    code: Any = None
    error_code: Any = None
    price: Any = None  # "-0.00750", in price_unit; seldom present so early
    price_unit: Any = None


_decode = msgspec.json.Decoder(_Response).decode


class Twilio:
    """Sends SMS. `callback_url` is set where Twilio can reach this service."""

    name = "twilio"

    def __init__(
        self,
        account: TwilioAccount,
        callback_url: str | None,
        transport: httpx.AsyncBaseTransport | None = None,
        *,
        timeout_scale: float = 1.0,
    ) -> None:
        self._service = account.messaging_service_sid
        self._callback_url = callback_url
        self.reports = callback_url is not None
        self._transport = transport or Transport(max_connections=MAX_CONNECTIONS)
        self._url = httpx.URL(f"{account.api_url}/2010-04-01/Accounts/{account.account_sid}/Messages.json")
        credentials = base64.b64encode(f"{account.account_sid}:{account.auth_token}".encode()).decode()
        self._headers = httpx.Headers(
            {
                "accept": "application/json",
                "accept-encoding": "identity",
                "authorization": f"Basic {credentials}",
                "content-type": "application/x-www-form-urlencoded",
                "user-agent": "auth1",
            }
        )
        timeout = httpx.Timeout(DEADLINE_S * timeout_scale, connect=CONNECT_S * timeout_scale)
        self._extensions = {"timeout": timeout.as_dict()}

    def form(self, message: OutgoingMessage) -> dict[str, str]:
        """Return the fields of the request, as Twilio names them."""
        sender = message.senders.twilio or self._service
        fields = {
            "To": message.to,
            "MessagingServiceSid" if _SERVICE.fullmatch(sender) else "From": sender,
            "Body": message.text,
            # A code that arrives after it expired is useless, and Twilio's default is ten hours.
            "ValidityPeriod": str(min(max(message.expires_in, 1), MAX_VALIDITY_S)),
        }
        if self._callback_url is not None:
            # The ids come back in the URL, so that a delivery report finds its message before this response arrives.
            ids = {"tenant_id": message.tenant_id, "message_id": message.message_id}
            fields["StatusCallback"] = f"{self._callback_url}?{urlencode(ids)}"
        return fields

    async def send(self, message: OutgoingMessage) -> SendResult:
        """Create the message at Twilio; the result contains its SID."""
        try:
            status, body = await self._post(self.form(message))
        except NOT_SENT as error:
            raise SendError(Failure.TRANSIENT, "no_connection") from error
        except httpx.TimeoutException as error:
            raise SendError(Failure.UNKNOWN, "timeout") from error
        except ResponseTooLarge as error:
            raise _error_of_status(error.status_code, "answer_too_long") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise SendError(Failure.UNKNOWN, "connection_lost") from error
        return _read(status, body)

    async def close(self) -> None:
        await self._transport.aclose()

    async def _post(self, form: dict[str, str]) -> tuple[int, bytes]:
        """Send the request once. It needs no client of httpx, which costs as much as all the rest of a request."""
        request = httpx.Request(
            "POST", self._url, headers=self._headers, content=urlencode(form), extensions=self._extensions
        )
        response = await self._transport.handle_async_request(request)
        return response.status_code, b"".join([piece async for piece in response.aiter_raw()])


def is_retryable(status: str, code: int | None) -> bool:
    """Return whether another provider may deliver a message that Twilio did not deliver.

    False for impossible or opted-out recipients, blocked texts, and canceled messages.
    """
    failure, _ = _BY_CODE.get(code or 0, (None, None))
    is_final = failure in (Failure.IMPOSSIBLE, Failure.OPTED_OUT) or code in _BLOCKED
    return status in ("undelivered", "failed") and not is_final


def _read(status: int, body: bytes) -> SendResult:
    """Return the result of an accepted message. Raises SendError."""
    response = _parse(body)
    if status in (200, 201):
        sid = response.sid if response else None
        if response and isinstance(sid, str) and SID.fullmatch(sid) and response.status != "failed":
            return SendResult(sid, _price(response))
        raise SendError(Failure.UNKNOWN, "garbage")
    code = _code(response)
    if code is not None and code in _BY_CODE and status < 500:
        failure, cause = _BY_CODE[code]
        raise SendError(failure, str(code), cause)
    raise _error_of_status(status, str(code or f"http_{status}"))


def _price(response: _Response) -> int | None:
    """Return the price in millionths of a US dollar; None where it is billed in another currency."""
    text = str(response.price)
    if response.price_unit not in ("USD", "usd") or not _PRICE.fullmatch(text):
        return None
    return round(abs(Decimal(text)) * MICRO)


def _error_of_status(status: int, code: str) -> SendError:
    """Classify by HTTP status: 429 was never processed, a 3xx or 4xx was rejected, anything else was possibly sent.

    A 400 with an unknown code may concern this message alone, so it does not count against the account.
    """
    if status == 429:
        return SendError(Failure.THROTTLED, code)
    if not 300 <= status < 500:
        return SendError(Failure.UNKNOWN, code)
    return SendError(Failure.CONFIGURATION, code, Cause.RECIPIENT if status == 400 else Cause.ACCOUNT)


def _code(response: _Response | None) -> int | None:
    value: Any = response and (response.code if response.code is not None else response.error_code)
    return int(value) if isinstance(value, int) or (isinstance(value, str) and value.isdecimal()) else None


def _parse(body: bytes) -> _Response | None:
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
