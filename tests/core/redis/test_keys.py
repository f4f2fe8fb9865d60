"""Every key of the program has one hash tag, and every script has keys of one slot."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import auth1
from auth1.core.redis.cluster import KEYLESS
from auth1.core.redis.slots import hash_tag, key_slot

SOURCES = {path: path.read_text() for path in sorted(Path(auth1.__file__).parent.rglob("*.py"))}
# Each family of keys, by its beginning, and what its hash tag is. One call names keys of one tag only.
FAMILIES = {
    "ratelimit:": "the tenant, or the client's address",
    "fraud:": "the tenant",
    "session:": "the tenant",
    "unanswered:": "the tenant",
    "auth1:dev:": "a constant",
    "auth1:trace:": "a tenant",
}
SINGLE_KEY = {"GET", "SET", "LPUSH", "EXPIRE", "RPOP", "LRANGE", "HDEL"}
SAME_TAG = {"DEL", "MGET"}  # of the inbox, whose keys begin with one constant; of the traces of one tenant


def texts(tree: ast.AST) -> Iterator[str]:
    """Yield strings and f-strings; `<name>` stands for a value."""
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            yield "".join(
                part.value if isinstance(part, ast.Constant) else f"<{ast.unparse(part)}>"  # type: ignore[misc]
                for part in node.values
            )


def key_templates() -> dict[str, str]:
    """Return every key of the sources, by file and template."""
    families = tuple(FAMILIES)
    return {
        f"{path.name}: {text}": text
        for path, source in SOURCES.items()
        if any(family in source for family in families)
        for text in texts(ast.parse(source))
        if text.startswith(families) and not text.endswith(":tenants")
    }


def redis_calls() -> list[tuple[str, str]]:
    """Return file and command of each `….call("COMMAND", …)` outside of the clients themselves."""
    found = []
    for path, source in SOURCES.items():
        if path.parent.name == "redis" or "redis.call(" not in source:
            continue
        for node in ast.walk(ast.parse(source)):
            is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "call"
            if is_call and "redis" in ast.unparse(node.func.value).lower():  # type: ignore[attr-defined]
                command = node.args[0]  # type: ignore[attr-defined]
                assert isinstance(command, ast.Constant), path
                found.append((path.name, str(command.value)))
    return found


KEYS, CALLS = key_templates(), redis_calls()


def test_all_keys_are_found() -> None:
    found = {family for family in FAMILIES for text in KEYS.values() if text.startswith(family)}

    assert found == set(FAMILIES)


@pytest.mark.parametrize("template", KEYS.values(), ids=KEYS.keys())
def test_key_has_one_hash_tag_after_its_family(template: str) -> None:
    key = re.sub(r"<[^>]*>", "value", template)

    assert re.match(r"[a-z0-9:]+\{[^{}]+\}", key), "the hash tag follows the name of the family"
    assert key_slot(key) == key_slot(hash_tag(key))
    assert hash_tag(key) in template or hash_tag(key).startswith("value"), "the tag is one value, or a constant"


def test_every_command_has_one_slot() -> None:
    assert len(CALLS) > 10

    assert {command for _, command in CALLS} <= KEYLESS | SINGLE_KEY | SAME_TAG
    assert {name for name, command in CALLS if command in SAME_TAG} == {"store.py", "traces.py"}


@pytest.mark.parametrize(
    ("key", "slot"),
    [
        ("123456789", 0x31C3),  # the example of the cluster specification
        ("{user1000}.following", key_slot("user1000")),
        ("foo{}{bar}", key_slot("foo{}{bar}")),
        ("foo{{bar}}zap", key_slot("{bar")),
        ("foo{bar}{zap}", key_slot("bar")),
    ],
)
def test_slots_are_those_of_the_specification(key: str, slot: int) -> None:
    assert key_slot(key) == slot
