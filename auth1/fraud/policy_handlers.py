"""Manage the fraud policy of a tenant, and the operator's default."""

from auth1.authn.tenants import ALL_TENANTS
from auth1.core.http.request import Request
from auth1.events.log import EventContext, event_context, log_events
from auth1.fraud import policy_store
from auth1.fraud.policy import FraudPolicy, check_policy
from auth1.services import Services
from auth1.tenants.settings import OPERATOR, Operator, TenantAdmin


async def get_policy(app: Services, request: Request[TenantAdmin]) -> FraudPolicy:
    """Return a tenant's fraud policy. A tenant without a policy of its own has the operator's default."""
    return await policy_store.get_policy(app.postgres, request.caller.tenant_id)


async def put_policy(app: Services, request: Request[TenantAdmin], body: FraudPolicy) -> FraudPolicy:
    """Replace a tenant's fraud policy with what GET returns, changed. A field that is omitted gets its default."""
    return await _replace(app, request.caller.tenant_id, body, request.caller.context)


async def delete_policy(app: Services, request: Request[TenantAdmin]) -> None:
    """Remove a tenant's fraud policy. The operator's default then applies."""
    await _replace(app, request.caller.tenant_id, None, request.caller.context)


async def get_default_policy(app: Services, request: Request[Operator]) -> FraudPolicy:
    """Return the fraud policy of tenants without a policy of their own."""
    return await policy_store.get_policy(app.postgres, OPERATOR)


async def put_default_policy(app: Services, request: Request[Operator], body: FraudPolicy) -> FraudPolicy:
    """Replace the fraud policy of tenants without a policy of their own."""
    return await _replace(app, OPERATOR, body, event_context(request, OPERATOR))


async def _replace(app: Services, owner: str, policy: FraudPolicy | None, context: EventContext) -> FraudPolicy:
    if policy is not None:
        check_policy(policy)
    events = await policy_store.replace_policy(app.postgres, app.keyring, owner, policy, context)
    if events:
        log_events(app.log, events)
        await app.tenants.publish_invalidation(ALL_TENANTS if owner == OPERATOR else owner)
    return await policy_store.get_policy(app.postgres, owner)
