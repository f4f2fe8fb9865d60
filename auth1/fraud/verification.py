"""Report submitted codes to the fraud rules, in the background: a request waits for no round trip."""

from typing import Any

from auth1.authn.limits import PER_IP
from auth1.core.http.request import Request
from auth1.fraud.evidence import MICRO, has_address, policy_of
from auth1.fraud.exposures.messages import Message
from auth1.identifiers import Identifier
from auth1.services import Services
from auth1.tenants.settings import Tenant


def settle_right_code(app: Services, request: Request[Any], tenant: Tenant, identifier: Identifier) -> None:
    """Remove the exposure of a login's messages, and release the requests of RATE_LIMIT_MAX that it used.

    Where Redis has lost the messages of the code, one message counts, from the current address.
    """
    if tenant.sandbox:
        return
    is_sms, is_counted = identifier.channel == "sms", has_address(request, tenant)
    message = Message(
        tenant_id=tenant.id,
        identifier=identifier.value,
        number=identifier.value if is_sms else None,
        country=identifier.country,
        price=app.settings.sms_rates[identifier.country] / MICRO if is_sms else 0.0,
        address=request.client if is_counted else None,
    )
    scope = tenant.id if tenant.key_kind == "sk" else ""
    client_limit = PER_IP.of(app.settings, request.client, scope) if is_counted else None
    app.exposures.settlements.verified_later(policy_of(app, tenant), message, client_limit=client_limit)


def count_wrong_code(app: Services, tenant: Tenant) -> None:
    """Count a wrong code of a tenant."""
    if not tenant.sandbox:
        app.exposures.settlements.wrong_code_later(policy_of(app, tenant), tenant.id)


async def settle(app: Services) -> None:
    """Make the collected settlements, and report the begin and the end of guessing attacks."""
    settlements = app.exposures.settlements
    await settlements.flush()
    while settlements.guessing_changes:
        change = settlements.guessing_changes.popleft()
        app.attacks.count_guessing(change.tenant_id, has_ended=not change.began)
