"""Parts of the reference page: text, types, fields and examples in HTML."""

import json
import re
from html import escape
from typing import Any

Json = dict[str, Any]


def prose(text: str) -> str:
    """Render paragraphs, lists of lines that begin with "- ", `code` and **strong words**."""
    return "".join(_block(block) for block in re.split(r"\n\s*\n", text.strip()) if block)


def _block(block: str) -> str:
    lines = block.splitlines()
    if lines[0].startswith("- "):
        items = "\n".join(lines).removeprefix("- ").split("\n- ")
        return f"<ul>{''.join(f'<li>{inline(item)}</li>' for item in items)}</ul>"
    return f"<p>{inline(block)}</p>"


def inline(text: str) -> str:
    """Render one line of text, with `code` and **strong words**."""
    marked = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(" ".join(text.split())))
    return re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", marked)


def reference(schema: Json) -> str | None:
    """Return the name of the referenced component."""
    text = schema.get("$ref")
    return text.rpartition("/")[2] if isinstance(text, str) else None


def kind(schema: Json) -> str:
    """Render a type in a few words. Another schema becomes a link."""
    if name := reference(schema):
        return f'<a href="/docs/schemas#schema-{escape(name)}">{escape(name)}</a>'
    if "const" in schema:
        return f"<code>{escape(json.dumps(schema['const'], ensure_ascii=False))}</code>"
    if enum := schema.get("enum"):
        return " | ".join(f"<code>{escape(str(one))}</code>" for one in enum)
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(kind(choice) for choice in choices)
    match schema.get("type"):
        case "array":
            return f"list of {kind(schema.get('items', {}))}"
        case "object" if isinstance(schema.get("additionalProperties"), dict) and schema["additionalProperties"]:
            return f"object of {kind(schema['additionalProperties'])}"
        case "string" if "format" in schema:
            return escape(schema["format"])
        case None:
            return "anything"
        case name:
            return escape(str(name))


def bounds(schema: Json) -> str:
    """Render the bounds of a value."""
    shown_bounds = []
    for one in (schema, *schema.get("anyOf", ())):
        least, most = one.get("minimum"), one.get("maximum")
        if least is not None or most is not None:
            shown_bounds.append(f"{'' if least is None else least} … {'' if most is None else most}".strip())
        if (length := one.get("maxLength")) is not None:
            shown_bounds.append(f"at most {length} characters")
        if (length := one.get("maxItems")) is not None:
            shown_bounds.append(f"at most {length}")
        if pattern := one.get("pattern"):
            shown_bounds.append(f"<code>{escape(pattern)}</code>")
    if "default" in schema and schema["default"] not in (None, "", [], {}):
        shown_bounds.append(f"default <code>{escape(json.dumps(schema['default'], ensure_ascii=False))}</code>")
    return "".join(f"<span>{part}</span>" for part in shown_bounds)


def fields(rows: list[tuple[str, Json, bool, str]], caption: str) -> str:
    """Render a list of named values: name, schema, whether it is required, and its description."""
    if not rows:
        return ""
    items = []
    for name, schema, required, text in rows:
        must = '<em class="must">required</em>' if required else ""
        described = f"<p>{inline(text)}</p>" if text else ""
        limits = bounds(schema)
        items.append(
            f"<dt><code>{escape(name)}</code> <small>{kind(schema)}</small> {must}</dt>"
            f"<dd>{described}{f'<p class=bounds>{limits}</p>' if limits else ''}</dd>"
        )
    head = f"<h3>{caption}</h3>" if caption else ""
    return f"{head}<dl class=fields>{''.join(items)}</dl>"


def properties(schema: Json, caption: str) -> str:
    """Render the fields of an object."""
    required = schema.get("required", [])
    rows = [
        (name, of_field, name in required, _description(of_field))
        for name, of_field in schema.get("properties", {}).items()
    ]
    return fields(rows, caption)


def _description(schema: Json) -> str:
    """Return the description of a value, or of its variant that is not null."""
    return next((one["description"] for one in (schema, *schema.get("anyOf", ())) if "description" in one), "")


def shown(value: Any) -> str:
    """Render JSON with indentation."""
    return escape(json.dumps(value, indent=2, ensure_ascii=False))


def sheet(caption: str, text: str) -> str:
    """Render a block of code with its caption. It can be focused and scrolled by keyboard."""
    label = escape(re.sub(r"<[^>]+>", "", caption))
    block = f'<pre tabindex="0" role="group" aria-label="{label}">{text}</pre>'
    return f"<figure><figcaption>{caption}</figcaption>{block}</figure>"
