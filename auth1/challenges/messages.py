"""Render the messages of challenges for their channel: in the request, or later in the outbox."""

from typing import NamedTuple

from auth1.challenges import codes, magic_link
from auth1.challenges.codes import LOGIN
from auth1.core.crypto import Keyring
from auth1.identifiers import Channel, stored_identifier
from auth1.messaging.providers.protocol import OutgoingMessage
from auth1.messaging.store import Claimed
from auth1.templates import notices
from auth1.templates.email import render_email
from auth1.templates.schemas import Branding, Purpose
from auth1.templates.sms import render_sms
from auth1.tenants.settings import Senders, TenantSettings


class Envelope(NamedTuple):
    """A message without its content: the tenant, the recipient, and the recipient's language."""

    tenant_id: str
    message_id: str
    to: str
    channel: Channel
    tenant_name: str
    settings: TenantSettings
    locale: str | None
    app_url: str

    @property
    def branding(self) -> Branding:
        return self.settings.branding(self.tenant_name, self.app_url)

    @property
    def senders(self) -> Senders:
        """The senders of an SMS to the recipient's country, completed by those for all countries."""
        senders = self.settings.sms_senders
        rest = senders.get("*", Senders())
        country = senders.get(stored_identifier("phone", self.to).country or "", rest) if senders else rest
        return Senders(twilio=country.twilio or rest.twilio, sns=country.sns or rest.sns)


def render_code(
    envelope: Envelope,
    *,
    code: str | None,
    link: str | None,
    expires_in: int,
    purpose: str = LOGIN,
    avoid: tuple[str, ...] = (),
) -> OutgoingMessage:
    """Render a code, or in an email a link or both. `avoid`: as in OutgoingMessage."""
    tenant_id, message_id, to, channel, _, settings, locale, _ = envelope
    branding, use = envelope.branding, text_purpose(purpose)
    if channel == "email":
        text, content = render_email(branding, locale, code=code, link=link, expires_in=expires_in, purpose=use)
        return OutgoingMessage(tenant_id, message_id, to, text, expires_in, content, settings.email_from)
    return OutgoingMessage(
        tenant_id,
        message_id,
        to,
        render_sms(branding, locale, code or "", expires_in, use),
        expires_in,
        senders=envelope.senders,
        retry_in=settings.retry_unreported_after if not avoid else None,  # a message is retried once
        avoid=avoid,
    )


def render_notice(envelope: Envelope, notice: str) -> OutgoingMessage:
    """Render a notice, which contains no code."""
    tenant_id, message_id, to, channel, _, _, locale, _ = envelope
    text, content = notices.render_notice(envelope.branding, locale, notice, channel)
    if channel == "email":
        return OutgoingMessage(tenant_id, message_id, to, text, notices.LIFE_S, content, envelope.settings.email_from)
    return OutgoingMessage(tenant_id, message_id, to, text, notices.LIFE_S, senders=envelope.senders)


def render_claimed(keyring: Keyring, app_url: str, message: Claimed) -> OutgoingMessage | None:
    """Render a message of the outbox; None when its code or link has ended."""
    envelope = Envelope(
        tenant_id=message.tenant_id,
        message_id=message.message_id,
        to=message.identifier,
        channel=message.channel,
        tenant_name=message.tenant_name,
        settings=message.tenant_settings,
        locale=message.locale,
        app_url=app_url,
    )
    if message.notice is not None:
        return render_notice(envelope, message.notice)
    purpose, code, link = message.purpose or LOGIN, None, None
    if message.code_box is not None:
        code = codes.unseal(keyring, message.tenant_id, message.identifier, message.code_box, purpose)
    if message.token_digest is not None:
        link = magic_link.address(app_url, keyring, message.tenant_id, message.message_id, message.token_digest)
    if code is None or (link is None and message.token_digest is not None):
        return None
    return render_code(
        envelope,
        code=code if message.with_code else None,
        link=link,
        expires_in=message.expires_in or 0,
        purpose=purpose,
        avoid=tuple(message.avoid),
    )


def text_purpose(purpose: str) -> Purpose:
    """Return the purpose that texts distinguish, for the purpose of a code."""
    return "login" if purpose == LOGIN else "add"
