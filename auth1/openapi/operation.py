"""One operation on the page: what it takes and answers, and a command to try it with."""

import json
import re
import shlex
from html import escape
from typing import Any

from auth1.openapi.pieces import Json, fields, inline, kind, properties, prose, reference, sheet, shown

AS_OPERATOR = "_as_operator"  # ends the name of what the operator does for a tenant as the tenant does for itself
HOST = "http://localhost:3000"
# What stands for a credential in a command.
_CREDENTIALS = {
    "publishableKey": ("x-api-key", "$API_KEY"),
    "secretKey": ("x-api-key", "$SECRET_KEY"),
    "testKey": ("x-api-key", "$TEST_KEY"),
    "sessionToken": ("Authorization", "Bearer $TOKEN"),
    "adminToken": ("Authorization", "Bearer $ADMIN_TOKEN"),
    "metricsToken": ("Authorization", "Bearer $METRICS_TOKEN"),
}


def article(path: str, method: str, operation: Json, document: Json) -> str:
    """Render an operation."""
    name = escape(operation["operationId"])
    responses = {
        status: resolve(response, document, "responses") for status, response in operation["responses"].items()
    }
    return (
        f'<article id="{name}" aria-labelledby="{name}-path">'
        f'<h3 id="{name}-path">{badge(method)} <code>{breakable(path)}</code>'
        f'<a class="here" href="#{name}" aria-label="Link to this operation">#</a></h3>'
        f'<p class="summary">{inline(operation["summary"])}.</p>'
        f'<div class="halves"><div>{_credentials(operation)}{_details(operation, document)}{_refusals(responses)}</div>'
        f'<div class="sheets">{sheet("Command", escape(command(path, method, operation)))}'
        f"{'' if _twin_of(operation) else _examples(responses)}</div></div></article>"
    )


def _details(operation: Json, document: Json) -> str:
    """What it takes; of the operator's way to do what a tenant does, where that is described."""
    if twin := _twin_of(operation):
        same = f'<p>Takes and answers what <a href="#{escape(twin)}">the tenant\'s own operation</a> does.</p>'
        return same + _parameters(operation, "path", "In the path")
    described = prose(operation["description"]) if "description" in operation else ""
    return (
        f"{described}{_parameters(operation, 'path', 'In the path')}{_parameters(operation, 'query', 'In the query')}"
        f"{_parameters(operation, 'header', 'Headers')}{_body(operation, document)}"
    )


def _twin_of(operation: Json) -> str | None:
    name: str = operation["operationId"]
    return name.removesuffix(AS_OPERATOR) if name.endswith(AS_OPERATOR) else None


def badge(method: str) -> str:
    """The method in its colour."""
    return f'<span class="method {escape(method)}">{escape(method.upper())}</span>'


def breakable(path: str) -> str:
    """A path that may be broken after each of its slashes."""
    return escape(path).replace("/", "/<wbr>")


def resolve(thing: Json, document: Json, room: str) -> Json:
    """What a reference refers to."""
    name = reference(thing)
    found: Json = document["components"][room][name] if name else thing
    return found


def command(path: str, method: str, operation: Json) -> str:
    """A command for the shell that calls an operation, with credentials in variables."""
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", parameter["example"])
    query = "&".join(
        f"{parameter['name']}={parameter['example']}"
        for parameter in operation.get("parameters", ())
        if parameter["in"] == "query" and "example" in parameter
    )
    address = f"{HOST}{path}{f'?{query}' if query else ''}"
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
        return '<p class="who">Open to anybody.</p>'
    named = [
        " with ".join(f'<a href="#credential-{scheme}">{_words(scheme)}</a>' for scheme in needed) or "nothing"
        for needed in alternatives
    ]
    return f'<p class="who">Needs {", or ".join(named)}.</p>'


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
            parts.append(f"<h4>Body: {name}</h4>")
            if said := target.get("description"):
                parts.append(f'<div class="said">{prose(said)}</div>')
            parts.append(properties(target, ""))
    return "".join(parts)


def _refusals(responses: Json) -> str:
    items = []
    for status, response in responses.items():
        if "application/problem+json" in response.get("content", {}):
            items.append(f"<li><b>{status}</b>{prose(response['description'])}</li>")
    return f"<details><summary>Refusals</summary><ul class=refusals>{''.join(items)}</ul></details>"


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
