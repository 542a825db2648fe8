"""How a model trades one kind of error for another: ROC, precision and recall, and risk against coverage."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

MAX_POINTS = 120
"""Points of a curve that is shown."""
TARGET_RISKS = (0.005, 0.01, 0.02, 0.05)
"""Shares of errors among accepted rows for which `RiskCoverage` says how many rows can be accepted."""

_RISK_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Points of a curve, from left to right, both coordinates in 0..1."""

    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassCurves:
    """One class against all others, by its probability."""

    roc: Curve
    """Share of the other classes' rows that are taken for it, and share of its own that are found."""
    auc: float
    """Area below: the chance that a row of the class has a higher probability of it than a row of another."""
    precision_recall: Curve
    """Recall, and the precision that can be had with it."""
    average_precision: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """How many rows can be accepted by confidence alone at a wanted share of errors."""

    risk: float
    """Errors among accepted rows that are wanted at most."""
    threshold: float | None
    """Accept from this confidence on; None where no threshold will do."""
    coverage: float
    """Share of all rows that are accepted."""
    num_accepted: int
    num_wrong: int
    risk_limit: float | None
    """Upper limit of the errors among accepted rows of this kind, at 95 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskCoverage:
    """Errors among accepted rows when the surest rows are accepted first (El-Yaniv and Wiener, JMLR 2010)."""

    curve: Curve
    """Coverage, and risk."""
    area: float
    """Mean risk over all coverages."""
    acceptance: tuple[Acceptance, ...]


def class_curves(probabilities: NDArray[np.float32], truth: NDArray[np.int64]) -> list[ClassCurves | None]:
    """The curves of each class from `probabilities` [n, labels] and true label ids [n]; None for a class that no row,
    or every row, has."""
    return [_class_curves(probabilities[:, label], truth == label) for label in range(probabilities.shape[1])]


def _class_curves(scores: NDArray[np.float32], positive: NDArray[np.bool_]) -> ClassCurves | None:
    if not 0 < positive.sum() < len(positive):
        return None
    false_rate, true_rate, _ = roc_curve(positive, scores)
    precision, recall, _ = precision_recall_curve(positive, scores)
    return ClassCurves(
        roc=_thinned(false_rate, true_rate),
        auc=float(roc_auc_score(positive, scores)),
        precision_recall=_thinned(recall[::-1], precision[::-1]),
        average_precision=float(average_precision_score(positive, scores)),
    )


def risk_coverage(confidences: NDArray[np.float32], correct: NDArray[np.bool_]) -> RiskCoverage:
    """The curve and its acceptances from the confidence of each answer [n] and whether it is right [n]; n > 0."""
    order = np.argsort(-confidences, kind="stable")
    sure, wrong = confidences[order], np.cumsum(~correct[order], dtype=np.int64)
    accepted = np.arange(1, len(order) + 1)
    ends = np.flatnonzero(np.append(sure[1:] != sure[:-1], True))  # rows of one confidence are accepted together
    risk = wrong / accepted
    return RiskCoverage(
        curve=_thinned(accepted[ends] / len(order), risk[ends]),
        area=float(risk.mean()),
        acceptance=tuple(_acceptance(wanted, sure, wrong, ends) for wanted in TARGET_RISKS),
    )


def _acceptance(
    wanted: float, sure: NDArray[np.float32], wrong: NDArray[np.int64], ends: NDArray[np.int64]
) -> Acceptance:
    """The most rows whose risk is at most `wanted` with 95 % confidence: the search of Geifman and El-Yaniv
    (arXiv 1705.08500), which looks at log2(n) thresholds and pays for each."""
    num_looks = max(1, math.ceil(math.log2(len(ends))))
    low, high, best, limit = 0, len(ends) - 1, None, None
    for _ in range(num_looks):
        middle = (low + high + 1) // 2
        end = int(ends[middle])
        bound = _upper_limit(int(wrong[end]), end + 1, (1 - _RISK_CONFIDENCE) / num_looks)
        if bound <= wanted:
            low, best, limit = middle, end, bound
        else:
            high = max(low, middle - 1)
    if best is None:
        return Acceptance(risk=wanted, threshold=None, coverage=0.0, num_accepted=0, num_wrong=0, risk_limit=None)
    return Acceptance(
        risk=wanted,
        threshold=float(sure[best]),
        coverage=(best + 1) / len(sure),
        num_accepted=best + 1,
        num_wrong=int(wrong[best]),
        risk_limit=limit,
    )


def _upper_limit(wrong: int, rows: int, tail: float) -> float:
    """Exact one-sided upper limit of a share (Clopper and Pearson, Biometrika 1934)."""
    return float(betaincinv(wrong + 1, rows - wrong, 1 - tail)) if wrong < rows else 1.0


def _thinned(x: NDArray[np.float64], y: NDArray[np.float64]) -> Curve:
    """At most `MAX_POINTS` of the points, evenly along the curve, both ends among them."""
    if len(x) > MAX_POINTS:
        path = np.concatenate([[0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
        places = np.linspace(0, path[-1], MAX_POINTS)
        chosen = np.unique(np.searchsorted(path, places).clip(0, len(x) - 1))
        chosen = np.union1d(chosen, [0, len(x) - 1])
        x, y = x[chosen], y[chosen]
    return Curve(x=tuple(np.round(x, 5).tolist()), y=tuple(np.round(y, 5).tolist()))
