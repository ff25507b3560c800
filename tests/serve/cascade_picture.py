"""The picture of a cascade in the documentation, light and dark by the reader's own setting.

python -m tests.serve.cascade_picture docs/images/check-and-escalate.svg
"""

import sys
from pathlib import Path

from equirouter.output import atomic_write

WIDTH, HEIGHT = 760, 250
STYLE = """
  text { font: 15px system-ui, sans-serif; fill: #222; text-anchor: middle }
  .small { font-size: 13px; fill: #5c5c5c }
  rect { fill: #fff; stroke: #6e6e6e; stroke-width: 1.3 }
  .ground { stroke: none }
  .asked { fill: #e3eefa; stroke: #0072b2 }
  .served { fill: #e0f3ec; stroke: #009e73 }
  path { fill: none; stroke: #6e6e6e; stroke-width: 1.6; marker-end: url(#tip) }
  marker path { fill: #6e6e6e; stroke: none }
  @media (prefers-color-scheme: dark) {
    text { fill: #eee } .small { fill: #b4b4b4 }
    rect { fill: #1d1f24; stroke: #999 } .ground { fill: #121317; stroke: none }
    .asked { fill: #12324a } .served { fill: #103a2e }
    path { stroke: #b0b0b0 } marker path { fill: #b0b0b0 }
  }
"""
TIP = (
    '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
    'orient="auto"><path d="M0 0 8 4 0 8Z"/></marker>'
)


def box(x: int, y: int, width: int, *lines: str, kind: str = "") -> str:
    """A box around its left middle, with a line of text and perhaps a smaller one."""
    height = 30 + 18 * len(lines)
    drawn = [f'<rect class="{kind}" x="{x}" y="{y - height // 2}" width="{width}" ']
    drawn.append(f'height="{height}" rx="8"/>')
    first = y + 5 - 9 * (len(lines) - 1)
    for number, line in enumerate(lines):
        small = ' class="small"' if number else ""
        drawn.append(f'<text{small} x="{x + width // 2}" y="{first + 19 * number}">{line}</text>')
    return "".join(drawn)


def arrow(path: str, label: str = "", at: tuple[int, int] = (0, 0)) -> str:
    """An arrow with a word beside it."""
    word = f'<text class="small" x="{at[0]}" y="{at[1]}">{label}</text>' if label else ""
    return f'<path d="{path}"/>{word}'


def picture() -> str:
    """All of it."""
    parts = [
        box(10, 95, 90, "query"),
        box(160, 50, 150, "cheap model a", "“It is 18.”", kind="asked"),
        box(160, 140, 150, "cheap model b", "“So, 18”", kind="asked"),
        box(375, 95, 135, "final answers", "equal?"),
        box(605, 50, 145, "serve it", "two calls", kind="served"),
        box(370, 215, 145, "one more: model c", kind="asked"),
        box(605, 215, 145, "serve the best", "supported of three", kind="served"),
        arrow("M100 90 C130 80 130 55 158 52"),
        arrow("M100 100 C130 110 130 135 158 138"),
        arrow("M310 52 C342 55 342 80 373 88"),
        arrow("M310 138 C342 135 342 110 373 102"),
        arrow("M510 88 C555 75 560 55 603 52", "yes", (548, 52)),
        arrow("M442 130 V190", "no", (462, 164)),
        arrow("M515 215 H603"),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'aria-label="Two cheap models are asked at once; where they differ a third is asked">'
        f"<style>{STYLE}</style><defs>{TIP}</defs>"
        f'<rect class="ground" width="{WIDTH}" height="{HEIGHT}"/>{"".join(parts)}</svg>\n'
    )


if __name__ == "__main__":
    with atomic_write(Path(sys.argv[1])) as file:
        file.write(picture())
