"""The geometry of charts."""

from __future__ import annotations

import math
import re

import pytest

from fmnist_ray.reports.charts import HISTOGRAM_HEIGHT, SQUARE_HEIGHT, histogram, reliability, sparkline


def test_heights_follow_the_square_root() -> None:
    chart = histogram([100, 0, 25], [0, 1, 2, 4], part=[25, 0, 0], ticks=[0, 2, 4])
    first, second = chart.bars
    assert (first.height, first.part_height) == (HISTOGRAM_HEIGHT, HISTOGRAM_HEIGHT / 2)
    assert second.height == HISTOGRAM_HEIGHT / 2
    assert (first.x, first.width, second.x, second.width) == (0, 25, 50, 50)
    assert [(tick.at, tick.value) for tick in chart.value_ticks] == [(0, 0), (50, 2), (100, 4)]


@pytest.mark.parametrize(("top", "values"), [(0, [0, 1]), (1, [0, 1]), (7, [0, 2, 5]), (6_900, [0, 200, 2_000, 5_000])])
def test_the_axis_has_round_numbers(top: int, values: list[int]) -> None:
    ticks = histogram([top, 0], [0, 1, 2], ticks=[]).rows_ticks
    assert [tick.value for tick in ticks] == values
    assert all(0 <= tick.at <= HISTOGRAM_HEIGHT for tick in ticks)


def test_reliability_leaves_out_empty_bins() -> None:
    empty = {"num_labelled": 0, "mean_confidence": None, "accuracy": None, "accuracy_low": None, "accuracy_high": None}
    filled = {"num_labelled": 9, "mean_confidence": 0.75, "accuracy": 0.5, "accuracy_low": 0.25, "accuracy_high": 1.0}
    (dot,) = reliability([empty, filled])
    assert (dot.x, dot.y, dot.y_low, dot.y_high) == (75, SQUARE_HEIGHT / 2, SQUARE_HEIGHT * 0.75, 0)
    assert reliability([empty]) == ()


def test_a_sparkline_has_a_bar_for_each_bin_that_holds_rows() -> None:
    path = sparkline([4, 0, 1])
    assert re.findall(r"M(\d+) 10v-([\d.]+)h1V10z", path) == [("0", "10.0"), ("2", f"{10 * math.sqrt(1 / 4):.1f}")]
    assert sparkline([0, 0]) == ""
