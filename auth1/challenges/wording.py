"""A message of the main job, worded for its channel: by the request that asked for it, and by the outbox later."""

from auth1.callers.tenant import TenantSettings
from auth1.challenges.identifiers import Channel
from auth1.messaging import mails, texts
from auth1.messaging.provider import Outgoing


def word(
    *,
    tenant_id: str,
    message_id: str,
    to: str,
    channel: Channel,
    tenant_name: str,
    settings: TenantSettings,
    locale: str | None,
    code: str | None,
    link: str | None,
    expires_in: int,
) -> Outgoing:
    """Word a message: a code, or in an email a link, or both."""
    if channel == "email":
        text, letter = mails.write(tenant_name, settings, locale, code=code, link=link, expires_in=expires_in)
        return Outgoing(tenant_id, message_id, to, text, expires_in, letter)
    text = texts.sms_code(tenant_name, settings, locale, code or "", expires_in)
    return Outgoing(tenant_id, message_id, to, text, expires_in)
