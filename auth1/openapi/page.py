"""Render the API reference: an HTML page for each section, which loads nothing and needs no script.

The Content-Security-Policy allows its own style and script by their digests. The script may call this server only, to
try an operation.
"""

import json
from html import escape
from pathlib import Path
from typing import NamedTuple

from auth1.core.crypto import content_hash
from auth1.openapi.contents import contents, is_for_operators, operations, section_path
from auth1.openapi.operation import article, command, resolve
from auth1.openapi.pieces import Json, properties, prose, sheet

SNAPSHOT = Path(__file__).with_name("openapi.json")
_STYLE = Path(__file__).with_name("page.css")
_SCRIPT = Path(__file__).with_name("page.js")
_PAGE = """\
<!doctype html>
<html lang="en" data-host="{host}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{heading}</title>
<style>{style}</style>
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<header>
<a href="/docs">{title}</a> <span>{version}</span><a class="source" href="/openapi.json">openapi.json</a>
</header>
<div class="page">
<nav aria-label="Contents"><details open><summary>Contents</summary><div>{contents}</div></details></nav>
<main id="content">{body}</main>
</div>
<script>{script}</script>
</body>
</html>
"""


class Reference(NamedTuple):
    """The pages of the reference by the name in their path, and their Content-Security-Policy. "" is the first."""

    pages: dict[str, bytes]
    policy: bytes


def reference(host: str) -> Reference:
    """Render the reference. `host` begins the addresses in commands until the script replaces it."""
    style, script = _STYLE.read_text(), _SCRIPT.read_text()
    policy = (
        f"default-src 'none'; style-src 'sha256-{content_hash(style)}'; script-src 'sha256-{content_hash(script)}'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    document = json.loads(SNAPSHOT.read_bytes())
    info = document["info"]
    pages = {}
    for name, (heading, body) in _bodies(document, host).items():
        title = escape(f"{info['title']} API")
        text = _PAGE.format(
            title=title,
            heading=title if name == "" else f"{escape(heading)} · {title}",
            version=escape(info["version"]),
            host=escape(host),
            style=style,
            script=script,
            contents=contents(document, name),
            body=body,
        )
        pages[name] = text.encode()
    return Reference(pages, policy.encode())


def _bodies(document: Json, host: str) -> dict[str, tuple[str, str]]:
    """Return the heading and the content of each page by name."""
    bodies = {"": ("Start here", _first(document, host))}
    for tag in document["tags"]:
        bodies[section_path(tag["name"])] = (tag["name"], _section(document, tag, host))
    return bodies | {"errors": ("Errors", _errors(document)), "schemas": ("Schemas", _schemas(document))}


def _first(document: Json, host: str) -> str:
    info = document["info"]
    intro = f'<section class="intro"><h1>{escape(info["title"])}</h1>{prose(info["description"])}</section>'
    return intro + _first_login(document, host) + _credentials(document)


def _first_login(document: Json, host: str) -> str:
    """Render the commands of a first login. With a test key the code is all zeros and nothing is sent."""
    steps = []
    for caption, path in (("Request a code", "/api/auth/request"), ("Verify it", "/api/auth/verify")):
        text = escape(command(path, "post", document["paths"][path]["post"], host))
        steps.append(sheet(caption, text))
    return f'<section id="first-login"><h2>First login</h2><div class="sheets">{"".join(steps)}</div></section>'


def _section(document: Json, tag: Json, host: str) -> str:
    """Render the operations of a section. Those that only an operator can call are folded at its end."""
    everyone: list[str] = []
    operator: list[str] = []
    for path, method, operation in operations(document, tag["name"]):
        listed = operator if is_for_operators(operation) else everyone
        listed.append(article(path, method, operation, document, host))
    folded = f'<details class="operators"><summary>Operator operations</summary>{"".join(operator)}</details>'
    return (
        f'<section><h1>{escape(tag["name"])}</h1><p class="lead">{escape(tag["description"])}</p>'
        f"{''.join(everyone)}{folded if operator else ''}</section>"
    )


def _credentials(document: Json) -> str:
    rows = []
    for name, scheme in document["components"]["securitySchemes"].items():
        header = scheme["name"] if scheme["type"] == "apiKey" else "Authorization: Bearer"
        said = prose(scheme["description"])
        rows.append(f'<dt id="credential-{escape(name)}">{escape(name)} <code>{header}</code></dt><dd>{said}</dd>')
    return f'<section id="credentials"><h2>Credentials</h2><dl class="fields">{"".join(rows)}</dl></section>'


def _errors(document: Json) -> str:
    """Render the table of error codes."""
    rows = []
    for response in document["components"]["responses"].values():
        status = response["content"]["application/problem+json"]["example"]["status"]
        for line in response["description"].splitlines():
            code, _, text = line.removeprefix("- ").partition(": ")
            code = escape(code.strip("`"))
            rows.append(
                f'<tr id="error-{code}"><td>{status}</td><td><code>{code}</code></td><td>{escape(text)}</td></tr>'
            )
    head = "<thead><tr><th>Status</th><th>Code</th><th>Detail</th></tr></thead>"
    return (
        '<section><h1>Errors</h1><p class="lead">Each is a <a href="/docs/schemas#schema-Problem">Problem</a>.</p>'
        f'<div class="wide" tabindex="0" role="region" aria-label="Errors"><table>{head}<tbody>{"".join(rows)}</tbody>'
        "</table></div></section>"
    )


def _schemas(document: Json) -> str:
    parts = []
    for name, schema in document["components"]["schemas"].items():
        listed = properties(resolve(schema, document, "schemas"), "")
        said = prose(schema.get("description", ""))
        parts.append(
            f'<article class="schema" id="schema-{escape(name)}"><h2>{escape(name)}</h2>{said}{listed}</article>'
        )
    return f"<section><h1>Schemas</h1>{''.join(parts)}</section>"
