"""Logins and refreshes of tenants with hooks.

A login pauses in PostgreSQL after its right code, before anything is counted, consumed or created. While the hooks
decide, no connection or lock is held. If they allow the login, it runs again. So a denied login creates no session and
no user, and its code stays valid. A login of a tenant without such hooks is one statement.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

import msgspec

from auth1.core.http.request import Request
from auth1.errors import Unavailable
from auth1.hooks import actions
from auth1.hooks.config import Pause
from auth1.identifiers import Identifier
from auth1.services import Services
from auth1.sessions.tokens import NO_CLAIMS, ExtraClaims, Subject
from auth1.tenants.settings import Tenant

MAX_RUNS = 3  # the identifier gets another user between two runs: at most by an import, an erasure or a login elsewhere
_UNSETTLED = ("iat", "exp", "jti")  # claims of the token that is signed later


class LoginResult(Protocol):
    """The result of a run: `new` and `known` are verdicts of a pause."""

    @property
    def verdict(self) -> str:
        """Return the decision."""

    @property
    def user_id(self) -> str | None:
        """Return the user, in a pause the new one too."""

    @property
    def is_new_user(self) -> bool:
        """Return whether the login creates its user."""


Result = TypeVar("Result", bound=LoginResult)


async def run_login(
    app: Services,
    request: Request[Any],
    tenant: Tenant,
    session_id: str,
    run: Callable[[Pause | None, str | None], Awaitable[Result]],
    identifier_of: Callable[[Result], Identifier],
) -> tuple[Result, ExtraClaims]:
    """Run a login, with the hooks of its tenant; return its result and the claims of the hook. Raises HookDenied.

    `run` takes `pause_before` and `allowed_user_id` of the statement.
    """
    pause_before = tenant.hooks.pause_before
    result = await run(pause_before, None)
    claims = NO_CLAIMS
    for _ in range(MAX_RUNS):
        if result.verdict not in ("new", "known") or result.user_id is None:
            return result, claims
        identifier = identifier_of(result)
        if result.is_new_user:
            await actions.before_user_created(app, request, tenant, identifier)
        subject = Subject(result.user_id, session_id, identifier.channel, identifier.value)
        claims = await token_claims(app, request, tenant, subject, identifier, is_new_user=result.is_new_user)
        result = await run(pause_before, result.user_id)
    if result.verdict in ("new", "known"):
        raise Unavailable("The account is being changed by another request; retry.", retry_after=1)
    return result, claims


async def token_claims(
    app: Services,
    request: Request[Any],
    tenant: Tenant,
    subject: Subject,
    identifier: Identifier | None,
    *,
    is_new_user: bool = False,
    is_refresh: bool = False,
) -> ExtraClaims:
    """Return the claims that the hook adds to a token. Raises HookDenied."""
    if tenant.hooks.before_token is None:
        return NO_CLAIMS
    claims: dict[str, Any] = msgspec.to_builtins(app.signer.claims(tenant, subject))
    for name in _UNSETTLED:
        del claims[name]
    return await actions.before_token(
        app, request, tenant, identifier, claims=claims, is_new_user=is_new_user, is_refresh=is_refresh
    )
