"""Draws charts as accessible SVG.

A chart has a title and a description as text; its page also shows the numbers in a table. Colours come from
classes of portal.css. 320 units of width are about 320 pixels in a card and on a phone, so font sizes hold.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

WIDTH: Final = 320
HEIGHT: Final = 140
LEFT: Final = 48.0  # room for the numbers of the axis
RIGHT: Final = WIDTH - 4.0
TOP: Final = 12.0
BOTTOM: Final = HEIGHT - 20.0
SMALLEST: Final = 1e-300  # smaller powers of ten lose precision and become zero

_SVG: Final = Markup(
    '<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-labelledby="{name}-title {name}-desc">'
    '<title id="{name}-title">{title}</title><desc id="{name}-desc">{description}</desc>{inside}</svg>'
)
_TEXT: Final = Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>')
_RULE: Final = Markup('<path class="axis" d="M{} {}H{}"/>')
_BAR: Final = Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>')
_LINE: Final = Markup('<path class="{}" d="{}" stroke-linecap="round"/>')
_LINES: Final = ("line", "line second")


@dataclass(frozen=True, slots=True)
class Frame:
    """The labels of a chart. `name` is unique in its page; `ticks` label the time axis from left to right."""

    name: str
    title: str
    description: str
    ticks: tuple[str, ...] = ()


def compact(value: float) -> str:
    """A number short enough for an axis: `950`, `1.2k`, `3M`."""
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def bars(frame: Frame, good: Sequence[float], bad: Sequence[float]) -> Markup:
    """Columns of two parts, the bad one on top of the good one."""
    top = ceiling(max((one + other for one, other in zip(good, bad, strict=True)), default=0.0))
    step = (RIGHT - LEFT) / max(1, len(good))
    width = max(step * 0.75, 1.0)
    drawn = Markup()
    for place, (delivered, failed) in enumerate(zip(good, bad, strict=True)):
        x = LEFT + place * step + (step - width) / 2
        middle, upper = _height(delivered, top), _height(delivered + failed, top)
        if delivered:
            drawn += _bar("good", x, middle, width, BOTTOM)
        if failed:
            drawn += _bar("bad", x, min(upper, middle - 1.5), width, middle)
    return _chart(frame, top, compact, drawn)


def lines(frame: Frame, *series: Sequence[float | None], say: Callable[[float], str] = compact) -> Markup:
    """Up to two lines, the second one dashed; None is a gap. `say` formats a number of the axis."""
    top = ceiling(max((value for one in series for value in one if value is not None), default=0.0))
    drawn = Markup()
    for kind, values in zip(_LINES, series, strict=False):
        path = "".join(_run(run, len(values), top) for run in _runs(values))
        if path:
            drawn += _LINE.format(kind, path)
    return _chart(frame, top, say, drawn)


def ceiling(value: float) -> float:
    """The end of an axis: the next number that is 1, 2 or 5 times a power of ten."""
    if not value >= SMALLEST or not math.isfinite(value):
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next((step * power for step in (1, 2, 5) if step * power >= value), 10 * power)


def _chart(frame: Frame, top: float, say: Callable[[float], str], drawn: Markup) -> Markup:
    inside = Markup()
    for value in (top, top / 2, 0.0):
        y = _height(value, top)
        inside += _RULE.format(_n(LEFT), _n(y), _n(RIGHT))
        inside += _TEXT.format(_n(LEFT - 4), _n(y + 4), "end", say(value))
    inside += drawn
    last = max(1, len(frame.ticks) - 1)
    for place, words in enumerate(frame.ticks):
        anchor = "start" if place == 0 else "end" if place == last else "middle"
        inside += _TEXT.format(_n(LEFT + (RIGHT - LEFT) * place / last), HEIGHT - 5, anchor, words)
    return _SVG.format(
        width=WIDTH,
        height=HEIGHT,
        name=frame.name,
        title=frame.title,
        description=frame.description,
        inside=inside,
    )


def _runs(values: Sequence[float | None]) -> Iterator[list[tuple[int, float]]]:
    """The stretches without a gap, as (place, value)."""
    run: list[tuple[int, float]] = []
    for place, value in enumerate(values):
        if value is not None:
            run.append((place, value))
        elif run:
            yield run
            run = []
    if run:
        yield run


def _run(run: Sequence[tuple[int, float]], count: int, top: float) -> str:
    step = (RIGHT - LEFT) / max(1, count)
    points = [f"{_n(LEFT + (place + 0.5) * step)} {_n(_height(value, top))}" for place, value in run]
    # with round caps, a line of length zero is a dot
    return f"M{points[0]}L{' '.join(points[1:] or points)}"


def _bar(kind: str, x: float, upper: float, width: float, lower: float) -> Markup:
    return _BAR.format(kind, _n(x), _n(upper), _n(width), _n(max(lower - upper, 0.0)))


def _height(value: float, top: float) -> float:
    """The y coordinate of a value. Values above zero are always visible."""
    share = min(max(value / top, 0.0), 1.0)
    y = BOTTOM - (BOTTOM - TOP) * share
    return min(y, BOTTOM - 1.5) if value > 0 else y


def _n(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
