"""docs/architecture.md quotes files and names that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
QUOTES = sorted(set(re.findall(r"`([\w/]+\.(?:py|sql|toml))`(?:\s+`(\w+)`)?", PAGE)))


def test_page_quotes_files_and_names() -> None:
    assert len([name for _, name in QUOTES if name]) >= 15


@pytest.mark.parametrize(("file", "name"), QUOTES)
def test_quoted_file_defines_the_quoted_name(file: str, name: str) -> None:
    source = (ROOT / file).read_text()

    assert re.search(rf"^\s*(?:async def|def|class|create function) {name}\b|^{name}\b.* =", source, re.M) or not name
