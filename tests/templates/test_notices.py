"""The text and HTML of a notice."""

from auth1.templates.notices import render_notice
from auth1.templates.schemas import Branding


def test_brand_is_escaped_and_on_one_line_in_an_email() -> None:
    text, content = render_notice(Branding("<b>My\r\nApp</b>"), "fr", "phone_added", "email")

    assert content is not None
    assert "<b>" not in content.html
    assert content.subject == "Un numéro de téléphone a été ajouté à votre compte <b>My App</b>"
    assert text.startswith("<b>My App</b>\n\n")


def test_sms_is_the_change_and_the_advice() -> None:
    text, content = render_notice(Branding("MyApp"), "de-AT", "email_removed", "sms")

    assert content is None
    assert text == (
        "Die E-Mail-Adresse Ihres Kontos bei MyApp wurde entfernt. "
        "Falls Sie das nicht waren, wenden Sie sich an den Support."
    )
