"""Read the phone or email that a code was sent to."""

from auth1.challenges import store
from auth1.errors import InvalidPhone
from auth1.identifiers import Identifier, is_e164, parse_identifier, stored_identifier
from auth1.services import Services


async def parse_recipient(app: Services, tenant_id: str, *, phone: str | None, email: str | None) -> Identifier:
    """Parse the recipient of a code. Raises ValidationFailed, InvalidPhone, InvalidEmail.

    A numbering plan may change while a code is live. The number that received the code stays accepted, also where
    today's rules reject it or write it differently.
    """
    try:
        identifier = parse_identifier(phone=phone, email=email)
    except InvalidPhone:
        if phone is not None and await _has_live_code(app, tenant_id, phone):
            return stored_identifier("phone", phone)
        raise
    if phone is not None and phone != identifier.value and await _has_live_code(app, tenant_id, phone):
        return stored_identifier("phone", phone)
    return identifier


async def _has_live_code(app: Services, tenant_id: str, phone: str) -> bool:
    return is_e164(phone) and await store.has_live_code(app.postgres, tenant_id, phone)
