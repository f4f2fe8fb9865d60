"""The HTML of the pages behind a link, and its theme."""

import base64
import hashlib
import re

import pytest

from auth1.pages.headers import page_headers
from auth1.pages.theme import Theme, default_theme, stylesheet, tenant_theme
from auth1.templates.pages import Look, RequestOrigin, WayBack, render_confirm, render_confirmed, render_expired
from auth1.templates.schemas import Branding
from auth1.templates.strings import STRINGS

SCRIPT = "<script>alert('1')</script>"


@pytest.mark.parametrize("lang", sorted(STRINGS))
def test_confirm_page_shows_the_origin_of_the_request(lang: str) -> None:
    page = render_confirm(Look(lang, ""), "MyApp", RequestOrigin("Firefox on Linux", "192.0.2.0/24"))

    strings = STRINGS[lang].pages
    assert f"<dt>{strings.device}</dt><dd>Firefox on Linux</dd>" in page
    assert f"<dt>{strings.network}</dt><dd>192.0.2.0/24</dd>" in page
    assert f'<h2 id="origin">{strings.origin}</h2>' in page


@pytest.mark.parametrize(
    ("origin", "labels"),
    [
        (None, []),
        (RequestOrigin(), []),
        (RequestOrigin(device="Safari on iPhone"), ["Device"]),
        (RequestOrigin(network="2001:db8::/48"), ["Network"]),
    ],
)
def test_confirm_page_omits_unknown_parts_of_the_origin(origin: RequestOrigin | None, labels: list[str]) -> None:
    page = render_confirm(Look("en", ""), "MyApp", origin)

    assert re.findall("<dt>(.*?)</dt>", page) == labels
    assert ("Requested from" in page) == bool(labels)


def test_every_value_on_a_page_is_escaped() -> None:
    back = WayBack(SCRIPT, 'https://app.example.com/"><script>')
    for page in (
        render_confirm(Look("en", ""), SCRIPT, RequestOrigin(SCRIPT, SCRIPT)),
        render_confirmed(Look("en", ""), back),
        render_expired(Look("en", ""), back),
    ):
        assert "<script" not in page
        assert "&lt;script&gt;" in page


@pytest.mark.parametrize("lang", sorted(STRINGS))
def test_status_pages_link_to_the_application_when_known(lang: str) -> None:
    button = STRINGS[lang].pages.open.format(brand="MyApp")
    for render in (render_confirmed, render_expired):
        page = render(Look(lang, ""), WayBack("MyApp", "https://app.example.com/"))
        assert f'<a class="button" href="https://app.example.com/">{button}</a>' in page
        assert "<a " not in render(Look(lang, ""), WayBack("MyApp"))


def test_expired_page_without_a_tenant_has_no_tenant_name() -> None:
    assert "brand" not in render_expired(Look("en", ""))


def test_policy_allows_only_the_style_sheet_and_the_form() -> None:
    theme = tenant_theme(Branding("MyApp", color="#0f766e", default_locale="de"), None)

    headers = dict(page_headers(theme, "https://app.example.com:8443/cb?a=b"))

    digest = base64.b64encode(hashlib.sha256(theme.stylesheet.text.encode()).digest()).decode()
    assert headers[b"content-security-policy"].decode() == (
        f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self' https://app.example.com:8443; "
        "frame-ancestors 'none'; base-uri 'none'"
    )
    assert headers[b"referrer-policy"] == b"no-referrer"
    assert theme == Theme("de", "#0f766e")


def test_style_sheet_has_the_tenants_colour() -> None:
    assert "--button:#facc15;--button-text:#000000" in stylesheet("#facc15").text
    assert "--button:#1d4ed8;--button-text:#ffffff" in default_theme("fr").stylesheet.text
    assert default_theme("tlh, fr;q=0.5").lang == "fr"
