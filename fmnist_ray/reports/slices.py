"""Accuracy by kind of row: is a model worse on some of them, more than chance explains?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import fisher_exact

from fmnist_ray.reports.metrics import interval

MAX_VALUES = 12
"""Values of a column that are told apart; the rarer ones are one slice."""
_OTHERS = "all others"
_SURE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Rows that have something in common."""

    kind: str
    """What divides the rows: brightness, a column's name."""
    value: str
    num_rows: int
    num_correct: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    differs: bool
    """Whether its accuracy is another than that of all other rows: Fisher's exact test at 5 % over all slices together
    (Holm, Scandinavian Journal of Statistics 1979)."""


def slice_accuracy(kinds: Mapping[str, Sequence[str]], correct: NDArray[np.bool_]) -> tuple[Slice, ...]:
    """Every slice that `kinds` makes: for each of them, the value of every row [n]; `correct` [n] says which rows are
    right."""
    found: list[tuple[str, str, NDArray[np.bool_]]] = []
    for kind, values in kinds.items():
        column = np.asarray(values, dtype=object)
        names, counts = np.unique(column.astype(str), return_counts=True)
        shown = names if len(names) <= MAX_VALUES else np.sort(names[np.argsort(-counts, kind="stable")][:MAX_VALUES])
        text = column.astype(str)
        found += [(kind, str(name), text == name) for name in shown]
        if len(shown) < len(names):
            found.append((kind, _OTHERS, ~np.isin(text, shown)))
    chances = [_chance(correct[member], correct[~member]) for _, _, member in found]
    differing = _holm(chances)
    return tuple(
        _slice(kind, value, correct[member], different)
        for (kind, value, member), different in zip(found, differing, strict=True)
    )


def quarters(values: NDArray[np.float64], names: Sequence[str]) -> list[str]:
    """Which quarter of all `values` [n] each of them lies in, by the four `names`, the lowest first."""
    edges = np.quantile(values, [0.25, 0.5, 0.75])
    return [names[number] for number in np.searchsorted(edges, values, side="left")]


def _slice(kind: str, value: str, correct: NDArray[np.bool_], differs: bool) -> Slice:
    num_rows, num_correct = len(correct), int(correct.sum())
    low, high = interval(num_correct, num_rows)
    return Slice(
        kind=kind,
        value=value,
        num_rows=num_rows,
        num_correct=num_correct,
        accuracy=num_correct / num_rows,
        accuracy_low=low,
        accuracy_high=high,
        differs=differs,
    )


def _chance(inside: NDArray[np.bool_], outside: NDArray[np.bool_]) -> float:
    counts = [[int(rows.sum()), int(len(rows) - rows.sum())] for rows in (inside, outside)]
    return float(fisher_exact(counts)[1])


def _holm(chances: Sequence[float]) -> list[bool]:
    """Which of several tests hold when all are made at once."""
    holds = [False] * len(chances)
    for rank, number in enumerate(np.argsort(chances).tolist()):
        if chances[number] > _SURE / (len(chances) - rank):
            break
        holds[number] = True
    return holds
