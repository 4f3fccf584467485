"""The floor plan in docs/architecture.md: ``python -m tests.architecture.floor_plan`` draws it again.

It is drawn from the import contract and the first sentences of the packages, so it cannot tell another story.
"""

from __future__ import annotations

import ast
from html import escape
from pathlib import Path
from textwrap import wrap
from typing import Final

from .contract import GROUND, LAYERS

ROOT: Final = Path(__file__).parents[2]
PATH: Final = ROOT / "docs" / "floor-plan.svg"

WIDTH, GAP, LINE, PAD = 960, 8, 15, 10
TOWER = 190
LETTER = 6.1
"""The mean width of a letter at 11 px."""

STYLE = """
    text { font: 11px system-ui, sans-serif; fill: #24292f }
    .name { font-weight: 600; font-size: 12px }
    rect { fill: #f6f8fa; stroke: #8c959f; rx: 4px }
    .public { fill: #ddf4ff; stroke: #0969da }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3 } rect { fill: #161b22; stroke: #6e7681 }
      .public { fill: #0c2d6b; stroke: #58a6ff }
    }"""

PUBLIC: Final = frozenset(
    {
        *("agenda", "annotations", "contrib", "dependencies", "docket", "errors", "execution"),
        *("insights", "instrumentation", "operations", "pytest_plugin", "strikelist", "sync"),
        *("tasks", "testing", "worker"),
    }
)
"""What programs import from; the rest may change in any release."""


def sentence(name: str) -> str:
    """Return the first sentence of a module of the package."""
    home = ROOT / "docket" / name
    path = home / "__init__.py" if home.is_dir() else home.with_suffix(".py")
    words = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return words.partition("\n")[0].rstrip(".").replace("``", "")


def rows() -> list[list[str]]:
    """Return the parts that there are, from the top down, without the two that only start something."""
    inside = [
        [name for name in row if (ROOT / "docket" / name).is_dir() or _is_file(name)]
        for row in LAYERS
    ]
    ground = [[name] for name in GROUND if name != "_version"]
    return [row for row in inside if row and row != ["__main__"]] + ground


def _is_file(name: str) -> bool:
    return (ROOT / "docket" / f"{name}.py").exists()


def draw() -> str:
    """Return the floor plan as SVG."""
    boxes, top = list[str](), GAP
    inner = WIDTH - TOWER - 3 * GAP
    above = 0
    for row in rows():
        if row == ["discovery"]:
            above = top
        width = (inner if above == 0 else WIDTH - 2 * GAP) + GAP
        each = width / len(row) - GAP
        texts = [wrap(sentence(name), int((each - 2 * PAD) / LETTER)) for name in row]
        height = 2 * PAD + LINE * (1 + max(map(len, texts)))
        for place, (name, lines) in enumerate(zip(row, texts, strict=True)):
            boxes += _box(GAP + place * (each + GAP), top, each, height, name, lines)
        top += height + GAP
    lines = wrap(sentence("config"), int((TOWER - 2 * PAD) / LETTER))
    boxes += _box(WIDTH - TOWER - GAP, GAP, TOWER, above - 2 * GAP, "config", lines)
    title = "The parts of docket, each of which stands on those below it"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" role="img">',
            f"  <title>{title}</title>",
            f"  <style>{STYLE}\n  </style>",
            *boxes,
            "</svg>\n",
        ]
    )


def _box(x: float, y: float, width: float, height: float, name: str, lines: list[str]) -> list[str]:
    kind = ' class="public"' if name in PUBLIC else ""
    texts = [
        f'  <text x="{x + PAD:.0f}" y="{y + PAD + 10 + LINE * (place + 1):.0f}">{escape(line)}</text>'
        for place, line in enumerate(lines)
    ]
    return [
        f'  <rect{kind} x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{height:.0f}"/>',
        f'  <text class="name" x="{x + PAD:.0f}" y="{y + PAD + 10:.0f}">{name}</text>',
        *texts,
    ]


if __name__ == "__main__":
    PATH.write_text(draw(), "utf-8")
