"""Requests and responses of the user's own account (contract: section 5)."""

from datetime import datetime
from typing import Any

import msgspec

from auth1.challenges.schemas import Code, Email, Phone, SolvedProof
from auth1.core.ids import ChallengeId
from auth1.core.schemas import In, Out
from auth1.identifiers import IdentifierType
from auth1.templates.schemas import LocaleHint


class Me(Out):
    """The user of a token. Only the tenant writes `metadata`; the user writes `user_metadata`."""

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
    """Keys of `user_metadata` to set; null removes a key. Other keys stay unchanged."""

    user_metadata: dict[str, Any]


class IdentifierOut(Out):
    """A phone or email that a user can log in with."""

    type: IdentifierType
    value: str


class Identifiers(Out):
    """All identifiers that a user can log in with: at most one phone and one email."""

    data: list[IdentifierOut]
    next_cursor: str | None


class IdentifierIn(In):
    """A `phone` or `email` to add, or to replace the current one with. It receives a code."""

    phone: Phone | None = None
    email: Email | None = None
    locale: LocaleHint | None = None
    challenge_id: ChallengeId | None = None  # to repeat a request with the same challenge
    proof: SolvedProof = None


class IdentifierProof(In):
    """The code that was sent to the new `phone` or `email`."""

    code: Code
    phone: Phone | None = None
    email: Email | None = None
    challenge_id: ChallengeId | None = None
