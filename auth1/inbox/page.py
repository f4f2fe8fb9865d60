"""The page of the inbox: one document that loads nothing, and frames that show emails without scripts."""

from pathlib import Path

from auth1.core.crypto import content_hash

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Inbox · Auth1</title>
<style>{style}</style>
</head>
<body>
<header><h1>Inbox</h1><p id="state" role="status">Waiting for messages…</p>
<nav><a href="/docs">API reference</a> <button id="clear" type="button">Clear</button></nav></header>
<main>
<section aria-label="Messages"><ol id="list"></ol></section>
<section id="view" aria-label="Message" aria-live="polite"><p class="empty">No messages yet. Request a code: its SMS or
email appears here. <a href="/docs">API reference</a></p></section>
</main>
<noscript><p class="empty">The inbox needs JavaScript. The terminal shows each message, too.</p></noscript>
<script>{script}</script>
</body>
</html>
"""
_FILES = Path(__file__).parent
# Emails of the frame load pictures (a tenant's logo) and open their links in a new tab; they run no script.
EMAIL_POLICY = (
    b"default-src 'none'; style-src 'unsafe-inline'; img-src data: http: https:; base-uri 'none'; form-action 'none'; "
    b"frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox"
)


def render_page() -> tuple[bytes, bytes]:
    """Return the page and its Content-Security-Policy."""
    style, script = ((_FILES / name).read_text() for name in ("page.css", "page.js"))
    policy = (
        f"default-src 'none'; style-src 'sha256-{content_hash(style)}'; script-src 'sha256-{content_hash(script)}'; "
        "connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return _PAGE.format(style=style, script=script).encode(), policy.encode()


def frame_email(html: bytes) -> bytes:
    """Return an email for a frame: its links open in a new tab."""
    head, tag, rest = html.partition(b"<head>")
    return head + tag + b'<base target="_blank">' + rest if tag else b'<base target="_blank">' + html
