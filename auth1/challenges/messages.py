"""Render the messages of challenges for their channel: in the request, or later in the outbox."""

from collections import OrderedDict
from collections.abc import Callable
from html import escape
from sys import getsizeof
from typing import NamedTuple

import msgspec

from auth1.challenges import codes, magic_link
from auth1.challenges.codes import LOGIN
from auth1.core.crypto import Keyring
from auth1.identifiers import Channel, stored_identifier
from auth1.messaging.providers.protocol import NO_SENDERS, OutgoingMessage
from auth1.messaging.store import ClaimedMessage
from auth1.templates import notices, segments
from auth1.templates.email import EmailContent, render_email
from auth1.templates.schemas import Branding, EmailText, Purpose
from auth1.templates.sms import render_sms
from auth1.tenants.settings import Senders, TenantSettings, base_url, read_settings

MAX_TEXT_BYTES = 2 * 1024 * 1024
ENTRY_BYTES = 1024  # of cached texts, beside their strings
# They stand for a code and a link. No name and no template contains control characters.
_CODE_MARK, _LINK_MARK = "\0", "\1"


class Envelope(NamedTuple):
    """A message without its content: the tenant, the recipient, and the recipient's language."""

    tenant_id: str
    message_id: str
    to: str
    channel: Channel
    tenant_name: str
    settings: TenantSettings
    locale: str | None
    base_url: str

    @property
    def branding(self) -> Branding:
        return self.settings.branding(self.tenant_name, self.base_url)

    @property
    def senders(self) -> Senders:
        """The senders of an SMS to the recipient's country, completed by those for all countries."""
        senders = self.settings.sms_senders
        rest = senders.get("*", NO_SENDERS)
        country = senders.get(stored_identifier("phone", self.to).country or "", rest)
        return Senders(twilio=country.twilio or rest.twilio, sns=country.sns or rest.sns)


class Rendered(NamedTuple):
    """The texts of a message, with marks in the places of its code and its link."""

    text: str
    segments: int | None = None  # of an SMS
    email: EmailContent | None = None

    @property
    def size(self) -> int:
        strings = (self.text, *self.email) if self.email is not None else (self.text,)
        return sum(map(getsizeof, strings))


class _Key(NamedTuple):
    """The values that the texts of a message depend on, beside its code and its link."""

    channel: Channel
    name: str
    default_locale: str
    own_texts: tuple[tuple[str, str | EmailText], ...]
    details: tuple[object, ...]  # those of only one channel
    locale: str | None
    purpose: Purpose
    minutes: int


class TextCache:
    """A cache of rendered texts.

    It replaces rendering, and counting the segments of an SMS: a message takes a fifth to an eighth of the time. A key
    contains every setting that a text depends on, so no change needs to be announced. A code is digits only, so the
    segments do not depend on it. The oracles in the tests are `render_sms`, `measure` and `render_email`.
    """

    def __init__(self, max_bytes: int = MAX_TEXT_BYTES) -> None:
        self._entries: OrderedDict[_Key, tuple[Rendered, int]] = OrderedDict()
        self._max_bytes = max_bytes
        self.size = 0

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, key: _Key, render: Callable[[], Rendered]) -> Rendered:
        """Return the texts of a key, rendered at its first use. The least recently used texts are evicted."""
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
            return entry[0]
        rendered = render()
        size = ENTRY_BYTES + rendered.size + sum(_size(own) for _, own in key.own_texts)
        self._entries[key] = (rendered, size)
        self.size += size
        while self.size > self._max_bytes:
            self.size -= self._entries.popitem(last=False)[1][1]
        return rendered


def _size(own: str | EmailText) -> int:
    return getsizeof(own) if isinstance(own, str) else sum(map(getsizeof, msgspec.structs.astuple(own)))


_cache = TextCache()


