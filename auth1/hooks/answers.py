"""Read the answer of a hook. An answer that is not as documented is `bad_answer`, never an internal error."""

from collections.abc import Mapping
from typing import Any

import msgspec

from auth1.hooks.schemas import HookAnswer

MAX_ANSWER_BYTES = 4096
MAX_CLAIMS_BYTES = 2048
# The claims that Auth1 issues or may issue (RFC 7519, RFC 8176, RFC 9068, OpenID Connect Core). Hooks never set them.
RESERVED_CLAIMS = frozenset(
    (
        "acr act amr at_hash aud auth_time azp c_hash client_id cnf email email_verified events exp iat iss jti"
        " may_act nbf nonce phone_number phone_number_verified s_hash scope sid sub test token_type txn typ"
    ).split()
)

_decode = msgspec.json.Decoder(HookAnswer).decode


class BadAnswer(ValueError):
    """An answer that is not as documented."""


def read_answer(body: bytes, *, is_truncated: bool) -> HookAnswer:
    """Read an answer, without the claims that are ours. Raises BadAnswer."""
    if is_truncated or len(body) > MAX_ANSWER_BYTES:
        raise BadAnswer
    try:
        answer = _decode(body)
        if answer.claims:
            answer = msgspec.structs.replace(answer, claims=_own_claims(answer.claims))
    except (msgspec.DecodeError, UnicodeDecodeError, UnicodeEncodeError, RecursionError) as error:
        raise BadAnswer from error
    return answer


def _own_claims(claims: Mapping[str, Any]) -> dict[str, Any]:
    """Return the claims that a hook may set. Raises BadAnswer where they are too long."""
    own = {name: value for name, value in claims.items() if name not in RESERVED_CLAIMS}
    if len(msgspec.json.encode(own)) > MAX_CLAIMS_BYTES:
        raise BadAnswer
    return own
