"""Render the messages of challenges for their channel: in the request, or later in the outbox."""

from collections import OrderedDict
from typing import NamedTuple

from auth1.challenges import codes, magic_link
from auth1.challenges.codes import LOGIN
from auth1.core.crypto import Keyring
from auth1.identifiers import Channel, stored_identifier
from auth1.messaging.providers.protocol import NO_SENDERS, OutgoingMessage
from auth1.messaging.store import Claimed
from auth1.templates import notices, segments
from auth1.templates.email import render_email
from auth1.templates.schemas import Branding, Purpose
from auth1.templates.sms import render_sms
from auth1.tenants.settings import Senders, TenantSettings

MAX_TEXT_BYTES = 2 * 1024 * 1024
ENTRY_BYTES = 512  # of a cached text, beside its strings
_CODE_MARK = "\0"  # stands for the code; no name and no template contains it


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
        rest = senders.get("*", NO_SENDERS)
        country = senders.get(stored_identifier("phone", self.to).country or "", rest)
        return Senders(twilio=country.twilio or rest.twilio, sns=country.sns or rest.sns)


class SmsText(NamedTuple):
    """The text of an SMS, split where its code belongs, and the number of its segments."""

    pieces: list[str]
    segments: int


class _SmsKey(NamedTuple):
    """All values that the text of an SMS depends on, except for the code."""

    name: str
    default_locale: str
    autofill_host: str | None
    texts: tuple[tuple[str, str], ...]
    digits: int
    locale: str | None
    purpose: Purpose
    minutes: int


class SmsTexts:
    """A cache of SMS texts.

    It replaces the rendering and the count of segments, which take most of the work on a message. A hit takes 2 µs.
    The keys contain all settings that a text depends on, so no change needs to be announced. A code is digits only, so
    the segments do not depend on it. The oracles are `render_sms` and `measure`, in the tests.
    """

    def __init__(self, max_bytes: int = MAX_TEXT_BYTES) -> None:
        self._entries: OrderedDict[_SmsKey, tuple[SmsText, int]] = OrderedDict()
        self._max_bytes = max_bytes
        self.size = 0  # bytes, estimated

    def find(self, envelope: Envelope, purpose: Purpose, digits: int, expires_in: int) -> SmsText:
        """Return the text of a code for a tenant and a locale, and its number of segments."""
        settings = envelope.settings
        texts = settings.texts.sms if purpose == "login" else settings.texts.sms_add
        key = _SmsKey(
            name=settings.sms_branding or envelope.tenant_name,
            default_locale=settings.default_locale,
            autofill_host=settings.sms_autofill_host,
            texts=tuple(texts.items()) if texts else (),
            digits=digits,
            locale=envelope.locale,
            purpose=purpose,
            minutes=(expires_in + 59) // 60,
        )
        entry = self._entries.get(key)
        if entry is None:
            return self._render(key, envelope.branding)
        self._entries.move_to_end(key)
        return entry[0]

    def _render(self, key: _SmsKey, branding: Branding) -> SmsText:
        marked = render_sms(branding, key.locale, _CODE_MARK, key.minutes * 60, key.purpose)
        pieces = marked.split(_CODE_MARK)
        text = SmsText(pieces, segments.measure(("0" * key.digits).join(pieces)).segments)
        size = ENTRY_BYTES + 4 * (len(marked) + len(key.name) + sum(len(tag) + len(own) for tag, own in key.texts))
        self._entries[key] = (text, size)
        self.size += size
        while self.size > self._max_bytes:
            self.size -= self._entries.popitem(last=False)[1][1]
        return text


_sms_texts = SmsTexts()


def render_code(
    envelope: Envelope,
    *,
    code: str | None,
    link: str | None,
    expires_in: int,
    purpose: str = LOGIN,
    exclude_providers: tuple[str, ...] = (),
) -> OutgoingMessage:
    """Render a code, or in an email a link or both. `exclude_providers`: as in OutgoingMessage."""
    tenant_id, message_id, to, channel, _, settings, locale, _ = envelope
    use: Purpose = "login" if purpose == LOGIN else "add"
    if channel == "email":
        text, content = render_email(
            envelope.branding, locale, code=code, link=link, expires_in=expires_in, purpose=use
        )
        return OutgoingMessage(tenant_id, message_id, to, text, expires_in, content, settings.email_from)
    code = code or ""
    sms = _sms_texts.find(envelope, use, len(code), expires_in)
    return OutgoingMessage(
        tenant_id,
        message_id,
        to,
        code.join(sms.pieces),
        expires_in,
        segments=sms.segments,
        senders=envelope.senders if settings.sms_senders else NO_SENDERS,
        retry_in=settings.retry_unreported_after if not exclude_providers else None,  # a message is retried once
        exclude_providers=exclude_providers,
    )


def render_notice(envelope: Envelope, notice: str) -> OutgoingMessage:
    """Render a notice, which contains no code."""
    tenant_id, message_id, to, channel, _, _, locale, _ = envelope
    text, content = notices.render_notice(envelope.branding, locale, notice, channel)
    if channel == "email":
        return OutgoingMessage(tenant_id, message_id, to, text, notices.LIFE_S, content, envelope.settings.email_from)
    return OutgoingMessage(
        tenant_id,
        message_id,
        to,
        text,
        notices.LIFE_S,
        segments=segments.measure(text).segments,
        senders=envelope.senders,
    )


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
        exclude_providers=tuple(message.exclude_providers),
    )
