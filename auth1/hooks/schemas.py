"""Bodies of the routes that manage hooks, and the answer of a hook."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from auth1.core.schemas import GraceIn, In, Out
from auth1.hooks.config import HookName, OnError

MAX_REASON_CHARACTERS = 200
MAX_CACHE_S = 60

_Url = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=2048,
        description="Called by POST: https, with a public host.",
        examples=["https://example.com/hooks/auth1"],
    ),
]
_OnError = Annotated[OnError, msgspec.Meta(description="The decision when the hook returns no valid answer.")]
_Timeout = Annotated[float, msgspec.Meta(ge=0.05, le=1, description="Seconds until the answer must be complete.")]
_Secret = Annotated[
    str,
    msgspec.Meta(
        description="Signs the calls. It is shown only when it is new.",
        examples=["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDh1MWXDJ7Xxs="],
    ),
]


class HookIn(In):
    """A hook. It gets a secret when it is created, and another one with `rotate_secret`.

    After a rotation, both secrets sign for `grace_in` seconds.
    """

    url: _Url
    on_error: _OnError
    timeout_in: _Timeout = 1.0
    rotate_secret: bool = False
    grace_in: GraceIn = 24 * 3600


class HookOut(Out):
    """A hook."""

    hook: HookName
    url: _Url
    on_error: _OnError
    timeout_in: _Timeout
    previous_secret_until: datetime | None
    created_at: datetime


class HookSaved(HookOut):
    """A hook, with its secret if that is new."""

    secret: _Secret | msgspec.UnsetType = msgspec.UNSET


class HookAnswer(msgspec.Struct, frozen=True):
    """The answer of a hook. Fields that are not known are ignored."""

    decision: Literal["allow", "deny"]
    reason: Annotated[str, msgspec.Meta(max_length=MAX_REASON_CHARACTERS)] | None = None
    claims: dict[str, Any] | None = None
    cache_for: Annotated[int, msgspec.Meta(ge=0, le=MAX_CACHE_S)] = 0
