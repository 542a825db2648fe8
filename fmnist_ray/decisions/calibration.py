"""Calibration: what makes a confidence mean what it says: a divisor of the logits, then a curve over the result."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fmnist_ray.errors import BundleError, InputError

_LOG_RANGE = (-3.0, 3.0)
"""Temperatures from 0.05 to 20: beyond them it is the network that is broken, not its calibration."""


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature with the least negative log-likelihood of `labels` [N] given `logits` [N, K].

    Guo et al., On Calibration of Modern Neural Networks, arXiv 1706.04599. Fit it on images that the network was not
    trained on. Raises `InputError` where there are none, or where a logit is not finite.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    scores = np.asarray(logits, np.float64)
    if not len(scores) or not np.isfinite(scores).all():
        raise InputError(f"A temperature needs labelled images with finite logits; of {len(scores)} none will do.")
    rows = np.arange(len(scores))

    def loss(log_temperature: float) -> float:
        likelihoods = log_softmax(scores / np.exp(log_temperature), axis=1)
        return float(-likelihoods[rows, labels].mean())

    fit = minimize_scalar(loss, bounds=_LOG_RANGE, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(fit.x))


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Platt's curve over a confidence: its log-odds become `slope` times as large, plus `offset`. Which of two rows is
    the surer one stays as it is."""

    slope: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        if not (self.slope > 0 and math.isfinite(self.slope) and math.isfinite(self.offset)):
            raise BundleError(f"A curve needs a slope above 0 and an offset; found {self.slope!r}, {self.offset!r}.")

    def apply(self, odds_against: NDArray[np.floating]) -> NDArray[np.float64]:
        """The calibrated confidence of odds (1 - p) / p."""
        odds = np.asarray(odds_against, np.float64).clip(1e-300, None)
        return np.asarray(1 / (1 + math.exp(-self.offset) * odds**self.slope))


def fit_curve(odds_against: NDArray[np.floating], correct: NDArray[np.bool_]) -> Curve:
    """The curve with the least negative log-likelihood of `correct` [N] given the odds against each answer [N].

    A temperature balances all classes of all rows; the curve asks only whether the answer is right, and takes away the
    excess that networks have in the middle of the range. Platt (1999), with his correction for few rows.
    """
    from scipy.optimize import minimize

    scores = -np.log(np.asarray(odds_against, np.float64).clip(1e-300, None))
    num_right, num_wrong = int(correct.sum()), int((~correct).sum())
    targets = np.where(correct, (num_right + 1) / (num_right + 2), 1 / (num_wrong + 2))

    def loss(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        logits = math.exp(values[0]) * scores + values[1]
        errors = 0.5 * (1 + np.tanh(logits / 2)) - targets
        total = float((np.logaddexp(0, logits) - targets * logits).mean())
        return total, np.array([(errors * scores).mean() * math.exp(values[0]), errors.mean()])

    fit = minimize(loss, (0.0, 0.0), jac=True, method="BFGS")
    return Curve(slope=math.exp(fit.x[0]), offset=float(fit.x[1]))


def expected_calibration_error(confidences: np.ndarray, correct: np.ndarray, bins: int = 15) -> float:
    """How far confidence and accuracy lie apart, 0..1: the gap in each of `bins` equal intervals, weighted by rows.

    `confidences` [N] in 0..1, `correct` [N] whether the answer was right. The measure of arXiv 1706.04599; 0.0 for no
    rows.
    """
    if not len(confidences):
        return 0.0
    interval = np.minimum((np.asarray(confidences, np.float64) * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(interval, np.asarray(correct, np.float64) - confidences, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidences))
