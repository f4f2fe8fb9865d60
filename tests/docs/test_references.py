"""Commands, routes, files, variables and metrics that the pages name exist in the program."""

import contextlib
import io
import json
import re
import shlex
from pathlib import Path
from typing import Any

from auth1 import errors, metrics
from auth1.__main__ import parser
from tests.support import described
from tests.support.each import each

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "examples/web/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
RECIPES = set(re.findall(r"^([a-z][a-z-]*)(?=[ :])(?! *:=).*:", (ROOT / "justfile").read_text(), re.MULTILINE))
OPERATIONS: dict[str, dict[str, Any]] = described.snapshot()["paths"]
METRICS = {
    name
    for path in [Path(metrics.__file__), *(ROOT / "auth1" / "core").rglob("*.py")]
    for name in re.findall(r"\bauth1_\w+", path.read_text())
}
CODES = {error.code for error in (*errors.ALL, *errors.OAUTH)}
# The operator has the routes of a tenant at these paths, and no entry of their own in the description.
OPERATOR_PREFIX, TENANT_PREFIX = "/api/admin/tenants/{tenant_id}/", "/api/tenant/"
NOT_COMMANDS = ("auth1 event seals",)  # the text that a chain of seals begins with
NOT_OURS = ("/.well-known/oauth-protected-resource",)  # of an MCP server

every_page = each("page", PAGES)


def without_fences(text: str) -> str:
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)


def quotes(page: Path) -> list[str]:
    """Return the inline code of a page, each on one line."""
    return [re.sub(r"\s+", " ", text) for text in re.findall(r"`([^`]+)`", without_fences(page.read_text()))]


def blocks(page: Path, *languages: str) -> list[str]:
    """Return the fenced blocks in some languages."""
    found = re.findall(r"^ *```(\w*)\n(.*?)^ *```$", page.read_text(), re.DOTALL | re.MULTILINE)
    return [text for language, text in found if language in languages]


def commands(page: Path) -> list[str]:
    """Return the lines of the shell blocks, with continued lines joined, and the inline code."""
    lines = [
        line.strip().removeprefix("$ ")
        for block in blocks(page, "sh", "console")
        for line in re.sub(r"\\\n\s*", " ", block).splitlines()
    ]
    return [re.sub(r"\s#.*", "", line) for line in lines if not line.startswith("#")] + quotes(page)


def calls(page: Path, program: str) -> list[list[str]]:
    """Return the arguments of each call of a program that begins a command."""
    start = re.compile(rf"^(?:sudo |[A-Z_]+=\S+ )*(?:\.venv/bin/|/opt/auth1/bin/)?{program} (.+)")
    found = [match[1] for line in commands(page) if (match := start.match(line)) and line not in NOT_COMMANDS]
    return [shlex.split(re.split(r" (?:\||>|>>|<|&&|;)(?: |$)|;", text)[0]) for text in found]


def routes(path: str) -> set[str]:
    """Return the methods of a path, which may have values in place of its parameters."""
    path = path.replace(OPERATOR_PREFIX, TENANT_PREFIX) if path.startswith(OPERATOR_PREFIX) else path
    return {
        method.upper()
        for known, methods in OPERATIONS.items()
        if re.fullmatch(re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(known)), path)
        for method in methods
    }


def is_start(path: str) -> bool:
    """Return whether a route begins with all segments of a path, which may have values in place of its parameters."""
    named = path.replace(OPERATOR_PREFIX, TENANT_PREFIX).split("/")
    return any(
        len(named) <= len(known) and all(map(_is_segment, named, known))
        for known in (operation.split("/") for operation in OPERATIONS)
    )


def _is_segment(named: str, known: str) -> bool:
    return named == known or (known.startswith("{") and named != "")


def operations(page: Path) -> list[tuple[str, str]]:
    """Return the methods with paths that a page names."""
    text = " ".join(page.read_text().split())
    return re.findall(r"\b(GET|POST|PUT|PATCH|DELETE) (/(?:api|t|health|\.well-known)/[\w/{}.-]*\w}?)", text)


def paths(page: Path) -> list[str]:
    """Return the paths that a page names, with or without a method. A variable of the shell stands for a parameter."""
    text = " ".join(page.read_text().split())
    found = re.findall(r"(?:(?<=:3000)|(?<=URL)|(?<![\w.…]))/(?:api|health|\.well-known)/[\w/{}.$-]*[\w}]", text)
    return [re.sub(r"\$(\w+)", lambda variable: f"{{{variable[1].lower()}}}", path) for path in found]


