"""Tokens of captchas, checked at the `siteverify` of Cloudflare Turnstile or hCaptcha.

One call with one deadline. Nothing is retried, no redirect is followed, and `core/outbound` bounds the response. The
circuit breaker of each provider counts only failures of its service: callers choose the tokens, tenants the secrets.
Callers also choose how many tokens are checked at once. Those beyond our own capacity are no failure of the provider.
A token holds for one host name and is accepted once: the providers see to that, and `redeem` too.
"""

import re
from typing import Any, Literal
from urllib.parse import urlencode

import httpx
import msgspec

from auth1 import metrics
from auth1.core.circuit_breaker import CircuitBreaker
from auth1.core.outbound import AtCapacity, SharedSlots, Transport, is_own_shortage
from auth1.fraud.policy import Captcha

DEADLINE_S = 1.0
CONNECT_S = 0.5
WAIT_S = 0.25  # for a slot, before the call begins
MAX_CALLS = 40  # at once; a tenant alone uses half of them
MAX_BODY_BYTES = 16 * 1024
URLS = {
    "turnstile": "https://challenges.cloudflare.com/turnstile/v0/siteverify",
    "hcaptcha": "https://api.hcaptcha.com/siteverify",
}

# `failed`: the provider did not decide, because of its service or the tenant's secret. `at_capacity`: it was not
# called, because of too many calls of ours.
Result = Literal["accepted", "rejected", "wrong_host", "failed", "at_capacity"]

_JSON_STATUSES = (httpx.codes.OK, httpx.codes.BAD_REQUEST)
# Codes of both providers that say nothing about the token.
_NOT_DECIDED = re.compile(r"(?:missing|invalid)-input-secret|.*secret-mismatch|internal-error|bad-request")
_SERVICE = "internal-error"


class _Response(msgspec.Struct):
    """The fields used of a response."""

    success: bool
    hostname: Any = None
    error_codes: Any = msgspec.field(name="error-codes", default=())


_decode = msgspec.json.Decoder(_Response).decode


class CaptchaVerifier:
    """Checks tokens. `url` replaces the addresses of both providers, for tests and proxies."""

    def __init__(
        self, url: str | None, transport: httpx.AsyncBaseTransport | None = None, *, timeout_scale: float = 1.0
    ) -> None:
        self.breakers = {provider: CircuitBreaker() for provider in URLS}
        self._urls = dict.fromkeys(URLS, url) if url is not None else URLS
        self._transport = transport or Transport(max_connections=MAX_CALLS, max_body_bytes=MAX_BODY_BYTES)
        self._slots = SharedSlots(MAX_CALLS)
        self._wait_s = WAIT_S * timeout_scale
        timeout = httpx.Timeout(DEADLINE_S * timeout_scale, connect=CONNECT_S * timeout_scale)
        self._extensions = {"timeout": timeout.as_dict()}

    async def verify(self, tenant_id: str, captcha: Captcha, secret: str, token: str) -> Result:
        """Return whether a token solves the captcha of a tenant."""
        try:
            async with self._slots.slot(tenant_id, self._wait_s):
                result = await self._verify(captcha, secret, token)
        except AtCapacity:
            result = "at_capacity"
        metrics.CAPTCHAS[captcha.provider, result].inc()
        return result

    async def close(self) -> None:
        await self._transport.aclose()

    async def _verify(self, captcha: Captcha, secret: str, token: str) -> Result:
        """Call the provider, unless its circuit breaker is open. Raises AtCapacity."""
        breaker = self.breakers[captcha.provider]
        if not breaker.allows():
            return "failed"
        response = await self._post(captcha, secret, token)
        breaker.succeeded() if response is not None else breaker.failed()
        metrics.BREAKER_OPEN[captcha.provider].set(breaker.state != "closed")
        return "failed" if response is None else _result(response, captcha)

    async def _post(self, captcha: Captcha, secret: str, token: str) -> _Response | None:
        """Return a response of the provider; None if its service fails. Raises AtCapacity."""
        form = {"secret": secret, "response": token, "sitekey": captcha.site_key}
        headers = {
            "accept": "application/json",
            "accept-encoding": "identity",
            "content-type": "application/x-www-form-urlencoded",
            "user-agent": "auth1",
        }
        content = urlencode(form).encode()
        request = httpx.Request(
            "POST", self._urls[captcha.provider] or "", headers=headers, content=content, extensions=self._extensions
        )
        try:
            response = await self._transport.handle_async_request(request)
            body = b"".join([piece async for piece in response.aiter_raw()])
            decoded = _decode(body) if response.status_code in _JSON_STATUSES else None
        except (httpx.HTTPError, httpx.InvalidURL, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            if is_own_shortage(error):
                raise AtCapacity from error
            return None
        return None if decoded is None or _SERVICE in _codes(decoded) else decoded


def _result(response: _Response, captcha: Captcha) -> Result:
    if not response.success:
        codes = _codes(response)
        return "failed" if any(_NOT_DECIDED.fullmatch(code) for code in codes) else "rejected"
    if captcha.hostnames and response.hostname not in captcha.hostnames:
        return "wrong_host"
    return "accepted"


def _codes(response: _Response) -> list[str]:
    codes = response.error_codes
    return [code for code in codes if isinstance(code, str)] if isinstance(codes, list) else []
