"""Bodies of requests and responses: request and verify a code, redeem a link, show a challenge."""

from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from auth1.core.ids import ChallengeId
from auth1.core.schemas import ONE_LINE, In, Out
from auth1.fraud.proofs.schemas import Proof
from auth1.templates.schemas import LocaleHint

Phone = Annotated[str, msgspec.Meta(max_length=64, description="E.164: +15551234567", examples=["+15551234567"])]
Email = Annotated[str, msgspec.Meta(max_length=320, description="An address in ASCII: a@b.co")]
Code = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[0-9]{4,12}\Z",
        extra={"message": 'Must be a string of 4 to 12 digits, such as "482913".'},
        examples=["482913"],
    ),
]
CodeChallenge = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[A-Za-z0-9_-]{43}\Z",
        description="PKCE, S256 (RFC 7636)",
        extra={"message": "Must be the SHA-256 digest of the code_verifier in base64url: 43 characters."},
    ),
]
SolvedProof = Annotated[Proof | None, msgspec.Meta(description="The solved `proof` of an error `proof_required`.")]
METADATA_BYTES = 1024
Body = TypeVar("Body", bound=msgspec.Struct)


class CodeRequest(In):
    """Request a one-time code for a `phone` or an `email`."""

    phone: Phone | None = None
    email: Email | None = None
    mode: Annotated[Literal["code", "link", "both"], msgspec.Meta(description="Only an email can contain a link.")] = (
        "code"
    )
    locale: LocaleHint | None = None
    redirect_to: Annotated[
        Annotated[str, msgspec.Meta(max_length=2048)] | None,
        msgspec.Meta(description="Where the link leads: exactly one of the tenant's redirect_uris."),
    ] = None
    code_challenge: Annotated[
        CodeChallenge | None, msgspec.Meta(description="PKCE, S256 (RFC 7636): required with redirect_to.")
    ] = None
    code_challenge_method: Annotated[
        Literal["S256"] | None, msgspec.Meta(description="The method of code_challenge; S256 is the only one.")
    ] = None
    challenge_id: Annotated[ChallengeId | None, msgspec.Meta(description="The challenge to repeat.")] = None
    metadata: Annotated[dict[str, Any] | None, msgspec.Meta(description="At most 1 KiB; goes into the event only.")] = (
        None
    )
    proof: SolvedProof = None


class CodeSent(Out):
    """The code is `sent` when a provider has accepted the message, `queued` when the message will be sent soon.

    `challenge_secret` redeems a link after its confirmation; keep it in the tab that sent this request. A link with
    `redirect_to` has no secret. In the sandbox, which sends no emails, `link` is the link itself.
    """

    challenge_id: str
    channel: str
    status: str
    destination: str
    expires_in: int
    resend_after: int
    code_length: int
    challenge_secret: str | msgspec.UnsetType = msgspec.UNSET
    link: str | msgspec.UnsetType = msgspec.UNSET


class Device(In):
    """The name that the user gave to the device."""

    name: Annotated[
        str, msgspec.Meta(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f-\x9f]+\Z", extra=ONE_LINE)
    ]


class CodeAnswer(In):
    """Submit a code for `phone` or `email`."""

    code: Code
    phone: Phone | None = None
    email: Email | None = None
    challenge_id: ChallengeId | None = None
    device: Device | None = None


class MessageOut(Out):
    """A message and its delivery state. Only responses to secret keys contain `error`."""

    message_id: str
    state: Literal["queued", "sent", "delivered", "failed", "unknown"]
    provider: str | None
    error: str | msgspec.UnsetType | None
    created_at: datetime
    updated_at: datetime


class ChallengeOut(Out):
    """The status of a challenge, and its newest message.

    While sign-up is closed, `message` is null except for secret keys: it would show which identifiers have a user.
    """

    challenge_id: str
    channel: str
    status: Literal["open", "answered", "expired", "exhausted", "cancelled"]
    opened_at: datetime
    expires_at: datetime
    message: MessageOut | None


class CodeGrant(In, tag_field="grant_type", tag="authorization_code"):
    """Redeem the code that a confirmed link sent to `redirect_to`."""

    code: Annotated[
        str, msgspec.Meta(min_length=1, max_length=128, examples=["Jq2vC0mQ9sL4tR7yB1dF6hJ3kP8wZ5aE0gU2iO4xV6c"])
    ]
    code_verifier: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^[A-Za-z0-9._~-]{43,128}\Z",
            extra={"message": "Must be 43 to 128 letters, digits and the characters - . _ ~ (RFC 7636, 4.1)."},
            description="RFC 7636, 4.1",
            examples=["dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"],
        ),
    ]


class ChallengeGrant(In, tag_field="grant_type", tag="challenge"):
    """Redeem a confirmed link without `redirect_to`, in the tab that requested it."""

    challenge_id: Annotated[ChallengeId, msgspec.Meta(examples=["ch_01jd8k2m4n6p8q0r2s4t6v8w0x"])]
    challenge_secret: Annotated[
        str, msgspec.Meta(min_length=1, max_length=128, examples=["pT4hW9zK2vM7cX0bN5qL8sD1fG3jR6yA9eU2iO4tV7w"])
    ]


def without_proof(body: Body) -> Body:
    """Return the part of a body that identifies its request: a retry under an Idempotency-Key needs a new proof."""
    return msgspec.structs.replace(body, proof=None)
