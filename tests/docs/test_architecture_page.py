"""docs/architecture.md quotes files and names that exist, and lists every package in the order of the layers."""

import re
from pathlib import Path

import pytest

from tests.test_architecture import LAYERS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
QUOTES = sorted(set(re.findall(r"`([\w/]+\.(?:py|sql|toml))`(?:\s+`(\w+)`)?", PAGE)))


def packages_of_page() -> list[str]:
    """Return the modules and packages in the list of the page, in its order: `core.outbound` of `core/outbound/`."""
    block = PAGE.partition("## Packages")[2].partition("```\n")[2].partition("```")[0]
    first = [name for line in block.splitlines() for name in re.findall(r"(?:^|  )([\w/]+?)(?:\.py|/)(?= |$)", line)]
    return [name.replace("/", ".") for name in first]


def test_page_quotes_files_and_names() -> None:
    assert len([name for _, name in QUOTES if name]) >= 15


@pytest.mark.parametrize(("file", "name"), QUOTES)
def test_quoted_file_defines_the_quoted_name(file: str, name: str) -> None:
    source = (ROOT / file).read_text()

    assert re.search(rf"^\s*(?:async def|def|class|create function) {name}\b|^{name}\b.* =", source, re.M) or not name


def test_page_lists_every_package() -> None:
    in_code = {
        path.stem for path in (ROOT / "auth1").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }

    assert in_code - {"__init__"} - set(packages_of_page()) == set()


def test_page_lists_packages_in_the_order_of_the_layers() -> None:
    layers = {name: number for number, names in enumerate(LAYERS) for name in names}
    listed = [(layers[name], name) for name in packages_of_page() if name in layers]

    assert [name for _, name in listed] == [name for _, name in sorted(listed, key=lambda pair: pair[0])]
