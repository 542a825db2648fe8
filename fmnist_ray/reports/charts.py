"""The geometry of the charts: what `templates/charts.html.j2` draws as inline SVG.

Horizontal positions are per cent of the width and vertical ones pixels, so that a chart fills the column it stands
in, on a phone as on a desk, while its text keeps its size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

HISTOGRAM_HEIGHT = 190
SQUARE_HEIGHT = 280
SMALL_HEIGHT = 96
_MUTED = (
    *("#332288", "#88ccee", "#44aa99", "#117733", "#999933", "#ddcc77", "#cc6677", "#882255", "#aa4499", "#777777"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A mark on an axis: per cent of the width, or pixels from the top."""

    at: float
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar of a histogram; `height` of all its rows, `part_height` of those that are marked."""

    x: float
    width: float
    height: float
    part_height: float
    low: float
    high: float
    num_rows: int
    num_part: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """Bars with round numbers of rows on one axis and given values on the other."""

    bars: tuple[Bar, ...]
    rows_ticks: tuple[Tick, ...]
    value_ticks: tuple[Tick, ...]
    height: int = HISTOGRAM_HEIGHT


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """One bin of a reliability diagram, with the interval of its accuracy."""

    x: float
    y: float
    radius: float
    y_low: float
    y_high: float
    bin: Mapping[str, Any]


def histogram(
    counts: Sequence[int], edges: Sequence[float], *, part: Sequence[int] | None = None, ticks: Sequence[float]
) -> Histogram:
    """Bars of `counts` [n] between `edges` [n + 1]; `part` of each is drawn in front; `ticks` mark the value axis.

    Heights follow the square root, so that bins a hundredth of the tallest can still be seen.
    """
    top = max(counts, default=0) or 1
    span = edges[-1] - edges[0]

    def height(rows: float) -> float:
        return round(HISTOGRAM_HEIGHT * math.sqrt(rows / top), 1)

    def across(value: float) -> float:
        return round(100 * (value - edges[0]) / span, 3)

    bars = tuple(
        Bar(
            x=across(edges[number]),
            width=across(edges[number + 1]) - across(edges[number]),
            height=height(rows),
            part_height=height(part[number]) if part else 0,
            low=edges[number],
            high=edges[number + 1],
            num_rows=rows,
            num_part=part[number] if part else None,
        )
        for number, rows in enumerate(counts)
        if rows
    )
    return Histogram(
        bars=bars,
        rows_ticks=tuple(Tick(at=HISTOGRAM_HEIGHT - height(rows), value=rows) for rows in _round_numbers(top)),
        value_ticks=tuple(Tick(at=across(value), value=value) for value in ticks),
    )


def reliability(bins: Sequence[Mapping[str, Any]]) -> tuple[Dot, ...]:
    """Dots for those `metrics.ReliabilityBin` (as dictionaries) that hold rows; their area follows the rows."""
    filled = [entry for entry in bins if entry["num_labelled"]]
    most = max((entry["num_labelled"] for entry in filled), default=0)
    return tuple(
        Dot(
            x=round(100 * entry["mean_confidence"], 2),
            y=_down(entry["accuracy"]),
            radius=round(3 + 6 * math.sqrt(entry["num_labelled"] / most), 1),
            y_low=_down(entry["accuracy_low"]),
            y_high=_down(entry["accuracy_high"]),
            bin=entry,
        )
        for entry in filled
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LineChart:
    """Lines over two axes; `paths` lie in a box of 100 x 100 that the page stretches."""

    paths: tuple[str, ...]
    dots: str
    """A path of points that are marked"""
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    height: int


def line_chart(
    lines: Sequence[tuple[Sequence[float], Sequence[float]]],
    *,
    x_ticks: Sequence[float],
    y_ticks: Sequence[float],
    dots: Sequence[tuple[float, float]] = (),
    x_log: bool = False,
    height: int = 240,
) -> LineChart:
    """Lines through points (x, y), and `dots`; each axis spans its ticks. With `x_log` the horizontal one is
    logarithmic, and what lies left of its first tick is drawn there."""

    def across(value: float) -> float:
        low, high = x_ticks[0], x_ticks[-1]
        share = math.log(max(value, low) / low, high / low) if x_log else (value - low) / (high - low)
        return round(100 * share, 2)

    def down(value: float) -> float:
        share = (value - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return round(100 * (1 - min(max(share, -0.02), 1.02)), 2)

    return LineChart(
        paths=tuple(
            "M" + "L".join(f"{across(x):g} {down(y):g}" for x, y in zip(xs, ys, strict=True)) for xs, ys in lines
        ),
        dots="".join(f"M{across(x):g} {down(y):g}h0" for x, y in dots),
        x_ticks=tuple(Tick(at=across(value), value=value) for value in x_ticks),
        y_ticks=tuple(Tick(at=round(down(value) * height / 100, 1), value=value) for value in y_ticks),
        height=height,
    )


def roc_chart(curves: Sequence[Mapping[str, Any]], *, small: bool = False) -> LineChart:
    """ROC curves of classes (`curves.ClassCurves` as dictionaries) on a logarithmic axis of false alarms: what a good
    classifier does happens below 1 %."""
    return line_chart(
        [(entry["roc"]["x"], entry["roc"]["y"]) for entry in curves],
        x_ticks=[0.0001, 0.01, 1] if small else [0.0001, 0.001, 0.01, 0.1, 1],
        y_ticks=[0, 0.5, 1] if small else [0, 0.25, 0.5, 0.75, 1],
        x_log=True,
        height=SMALL_HEIGHT if small else 240,
    )


def precision_recall_chart(
    curves: Sequence[Mapping[str, Any]], among: Sequence[Mapping[str, Any]], *, small: bool = False
) -> LineChart:
    """Precision-recall curves of classes; the axis of precision starts at a half where all those `among` allow it."""
    bottom = 0.5 if min(entry["average_precision"] for entry in among) > 0.8 else 0.0
    return line_chart(
        [(entry["precision_recall"]["x"], entry["precision_recall"]["y"]) for entry in curves],
        x_ticks=[0, 0.5, 1] if small else [0, 0.25, 0.5, 0.75, 1],
        y_ticks=[bottom, (1 + bottom) / 2, 1],
        height=SMALL_HEIGHT if small else 240,
    )


def round_ticks(top: float, most: int = 6) -> list[float]:
    """Round numbers from 0 to just above `top`, at most about `most` of them."""
    step = 10.0 ** math.floor(math.log10(top)) if top > 0 else 1.0
    step = next(unit for share in (0.1, 0.2, 0.5, 1, 2, 5) if top <= (unit := share * step) * (most - 1))
    return [round(step * number, 10) for number in range(max(1, math.ceil(top / step - 1e-9)) + 1)]


def class_colour(number: int, count: int) -> str:
    """The colour of one class of so many: of those that most colour-blind people tell apart (Tol's muted scheme), or
    as many hues as there are classes, neighbours of unlike lightness."""
    return _MUTED[number] if count <= len(_MUTED) else f"hsl({360 * number // count} 60% {42 + 20 * (number % 2)}%)"


def sparkline(counts: Sequence[int]) -> str:
    """An SVG path of bars, one unit wide and 10 high at most, on a square-root scale."""
    top = max(counts, default=0) or 1
    return "".join(
        f"M{number} 10v-{10 * math.sqrt(rows / top):.1f}h1V10z" for number, rows in enumerate(counts) if rows
    )


def _down(share: float) -> float:
    return round(SQUARE_HEIGHT * (1 - share), 1)


def _round_numbers(top: int) -> list[int]:
    """Nothing and up to three round numbers that a square-root axis ending at `top` can carry."""
    found = {_rounded_down(top * share) for share in (0.04, 0.3, 1)}
    return [0, *sorted(number for number in found if number)]


def _rounded_down(value: float) -> int:
    if value < 1:
        return 0
    unit = int(10 ** math.floor(math.log10(value)))
    return max(step * unit for step in (1, 2, 5) if step * unit <= value)
