"""Draw lines over time as SVG, without a plotting library."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

WIDTH, HEIGHT, LEFT, GAP = 720, 180, 60, 40
COLORS = ("#1b6ac9", "#d1495b", "#2e8b57", "#8e6bbf")

Panel = Mapping[str, Sequence[float]]


def write(file: Path, seconds: Sequence[float], panels: Mapping[str, Panel], unit: str = "s") -> None:
    """Write a plot: one panel per title, with its lines by name over common times in seconds, or in another unit."""
    height = len(panels) * (HEIGHT + GAP) + GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH + LEFT + GAP} {height}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for number, (title, lines) in enumerate(panels.items()):
        parts += _panel(number * (HEIGHT + GAP) + GAP, title, seconds, lines)
    parts.append(f'<text x="{LEFT}" y="{height - 8}">0 {unit}</text>')
    parts.append(f'<text x="{LEFT + WIDTH}" y="{height - 8}" text-anchor="end">{max(seconds):.0f} {unit}</text></svg>')
    file.write_text("\n".join(parts) + "\n")


def _panel(top: int, title: str, seconds: Sequence[float], lines: Panel) -> list[str]:
    highest = max(max(values) for values in lines.values()) or 1.0
    latest = max(seconds) or 1.0
    parts = [
        f'<rect x="{LEFT}" y="{top}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#bbb"/>',
        f'<text x="{LEFT}" y="{top - 8}" font-weight="bold">{escape(title)}</text>',
        f'<text x="{LEFT - 6}" y="{top + 10}" text-anchor="end">{highest:.4g}</text>',
        f'<text x="{LEFT - 6}" y="{top + HEIGHT}" text-anchor="end">0</text>',
    ]
    for number, (name, values) in enumerate(lines.items()):
        color = COLORS[number % len(COLORS)]
        points = " ".join(
            f"{LEFT + WIDTH * second / latest:.1f},{top + HEIGHT * (1 - value / highest):.1f}"
            for second, value in zip(seconds, values, strict=True)
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{color}"/>')
        x = LEFT + WIDTH - 8 - 110 * number
        parts.append(f'<text x="{x}" y="{top - 8}" text-anchor="end" fill="{color}">{escape(name)}</text>')
    return parts
