"""The identifiers that a tenant requires of its users, beside the one that opened the session."""

from auth1.identifiers import CHANNELS, IdentifierType
from auth1.services import Services
from auth1.sessions.store import find_session
from auth1.tenants.settings import Tenant


async def missing_identifiers(app: Services, tenant: Tenant, session_id: str) -> list[IdentifierType]:
    """Return the required identifiers that the user of a live session lacks.

    A type without a provider cannot be proven, so it is not required.
    """
    required: list[IdentifierType] = [
        kind
        for kind in tenant.settings.required_identifiers
        if app.messenger.provider_names(CHANNELS[kind], sandbox=tenant.sandbox)
    ]
    if not required:
        return []
    user = await find_session(app.postgres, tenant.id, session_id)
    if user is None:
        return []
    known = {"phone": user.phone, "email": user.email}
    return [kind for kind in required if known[kind] is None]
