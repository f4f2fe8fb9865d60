"""What goes into the account and what comes out (contract: section 5)."""

from datetime import datetime
from typing import Any

import msgspec

from auth1.challenges.schemas import Code, Email, Phone
from auth1.core.ids import ChallengeId
from auth1.core.schemas import In, Out
from auth1.identifiers import IdentifierType
from auth1.templates.schemas import LocaleHint


class Me(Out):
    """The user whom a token is for. `metadata` is the tenant's to write; `user_metadata` the user's own."""

    user_id: str
    phone: str | None
    email: str | None
    created_at: datetime
    last_login_at: datetime | None
    metadata: msgspec.Raw
    user_metadata: msgspec.Raw
    session_id: str
    logged_in_at: datetime


class MePatch(In):
    """Keys of `user_metadata` to set, or to remove where their value is null. The others stay as they are."""

    user_metadata: dict[str, Any]


class IdentifierOut(Out):
    """What a user can log in by."""

    type: IdentifierType
    value: str


class Identifiers(Out):
    """All that a user can log in by: at most one phone and one email."""

    data: list[IdentifierOut]
    next_cursor: None = None  # as any list has it


class IdentifierIn(In):
    """A `phone` or an `email` to add, or to have instead of the one there is. A code is sent to it."""

    phone: Phone | None = None
    email: Email | None = None
    locale: LocaleHint | None = None
    challenge_id: ChallengeId | None = None  # to ask again and keep the challenge


class IdentifierProof(In):
    """The code that was sent to the new `phone` or `email`."""

    code: Code
    phone: Phone | None = None
    email: Email | None = None
    challenge_id: ChallengeId | None = None
