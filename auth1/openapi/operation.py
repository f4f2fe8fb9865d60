"""Render one operation on the reference page: parameters, body, errors, examples, and a command to try."""

import json
import re
import shlex
from html import escape
from typing import Any

from auth1.openapi.pieces import Json, fields, inline, kind, properties, prose, reference, sheet, shown

HOST = "http://localhost:3000"
# The header of each credential in a command.
_CREDENTIALS = {
    "publishableKey": ("x-api-key", "$API_KEY"),
    "secretKey": ("x-api-key", "$SECRET_KEY"),
    "testKey": ("x-api-key", "$TEST_KEY"),
    "sessionToken": ("Authorization", "Bearer $TOKEN"),
    "adminToken": ("Authorization", "Bearer $ADMIN_TOKEN"),
    "metricsToken": ("Authorization", "Bearer $METRICS_TOKEN"),
}


def article(path: str, method: str, operation: Json, document: Json, host: str) -> str:
    """Render an operation. `host` begins the address in its command."""
    name = escape(operation["operationId"])
    responses = {
        status: resolve(response, document, "responses") for status, response in operation["responses"].items()
    }
    return (
        f'<article id="{name}" aria-labelledby="{name}-path">'
        f'<h2 id="{name}-path">{badge(method)} <code>{breakable(path)}</code>'
        f'<a class="here" href="#{name}" aria-label="Link to this operation">#</a></h2>'
        f'<p class="summary">{inline(operation["summary"])}.</p>'
        f'<div class="halves"><div>{_credentials(operation)}{_details(operation, document)}'
        f"{_errors(operation, responses)}</div>"
        f'<div class="sheets">{sheet("Command", escape(command(path, method, operation, host)))}'
        f"{_examples(responses)}</div></div></article>"
    )


def _details(operation: Json, document: Json) -> str:
    """Render the description, the parameters and the body."""
    described = prose(operation["description"]) if "description" in operation else ""
    return (
        f"{described}{_parameters(operation, 'path', 'In the path')}{_parameters(operation, 'query', 'In the query')}"
        f"{_parameters(operation, 'header', 'Headers')}{_body(operation, document)}"
    )


def badge(method: str) -> str:
    """Render a method in its colour."""
    return f'<span class="method {escape(method)}">{escape(method.upper())}</span>'


def breakable(path: str) -> str:
    """Render a path that may be broken after each slash."""
    return escape(path).replace("/", "/<wbr>")


def resolve(thing: Json, document: Json, kind: str) -> Json:
    """Return the component that a reference names, or the thing itself."""
    name = reference(thing)
    found: Json = document["components"][kind][name] if name else thing
    return found


def command(path: str, method: str, operation: Json, host: str = HOST) -> str:
    """Return a shell command that calls an operation, with credentials in variables."""
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", parameter["example"])
    query = "&".join(
        f"{parameter['name']}={parameter['example']}"
        for parameter in operation.get("parameters", ())
        if parameter["in"] == "query" and "example" in parameter
    )
    address = f"{host}{path}{f'?{query}' if query else ''}"
    verb = "" if method == "get" else f"-X {method.upper()} "
    lines = [f"curl {verb}{shlex.quote(address)}"]
    content = operation.get("requestBody", {}).get("content", {})
    lines.extend(f'-H "Content-Type: {media_type}"' for media_type in list(content)[:1])
    alternatives = operation.get("security", [])
    for scheme in (alternatives[-1] if {} in alternatives else alternatives[0]) if alternatives else ():
        header, value = _CREDENTIALS[scheme]
        lines.append(f'-H "{header}: {value}"')
    if example := _example(content):
        lines.append(f"-d {_quoted(json.dumps(example, ensure_ascii=False))}")
    elif content and "application/json" in content:
        lines.append("-d '{}'")
    elif "image/png" in content:
        lines.append("--data-binary @logo.png")
    return " \\\n  ".join(lines)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\"'\"'") + "'"


def _example(content: Json) -> Any:
    for described in content.values():
        if "example" in described:
            return described["example"]
        for example in described.get("examples", {}).values():
            return example["value"]
    return None


def _credentials(operation: Json) -> str:
    alternatives = operation.get("security", [])
    if not alternatives:
        return '<p class="who">Needs no credential.</p>'
    named = [
        " with ".join(f'<a href="/docs#credential-{scheme}">{_words(scheme)}</a>' for scheme in needed) or "nothing"
        for needed in alternatives
    ]
    needs = f'<p class="who">Needs {", or ".join(named)}.</p>'
    if (sandbox := operation.get("x-sandbox-path")) is not None:
        return f'{needs}<p class="who">In the sandbox: <code>{breakable(sandbox)}</code>.</p>'
    if (path := operation.get("x-operator-path")) is None:
        return needs
    token = f'<a href="/docs#credential-adminToken">{_words("adminToken")}</a>'
    return (
        f'{needs}<details class="operator"><summary>As an operator</summary>'
        f'<p class="who"><code>{breakable(path)}</code> with {token}.</p></details>'
    )


def _words(scheme: str) -> str:
    return re.sub(r"([A-Z])", lambda found: " " + found[1].lower(), scheme)


def _parameters(operation: Json, place: str, caption: str) -> str:
    rows = [
        (parameter["name"], parameter["schema"], parameter.get("required", False), parameter.get("description", ""))
        for parameter in operation.get("parameters", ())
        if parameter["in"] == place
    ]
    return fields(rows, caption)


def _body(operation: Json, document: Json) -> str:
    parts = []
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        schema = content["schema"]
        choices = schema.get("anyOf", [schema])
        for choice in choices:
            target = resolve(choice, document, "schemas")
            name = kind(choice) if reference(choice) else escape(media_type)
            parts.append(f"<h3>Body: {name}</h3>")
            if said := target.get("description"):
                parts.append(f'<div class="said">{prose(said)}</div>')
            parts.append(properties(target, ""))
    return "".join(parts)


def _errors(operation: Json, responses: Json) -> str:
    items = []
    for status, response in responses.items():
        described = operation["responses"][status]["description"]
        if "application/problem+json" in response.get("content", {}) or is_oauth_error(response):
            link = r"<code>\1</code>"
            if not is_oauth_error(response):
                link = rf'<a href="/docs/errors#error-\1">{link}</a>'
            links = re.sub(r"`(\w+)`", link, described)
            items.append(f"<li><b>{status}</b> {links}</li>")
    return f"<details><summary>Errors</summary><ul class=errors>{''.join(items)}</ul></details>"


def is_oauth_error(response: Json) -> bool:
    """Return whether a response is an error of an OAuth endpoint."""
    schema = response.get("content", {}).get("application/json", {}).get("schema", {})
    return bool(schema.get("$ref", "").endswith("/OAuthError"))


def _examples(responses: Json) -> str:
    sheets = []
    for status, response in responses.items():
        if status.startswith("2") or status.startswith("3"):
            content = response.get("content", {})
            for media_type, described in content.items():
                example = shown(described["example"]) if "example" in described else escape(f"({media_type})")
                of = kind(described["schema"]) if reference(described["schema"]) else escape(media_type)
                sheets.append(sheet(f"{status} {of}", example))
            if not content:
                sheets.append(sheet(status, escape(response["description"])))
    return "".join(sheets)
