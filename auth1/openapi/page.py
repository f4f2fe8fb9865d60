"""Render the reference page: one HTML document that loads nothing and needs no script.

Its Content-Security-Policy allows its own style and script by their digests. The script may call this server only, to
try an operation.
"""

import base64
import hashlib
import json
from html import escape
from pathlib import Path
from typing import TypeAlias

from auth1.openapi.operation import article, badge, breakable, resolve
from auth1.openapi.pieces import Json, properties, prose

Operation: TypeAlias = tuple[str, str, Json]  # path, method, and the operation in the document

SNAPSHOT = Path(__file__).with_name("openapi.json")
_STYLE = Path(__file__).with_name("page.css")
_SCRIPT = Path(__file__).with_name("page.js")
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<header>
<a href="#top">{title}</a> <span>{version}</span><a class="source" href="/openapi.json">openapi.json</a>
</header>
<div class="page" id="top">
<nav aria-label="Contents"><details open><summary>Contents</summary>{contents}</details></nav>
<main id="content">{body}</main>
</div>
<script>{script}</script>
</body>
</html>
"""


def rendered() -> tuple[bytes, bytes]:
    """Return the page, and its Content-Security-Policy."""
    style, script = _STYLE.read_text(), _SCRIPT.read_text()
    policy = (
        f"default-src 'none'; style-src 'sha256-{_digest(style)}'; script-src 'sha256-{_digest(script)}'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return render(json.loads(SNAPSHOT.read_bytes()), style, script).encode(), policy.encode()


def render(document: Json, style: str, script: str) -> str:
    """Render the page."""
    info = document["info"]
    sections = {tag["name"]: _operations(document, tag["name"]) for tag in document["tags"]}
    body = [f'<section class="intro"><h1>{escape(info["title"])}</h1>{prose(info["description"])}</section>']
    body.append(_credentials(document))
    for tag in document["tags"]:
        articles = "".join(article(*found, document) for found in sections[tag["name"]])
        body.append(
            f'<section id="{_anchor(tag["name"])}"><h2>{escape(tag["name"])}</h2>'
            f'<p class="lead">{escape(tag["description"])}</p>{articles}</section>'
        )
    body += [_errors(document), _schemas(document)]
    return _PAGE.format(
        title=f"{escape(info['title'])} API",
        version=escape(info["version"]),
        style=style,
        script=script,
        contents=_contents(sections),
        body="\n".join(body),
    )


def _operations(document: Json, section: str) -> list[Operation]:
    """Return the operations of a section."""
    return [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if operation["tags"] == [section]
    ]


def _contents(sections: dict[str, list[Operation]]) -> str:
    parts = ['<ul><li><a href="#credentials">Credentials</a></li></ul>']
    for name, operations in sections.items():
        items = [
            f'<li><a href="#{escape(operation["operationId"])}">{badge(method)} <code>{breakable(path)}</code></a></li>'
            for path, method, operation in operations
        ]
        parts.append(f'<p><a href="#{_anchor(name)}">{escape(name)}</a></p><ul>{"".join(items)}</ul>')
    parts.append('<ul><li><a href="#errors">Errors</a></li><li><a href="#schemas">Schemas</a></li></ul>')
    return "".join(parts)


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
        '<section id="errors"><h2>Errors</h2><p class="lead">Each is a <a href="#schema-Problem">Problem</a>.</p>'
        f'<div class="wide" tabindex="0" role="region" aria-label="Errors"><table>{head}<tbody>{"".join(rows)}</tbody>'
        "</table></div></section>"
    )


def _schemas(document: Json) -> str:
    parts = []
    for name, schema in document["components"]["schemas"].items():
        listed = properties(resolve(schema, document, "schemas"), "")
        said = prose(schema.get("description", ""))
        parts.append(
            f'<article class="schema" id="schema-{escape(name)}"><h3>{escape(name)}</h3>{said}{listed}</article>'
        )
    return f'<section id="schemas"><h2>Schemas</h2>{"".join(parts)}</section>'


def _anchor(name: str) -> str:
    return "section-" + "".join(letter if letter.isalnum() else "-" for letter in name.lower())


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
