"""Fail a complete run of the tests when no test has seen an error that a route declares.

Each process collects the errors that its tests have seen (`described.SEEN`). The last process compares them with the
routes, unless only a part of the tests ran, or some of them failed. AUTH1_SEEN_ERRORS names a file for the list.
"""

import os
from pathlib import Path
from typing import Any

import pytest

from auth1.routes import ROUTES
from tests.support import described

_KEY = "seen_errors"


class DeclaredErrors:
    """A plugin of pytest, for one process or for the main process of xdist."""

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Take over what a worker of xdist has seen."""
        described.SEEN.update(tuple(seen) for seen in getattr(node, "workeroutput", {}).get(_KEY, ()))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Hand over what this worker has seen, or compare it with the routes."""
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput[_KEY] = sorted(described.SEEN)
            return
        if (path := os.environ.get("AUTH1_SEEN_ERRORS")) is not None:
            Path(path).write_text("".join(f"{' '.join(seen)}\n" for seen in sorted(described.SEEN)))
        if exitstatus == pytest.ExitCode.OK and _is_complete(session.config) and (missing := unseen(described.SEEN)):
            print("\nno test has seen these errors of auth1/routes.py:", *missing, sep="\n  ")
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def unseen(seen: set[tuple[str, str, str]]) -> list[str]:
    """Return the declared errors that were not seen. A handler with two routes needs to be seen at one of them."""
    codes: dict[Any, set[str]] = {}
    for route in ROUTES:
        at_route = {code for method, path, code in seen if (method, path) == (route.method, route.path)}
        codes.setdefault(route.handler, set()).update(at_route)
    missing = (
        f"{route.method} {route.path}: {error.code}"
        for route in ROUTES
        for error in route.errors
        if error.code not in codes[route.handler]
    )
    return list(missing)


def _is_complete(config: pytest.Config) -> bool:
    options = config.option
    return config.args == config.getini("testpaths") and not (
        options.keyword or options.markexpr or getattr(options, "lf", False)
    )
