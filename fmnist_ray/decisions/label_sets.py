"""Label sets: for each row the classes that it may well be, with a promised coverage of every class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def set_limits(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer], coverage: float
) -> NDArray[np.float64]:
    """The least probability [K] with which each class belongs to a row's set, from held-out rows.

    Split conformal prediction with the probability itself as score (Sadinle et al., arXiv 1609.00451), a quantile for
    each class: of new rows of a class, `coverage` to `coverage + 1 / (n + 1)` have it in their set, whatever the
    network, where n held-out rows are of that class. A class with fewer than coverage / (1 - coverage) rows is in every
    set. `probabilities` [N, K], `labels` [N].
    """
    limits = np.full(probabilities.shape[1], -1.0)
    for label in range(probabilities.shape[1]):
        own = np.sort(np.asarray(probabilities, np.float64)[labels == label, label])
        outside = int(np.floor((len(own) + 1) * (1 - coverage) + 1e-9))
        if outside:
            limits[label] = own[outside - 1]
    return limits


def label_sets(probabilities: NDArray[np.floating], limits: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which classes are in the set of each row, [N, K]. A set may be empty: the row is typical of no class."""
    return np.asarray(probabilities >= limits)
