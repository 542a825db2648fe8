"""Two bundles on the same rows: which answers flip, and whether one is better by more than chance."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

_Z = 1.959963984540054  # the normal quantile of 0.975


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """Rows that the first bundle gives one label and the second another."""

    first_id: int
    second_id: int
    num_rows: int
    num_gained: int
    """Of these, wrong with the second bundle and right with the first."""
    num_lost: int
    """Of these, right with the second bundle and wrong with the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The first bundle measured against the second, row by row."""

    num_rows: int
    num_both_right: int
    num_only_first: int
    """Rows that only the first bundle has right."""
    num_only_second: int
    num_both_wrong: int
    difference: float
    """Accuracy of the first minus accuracy of the second."""
    difference_low: float
    difference_high: float
    p_value: float
    """Chance of so uneven a split of the rows on which they differ if neither were better: McNemar's test
    (Psychometrika 1947), exact."""
    num_flipped: int
    """Rows with different labels, right or wrong."""
    flips: tuple[Flip, ...]
    """By pair of labels, the most frequent first."""


def compare(truth: NDArray[np.int64], first: NDArray[np.int64], second: NDArray[np.int64]) -> Comparison:
    """The comparison of two bundles' label ids [n] against the true ones [n]; n > 0."""
    right, other_right = first == truth, second == truth
    num_rows = len(truth)
    gained, lost = int((right & ~other_right).sum()), int((~right & other_right).sum())
    low, high = _difference_interval(gained, lost, num_rows)
    return Comparison(
        num_rows=num_rows,
        num_both_right=int((right & other_right).sum()),
        num_only_first=gained,
        num_only_second=lost,
        num_both_wrong=int((~right & ~other_right).sum()),
        difference=(gained - lost) / num_rows,
        difference_low=low,
        difference_high=high,
        p_value=float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0,
        num_flipped=int((first != second).sum()),
        flips=_flips(truth, first, second),
    )


def _difference_interval(gained: int, lost: int, num_rows: int) -> tuple[float, float]:
    """Two-sided 95 % interval of the difference of two paired shares (Bonett and Price, Psychological Methods 2012)."""
    rows = num_rows + 2
    up, down = (gained + 1) / rows, (lost + 1) / rows
    half = _Z * math.sqrt(max(0.0, up + down - (up - down) ** 2) / rows)
    return max(-1.0, up - down - half), min(1.0, up - down + half)


def mean_interval(values: NDArray[np.floating]) -> tuple[float, float, float]:
    """The mean of some rows' values [n] with a two-sided 95 % interval, by the normal distribution: for many rows."""
    mean = float(values.mean(dtype=np.float64))
    half = _Z * float(values.std(dtype=np.float64)) / math.sqrt(len(values))
    return mean, mean - half, mean + half


def _flips(truth: NDArray[np.int64], first: NDArray[np.int64], second: NDArray[np.int64]) -> tuple[Flip, ...]:
    flipped = np.flatnonzero(first != second)
    pairs = list(zip(first[flipped].tolist(), second[flipped].tolist(), strict=True))
    rows = Counter(pairs)
    gained = Counter(pair for pair, label in zip(pairs, truth[flipped].tolist(), strict=True) if pair[0] == label)
    lost = Counter(pair for pair, label in zip(pairs, truth[flipped].tolist(), strict=True) if pair[1] == label)
    return tuple(
        Flip(first_id=pair[0], second_id=pair[1], num_rows=number, num_gained=gained[pair], num_lost=lost[pair])
        for pair, number in sorted(rows.items(), key=lambda entry: (-entry[1], entry[0]))
    )
