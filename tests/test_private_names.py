"""Tests use public names of the product, so that they stay valid when its inside changes."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
STANDARD = {"_asdict", "_exit", "_fields", "_replace"}  # of named tuples and of os
# Each exception with its reason: a file, and the private name that it uses.
ALLOWED = {
    ("tests/core/outbound/test_text_records.py", "_RESOLV_CONF"),  # a file of the system, which tests cannot change
    ("tests/fraud/exposures/test_exposures.py", "_restore"),  # no request restores this late
    ("tests/ops/grafana.py", "_labelnames"),  # of prometheus-client, which has no public name for it
    ("tests/sessions/test_revoked_sessions.py", "_key"),  # of the write that a slow reader makes
    ("tests/sessions/test_revoked_sessions.py", "_redis"),  # a connection that is repaired, with any kind of Redis
    ("tests/support/providers/smtp.py", "_handler_coroutine"),  # of aiosmtpd, which ends it in no other way
    ("tests/tenants/test_move.py", "_Move"),
    ("tests/tenants/test_move.py", "_set_places"),  # the last step of a move, which is made slow
    ("tests/test_caches.py", "_FULL_KEYS"),  # bounds of caches
    ("tests/test_caches.py", "_LOCAL_KEYS"),
    ("tests/unit/test_numbering.py", "_plan"),  # caches that must be empty before their memory is measured
    ("tests/unit/test_numbering.py", "_region"),
}


def is_own(node: ast.AST) -> bool:
    """Return whether an expression is the object whose method it stands in."""
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def private_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the private attributes of other objects that a module uses or replaces, with their line numbers."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Attribute):
            names = [] if is_own(node.value) else [node.attr]
        elif isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("setattr", "getattr", "patch")):
            args = [] if any(map(is_own, node.args)) else node.args
            texts = [arg.value for arg in args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
            names = [part for text in texts for part in text.split(".")]
        for name in names:
            if name.startswith("_") and not name.startswith("__") and name not in STANDARD:
                yield getattr(node, "lineno", 0), name


def test_tests_use_no_private_names_of_other_objects() -> None:
    found = {
        (str(path.relative_to(ROOT)), name): line
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for line, name in private_names(ast.parse(path.read_text()))
    }

    assert [f"{path}:{line}: {name}" for (path, name), line in found.items() if (path, name) not in ALLOWED] == []
    assert found.keys() >= ALLOWED, "an exception is no longer needed"
