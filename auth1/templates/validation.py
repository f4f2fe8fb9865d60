"""Checks of a tenant's own texts, made when they are written."""

import msgspec

from auth1.errors import FieldError, ValidationFailed
from auth1.templates.email_words import ADD_RULES, RULES
from auth1.templates.locales import candidates, is_tag
from auth1.templates.placeholders import TemplateError, parse
from auth1.templates.schemas import EmailText, Texts
from auth1.templates.strings import STRINGS

INVALID_TAG = "Must be a language tag such as es, pt-BR, zh-Hant or es-419."


def check_texts(texts: Texts) -> None:
    """Raise ValidationFailed, with an error for each text that cannot be sent."""
    errors: list[FieldError] = []
    for channel, templates in (("sms", texts.sms), ("sms_add", texts.sms_add)):
        for tag, text in templates.items():
            field = f"settings.texts.{channel}.{tag[:64]}"
            errors += _tag_errors(field, tag)
            try:
                parse(text)
            except TemplateError as error:
                errors.append(FieldError(field, str(error)))
    for tag in texts.email:
        field = f"settings.texts.email.{tag[:64]}"
        errors += [*_tag_errors(field, tag), *email_errors(texts, tag, field)]
    if errors:
        raise ValidationFailed(errors=errors)


def email_errors(texts: Texts, tag: str, field: str) -> list[FieldError]:
    """Return the errors of a tenant's words for emails in one language."""
    errors = []
    for name, rules in (RULES | ADD_RULES).items():
        given = getattr(texts.email[tag], name)
        if given is not None:
            try:
                parse(given, rules)
            except TemplateError as error:
                errors.append(FieldError(f"{field}.{name}", str(error)))
    if missing := _missing(texts, tag):
        errors.append(FieldError(field, f"Not a built-in language; also needs {', '.join(missing)}."))
    return errors


def with_email_text(texts: Texts, tag: str, text: EmailText) -> Texts:
    """Return a tenant's texts with other words for emails in one language."""
    return msgspec.structs.replace(texts, email={**texts.email, tag: text})


def _tag_errors(field: str, tag: str) -> list[FieldError]:
    return [] if is_tag(tag) else [FieldError(field, INVALID_TAG)]


def _missing(texts: Texts, tag: str) -> list[str]:
    """Return the words that a language without built-in strings still needs."""
    tags = list(candidates(tag))
    if any(each in STRINGS for each in tags):
        return []
    given = [texts.email[each] for each in tags if each in texts.email]
    return [name for name in RULES if all(getattr(text, name) is None for text in given)]
