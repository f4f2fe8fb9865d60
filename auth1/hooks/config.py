"""The hooks of a tenant, as its requests see them: they are cached with the tenant."""

from typing import Literal, get_args

import msgspec

HookName = Literal["before_send", "before_user_created", "before_token"]
OnError = Literal["allow", "deny"]
# Where a login pauses until its hooks have decided: before its user is created, or always.
Pause = Literal["creation", "login"]

NAMES: tuple[HookName, ...] = get_args(HookName)


class Hook(msgspec.Struct, frozen=True):
    """A hook of a tenant. Its secrets are encrypted; the previous one signs too until it expires.

    `revision` changes with each change of the hook.
    """

    name: HookName
    url: str
    on_error: OnError
    timeout_ms: int
    revision: str
    secret: bytes
    previous_secret: bytes | None = None
    previous_secret_until: float | None = None  # seconds since 1970


class Hooks(msgspec.Struct, frozen=True):
    """The hooks of a tenant, at most one before each action."""

    before_send: Hook | None = None
    before_user_created: Hook | None = None
    before_token: Hook | None = None

    @property
    def pause_before(self) -> Pause | None:
        """Return the point at which a login pauses; None: it does not pause, and needs one statement."""
        if self.before_token is not None:
            return "login"
        return "creation" if self.before_user_created is not None else None


NO_HOOKS = Hooks()
_decode = msgspec.json.Decoder(Hooks).decode


def read_hooks(stored: str | None) -> Hooks:
    """Read hooks as the database returns them; null: none."""
    return _decode(stored) if stored is not None else NO_HOOKS
