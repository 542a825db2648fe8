"""Holding rows out: a share of every class, groups kept together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def stratified_split(
    labels: NDArray[np.int64], groups: NDArray[np.int64], share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions kept and positions held out, ascending: `share` of each class, at least one row, is held out.

    Rows of one group go together, so that classes may get a few rows more; with a group of its own for every row the
    shares are exact.
    """
    generator = np.random.default_rng(seed)
    by_group = np.argsort(groups, kind="stable")
    first = np.searchsorted(groups[by_group], groups, "left")
    last = np.searchsorted(groups[by_group], groups, "right")
    held = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        positions = generator.permutation(np.flatnonzero(labels == label))
        missing = max(1, round(share * len(positions))) - int(held[positions].sum())
        for position in positions:
            if missing <= 0:
                break
            if not held[position]:
                rows = by_group[first[position] : last[position]]
                held[rows] = True
                missing -= int((labels[rows] == label).sum())
    return np.flatnonzero(~held), np.flatnonzero(held)
