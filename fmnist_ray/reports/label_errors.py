"""Labels that are probably wrong: rows that models trained on the other rows see otherwise, with confidence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import StratifiedKFold

MIN_PER_CLASS = 10
"""Rows that a class needs to be judged."""
_FOLDS = 5


@dataclass(frozen=True, slots=True)
class Suspect:
    """A row whose label is probably wrong."""

    row: int
    given_id: int
    likely_id: int
    given_probability: float
    likely_probability: float


def out_of_fold(features: NDArray[np.float32], label_ids: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    """Probability of every class for every row, [n, classes], from a linear discriminant on the features [n, width] of
    the rows of other folds. Every class needs `MIN_PER_CLASS` rows or more."""
    probabilities = np.zeros((len(label_ids), int(label_ids.max()) + 1))
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    for fitted, held in folds.split(features, label_ids):
        model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(features[fitted], label_ids[fitted])
        probabilities[np.ix_(held, model.classes_)] = model.predict_proba(features[held])
    return probabilities


def likely_errors(probabilities: NDArray[np.float64], label_ids: NDArray[np.int64]) -> list[Suspect]:
    """Confident learning (Northcutt et al., arXiv 1911.00068): a row is suspect where another class's probability is
    at least what rows of that class have on average, and higher than any other such; the surest first."""
    classes = range(probabilities.shape[1])
    own = [probabilities[label_ids == label, label] for label in classes]
    thresholds = np.array([values.mean() if len(values) else np.inf for values in own])
    above = np.where(probabilities >= thresholds, probabilities, -1.0)
    likely = above.argmax(axis=1)
    rows = np.arange(len(label_ids))
    suspects = np.flatnonzero((above[rows, likely] >= 0) & (likely != label_ids))
    found = [
        Suspect(
            row=row,
            given_id=int(label_ids[row]),
            likely_id=int(likely[row]),
            given_probability=float(probabilities[row, label_ids[row]]),
            likely_probability=float(probabilities[row, likely[row]]),
        )
        for row in suspects.tolist()
    ]
    return sorted(found, key=lambda suspect: suspect.given_probability - suspect.likely_probability)


def principal_map(features: NDArray[np.float32]) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """Each row's place [n, 2] on the two directions in which features [n, width] differ most, and the shares of their
    variance that these two explain."""
    centred = features.astype(np.float64) - features.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred)
    total = float(values.sum()) or 1.0
    return centred @ vectors[:, [-1, -2]], (float(values[-1]) / total, float(values[-2]) / total)
