"""The architecture rules that a program can check."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from auth1 import errors
from auth1.authn.guards import any_key, operator, secret_or_test_key, tenant_admin
from auth1.config.settings import SECRETS
from auth1.events.types import EventType
from auth1.routes import ROUTES
from auth1.sessions.guards import session
from auth1.tenants.settings import TenantSettings
from tests.support.each import each

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "auth1").rglob("*.py"))
QUERIES = sorted((ROOT / "sql" / "queries").glob("*.sql"))
ERRORS_AND_EVENTS = (ROOT / "docs" / "errors-and-events.md").read_text()

# Highest layer first: a module imports from lower layers, or from its own package.
LAYERS = (
    ("__main__",),
    ("cli", "inbox"),
    ("app",),
    ("routes",),
    ("openapi",),
    ("hosted",),
    ("oauth",),
    ("applications",),
    ("signing",),
    ("account", "health", "retention", "secret_renewal", "user_transfer"),
    ("users",),
    ("magic_links",),
    ("challenges",),
    ("tenants", "hosts"),
    ("sessions",),
    ("messaging", "audit", "webhooks"),
    ("fraud", "hooks"),
    ("idempotency",),
    ("authn", "pages"),
    ("tenants.settings",),
    ("fraud.policy", "hooks.config"),
    ("templates",),
    ("events",),
    ("services", "identifiers", "api_keys", "endpoint_secrets", "row_keys"),
    ("numbering",),
    ("core.outbound",),
    ("core",),
    ("errors", "metrics"),
    ("oauth_errors",),
    ("api_error",),
    ("config.checklist",),
    ("config.settings",),
    ("config",),
    ("dev",),
)
FORBIDDEN_NAMES = {"utils", "util", "common", "helpers", "models", "manager", "base", "misc"}
MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 70


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def layer(module: str) -> tuple[int, str]:
    """Return the number of a module's layer and its package, from `auth1.challenges.codes`."""
    name = module.removeprefix("auth1.")
    known = {package: number for number, packages in enumerate(LAYERS) for package in packages}
    while name not in known:
        name, dot, _ = name.rpartition(".")
        assert dot, f"{module} is in no layer"
    return known[name], name


