"""Draw a recording of py-spy as a flame graph: one SVG file that needs no script and no server.

The width of a frame is its part of the samples, with all that it calls; what it calls lies above it. py-spy can write
SVG files, too, but larger ones: here, the lines of a function are one frame, and small frames are left out.
"""

from html import escape
from pathlib import Path
from typing import Any, NamedTuple, Self

WIDTH = 1200
ROW = 16
MARGIN = 24  # above the frames, for the title
LETTER = 6.2  # the width of a letter of 10 px
SMALLEST = 0.002  # the part of all samples below which a frame is left out
COLOURS = {  # by the first part of the file's name
    "auth1/": "#f2a65a",
    "asyncpg/": "#7fb3d5",
    "asyncio/": "#c9c9c9",
    "granian/": "#a9cfa4",
}
OTHER = "#ddd3c4"


class Frame:
    """A function on a stack, with what it calls."""

    def __init__(self) -> None:
        self.weight = 0.0
        self.children: dict[str, Self] = {}


class Box(NamedTuple):
    """A frame on the picture; `left` and `width` are parts of the whole width."""

    name: str
    depth: int
    left: float
    width: float


def merge(recording: dict[str, Any], names: list[str]) -> Frame:
    """Merge the stacks of the thread with the most samples; `names` are those of the recording's frames."""
    profile = max(recording["profiles"], key=lambda one: sum(one["weights"]))
    root = Frame()
    for stack, weight in zip(profile["samples"], profile["weights"], strict=True):
        if not stack:
            continue
        root.weight += weight
        frame = root
        for number in stack:
            frame = frame.children.setdefault(names[number], Frame())
            frame.weight += weight
    return root


def boxes(root: Frame) -> list[Box]:
    """Place the frames, the widest of a row first."""
    placed: list[Box] = []

    def place(frame: Frame, depth: int, left: float) -> None:
        for name, child in sorted(frame.children.items(), key=lambda item: -item[1].weight):
            width = child.weight / root.weight
            if width < SMALLEST:
                break
            placed.append(Box(name, depth, left, width))
            place(child, depth + 1, left)
            left += width

    place(root, 0, 0.0)
    return placed


def write(file: Path, recording: dict[str, Any], names: list[str], title: str) -> None:
    """Write the picture of a recording."""
    placed = boxes(merge(recording, names))
    rows = 1 + max((box.depth for box in placed), default=0)
    height = MARGIN + rows * ROW + 4
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="10">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="4" y="15" font-size="12">{escape(title)}</text>',
    ]
    for box in placed:
        left, width = box.left * WIDTH, box.width * WIDTH
        top = height - 4 - (box.depth + 1) * ROW
        colour = next((value for start, value in COLOURS.items() if start in box.name), OTHER)
        label = box.name.rpartition(":")[2]
        letters = int((width - 4) / LETTER)
        lines.append(
            f'<g><title>{escape(box.name)} {box.width:.1%}</title><rect x="{left:.1f}" y="{top}" width="{width:.1f}" '
            f'height="{ROW - 1}" fill="{colour}"/>'
            + (f'<text x="{left + 2:.1f}" y="{top + 11}">{escape(label[:letters])}</text>' if letters > 2 else "")
            + "</g>"
        )
    file.write_text("\n".join([*lines, "</svg>", ""]))
