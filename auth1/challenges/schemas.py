"""What goes into the main job and what comes out (contract: sections 4 and 5)."""

from typing import Annotated, Any, Literal

import msgspec

from auth1.core.schemas import In, Out

Phone = Annotated[str, msgspec.Meta(max_length=64, description="E.164: +15551234567")]
Email = Annotated[str, msgspec.Meta(max_length=320)]
ChallengeId = Annotated[str, msgspec.Meta(max_length=64, pattern=r"^ch_[0-9a-z]{26}\Z")]
METADATA_BYTES = 1024


class CodeRequest(In):
    """Ask for a one-time code: `phone` or `email`."""

    phone: Phone | None = None
    email: Email | None = None
    mode: Literal["code"] = "code"
    challenge_id: ChallengeId | None = None  # to ask again and keep the challenge
    metadata: dict[str, Any] | None = None  # at most 1 KiB; goes into the event only


class CodeSent(Out):
    """A code is on its way. `status` is `sent` when a provider took it and `queued` when one soon will."""

    challenge_id: str
    channel: str
    status: str
    destination: str
    expires_in: int
    resend_after: int
    code_length: int


class Device(In):
    """What the person calls the device."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f-\x9f]+\Z")]


class CodeAnswer(In):
    """Submit a code for `phone` or `email`."""

    code: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{4,10}\Z")]
    phone: Phone | None = None
    email: Email | None = None
    challenge_id: ChallengeId | None = None
    device: Device | None = None


class Verified(Out, kw_only=True):
    """The code was right: a session and its tokens. `expires_in` is the token's life."""

    verified: bool = True
    token: str
    token_type: str = "Bearer"  # noqa: S105  # the scheme of RFC 6750
    expires_in: int
    refresh_token: str
    user_id: str
    session_id: str
    is_new_user: bool
