"""The part of the style guide that a program can check: standard terms in names, texts and test names."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

from tests.support.each import each

ROOT = Path(__file__).parent.parent
FOLDERS = [ROOT / name for name in ("auth1", "bench", "docs", "examples", "ops", "tests")]
SOURCES = sorted(path for folder in FOLDERS for path in folder.rglob("*.py") if path != Path(__file__))
TEXT_SUFFIXES = {
    ".cfg",
    ".conf",
    ".css",
    ".html",
    ".js",
    ".lua",
    ".md",
    ".mjs",
    ".service",
    ".sh",
    ".toml",
    ".yaml",
    ".yml",
}
TEXTS = sorted(
    [
        *(path for folder in FOLDERS for path in folder.rglob("*") if path.suffix in TEXT_SUFFIXES),
        *(path for path in ROOT.glob("*.*") if path.suffix in TEXT_SUFFIXES),
        *(ROOT / "sql" / "functions").rglob("*.sql"),  # migrations that are applied do not change
        *(ROOT / "sql" / "queries").rglob("*.sql"),
        ROOT / "justfile",
        ROOT / "Dockerfile",
    ]
)
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
MAX_TEST_NAME = 80

DENIED = re.compile(
    r"\b(?:whoever|whom|whosoever|somebody|nobody|anybody|told|untold|asked|away|at the door|of the house)\b",
    re.IGNORECASE,
)
DENIED_NAMES = re.compile(r"(?:^|_)(?:tell|told|untold|asked|away|somebody|nobody|whoever|door|take_slot)(?:_|$)")
DENIED_TEST_NAMES = re.compile(
    r"^test_(?:what|who|whoever|where|nobody|somebody|of_any|however)_|_(?:told|tells|asked|away|nobody|somebody|whoever|whom)(?:_|$)"
)
# Each exception with its reason: a file, and the word that it may use.
ALLOWED = {
    ("auth1/dev/launch.py", "nobody"),  # the account `nobody` of Unix
    ("auth1/dev/postgres.py", "nobody"),
    ("bench/fleet/patroni.py", "nobody"),
    ("tests/dev/test_root.py", "nobody"),
    ("tests/oidc_clients/clients.py", "nobody"),
    ("tests/support/pgbouncer.py", "nobody"),
    ("sql/functions/charge_budget.sql", "told"),  # budgets.told, a column of an applied migration
    ("sql/functions/lock_budget.sql", "told"),
    ("sql/queries/messaging.sql", "told"),
    ("tests/sql/test_code_rules.py", "told"),
}


def is_denied(path: Path, text: str) -> bool:
    return any((label(path), found.lower()) not in ALLOWED for found in DENIED.findall(text))


def words_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the comments and strings of a Python file with their line numbers."""
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING):
            for offset, line in enumerate(token.string.splitlines()):
                yield token.start[0] + offset, line


def names_of(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the names that a module defines with their line numbers."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr


def label(path: Path) -> str:
    return str(path.relative_to(ROOT))


@each("path", SOURCES, ids=label)
def test_comments_and_texts_use_standard_terms(path: Path) -> None:
    found = [f"{label(path)}:{line}: {text.strip()}" for line, text in words_of(path) if is_denied(path, text)]
    assert not found, "; ".join(found)


@each("path", SOURCES, ids=label)
def test_names_use_standard_terms(path: Path) -> None:
    names = names_of(ast.parse(path.read_text()))
    found = [f"{label(path)}:{line}: {name}" for line, name in names if DENIED_NAMES.search(name.lower())]
    assert not found, "; ".join(found)


@each("path", TEXTS, ids=label)
def test_documents_and_sql_use_standard_terms(path: Path) -> None:
    lines = enumerate(path.read_text().splitlines(), start=1)
    found = [f"{label(path)}:{line}: {text.strip()}" for line, text in lines if is_denied(path, text)]
    assert not found, "; ".join(found)


@each("path", TESTS, ids=label)
def test_test_names_state_behaviour_and_condition(path: Path) -> None:
    tree = ast.parse(path.read_text())
    names = [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    tests = [name for name in names if name.startswith("test_")]
    found = [name for name in tests if len(name) > MAX_TEST_NAME or DENIED_TEST_NAMES.search(name)]
    assert not found, "; ".join(found)


# Rules of the product, its benchmarks and its documents, beside those above.
PRODUCT = [path for path in SOURCES if path.is_relative_to(ROOT / "auth1") or path.is_relative_to(ROOT / "bench")]
PRODUCT_TEXTS = [path for path in TEXTS if not path.is_relative_to(ROOT / "tests")]
# An error rejects a request; a person or a rule denies access. Quoted values and "connection refused" are allowed.
REFUSE = re.compile(r"(?<![\"'`.])(?<!connection )\brefus(?:e|es|ed|ing|al|als)\b", re.IGNORECASE)
REFUSE_IN_NAMES = re.compile(r"(?:^|_)refus[a-z]*(?:_|$)")
MAY_REFUSE = {"docs/hosted-login.md"}  # the page `refused`, as the API of the preview names it
# A docstring begins with a verb (functions, properties, modules) or a noun phrase (classes), not with a question.
QUESTION = re.compile(r"(?:What|How|Whether|Which|Where|Why|When|Who|Whose|Those)\b")


def docstrings_of(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the docstrings of a module with the line numbers of their definitions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node)
            if docstring is not None:
                yield getattr(node, "lineno", 1), docstring


@each("path", PRODUCT, ids=label)
def test_code_rejects_requests_and_denies_access(path: Path) -> None:
    found = [f"{line}: {text.strip()}" for line, text in words_of(path) if REFUSE.search(text)]
    names = names_of(ast.parse(path.read_text()))
    found += [f"{line}: {name}" for line, name in names if REFUSE_IN_NAMES.search(name.lower())]
    assert not found, "; ".join(found)


@each("path", PRODUCT_TEXTS, ids=label)
def test_documents_reject_requests_and_deny_access(path: Path) -> None:
    lines = enumerate(path.read_text().splitlines(), start=1)
    found = [f"{line}: {text.strip()}" for line, text in lines if REFUSE.search(text)]
    assert not found or label(path) in MAY_REFUSE, "; ".join(found)


@each("path", SOURCES, ids=label)
def test_docstrings_do_not_begin_with_a_question_word(path: Path) -> None:
    docstrings = docstrings_of(ast.parse(path.read_text()))
    found = [f"{label(path)}:{line}: {text.splitlines()[0]}" for line, text in docstrings if QUESTION.match(text)]
    assert not found, "; ".join(found)
