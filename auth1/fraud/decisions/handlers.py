"""Simulate a policy with stored decisions, and record feedback on a decision."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec

from auth1.core import timestamps
from auth1.core.http.request import Request
from auth1.core.schemas import In
from auth1.core.timestamps import Timestamp
from auth1.errors import FieldError, ValidationFailed
from auth1.fraud import policy_store
from auth1.fraud.decisions import feedback
from auth1.fraud.decisions.feedback import FeedbackIn, FeedbackOut
from auth1.fraud.decisions.simulation import Simulation, merge_policy, simulate
from auth1.fraud.lists.handlers import publish
from auth1.services import Services
from auth1.tenants.settings import TenantAdmin

PolicyChanges = Annotated[dict[str, Any], msgspec.Meta(examples=[{"ratio": 0.4}])]


class SimulationIn(In):
    """A simulation. `policy`: changes of the current policy. `since`: 7 days ago by default."""

    policy: PolicyChanges = msgspec.field(default_factory=dict)
    since: Timestamp | None = None


async def simulate_policy(app: Services, request: Request[TenantAdmin], body: SimulationIn) -> Simulation:
    """Evaluate stored decisions under another policy. Nothing is changed."""
    now = datetime.now(UTC)
    since = body.since or now - timedelta(days=7)
    timestamps.check("since", since)
    if since > now:
        raise ValidationFailed(errors=[FieldError("since", "Must be in the past.")])
    return await replay(app, request.caller.tenant_id, body.policy, since)


async def replay(app: Services, tenant_id: str, changes: dict[str, Any], since: datetime) -> Simulation:
    """Evaluate a tenant's decisions under its policy with changes. Raises ValidationFailed, Unavailable."""
    policy = await policy_store.get_policy(app.postgres, tenant_id)
    changed = merge_policy(policy, changes)
    budget = app.settings.fraud_exposure_budget
    return await simulate(app.reads, tenant_id, policy, changed, since, exposure_budget=budget)


async def give_feedback(app: Services, request: Request[TenantAdmin], body: FeedbackIn) -> FeedbackOut:
    """Report that a decision was about an honest request, or about fraud.

    Honest: an entry of the allow list is added, and the exposure of its scopes is forgiven. A repeat changes nothing.
    """
    tenant_id = request.caller.tenant_id
    recorded = await feedback.record_feedback(app.postgres, tenant_id, body, request.caller.context)
    if recorded.events:
        await publish(app, tenant_id, recorded.events)
    if recorded.forgiven is not None:
        policy = await policy_store.get_policy(app.postgres, tenant_id)
        app.exposures.settlements.forgiven_later(policy, recorded.forgiven)
    return recorded.feedback
