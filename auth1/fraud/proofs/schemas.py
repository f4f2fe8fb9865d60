"""Proofs that a caller sends with a doubtful request: solved proof of work, or the token of a captcha."""

from typing import Annotated

import msgspec

from auth1.core.schemas import In


class PowProof(In, tag_field="kind", tag="pow"):
    """Solved proof of work. It is valid once, for its tenant and phone or email, for 5 minutes."""

    payload: Annotated[
        str,
        msgspec.Meta(
            max_length=1024,
            description="Base64 of the solution's JSON, as ALTCHA's widget returns it: "
            "`algorithm`, `challenge`, `number`, `salt` and `signature`.",
        ),
    ]


class CaptchaProof(In, tag_field="kind", tag="captcha"):
    """The token of a solved captcha. It is valid once."""

    token: Annotated[str, msgspec.Meta(min_length=1, max_length=8192, description="As the provider's script returns.")]


Proof = PowProof | CaptchaProof
