"""Holding rows out: a share of every class, groups kept together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fmnist_ray.config.train import TrainSettings

Rows = NDArray[np.int64]
"""Row numbers, counted over all files of a catalogue."""

_TEST_SHARE = 0.15
"""Of a catalogue, which has no test images of its own."""
_TEST_SEED = 0
"""Fixed, so that no choice of a training seed is a choice of test images."""


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


def split_rows(
    settings: TrainSettings, labels: NDArray[np.int64], groups: NDArray[np.int64], *, test: bool
) -> tuple[Rows, Rows, Rows]:
    """Rows to train on, to validate on, and to test on, ascending; none of the last unless `test`, for data with test
    rows of its own. A head that is fitted later on the same rows is given the same parts."""
    rest, held_out = np.arange(len(labels)), np.arange(0)
    if test:
        rest, held_out = stratified_split(labels, groups, _TEST_SHARE, _TEST_SEED)
    kept, held = stratified_split(labels[rest], groups[rest], settings.validation_share, settings.seed)
    return rest[kept], rest[held], held_out
