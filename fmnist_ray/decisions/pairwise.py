"""Classes from pairs: what a one-against-one SVM says of all classes.

Column p of `decisions` [N, K (K - 1) / 2] compares classes i < j, in the order (0, 1), (0, 2), ..., (1, 2), ...; above
0 speaks for i. This is scikit-learn's order for `SVC(decision_function_shape="ovo")`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def class_pairs(num_labels: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Both classes of every pair, in the order of the columns."""
    first, second = np.triu_indices(num_labels, 1)
    return first, second


def pairwise_labels(decisions: NDArray[np.floating], num_labels: int) -> NDArray[np.int64]:
    """The class [N] with the most votes; of equals the one with the greater sum of decisions, squeezed below a vote.

    The rule of scikit-learn's `SVC(break_ties=True).predict`.
    """
    first, second = class_pairs(num_labels)
    values = np.asarray(decisions, np.float64)
    wins = values > 0
    votes = np.zeros((len(values), num_labels))
    sums = np.zeros_like(votes)
    for pair, (i, j) in enumerate(zip(first, second, strict=True)):
        votes[:, i] += wins[:, pair]
        votes[:, j] += ~wins[:, pair]
        sums[:, i] += values[:, pair]
        sums[:, j] -= values[:, pair]
    labels: NDArray[np.int64] = (votes + sums / (3 * (np.abs(sums) + 1))).argmax(axis=1)
    return labels


def pairwise_margins(decisions: NDArray[np.floating], num_labels: int) -> NDArray[np.float64]:
    """How each class [N, num_labels] does against its strongest rival: above 0 for one that beats every other."""
    first, second = class_pairs(num_labels)
    values = np.asarray(decisions, np.float64)
    margins = np.full((len(values), num_labels), np.inf)
    for pair, (i, j) in enumerate(zip(first, second, strict=True)):
        np.minimum(margins[:, i], values[:, pair], out=margins[:, i])
        np.minimum(margins[:, j], -values[:, pair], out=margins[:, j])
    return margins
