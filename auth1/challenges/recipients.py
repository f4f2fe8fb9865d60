"""Read the phone or email that a code was sent to."""

from auth1.challenges import store
from auth1.errors import InvalidPhone
from auth1.identifiers import Identifier, is_e164, parse_identifier, stored_identifier
from auth1.services import Services


async def parse_recipient(app: Services, tenant_id: str, *, phone: str | None, email: str | None) -> Identifier:
    """Parse the recipient of a code. Raises ValidationFailed, InvalidPhone, InvalidEmail.

    A numbering plan may change while a code is live. The number that received the code stays accepted.
    """
    try:
        return parse_identifier(phone=phone, email=email)
    except InvalidPhone:
        if phone is None or not is_e164(phone) or not await store.has_live_code(app.postgres, tenant_id, phone):
            raise
        return stored_identifier("phone", phone)
