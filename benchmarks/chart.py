"""A chart of the results as SVG: one panel of bars for each row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from benchmarks.model import Result
from benchmarks.report import OWN, figure
from benchmarks.rows import Row

WIDTH, LABEL, VALUE = 760, 110, 110  # pixels: the chart, the names on the left, the figures on the right
BAR, GAP, TITLE, PAD = 14, 4, 24, 16

STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2328; }
.title { font-weight: 600; }
.own { fill: #1a7f64; }
.other { fill: #a9b4c0; }
.ground { fill: #ffffff; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .own { fill: #3fb68b; }
  .other { fill: #57606a; }
  .ground { fill: #0d1117; }
}
"""


def draw(results: Mapping[Row, Sequence[Result]]) -> str:
    """The chart; bars are as long as the figure, those of asgi-upgrade stand out."""
    parts: list[str] = []
    y = PAD
    for row, found in results.items():
        finished = [result for result in found if result.samples and result.error is None]
        if not finished:
            continue
        parts.append(_text(PAD, y + 12, f"{row.title} ({_direction(row)})", "title"))
        y += TITLE
        longest = max(result.median for result in finished)
        for result in sorted(finished, key=lambda result: result.median, reverse=row.more_is_better):
            parts += _bar(y, row, result, result.median / longest)
            y += BAR + GAP
        y += PAD
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" role="img">'
    ground = f'<rect class="ground" width="{WIDTH}" height="{y}"/>'
    return "\n".join([head, f"<style>{STYLE}</style>", ground, *parts, "</svg>"]) + "\n"


def _direction(row: Row) -> str:
    return row.unit if row.more_is_better else f"{row.unit}, less is better"


def _bar(y: int, row: Row, result: Result, share: float) -> list[str]:
    length = max(1, round(share * (WIDTH - LABEL - VALUE - 2 * PAD)))
    start = PAD + LABEL
    kind = "own" if result.name == OWN else "other"
    return [
        _text(PAD, y + 11, f"{result.name} {result.variant}".strip()),
        f'<rect class="{kind}" x="{start}" y="{y}" width="{length}" height="{BAR}" rx="2"/>',
        _text(start + length + 6, y + 11, figure(result.median, row.unit)),
    ]


def _text(x: int, y: int, text: str, kind: str = "") -> str:
    return (
        f'<text x="{x}" y="{y}" class="{kind}">{escape(text)}</text>'
        if kind
        else f'<text x="{x}" y="{y}">{escape(text)}</text>'
    )
