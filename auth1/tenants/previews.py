"""What a person would get: a tenant's texts before they are stored, and after."""

from auth1.errors import FieldError, ValidationFailed
from auth1.messaging import locales, mail_texts, mails, segments, templates, texts
from auth1.tenants.schemas import TenantOut, TextPreview, TextPreviewIn
from auth1.tenants.settings import EmailText, TenantSettings

SAMPLE_CODE = "1234567890"
SAMPLE_LINK = "/api/auth/link/a-sample-that-opens-nothing"


def preview(tenant: TenantOut, wanted: TextPreviewIn, app_url: str) -> TextPreview:
    """Write a message with a code and a link that are nobody's. Raises ValidationFailed."""
    return _email(tenant, wanted, app_url) if wanted.channel == "email" else _sms(tenant, wanted)


def _sms(tenant: TenantOut, wanted: TextPreviewIn) -> TextPreview:
    settings, template = tenant.settings, wanted.template
    if wanted.mode != "code":
        raise ValidationFailed(errors=[FieldError("mode", "Only an email can carry a link")])
    if isinstance(template, EmailText):
        raise ValidationFailed(errors=[FieldError("template", "Of an SMS this is one text")])
    if template is None:
        locale, wording = texts.choose(settings, wanted.locale)
    else:
        try:
            parsed = templates.parse(template)
        except templates.TemplateError as error:
            raise ValidationFailed(errors=[FieldError("template", str(error))]) from None
        locale = locales.normalise(wanted.locale or settings.default_locale)
        wording = texts.Wording(parsed, parsed)
    text = texts.word_sms(wording, tenant.name, settings, _code(settings), settings.otp_expiry_minutes * 60)
    measured = segments.measure(text)
    return TextPreview(
        text=text, locale=locale, encoding=measured.encoding, units=measured.units, segments=measured.segments
    )


def _email(tenant: TenantOut, wanted: TextPreviewIn, app_url: str) -> TextPreview:
    settings, template = tenant.settings, wanted.template
    if isinstance(template, str):
        raise ValidationFailed(errors=[FieldError("template", 'Of an email this is an object: {"subject": …}')])
    if template is not None:
        locale = locales.normalise(wanted.locale or settings.default_locale)
        settings = mail_texts.preview(settings, locale, template)
        if errors := texts.email_problems(settings, locale, "template"):
            raise ValidationFailed(errors=errors)
    with_code, with_link = wanted.mode != "link", wanted.mode != "code"
    text, letter = mails.write(
        tenant.name,
        settings,
        wanted.locale,
        code=_code(settings) if with_code else None,
        link=app_url + SAMPLE_LINK if with_link else None,
        expires_in=settings.otp_expiry_minutes * 60,
    )
    return TextPreview(text=text, locale=letter.lang, subject=letter.subject, html=letter.html)


def _code(settings: TenantSettings) -> str:
    return SAMPLE_CODE[: settings.otp_length]
