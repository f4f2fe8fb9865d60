"""A message of the main job, worded for its channel: by the request that asked for it, and by the outbox later."""

from auth1.identifiers import Channel, parse_phone
from auth1.messaging import mails, notices, texts
from auth1.messaging.providers.protocol import Outgoing
from auth1.tenants.settings import Senders, TenantSettings


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
    avoid: tuple[str, ...] = (),
) -> Outgoing:
    """Word a message: a code, or in an email a link, or both. `avoid`: as in Outgoing."""
    if channel == "email":
        text, letter = mails.write(tenant_name, settings, locale, code=code, link=link, expires_in=expires_in)
        return Outgoing(tenant_id, message_id, to, text, expires_in, letter)
    text = texts.sms_code(tenant_name, settings, locale, code or "", expires_in)
    return Outgoing(
        tenant_id,
        message_id,
        to,
        text,
        expires_in,
        senders=_senders(settings, to),
        retry_in=settings.retry_unreported_after if not avoid else None,  # there is no third try
        avoid=avoid,
    )


def word_notice(
    *,
    tenant_id: str,
    message_id: str,
    to: str,
    channel: Channel,
    tenant_name: str,
    settings: TenantSettings,
    locale: str | None,
    notice: str,
) -> Outgoing:
    """Word a notice, which brings no code."""
    text, letter = notices.write(tenant_name, settings, locale, notice, channel)
    if channel == "email":
        return Outgoing(tenant_id, message_id, to, text, notices.LIFE_S, letter)
    return Outgoing(tenant_id, message_id, to, text, notices.LIFE_S, senders=_senders(settings, to))


def _senders(settings: TenantSettings, to: str) -> Senders:
    """Whom an SMS is from: each provider's sender for the country, or for all others."""
    rest = settings.sms_senders.get("*", Senders())
    here = settings.sms_senders.get(parse_phone(to).country or "", rest) if settings.sms_senders else rest
    return Senders(twilio=here.twilio or rest.twilio, sns=here.sns or rest.sns)
