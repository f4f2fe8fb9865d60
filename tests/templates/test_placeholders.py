"""The grammar of templates, and their three values."""

import string

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from auth1.templates.placeholders import TemplateError, parse
from tests.support.effort import effort


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{code}", "482913"),
        ("{brand}: {code} ({minutes} min)", "MyApp: 482913 (10 min)"),
        ("{brand}, {brand}: {code}, {minutes}, {minutes}", "MyApp, MyApp: 482913, 10, 10"),
        ("{{code}} is {code}", "{code} is 482913"),
        ("{{{code}}}", "{482913}"),
        ("}}{{{{{code}", "}{{482913"),
        ("Ihr Code: {code}. Gültig: {minutes} Min.", "Ihr Code: 482913. Gültig: 10 Min."),
        ("Z. B. {code}... oder / und \\ 100 % #1", "Z. B. 482913... oder / und \\ 100 % #1"),
        ("您的验证码是{code}。{minutes}分钟内有效。", "您的验证码是482913。10分钟内有效。"),
        ("کد شما \u200f{code}\u200f می\u200cباشد", "کد شما \u200f482913\u200f می\u200cباشد"),
        ("%s %(code)s $code {code}", "%s %(code)s $code 482913"),
    ],
)
def test_template_is_filled_in(template: str, text: str) -> None:
    assert parse(template).render(brand="MyApp", code="482913", minutes=10) == text


def test_values_are_not_parsed() -> None:
    filled = parse("{brand} {code}").render(brand="{code} {{}} {brand}", code="482913", minutes=10)

    assert filled == "{code} {{}} {brand} 482913"


@pytest.mark.parametrize(
    "template",
    [
        "",
        "no placeholder",
        "{brand} {minutes}",
        "{code} {code}",
        "{{code}}",
        "{code} {name}",
        "{code} {}",
        "{code} {0}",
        "{code} {code.__class__}",
        "{code.__class__}",
        "{code[0]}",
        "{code!r}",
        "{code:>10}",
        "{ code }",
        "{Code}",
        "{c\u043ede}",  # with a Cyrillic o
        "{code",
        "code}",
        "{code}}",
        "{{code}",
        "{code}{",
        "{{{code}}",
        "{code} {brand} {brand} {brand}",
        "{code} {minutes} {minutes} {minutes}",
        "{code}\n",
        "a\n@evil #{code}",
        "{code}\r\nx",
        "{code}\0",
        "{code}\t",
        "{code}\x7f",
        "{code}\x85",
        "{code}\u2028",
        "{code}\u202e",
        "{code}\u2066",
        "{code}\u200b",
        "{code}\ufeff",
        "{code}\xad",
        "{code}\ue000",
        "{code}\ud800",
        "{code} at https://example.com",
        "{code} ://x",
        "{code} on example.com",
        "{code} on EXAMPLE.COM",
        "{code} on example\uff0ecom",
        "{code} on bücher.de",
        "{code} on \U0001f4a9.la",
        "{brand}.com {code}",
        "www.{brand} {code}",
        "{brand}.{brand} {code}",
        "{code}.{minutes}",
        "{code} to a@b",
        "@evil #{code}",
        "{code}" + "x" * 315,
    ],
)
def test_invalid_template_is_rejected(template: str) -> None:
    with pytest.raises(TemplateError):
        parse(template)


def test_longest_template_with_longest_name_fits_one_message() -> None:
    template = parse("{code}{brand}{brand}{minutes}{minutes}".ljust(320, "x"))

    # Twilio takes 1600 characters.
    assert len(template.render(brand="M" * 100, code="7" * 10, minutes=10)) + len(f"\n@{'a' * 253} #{'7' * 10}") < 1600


pieces = st.sampled_from(["{", "}", "{{", "}}", "code", "brand", "minutes", "{code}", "{brand}", "{minutes}"])
odd = st.sampled_from(
    ["{code!r}", "{code:>9}", "{brand.__class__}", "{0}", "{}", "{x}", "!", ":", ".", " ", "[0]", "é"]
)


@settings(derandomize=True, database=None, deadline=None, max_examples=effort(300, 5000))
@given(st.lists(pieces | odd | st.text(max_size=3), max_size=8).map("".join))
@example("{code}{{brand}}")
def test_text_is_rejected_or_renders_only_the_three_values(text: str) -> None:
    """Compare with `str.format`, of which this grammar is a safe subset."""
    names, sound = [], True
    try:
        for _, name, spec, conversion in string.Formatter().parse(text):
            if name is not None:
                names.append(name)
                sound = sound and not spec and conversion is None
    except ValueError:
        sound = False
    sound = sound and set(names) <= {"brand", "code", "minutes"} and names.count("code") == 1

    template, problem = None, ""
    try:
        template = parse(text)
    except TemplateError as error:
        problem = str(error)

    if template is None:
        # A text with valid braces was rejected for another reason.
        assert not sound or not problem.startswith(("Braces", "Must contain {code}"))
    else:
        assert sound
        expected = text.format(brand="M {code}", code="482913", minutes=10)
        assert template.render(brand="M {code}", code="482913", minutes=10) == expected


@settings(derandomize=True, database=None, deadline=None, max_examples=effort(100, 2000))
@given(st.text(st.characters(), max_size=40))
def test_parser_accepts_or_rejects_any_text(text: str) -> None:
    for candidate in (text, text + "{code}"):
        try:
            shown = parse(candidate).render(brand="MyApp", code="482913", minutes=10)
        except TemplateError:
            continue
        assert "482913" in shown
        assert "\n" not in shown