def render_code(
    envelope: Envelope,
    *,
    code: str | None,
    link: str | None,
    expires_in: int,
    purpose: str = LOGIN,
    exclude_providers: tuple[str, ...] = (),
    cache: TextCache = _cache,
) -> OutgoingMessage:
    """Render a code, or in an email a link or both. `exclude_providers`: as in OutgoingMessage."""
    tenant_id, message_id, to, channel, _, settings, _, _ = envelope
    use: Purpose = "login" if purpose == LOGIN else "add"
    minutes = (expires_in + 59) // 60
    if channel == "email":
        text, content = _email(cache, envelope, code, link, use, minutes)
        return OutgoingMessage(tenant_id, message_id, to, text, expires_in, content, settings.email_from)
    rendered = _sms(cache, envelope, len(code or ""), use, minutes)
    return OutgoingMessage(
        tenant_id,
        message_id,
        to,
        rendered.text.replace(_CODE_MARK, code or ""),
        expires_in,
        segments=rendered.segments,
        senders=envelope.senders if settings.sms_senders else NO_SENDERS,
        retry_in=settings.retry_unreported_after if not exclude_providers else None,  # a message is retried once
        exclude_providers=exclude_providers,
    )


def _sms(cache: TextCache, envelope: Envelope, digits: int, purpose: Purpose, minutes: int) -> Rendered:
    settings = envelope.settings
    own = settings.texts.sms if purpose == "login" else settings.texts.sms_add
    key = _Key(
        channel="sms",
        name=settings.sms_branding or envelope.tenant_name,
        default_locale=settings.default_locale,
        own_texts=tuple(own.items()),
        details=(settings.sms_autofill_host, digits),
        locale=envelope.locale,
        purpose=purpose,
        minutes=minutes,
    )

    def render() -> Rendered:
        text = render_sms(envelope.branding, envelope.locale, _CODE_MARK, minutes * 60, purpose)
        return Rendered(text, segments.measure(text.replace(_CODE_MARK, "0" * digits)).segments)

    return cache.find(key, render)


def _email(
    cache: TextCache, envelope: Envelope, code: str | None, link: str | None, purpose: Purpose, minutes: int
) -> tuple[str, EmailContent]:
    settings = envelope.settings
    key = _Key(
        channel="email",
        name=settings.sms_branding or envelope.tenant_name,
        default_locale=settings.default_locale,
        own_texts=tuple(settings.texts.email.items()),
        details=(settings.brand_color, settings.logo, envelope.base_url, code is not None, link is not None),
        locale=envelope.locale,
        purpose=purpose,
        minutes=minutes,
    )

    def render() -> Rendered:
        text, content = render_email(
            envelope.branding,
            envelope.locale,
            code=None if code is None else _CODE_MARK,
            link=None if link is None else _LINK_MARK,
            expires_in=minutes * 60,
            purpose=purpose,
        )
        return Rendered(text, email=content)

    def fill(text: str, shown_link: str) -> str:
        return text.replace(_CODE_MARK, code or "").replace(_LINK_MARK, shown_link)

    rendered = cache.find(key, render)
    content = rendered.email
    assert content is not None
    link = link or ""
    subject, page = fill(content.subject, link), fill(content.html, escape(link))
    return fill(rendered.text, link), content._replace(subject=subject, html=page)


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


def render_claimed(keyring: Keyring, app_url: str, message: ClaimedMessage) -> OutgoingMessage | None:
    """Render a message of the outbox; None when its code or link has ended."""
    address = base_url(message.canonical_host, app_url)
    envelope = Envelope(
        tenant_id=message.tenant_id,
        message_id=message.message_id,
        to=message.identifier,
        channel=message.channel,
        tenant_name=message.tenant_name,
        settings=read_settings(message.settings),
        locale=message.locale,
        base_url=address,
    )
    if message.notice is not None:
        return render_notice(envelope, message.notice)
    purpose, code, link = message.purpose or LOGIN, None, None
    if message.code_box is not None:
        code = codes.unseal(keyring, message.tenant_id, message.identifier, message.code_box, purpose)
    if message.token_digest is not None:
        link = magic_link.address(address, keyring, message.tenant_id, message.message_id, message.token_digest)
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
