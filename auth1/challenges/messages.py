"""Messages of the main job, rendered for their channel: by the request itself, or later by the outbox."""

from auth1.challenges import codes, magic_link
from auth1.challenges.codes import LOGIN
from auth1.core.crypto import Keyring
from auth1.identifiers import Channel, parse_phone
from auth1.messaging.providers.protocol import OutgoingMessage
from auth1.messaging.store import Claimed
from auth1.templates import notices
from auth1.templates.email import render_email
from auth1.templates.schemas import Purpose
from auth1.templates.sms import render_sms
from auth1.tenants.settings import Senders, TenantSettings


def render_code(
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
    purpose: str = LOGIN,
    avoid: tuple[str, ...] = (),
) -> OutgoingMessage:
    """Render a code, or in an email a link or both. `avoid`: as in OutgoingMessage."""
    branding, use = settings.branding(tenant_name), text_purpose(purpose)
    if channel == "email":
        text, content = render_email(branding, locale, code=code, link=link, expires_in=expires_in, purpose=use)
        return OutgoingMessage(tenant_id, message_id, to, text, expires_in, content, settings.email_from)
    return OutgoingMessage(
        tenant_id,
        message_id,
        to,
        render_sms(branding, locale, code or "", expires_in, use),
        expires_in,
        senders=_senders(settings, to),
        retry_in=settings.retry_unreported_after if not avoid else None,  # a message is retried once
        avoid=avoid,
    )


def render_notice(
    *,
    tenant_id: str,
    message_id: str,
    to: str,
    channel: Channel,
    tenant_name: str,
    settings: TenantSettings,
    locale: str | None,
    notice: str,
) -> OutgoingMessage:
    """Render a notice, which contains no code."""
    text, content = notices.render_notice(settings.branding(tenant_name), locale, notice, channel)
    if channel == "email":
        return OutgoingMessage(tenant_id, message_id, to, text, notices.LIFE_S, content, settings.email_from)
    return OutgoingMessage(tenant_id, message_id, to, text, notices.LIFE_S, senders=_senders(settings, to))


def render_claimed(keyring: Keyring, app_url: str, message: Claimed) -> OutgoingMessage | None:
    """Render a message of the outbox; None when its code or link has ended."""
    if message.notice is not None:
        return render_notice(
            tenant_id=message.tenant_id,
            message_id=message.message_id,
            to=message.identifier,
            channel=message.channel,
            tenant_name=message.tenant_name,
            settings=message.tenant_settings,
            locale=message.locale,
            notice=message.notice,
        )
    purpose, code, link = message.purpose or LOGIN, None, None
    if message.code_box is not None:
        code = codes.unseal(keyring, message.tenant_id, message.identifier, message.code_box, purpose)
    if message.token_digest is not None:
        link = magic_link.address(app_url, keyring, message.tenant_id, message.message_id, message.token_digest)
    if code is None or (link is None and message.token_digest is not None):
        return None
    return render_code(
        tenant_id=message.tenant_id,
        message_id=message.message_id,
        to=message.identifier,
        channel=message.channel,
        tenant_name=message.tenant_name,
        settings=message.tenant_settings,
        locale=message.locale,
        code=code if message.with_code else None,
        link=link,
        expires_in=message.expires_in or 0,
        purpose=purpose,
        avoid=tuple(message.avoid),
    )


def text_purpose(purpose: str) -> Purpose:
    """Return the purpose that texts distinguish, for the purpose of a code."""
    return "login" if purpose == LOGIN else "add"


def _senders(settings: TenantSettings, to: str) -> Senders:
    """Return the senders of an SMS for its country, completed by those for all countries."""
    rest = settings.sms_senders.get("*", Senders())
    here = settings.sms_senders.get(parse_phone(to).country or "", rest) if settings.sms_senders else rest
    return Senders(twilio=here.twilio or rest.twilio, sns=here.sns or rest.sns)
