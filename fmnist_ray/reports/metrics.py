"""How good labelled predictions are, from counts alone: accuracy with an interval, per-class figures, calibration.

A figure that is 0/0, such as the precision of a class that was never predicted, is None and left out of means.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fmnist_ray.reports.statistics import NUM_CONFIDENCE_BINS, Counts, RunStatistics

CONFIDENCE_LEVEL = 0.95
"""Coverage of every interval here."""
NUM_RELIABILITY_BINS = 10
"""Bins of the reliability diagram and of the expected calibration error."""

_Z = 1.959963984540054  # the normal quantile of 0.975
_SMALL = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassMetrics:
    """One class of a labelled run."""

    num_true: int
    """Rows whose true label it is."""
    num_predicted: int
    """Rows that were given it."""
    num_correct: int
    precision: float | None
    """Share of the rows given this label that have it."""
    recall: float | None
    """Share of the rows that have this label that were given it."""
    f1: float | None
    """Harmonic mean of precision and recall."""
    precision_low: float | None
    precision_high: float | None
    recall_low: float | None
    recall_high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityBin:
    """Predictions of about the same confidence: a calibrated model is right as often as it says."""

    low: float
    high: float
    num_labelled: int
    mean_confidence: float | None
    accuracy: float | None
    accuracy_low: float | None
    accuracy_high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfusedPair:
    """Rows of one class that were taken for another."""

    true_id: int
    predicted_id: int
    num_rows: int
    share: float
    """Of the rows of the true class, in 0..1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What the true labels say about a run's predictions."""

    num_labelled: int
    num_correct: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    macro_f1: float
    """Mean F1 of the classes that occur."""
    macro_precision: float
    macro_recall: float
    weighted_f1: float
    """Mean F1, each class weighted by its true rows."""
    weighted_precision: float
    weighted_recall: float
    expected_calibration_error: float
    """Mean distance of confidence and accuracy over the bins, weighted by their rows (Naeini et al., AAAI 2015)."""
    classes: tuple[ClassMetrics, ...]
    reliability: tuple[ReliabilityBin, ...]
    confused: tuple[ConfusedPair, ...]
    """Every pair of classes that was confused, the most frequent first."""


def evaluate(statistics: RunStatistics) -> Evaluation | None:
    """The evaluation of a run's labelled predictions; None where it has none."""
    num_labelled = statistics.num_labelled
    if not num_labelled:
        return None
    confusion = statistics.label_confusion
    num_correct = int(np.trace(confusion))
    low, high = interval(num_correct, num_labelled)
    classes = class_metrics(confusion)
    reliability = reliability_bins(statistics)
    gaps = [
        entry.num_labelled * abs(entry.mean_confidence - entry.accuracy)
        for entry in reliability
        if entry.mean_confidence is not None and entry.accuracy is not None
    ]
    return Evaluation(
        num_labelled=num_labelled,
        num_correct=num_correct,
        accuracy=num_correct / num_labelled,
        accuracy_low=low,
        accuracy_high=high,
        macro_f1=_mean(classes, "f1"),
        macro_precision=_mean(classes, "precision"),
        macro_recall=_mean(classes, "recall"),
        weighted_f1=_mean(classes, "f1", weighted=True),
        weighted_precision=_mean(classes, "precision", weighted=True),
        weighted_recall=_mean(classes, "recall", weighted=True),
        expected_calibration_error=sum(gaps) / num_labelled,
        classes=classes,
        reliability=reliability,
        confused=confused_pairs(confusion),
    )


