"""Call the three hooks, and act on their answers.

For a tenant without the hook, each function returns at its first line. The sandbox calls no hooks: its magic numbers
choose outcomes.
"""

import asyncio
from typing import Any

from auth1 import metrics
from auth1.core.http.request import Request
from auth1.errors import HookDenied, Unavailable
from auth1.hooks.caller import AllowedKey
from auth1.hooks.config import Hook
from auth1.hooks.schemas import HookAnswer
from auth1.identifiers import Identifier
from auth1.services import Services
from auth1.tenants.settings import Tenant

RESERVE_S = 0.5  # of the request's deadline, for what follows the hook
RETRY_AFTER_S = 1  # while too many hooks are called
ALLOWED = HookAnswer("allow")


async def before_send(
    app: Services, request: Request[Any], tenant: Tenant, identifier: Identifier, *, purpose: str, user_id: str | None
) -> None:
    """Call the hook before a code is sent. Raises HookDenied, Unavailable."""
    hook = tenant.hooks.before_send
    if hook is None:
        return
    key = AllowedKey(hook.revision, (purpose, user_id, identifier.value))
    if app.hooks.is_allowed(key):
        metrics.HOOK_CALLS[hook.name, "cached"].inc()
        return
    data = _data(request, tenant, identifier, user_id) | {"purpose": purpose}
    answer = await _decide(app, request, tenant, hook, data)
    if answer.cache_for:
        app.hooks.keep_allowed(key, answer.cache_for)


async def before_user_created(app: Services, request: Request[Any], tenant: Tenant, identifier: Identifier) -> None:
    """Call the hook before the first login of an identifier creates its user. Raises HookDenied, Unavailable."""
    hook = tenant.hooks.before_user_created
    if hook is not None:
        await _decide(app, request, tenant, hook, _data(request, tenant, identifier, None))


async def before_token(
    app: Services,
    request: Request[Any],
    tenant: Tenant,
    identifier: Identifier | None,
    *,
    claims: dict[str, Any],
    is_new_user: bool,
    is_refresh: bool,
) -> dict[str, Any]:
    """Call the hook before an access token is issued; return its claims. Raises HookDenied, Unavailable."""
    hook = tenant.hooks.before_token
    if hook is None:
        return {}
    data = _data(request, tenant, identifier, claims["sub"]) | {
        "session_id": claims["sid"],
        "grant": "refresh" if is_refresh else "login",
        "is_new_user": is_new_user,
        "claims": claims,
    }
    answer = await _decide(app, request, tenant, hook, data)
    return answer.claims or {}


async def _decide(app: Services, request: Request[Any], tenant: Tenant, hook: Hook, data: dict[str, Any]) -> HookAnswer:
    """Call a hook, and return its allow, or that of `on_error`. Raises HookDenied, Unavailable.

    Our own lack of slots is no error of the hook: callers could cause it to be let through.
    """
    answer = await app.hooks.call(tenant.id, hook, data, _time_left(request))
    if isinstance(answer, HookAnswer):
        request.log[hook.name] = answer.decision
        if answer.decision == "allow":
            return answer
        reason = answer.reason
    else:
        request.log[hook.name] = answer
        if answer == "at_capacity":
            raise Unavailable("Too many hooks are being called; retry.", retry_after=RETRY_AFTER_S)
        if hook.on_error == "allow":
            return ALLOWED
        reason = f"The hook {hook.name} returned no valid answer ({answer})"
    # Only the tenant's server learns the reason: publishable keys are public.
    raise HookDenied(reason if tenant.key_kind == "sk" else None)


def _data(request: Request[Any], tenant: Tenant, identifier: Identifier | None, user_id: str | None) -> dict[str, Any]:
    return {
        "tenant_id": tenant.id,
        "identifier": identifier.value if identifier is not None else None,
        "channel": identifier.channel if identifier is not None else None,
        "country": identifier.country if identifier is not None else None,
        "user_id": user_id,
        "request_id": request.request_id,
        "network": request.network,
    }


def _time_left(request: Request[Any]) -> float:
    """Return the seconds that a hook may take of the request's deadline."""
    return max(0.0, request.deadline - asyncio.get_running_loop().time() - RESERVE_S)
