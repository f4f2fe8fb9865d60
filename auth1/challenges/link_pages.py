"""The pages behind a link: plain HTML that loads nothing and needs no script.

They are shown to whoever holds the link, so they name the tenant and nobody else, and never the link itself.
"""

import base64
import hashlib
import html
from urllib.parse import urlsplit

from auth1.core.call import Answer

_HTML = b"text/html; charset=utf-8"
_STYLE = """\
:root{color-scheme:light dark;--ink:#1f2937;--paper:#ffffff;--ground:#f3f4f6;--act:#1d4ed8}
@media(prefers-color-scheme:dark){:root{--ink:#f3f4f6;--paper:#1f2937;--ground:#111827;--act:#2563eb}}
body{margin:0;min-height:100vh;display:grid;place-items:center;background:var(--ground);color:var(--ink);\
font:1.0625rem/1.5 system-ui,sans-serif}
main{box-sizing:border-box;width:min(100%,26rem);padding:2rem;background:var(--paper);border-radius:.75rem;\
overflow-wrap:anywhere}
h1{margin:0 0 .75rem;font-size:1.375rem;line-height:1.3}
button{width:100%;margin-top:.5rem;padding:.75rem 1rem;border:0;border-radius:.5rem;background:var(--act);color:#fff;\
font:inherit;font-weight:600;cursor:pointer;overflow-wrap:anywhere}
button:focus-visible{outline:3px solid var(--ink);outline-offset:3px}"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
{body}
</main>
</body>
</html>
"""
# The form posts to the page's own address, which thus need not be written into it.
_CONFIRM = """\
<p>Press the button to log in. If you did not ask for this, close this page.</p>
<form method="post"><button>Log in to {brand}</button></form>"""
_CONFIRMED = """\
<p role="status">Go back to the tab or app where you began: it goes on there by itself. You may close this page.</p>"""
_DEAD = """\
<p role="status">It has expired or was used already. Go back to where you were logging in, and ask for a new one.</p>"""


def confirm(brand: str) -> Answer:
    """Ask the person to press a button: whatever opens links by itself does not press it."""
    return _page(f"Log in to {brand}", _CONFIRM.format(brand=html.escape(brand)))


def confirmed() -> Answer:
    """Send the person back to the tab that asked."""
    return _page("Confirmed", _CONFIRMED)


def dead() -> Answer:
    """One page for every link that is not open, so that nobody learns why."""
    return _page("This link no longer works", _DEAD, status=400)


def headers(redirect_to: str | None = None) -> list[tuple[bytes, bytes]]:
    """Headers of a page. Browsers hold the form's redirect to form-action, too, so it names where that leads."""
    form_action = "'self'"
    if redirect_to is not None:
        parts = urlsplit(redirect_to)
        form_action += f" {parts.scheme}://{parts.netloc}"
    policy = (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action {form_action}; "
        "frame-ancestors 'none'; base-uri 'none'"
    )
    return [(b"content-security-policy", policy.encode()), (b"referrer-policy", b"no-referrer")]


def _page(title: str, body: str, status: int = 200) -> Answer:
    text = _PAGE.format(title=html.escape(title), style=_STYLE, body=body)
    return Answer(text.encode(), status, _HTML)
