"""Render the contents of the API reference: all sections and operations, on every page."""

from html import escape
from typing import TypeAlias

from auth1.openapi.operation import badge, breakable
from auth1.openapi.pieces import Json

Operation: TypeAlias = tuple[str, str, Json]  # path, method, and the operation in the document


def contents(document: Json, current: str) -> str:
    """Render the contents. `current` is the name of the page in its path."""
    parts = [_link("", "Start here", current)]
    for tag in document["tags"]:
        name = section_path(tag["name"])
        found = operations(document, tag["name"])
        everyone = "".join(_item(name, *one) for one in found if not is_for_operators(one[2]))
        operator = "".join(_item(name, *one) for one in found if is_for_operators(one[2]))
        parts.append(_link(name, tag["name"], current))
        if everyone:
            parts.append(f"<ul>{everyone}</ul>")
        if operator:
            parts.append(f"<details><summary>Operator operations</summary><ul>{operator}</ul></details>")
    parts += [_link("errors", "Errors", current), _link("schemas", "Schemas", current)]
    return "".join(parts)


def pages(document: Json) -> list[str]:
    """Return the name in the path of each page after the first."""
    return [*(section_path(tag["name"]) for tag in document["tags"]), "errors", "schemas"]


def operations(document: Json, section: str) -> list[Operation]:
    """Return the operations of a section."""
    return [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if operation["tags"] == [section]
    ]


def is_for_operators(operation: Json) -> bool:
    """Return whether only the admin token gives access to an operation."""
    return bool(operation["security"] == [{"adminToken": []}])


def section_path(name: str) -> str:
    """Return the name of a section in the path of its page."""
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower())


def _link(name: str, text: str, current: str) -> str:
    address = f"/docs/{name}" if name else "/docs"
    marked = ' aria-current="page"' if name == current else ""
    return f'<p><a href="{address}"{marked}>{escape(text)}</a></p>'


def _item(section: str, path: str, method: str, operation: Json) -> str:
    name = escape(operation["operationId"])
    words = escape(f"{operation['summary']} {operation['operationId']}".lower())
    return (
        f'<li data-words="{words}"><a href="/docs/{section}#{name}">{badge(method)}'
        f" <code>{breakable(path)}</code></a></li>"
    )
