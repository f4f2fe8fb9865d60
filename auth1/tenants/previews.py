"""Previews of a tenant's texts, stored or not, with a sample code and a sample link."""

from auth1.errors import FieldError, ValidationFailed
from auth1.templates import locales, placeholders, segments, sms
from auth1.templates.email import render_email
from auth1.templates.schemas import Branding, EmailText
from auth1.templates.validation import email_errors, with_email_text
from auth1.tenants.schemas import TenantOut, TextPreview, TextPreviewIn

SAMPLE_CODE = "1234567890"
SAMPLE_LINK = "/api/auth/link/a-sample-that-opens-nothing"


def preview(tenant: TenantOut, params: TextPreviewIn, base_url: str) -> TextPreview:
    """Render a message with a sample code and a sample link. Raises ValidationFailed."""
    if params.purpose == "add" and params.mode != "code":
        raise ValidationFailed(errors=[FieldError("mode", "Must be `code` with the purpose `add`.")])
    branding = tenant.settings.branding(tenant.name, base_url)
    code, expires_in = SAMPLE_CODE[: tenant.settings.otp_length], tenant.settings.otp_expiry_minutes * 60
    if params.channel == "email":
        return _email(branding, params, code, base_url + SAMPLE_LINK, expires_in)
    return _sms(branding, params, code, expires_in)


def _sms(branding: Branding, params: TextPreviewIn, code: str, expires_in: int) -> TextPreview:
    template, minutes = params.template, placeholders.minutes_left(expires_in)
    if params.mode != "code":
        raise ValidationFailed(errors=[FieldError("mode", "Must be `code` for an SMS.")])
    if isinstance(template, EmailText):
        raise ValidationFailed(errors=[FieldError("template", "Must be a text for an SMS.")])
    if template is None:
        lang, parsed = sms.find_template(branding, params.locale, minutes, params.purpose)
    else:
        try:
            parsed = placeholders.parse(template)
        except placeholders.TemplateError as error:
            raise ValidationFailed(errors=[FieldError("template", str(error))]) from None
        lang = locales.normalise(params.locale or branding.default_locale)
    text = sms.fill(branding, parsed, code, minutes)
    measured = segments.measure(text)
    return TextPreview(
        text=text, locale=lang, encoding=measured.encoding, units=measured.units, segments=measured.segments
    )


def _email(branding: Branding, params: TextPreviewIn, code: str, link: str, expires_in: int) -> TextPreview:
    template = params.template
    if isinstance(template, str):
        raise ValidationFailed(errors=[FieldError("template", 'Must be an object for an email: {"subject": …}.')])
    if template is not None:
        lang = locales.normalise(params.locale or branding.default_locale)
        texts = with_email_text(branding.texts, lang, template)
        if errors := email_errors(texts, lang, "template"):
            raise ValidationFailed(errors=errors)
        branding = branding._replace(texts=texts)
    text, content = render_email(
        branding,
        params.locale,
        code=code if params.mode != "link" else None,
        link=link if params.mode != "code" else None,
        expires_in=expires_in,
        purpose=params.purpose,
    )
    return TextPreview(text=text, locale=content.lang, subject=content.subject, html=content.html)