def interval(successes: int, trials: int) -> tuple[float, float]:
    """Two-sided 95 % interval of a share.

    Exact (Clopper and Pearson, Biometrika 1934) where there are under 40 successes or failures, else Wilson's score
    interval (JASA 1927). Raises `ValueError` for no trials.
    """
    if not 0 <= successes <= trials or not trials:
        raise ValueError(f"No interval for {successes} of {trials}.")
    failures = trials - successes
    if min(successes, failures) < _SMALL:
        from scipy.special import betaincinv

        tail = (1 - CONFIDENCE_LEVEL) / 2
        low = float(betaincinv(successes, failures + 1, tail)) if successes else 0.0
        high = float(betaincinv(successes + 1, failures, 1 - tail)) if failures else 1.0
        return low, high
    share, weight = successes / trials, _Z**2 / trials
    centre = (share + weight / 2) / (1 + weight)
    half = _Z * math.sqrt(share * (1 - share) / trials + weight / (4 * trials)) / (1 + weight)
    return centre - half, centre + half


def class_metrics(confusion: Counts) -> tuple[ClassMetrics, ...]:
    """Precision, recall and F1 of each class, from counts by true and predicted label id."""
    columns = zip(
        confusion.sum(axis=1).tolist(), confusion.sum(axis=0).tolist(), np.diag(confusion).tolist(), strict=True
    )
    return tuple(_class_metrics(*column) for column in columns)


def _class_metrics(num_true: int, num_predicted: int, num_correct: int) -> ClassMetrics:
    precision_low, precision_high = interval(num_correct, num_predicted) if num_predicted else (None, None)
    recall_low, recall_high = interval(num_correct, num_true) if num_true else (None, None)
    return ClassMetrics(
        num_true=num_true,
        num_predicted=num_predicted,
        num_correct=num_correct,
        precision=_ratio(num_correct, num_predicted),
        recall=_ratio(num_correct, num_true),
        f1=_ratio(2 * num_correct, num_true + num_predicted),
        precision_low=precision_low,
        precision_high=precision_high,
        recall_low=recall_low,
        recall_high=recall_high,
    )


def _mean(classes: tuple[ClassMetrics, ...], name: str, *, weighted: bool = False) -> float:
    """Mean of a figure over the classes that have it."""
    found = [
        (value, entry.num_true if weighted else 1) for entry in classes if (value := getattr(entry, name)) is not None
    ]
    weight = sum(share for _, share in found)
    return sum(value * share for value, share in found) / weight if weight else 0.0


def reliability_bins(statistics: RunStatistics) -> tuple[ReliabilityBin, ...]:
    """Confidence against accuracy in `NUM_RELIABILITY_BINS` equal bins."""
    width = NUM_CONFIDENCE_BINS // NUM_RELIABILITY_BINS
    columns = (statistics.labelled_by_bin, statistics.correct_by_bin, statistics.labelled_confidence_by_bin)
    sums = zip(*(column.reshape(-1, width).sum(axis=1).tolist() for column in columns), strict=True)
    return tuple(_reliability_bin(number, *row) for number, row in enumerate(sums))


def _reliability_bin(number: int, num_labelled: int, num_correct: int, millionths: int) -> ReliabilityBin:
    low, high = interval(num_correct, num_labelled) if num_labelled else (None, None)
    return ReliabilityBin(
        low=number / NUM_RELIABILITY_BINS,
        high=(number + 1) / NUM_RELIABILITY_BINS,
        num_labelled=num_labelled,
        mean_confidence=_ratio(millionths, num_labelled * 1_000_000),
        accuracy=_ratio(num_correct, num_labelled),
        accuracy_low=low,
        accuracy_high=high,
    )


def confused_pairs(confusion: Counts) -> tuple[ConfusedPair, ...]:
    """Every true and predicted class that differ, the most rows first."""
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    totals = confusion.sum(axis=1)
    pairs = [
        ConfusedPair(true_id=true, predicted_id=predicted, num_rows=rows, share=rows / int(totals[true]))
        for true, predicted in np.argwhere(wrong).tolist()
        if (rows := int(wrong[true, predicted]))
    ]
    return tuple(sorted(pairs, key=lambda pair: (-pair.num_rows, pair.true_id, pair.predicted_id)))


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
