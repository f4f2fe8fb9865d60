"""Signatures of Twilio's callbacks (Twilio's documentation, "Webhooks Security").

A callback is signed with the account's token: Base64 of an HMAC over the URL that Twilio calls and the form's names and
values in order. It uses SHA-1, or SHA-256 with a SharedKey, which a second header announces. The URL is built from
APP_URL, never from the request, because an attacker chooses the request's Host.
"""

import base64
import hmac
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from auth1.core import crypto

_DIGESTS = {"HMAC_SHA1": "sha1", "HMAC_SHA256": "sha256"}
_DEFAULT_PORTS = {"https": 443, "http": 80}
Pairs = Iterable[tuple[str, str]]


def sign(token: str, url: str, pairs: Pairs, digest: str = "sha1") -> str:
    """Sign as Twilio does: pairs sorted by name, then by value; a repeated pair counts once."""
    text = url + "".join(name + value for name, value in sorted(set(pairs)))
    return base64.b64encode(hmac.digest(token.encode(), text.encode(), digest)).decode()


def signature_is_valid(
    signature: str | None, settings: str | None, *, tokens: Sequence[str], app_url: str, target: str, pairs: Pairs
) -> bool:
    """Return whether X-Twilio-Signature is valid for `target` (path and query) at `app_url`, by any of the tokens.

    `settings` is the header X-Twilio-Webhooks-Signature-Settings. Like Twilio's own validator, accept a signature of
    the URL with its port or without.
    """
    digest = _DIGESTS.get(_algorithm(settings))
    if not signature or digest is None:
        return False
    pairs = tuple(pairs)  # read more than once
    expected = [sign(token, base + target, pairs, digest) for token in tokens for base in _spellings(app_url)]
    return any(crypto.equal(signature, candidate) for candidate in expected)


def _algorithm(settings: str | None) -> str:
    """Return the algorithm of `key=…,algorithm=HMAC_SHA256`."""
    for part in (settings or "").split(","):
        name, _, value = part.partition("=")
        if name.strip() == "algorithm" and value.strip():
            return value.strip().upper()
    return "HMAC_SHA1"


def _spellings(app_url: str) -> tuple[str, str]:
    """Return a URL without and with its port, otherwise unchanged."""
    parts = urlsplit(app_url)
    scheme, _, rest = app_url.partition("://")
    path = rest.removeprefix(parts.netloc)
    host = parts.netloc.removesuffix(f":{parts.port}")
    port = parts.port or _DEFAULT_PORTS[parts.scheme]
    return f"{scheme}://{host}{path}", f"{scheme}://{host}:{port}{path}"
