"""Security headers of HTML pages."""

from urllib.parse import urlsplit

from auth1.pages.script import SCRIPT
from auth1.pages.theme import Theme

NOWHERE = "'none'"
Headers = list[tuple[bytes, bytes]]


def page_headers(theme: Theme, redirect_to: str | None = None) -> Headers:
    """Return the headers of a page that loads only the tenant's logo and runs no script.

    Browsers apply `form-action` to the redirect after a form as well, so it includes the origin of `redirect_to`, or
    the private scheme of an app.
    """
    form_action = "'self'" if redirect_to is None else f"'self' {_source(redirect_to)}"
    policy = _policy(theme, form_action, "")
    return [(b"content-security-policy", policy.encode()), (b"referrer-policy", b"no-referrer")]


def form_page_headers(theme: Theme, *, posts_elsewhere: bool = False) -> Headers:
    """Return the headers of a page with forms and the script of pages. `posts_elsewhere`: to an application.

    The browser sends the true origin with its forms; under `no-referrer` it would send `null`. No cache keeps the page.
    """
    form_action = None if posts_elsewhere else "'self'"
    script = f"script-src 'sha256-{SCRIPT.sha256}'; connect-src 'self'; "
    return [
        (b"content-security-policy", _policy(theme, form_action, script).encode()),
        (b"referrer-policy", b"same-origin"),
        (b"cache-control", b"no-store"),
    ]


def preview_policy(theme: Theme) -> str:
    """Return the policy of a page that only shows how a page looks: no script, no forms, no origin of its own."""
    return f"{_policy(theme, NOWHERE, '')}; sandbox"


def _policy(theme: Theme, form_action: str | None, script: str) -> str:
    image = "" if theme.logo_url is None else "img-src 'self'; "
    forms = "" if form_action is None else f"form-action {form_action}; "
    return (
        f"default-src 'none'; style-src 'sha256-{theme.stylesheet.sha256}'; {script}{image}{forms}"
        "frame-ancestors 'none'; base-uri 'none'"
    )


def _source(url: str) -> str:
    """Return a source expression of the Content Security Policy (CSP3, 2.3.1)."""
    scheme = url.partition(":")[0]
    return origin_of(url) if scheme in ("http", "https") else f"{scheme}:"


def origin_of(url: str) -> str:
    """Return scheme, host and port of an address."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
