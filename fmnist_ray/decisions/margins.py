"""Margins of an SVM's decisions: how clearly rows are on their own side, and which of them hold the boundary."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fmnist_ray.decisions.pairwise import class_pairs


def true_margins(class_scores: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """The score of a row's own class above that of the best other [N]; below 0 for a mistake."""
    rows = np.arange(len(labels))
    others = class_scores.copy()
    others[rows, labels] = -np.inf
    margins: NDArray[np.float64] = class_scores[rows, labels] - others.max(axis=1)
    return margins


def are_support_vectors(
    svm_scores: NDArray[np.floating], labels: NDArray[np.int64], num_labels: int, *, pairwise: bool
) -> NDArray[np.bool_]:
    """Which training rows [N] lie on the margin or on its wrong side in any of the two-class problems they belong to.

    For an exact SVM these are its support vectors (the conditions of Karush, Kuhn and Tucker), up to the tolerance of
    its solver; for a linear SVM and for Nystroem's, the rows that pull at the boundary.
    """
    scores = np.asarray(svm_scores, np.float64)
    if pairwise:
        first, second = class_pairs(num_labels)
        own = (labels[:, None] == first).astype(np.float64) - (labels[:, None] == second)
        return np.asarray(((own != 0) & (own * scores <= 1 + 1e-3)).any(axis=1))
    own = np.where(labels[:, None] == np.arange(num_labels), 1.0, -1.0)
    return np.asarray((own * scores <= 1 + 1e-3).any(axis=1))
