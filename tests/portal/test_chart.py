"""Charts as SVG: well-formed, within their frame, told in words, and without styles of their own."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markupsafe import Markup

from angarium.portal.kit import chart
from angarium.portal.kit.chart import Frame

FRAME = Frame("one", "Attempts", "3 delivered, 1 failed.", ("24 hours ago", "now"))
COUNTS = st.lists(st.tuples(st.integers(0, 10**15), st.integers(0, 10**15)), max_size=60)
GAPPED = st.lists(st.none() | st.floats(0, 1e12), max_size=60)


def parsed(svg: Markup) -> ElementTree.Element:
    assert "style" not in svg
    root = ElementTree.fromstring(str(svg))
    assert root.get("role") == "img"
    named = (root.get("aria-labelledby") or "").split()
    assert [root.find("title").get("id"), root.find("desc").get("id")] == named  # type: ignore[union-attr]
    return root


def rectangles(root: ElementTree.Element) -> list[tuple[str, float, float, float, float]]:
    return [
        (one.attrib["class"], *(float(one.attrib[name]) for name in ("x", "y", "width", "height")))  # type: ignore[misc]
        for one in root.iter("rect")
    ]


def points(root: ElementTree.Element) -> list[tuple[float, float]]:
    found = []
    for path in root.iter("path"):
        if path.attrib["class"] != "axis":
            numbers = [float(number) for number in re.findall(r"[0-9.]+", path.attrib["d"])]
            found += list(zip(numbers[::2], numbers[1::2], strict=True))
    return found


def test_a_chart_says_what_it_shows_and_escapes_it() -> None:
    root = parsed(chart.bars(Frame("x", "<b>&", 'a "quote"', ("<i>", "now")), [1], [0]))
    assert root.find("title").text == "<b>&"  # type: ignore[union-attr]
    assert root.find("desc").text == 'a "quote"'  # type: ignore[union-attr]
    assert "<i>" in [one.text for one in root.iter("text")]


def test_nothing_is_a_frame_without_bars_or_lines() -> None:
    for svg in (chart.bars(FRAME, [], []), chart.bars(FRAME, [0, 0], [0, 0])):
        assert not rectangles(parsed(svg))
    for svg in (chart.lines(FRAME), chart.lines(FRAME, [], []), chart.lines(FRAME, [None, None])):
        assert not points(parsed(svg))


def test_failures_stand_on_what_was_delivered() -> None:
    ((good, x, y, width, height), (bad, *upper)) = rectangles(parsed(chart.bars(FRAME, [3], [1])))
    assert (good, bad) == ("good", "bad")
    assert upper[0] == x
    assert upper[2] == width
    assert upper[1] + upper[3] == pytest.approx(y, abs=0.02)
    assert height == pytest.approx(3 * upper[3], abs=0.05)


def test_one_failure_among_millions_is_seen() -> None:
    bad = [one for one in rectangles(parsed(chart.bars(FRAME, [5_000_000], [1]))) if one[0] == "bad"]
    assert bad[0][4] >= 1.4


def test_a_single_value_between_gaps_is_a_dot() -> None:
    assert len(points(parsed(chart.lines(FRAME, [None, 5.0, None])))) == 2


def test_a_second_line_is_told_apart_without_colour() -> None:
    root = parsed(chart.lines(FRAME, [1.0, 2.0], [2.0, 3.0]))
    kinds = [path.attrib["class"] for path in root.iter("path") if path.attrib["class"] != "axis"]
    assert kinds == ["line", "line second"]


@given(COUNTS)
def test_bars_stay_within_the_frame(counts: list[tuple[int, int]]) -> None:
    root = parsed(chart.bars(FRAME, [good for good, _ in counts], [bad for _, bad in counts]))
    for _, x, y, width, height in rectangles(root):
        assert chart.LEFT - 1 <= x <= x + width <= chart.RIGHT + 1
        assert 0 <= y <= y + height <= chart.BOTTOM + 0.01


@example([5e-324], [])
@given(GAPPED, GAPPED)
def test_lines_stay_within_the_frame(one: list[float | None], other: list[float | None]) -> None:
    for x, y in points(parsed(chart.lines(FRAME, one, other))):
        assert chart.LEFT <= x <= chart.RIGHT
        assert chart.TOP <= y <= chart.BOTTOM


@given(st.floats(1e-6, 1e15))
def test_an_axis_ends_at_a_round_number_not_far_above(value: float) -> None:
    top = chart.ceiling(value)
    assert value <= top * (1 + 1e-9)
    assert top <= value * 2.5 * (1 + 1e-9)


@pytest.mark.parametrize(
    ("value", "said"),
    [(0, "0"), (0.5, "0.5"), (999, "999"), (1200, "1.2k"), (5e6, "5M"), (2e9, "2G"), (5e13, "50T")],
)
def test_numbers_of_an_axis_are_short(value: float, said: str) -> None:
    assert chart.compact(value) == said
