"""The documentation pages: links, images and headings."""

import re
import struct
from pathlib import Path

import pytest

from tests.support.each import each

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
IMAGES = sorted((ROOT / "docs" / "images").iterdir())
MAX_BYTES = 60_000

every_page = each("page", PAGES)


def prose(page: Path) -> str:
    """Return a page without its fenced code blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def links(page: Path) -> list[tuple[str, str]]:
    """Return the text and target of each link and image."""
    return re.findall(r"\[([^\]]*)\]\(([^)\s]+)\)", prose(page))


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings, as GitHub names them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_page
def test_every_link_target_exists(page: Path) -> None:
    for _, target in links(page):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), target
        assert file.resolve().is_relative_to(ROOT), target
        assert not anchor or anchor in anchors(file), target


def test_every_page_and_image_is_linked() -> None:
    led_to = {(page.parent / target.partition("#")[0]).resolve() for page in PAGES for _, target in links(page)}

    pages = [page for page in PAGES if page.parent.name == "docs" and page.name != "index.md"]
    assert [page for page in pages if page not in led_to] == []
    assert [image for image in IMAGES if image not in led_to] == []


@every_page
def test_every_image_has_alternative_text(page: Path) -> None:
    assert [target for words, target in links(page) if target.endswith((".png", ".svg")) and len(words) < 20] == []


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: str(image.name))
def test_every_image_is_small(image: Path) -> None:
    data = image.read_bytes()

    assert len(data) < MAX_BYTES
    if image.suffix == ".svg":
        assert data.startswith(b"<svg ")
        return
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", data[16:24])
    assert 300 <= width <= 1200
    assert 200 <= height <= 1200


@every_page
def test_every_page_begins_with_a_heading(page: Path) -> None:
    assert re.match(r"# \S", page.read_text())
