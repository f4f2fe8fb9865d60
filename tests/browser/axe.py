"""Run axe-core in a page: the version of the package axe-core-python, or the file that AUTH1_AXE names."""

import importlib.util
import json
import os
from pathlib import Path

from tests.browser.chromium import Page

# WCAG 2.2 A and AA, and the best practices that no rule of WCAG covers.
_RUN = """
axe.run(document, {resultTypes: ['violations'], preload: false}).then(
  found => JSON.stringify(found.violations.map(one => `${one.id}: ${one.nodes.map(node => node.target).join(', ')}`)))
"""


def source() -> str:
    """Return the script of axe-core."""
    named = os.environ.get("AUTH1_AXE")
    if named is not None:
        return Path(named).read_text()
    spec = importlib.util.find_spec("axe_core_python")
    assert spec is not None
    assert spec.origin is not None
    return (Path(spec.origin).parent / "axe.min.js").read_text()


async def violations(page: Page, script: str) -> list[str]:
    """Return what axe finds in a page, as it is shown now."""
    if not await page.evaluate("typeof axe == 'object'"):
        await page.evaluate(script)
    answer = await page.call("Runtime.evaluate", expression=_RUN, awaitPromise=True, returnByValue=True)
    found: list[str] = json.loads(answer["result"]["value"])
    return found