def imports(tree: ast.AST) -> Iterator[str]:
    """Return the project modules that a module imports at run time."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("auth1"):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                path = ROOT / inner.replace(".", "/")
                yield inner if path.with_suffix(".py").exists() or path.is_dir() else node.module


class Source(NamedTuple):
    """A module: its syntax tree, and all nodes of it."""

    path: Path
    tree: ast.Module
    nodes: list[ast.AST]


@functools.cache
def source_of(path: Path) -> Source:
    """Parse a module once for all tests that read it."""
    tree = ast.parse(path.read_text())
    return Source(path, tree, list(ast.walk(tree)))


def for_types_only(tree: ast.Module) -> ast.Module:
    """Return the module without its `if TYPE_CHECKING` blocks."""
    body = [node for node in tree.body if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))]
    return ast.Module(body=body, type_ignores=[])


@each("path", SOURCES, ids=module_name)
def test_module_imports_only_from_lower_layers(path: Path) -> None:
    if module_name(path) == "auth1":
        return
    tree = source_of(path).tree
    number, own = layer(module_name(path))
    for imported in imports(for_types_only(tree)):
        if imported == "auth1":
            continue
        other, package = layer(imported)
        assert package == own or other > number, f"{module_name(path)} imports {imported}, which is not below it"


@each("path", SOURCES, ids=module_name)
def test_no_import_inside_a_function(path: Path) -> None:
    for function in source_of(path).nodes:
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            inner = [node for node in ast.walk(function) if isinstance(node, ast.Import | ast.ImportFrom)]
            assert not inner, f"{path.name}:{inner[0].lineno}"


@each("path", SOURCES, ids=module_name)
def test_files_and_functions_are_short_and_documented(path: Path) -> None:
    source = source_of(path)
    assert len(path.read_text().splitlines()) <= MAX_FILE_LINES
    assert ast.get_docstring(source.tree), "a module says what it is"
    for node in source.nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < MAX_FUNCTION_LINES, node.name
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{node.name} says what it is"
    for node in source.tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            documented = ast.get_docstring(node) or (node.end_lineno or 0) - node.lineno < 8
            assert documented, f"{node.name} says what it does"


@each("path", SOURCES, ids=module_name)
def test_module_names_are_specific(path: Path) -> None:
    assert path.stem not in FORBIDDEN_NAMES
    assert path.parent.name not in FORBIDDEN_NAMES


@each("path", SOURCES, ids=module_name)
def test_no_sql_in_python_files(path: Path) -> None:
    statement = re.compile(
        r"\s*(select|insert\s+into|update|delete\s+from|with|create|alter|drop)\b.*\b(from|set|as|table|values)\b"
    )
    for node in source_of(path).nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" not in node.value:
            assert not statement.match(node.value), f"{path.name}:{node.lineno}: {node.value}"


def test_core_has_no_domain_terms() -> None:
    words = re.compile(r"\b(tenant|challenge|otp|phone|sms|identifier|session)s?\b", re.IGNORECASE)
    for path in (ROOT / "auth1" / "core").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            name = getattr(node, "name", None) or getattr(node, "id", None) or getattr(node, "attr", None)
            if isinstance(name, str) and name != "challenge":  # WWW-Authenticate's challenge is HTTP's own word
                assert not words.search(name.replace("_", " ")), f"{path.name}: {name}"


@each("path", sorted((ROOT / "auth1" / "lua").glob("*.lua")))
def test_each_lua_script_begins_with_its_contract(path: Path) -> None:
    lines = path.read_text().splitlines()
    head = lines[: next(i for i, line in enumerate(lines) if not line.startswith("--"))]
    assert any(line.startswith("-- KEYS") for line in head)
    assert any(line.startswith("-- Returns") for line in head)
    assert ("ARGV" in "".join(lines[len(head) :])) == any(line.startswith("-- ARGV") for line in head)


def test_every_event_in_sql_is_an_event_type() -> None:
    words = "|".join(sorted({event.value.partition(".")[0] for event in EventType}))
    written = {name for path in QUERIES for name in re.findall(rf"'((?:{words})\.[a-z_]+)'", path.read_text())}
    assert written
    assert written <= {event.value for event in EventType}


@each("package", sorted((ROOT / "auth1").rglob("*/__init__.py")))
def test_package_docstring_describes_each_module(package: Path) -> None:
    said = set(re.findall(r"\w+", ast.get_docstring(ast.parse(package.read_text())) or ""))
    modules = {path.stem for path in package.parent.glob("*.py")} - {"__init__"}

    assert modules - said <= {"schemas", "statements", "store"}, "these are in every package what their names say"


def test_every_error_has_a_unique_code() -> None:
    codes = [rejection.code for rejection in errors.ALL]
    assert len(set(codes)) == len(codes)
    for rejection in errors.ALL:
        assert rejection.__name__ in (errors.__doc__ or ""), "the tree at the top of the file names it"
        assert rejection.__doc__
        assert (rejection.status == 401) == (rejection.challenge is not None)


def test_page_lists_every_error_and_event() -> None:
    section = ERRORS_AND_EVENTS.partition("## Errors")[2].partition("## Events")[0]
    assert set(re.findall(r"^\| \d+ \| `([a-z_]+)` \|", section, re.MULTILINE)) == {r.code for r in errors.ALL}

    section = ERRORS_AND_EVENTS.partition("## Events")[2]
    assert set(re.findall(r"`([a-z]+\.[a-z_]+)`", section)) == {event.value for event in EventType}


def test_configuration_page_lists_every_variable_and_tenant_setting() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    environment, _, tenants = page.partition("## Tenant settings")
    columns = [line.split("|")[1] for line in environment.splitlines() if line.startswith("|")]
    documented = set(re.findall(r"[A-Z_]{3,}", " ".join(columns)))
    source = "".join(path.read_text() for path in sorted((ROOT / "auth1" / "config").glob("*.py")))
    read = set(re.findall(r'"([A-Z][A-Z_]{3,})"', source))
    read -= {"PGSSLROOTCERT", "PRIVATE", "CORS"}  # the PostgreSQL driver's own; words that are not variables
    assert documented == read
    marked = {name for column in columns for name in re.findall(r"([A-Z_]{3,}) \*", column)}
    assert marked == SECRETS

    names = {line.split("|")[1].strip() for line in tenants.splitlines() if line.startswith("| ")} - {"setting"}
    assert names == set(TenantSettings.__struct_fields__)


def test_every_route_is_guarded_and_its_handler_has_a_docstring() -> None:
    assert len({(route.method, route.path) for route in ROUTES}) == len(ROUTES)
    for route in ROUTES:
        assert route.handler.__doc__
        assert route.auth.security == operator.security or not route.path.startswith("/api/admin")
        assert route.auth is tenant_admin or not route.path.startswith("/api/tenant")
        if route.path.startswith("/api/auth") and not route.page:
            assert route.auth in (any_key, secret_or_test_key, session)


def test_no_open_work_markers() -> None:
    words = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X", "NotImplemented" + "Error"]) + r")\b")
    for path in [*SOURCES, *QUERIES, *sorted((ROOT / "tests").rglob("*.py")), *sorted((ROOT / "bench").rglob("*.py"))]:
        assert not words.search(path.read_text()), path.name
