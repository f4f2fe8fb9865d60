"""What goes into the main job and what comes out (contract: sections 4 and 5)."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from auth1.callers.tenant import Locale
from auth1.core.schemas import In, Out
from auth1.sessions.schemas import Tokens

Phone = Annotated[str, msgspec.Meta(max_length=64, description="E.164: +15551234567")]
Email = Annotated[str, msgspec.Meta(max_length=320)]
ChallengeId = Annotated[str, msgspec.Meta(max_length=64, pattern=r"^ch_[0-9a-z]{26}\Z")]
CodeChallenge = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{43}\Z", description="PKCE, S256 (RFC 7636)")]
METADATA_BYTES = 1024


class CodeRequest(In):
    """Ask for a one-time code: `phone` or `email`."""

    phone: Phone | None = None
    email: Email | None = None
    mode: Literal["code", "link", "both"] = "code"  # a link only by email
    locale: Locale | None = None  # the person's language; one that has no text falls back
    redirect_to: Annotated[str, msgspec.Meta(max_length=2048)] | None = (
        None  # exactly one of the tenant's redirect_uris
    )
    code_challenge: CodeChallenge | None = None  # required with redirect_to
    challenge_id: ChallengeId | None = None  # to ask again and keep the challenge
    metadata: dict[str, Any] | None = None  # at most 1 KiB; goes into the event only


class CodeSent(Out):
    """A code is on its way. `status` is `sent` when a provider took it and `queued` when one soon will.

    With a link, `challenge_secret` redeems it once it is confirmed. Keep it in the tab that asked.
    """

    challenge_id: str
    channel: str
    status: str
    destination: str
    expires_in: int
    resend_after: int
    code_length: int
    challenge_secret: str | msgspec.UnsetType = msgspec.UNSET


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


class MessageOut(Out):
    """A message on its way, and how far it has come. `error` is told to secret keys only."""

    message_id: str
    state: Literal["queued", "sent", "delivered", "failed", "unknown"]
    provider: str | None
    error: str | msgspec.UnsetType | None
    created_at: datetime
    updated_at: datetime


class ChallengeOut(Out):
    """What became of a challenge, and of the newest message that was sent for it."""

    challenge_id: str
    channel: str
    status: Literal["open", "answered", "expired", "exhausted", "cancelled"]
    opened_at: datetime
    expires_at: datetime
    message: MessageOut | None


class CodeGrant(In, tag_field="grant_type", tag="authorization_code"):
    """Redeem what the page behind a link sent to `redirect_to`."""

    code: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    code_verifier: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._~-]{43,128}\Z", description="RFC 7636, 4.1")]


class ChallengeGrant(In, tag_field="grant_type", tag="challenge"):
    """Redeem a confirmed link where it was asked for."""

    challenge_id: ChallengeId
    challenge_secret: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


class Verified(Tokens, kw_only=True):
    """The code was right: a session and its tokens."""

    verified: bool = True
    is_new_user: bool
