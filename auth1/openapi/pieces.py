"""What the page of the description is put together from: text, types, fields and examples in HTML."""

import json
import re
from html import escape
from typing import Any

Json = dict[str, Any]


def prose(text: str) -> str:
    """Paragraphs, lists of lines that begin with "- ", `code` and **strong words**."""
    return "".join(_block(block) for block in re.split(r"\n\s*\n", text.strip()) if block)


def _block(block: str) -> str:
    lines = block.splitlines()
    if lines[0].startswith("- "):
        items = "\n".join(lines).removeprefix("- ").split("\n- ")
        return f"<ul>{''.join(f'<li>{inline(item)}</li>' for item in items)}</ul>"
    return f"<p>{inline(block)}</p>"


def inline(text: str) -> str:
    """One line of text, with `code` and **strong words**."""
    marked = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(" ".join(text.split())))
    return re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", marked)


def reference(schema: Json) -> str | None:
    """The name of the schema that this one refers to."""
    text = schema.get("$ref")
    return text.rpartition("/")[2] if isinstance(text, str) else None


def kind(schema: Json) -> str:
    """A type in a few words; another schema is a link to it."""
    if name := reference(schema):
        return f'<a href="#schema-{escape(name)}">{escape(name)}</a>'
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
    """Limits of a value, each in a few signs."""
    told = []
    for one in (schema, *schema.get("anyOf", ())):
        least, most = one.get("minimum"), one.get("maximum")
        if least is not None or most is not None:
            told.append(f"{'' if least is None else least} … {'' if most is None else most}".strip())
        if (length := one.get("maxLength")) is not None:
            told.append(f"at most {length} characters")
        if (length := one.get("maxItems")) is not None:
            told.append(f"at most {length}")
        if pattern := one.get("pattern"):
            told.append(f"<code>{escape(pattern)}</code>")
    if "default" in schema and schema["default"] not in (None, "", [], {}):
        told.append(f"default <code>{escape(json.dumps(schema['default'], ensure_ascii=False))}</code>")
    return "".join(f"<span>{part}</span>" for part in told)


def fields(rows: list[tuple[str, Json, bool, str]], caption: str) -> str:
    """A list of named values: name, schema, whether it is required, and what is said of it."""
    if not rows:
        return ""
    items = []
    for name, schema, required, text in rows:
        must = '<em class="must">required</em>' if required else ""
        said = f"<p>{inline(text)}</p>" if text else ""
        limits = bounds(schema)
        items.append(
            f"<dt><code>{escape(name)}</code> <small>{kind(schema)}</small> {must}</dt>"
            f"<dd>{said}{f'<p class=bounds>{limits}</p>' if limits else ''}</dd>"
        )
    head = f"<h4>{caption}</h4>" if caption else ""
    return f"{head}<dl class=fields>{''.join(items)}</dl>"


def properties(schema: Json, caption: str) -> str:
    """The fields of an object."""
    required = schema.get("required", [])
    rows = [
        (name, of_field, name in required, _said(of_field)) for name, of_field in schema.get("properties", {}).items()
    ]
    return fields(rows, caption)


def _said(schema: Json) -> str:
    """The description of a value, or of the one thing that it may be beside null."""
    return next((one["description"] for one in (schema, *schema.get("anyOf", ())) if "description" in one), "")


def shown(value: Any) -> str:
    """JSON as people read it."""
    return escape(json.dumps(value, indent=2, ensure_ascii=False))


def sheet(caption: str, text: str) -> str:
    """A block of code with its caption; it can be reached and scrolled by keyboard."""
    label = escape(re.sub(r"<[^>]+>", "", caption))
    return f'<figure><figcaption>{caption}</figcaption><pre tabindex="0" aria-label="{label}">{text}</pre></figure>'
