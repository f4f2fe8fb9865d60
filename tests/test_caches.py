"""Every cache of a worker is listed here with its bound in bytes."""

import ast
import importlib
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import auth1
from auth1.authn import tenants
from auth1.challenges import messages
from auth1.core import ratelimit
from auth1.fraud.exposures import acquire, call, local_copy, saved
from auth1.fraud.line_types import finder
from auth1.fraud.lists import cache
from auth1.hooks import caller
from auth1.signing import key_cache

ROOT = Path(auth1.__file__).parents[1]
MIB = 1024 * 1024
ALL_CACHES_BYTES = 128 * MIB


class Bound(NamedTuple):
    """The number of entries of a cache and their largest size: key, value and overhead."""

    entries: int
    entry_bytes: int


# Keys that clients choose are bounded in length before they get here; exceptions are not cached.
CACHES = {
    "auth1.authn.tenants.OrderedDict": Bound(1, tenants.MAX_BYTES),
    "auth1.challenges.messages.OrderedDict": Bound(1, messages.MAX_TEXT_BYTES),
    "auth1.core.crypto._hkdf": Bound(64, 512),
    "auth1.core.http.client_ip": Bound(8000, 768),
    "auth1.core.http.client_ip._parse": Bound(1000, 512),
    "auth1.core.http.client_ip.is_trusted": Bound(1000, 512),
    "auth1.core.http.client_ip.network_of": Bound(10_000, 512),
    "auth1.core.http.client_ip.rate_limit_prefix": Bound(10_000, 512),
    "auth1.core.http.query._types": Bound(256, 4096),
    "auth1.core.outbound.connect.tls_context": Bound(1, MIB),  # it has no argument
    "auth1.core.postgres.functions": Bound(64, 16_384),
    "auth1.core.postgres.migrations.migrations": Bound(1, MIB),
    "auth1.fraud.line_types.finder.OrderedDict": Bound(finder.MAX_CACHED, 512),
    "auth1.core.ratelimit.OrderedDict": Bound(ratelimit._LOCAL_KEYS + ratelimit._FULL_KEYS, 512),
    "auth1.fraud.exposures.acquire.OrderedDict": Bound(acquire.MAX_TENANTS, 2048),  # 20 countries
    "auth1.fraud.exposures.local_copy.OrderedDict": Bound(local_copy.MAX_STATES, 384),
    "auth1.fraud.exposures.call.OrderedDict": Bound(call.MAX_PROFILES, 1024),
    "auth1.fraud.exposures.saved.OrderedDict": Bound(saved.MAX_STATES, 512),
    "auth1.fraud.lists.cache.OrderedDict": Bound(1, cache.MAX_BYTES),
    "auth1.fraud.lists.entries.calling_code_length": Bound(256, 256),
    "auth1.hooks.caller.OrderedDict": Bound(caller.MAX_ALLOWED + caller.MAX_HOOKS, 1024),
    "auth1.identifiers.parse_email": Bound(1024, 1024),
    "auth1.messaging.providers.sns_client._trust": Bound(2, MIB),
    "auth1.numbering._plan": Bound(256, 512),  # keys are country codes
    "auth1.numbering._region": Bound(256, 8192),  # keys are countries; a test measures the whole
    "auth1.pages.theme.stylesheet": Bound(256, 16_384),
    "auth1.sessions.tokens": Bound(20_000, 512),
    "auth1.sessions.tokens._read_header": Bound(256, 1536),
    "auth1.signing.key_cache.OrderedDict": Bound(key_cache.MAX_TENANTS, 8192),  # two keys and their JWKs
    "auth1.templates.colors.button_colors": Bound(1024, 512),
    "auth1.templates.placeholders.parse": Bound(512, 4096),
}


def found() -> set[str]:
    """Find every cache in the sources: decorated functions, wrapped functions, ordered dictionaries."""
    names = set()
    for path in sorted((ROOT / "auth1").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and any(is_cache(one) for one in node.decorator_list):
                names.add(f"{module}.{node.name}")
            elif isinstance(node, ast.Call) and is_cache(node.func) and not is_decorator(node, path):
                names.add(module)
            elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("OrderedDict"):
                names.add(f"{module}.OrderedDict")
    return names


def is_cache(node: ast.expr) -> bool:
    name = ast.unparse(node.func if isinstance(node, ast.Call) else node)
    return name.rpartition(".")[2] in ("lru_cache", "cache")


def is_decorator(call: ast.Call, path: Path) -> bool:
    decorators = [
        one
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
        for one in node.decorator_list
    ]
    return any((one.lineno, one.col_offset) == (call.lineno, call.col_offset) for one in decorators)


def test_every_cache_is_listed() -> None:
    missing = {name for name in found() if name not in CACHES and name.rpartition(".")[0] not in CACHES}

    assert missing == set(), "add it to CACHES with its bound"


def test_all_caches_together_are_bounded() -> None:
    assert sum(bound.entries * bound.entry_bytes for bound in CACHES.values()) < ALL_CACHES_BYTES


@pytest.mark.parametrize("name", [name for name in CACHES if name.rpartition(".")[2].islower() and "." in name[6:]])
def test_cache_holds_no_more_entries_than_listed(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    cached: Any = getattr(importlib.import_module(module), attribute, None)
    if not hasattr(cached, "cache_info") or cached.cache_info().maxsize is None:
        return  # not a function of a module, or its arguments are a closed set
    assert cached.cache_info().maxsize == CACHES[name].entries