def files(page: Path) -> list[str]:
    """Return the files and folders of the project that a page names."""
    return re.findall(
        r"(?<![\w/.-])((?:auth1|bench|tests|sql|ops|examples|requirements)/[\w./*@-]*[\w*])", page.read_text()
    )


def named_metrics(page: Path) -> set[str]:
    return {name for name in quotes(page) if re.fullmatch(r"auth1_[a-z]+_[a-z_]+", name)}


def named_codes(page: Path) -> set[str]:
    """Return the error codes that follow a status."""
    return set(re.findall(r"\b[45]\d\d\s`([a-z_]+)`", page.read_text()))


def bodies(page: Path) -> list[str]:
    """Return the JSON bodies of the curl commands. A form has no braces."""
    return re.findall(r"(?:-d|--data) '(\{.*?\})'(?=\s|$)", "\n".join(blocks(page, "sh", "console")), re.DOTALL)


@every_page
def test_every_recipe_exists(page: Path) -> None:
    named = {arguments[0] for arguments in calls(page, "just") if not arguments[0].startswith("-")}

    assert named - RECIPES == set()


@every_page
def test_every_command_of_auth1_is_parsed(page: Path) -> None:
    """A quote in the text may leave out what a command requires; a block is complete."""
    for arguments in calls(page, "auth1"):
        printed = io.StringIO()
        with contextlib.redirect_stderr(printed), contextlib.redirect_stdout(io.StringIO()):
            try:
                parser().parse_args(arguments)
            except SystemExit as end:
                problem = printed.getvalue().splitlines()[-1:] if end.code else []
                is_quote = f"auth1 {' '.join(arguments)}" in quotes(page) or not arguments[-1].isascii()
                incomplete = is_quote and any("required" in line or "expected one" in line for line in problem)
                assert not problem or incomplete or "NAME" in arguments, (arguments, problem)


@every_page
def test_every_module_and_its_options_exist(page: Path) -> None:
    for arguments in calls(page, "python -m"):
        file = ROOT / arguments[0].replace(".", "/")
        if arguments[0].partition(".")[0] in ("bench", "tests", "auth1"):
            sources = [file.with_suffix(".py")] if file.with_suffix(".py").exists() else sorted(file.glob("*.py"))
            text = "".join(path.read_text() for path in sources)
            assert text, arguments
            options = [argument for argument in arguments if argument.startswith("--")]
            assert [option for option in options if option not in text] == [], arguments


@every_page
def test_every_route_exists(page: Path) -> None:
    for method, path in operations(page):
        assert method in routes(path), f"{method} {path}"
    assert [path for path in paths(page) if not is_start(path) and path not in NOT_OURS] == []


@every_page
def test_every_file_exists(page: Path) -> None:
    assert [path for path in files(page) if not list(ROOT.glob(path)) and path != "auth1/auth1-server"] == []


@every_page
def test_every_metric_exists(page: Path) -> None:
    assert {name for name in named_metrics(page) if not {name, name.removesuffix("_total")} & METRICS} == set()


@every_page
def test_every_error_after_a_status_exists(page: Path) -> None:
    assert named_codes(page) - CODES == set()


@every_page
def test_every_body_of_a_curl_command_is_json(page: Path) -> None:
    for body in bodies(page):
        assert isinstance(json.loads(body), dict), body


def test_references_are_found() -> None:
    """The patterns above find what the pages have, so that an empty list is not a passed test."""
    assert sum(len(calls(page, "just")) for page in PAGES) > 20
    assert sum(len(calls(page, "auth1")) for page in PAGES) > 30
    assert sum(len(calls(page, "python -m")) for page in PAGES) > 10
    assert sum(len(operations(page)) for page in PAGES) > 50
    assert sum(len(paths(page)) for page in PAGES) > 100
    assert sum(len(files(page)) for page in PAGES) > 100
    assert sum(len(named_metrics(page)) for page in PAGES) > 10
    assert sum(len(named_codes(page)) for page in PAGES) > 20
    assert sum(len(bodies(page)) for page in PAGES) > 15
    assert {"deploy", "soak", "check", "test-redis"} <= RECIPES
    assert routes("/api/admin/tenants/{tenant_id}/users/usr_1/ban") == {"POST"}
    assert routes("/api/tenant/nothing") == set()
    assert is_start("/api/tenant/fraud")
    assert is_start("/api/admin/tenants/{tenant_id}/hosts")
    assert not is_start("/api/tenant/webhook")
    assert not is_start("/api/tenant/webhooks/whk_1/deliveries/whd_1/replay/more")
    assert "auth1_error" not in METRICS
