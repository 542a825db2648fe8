"""Calibration: one divisor of the logits that makes a confidence mean what it says."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from fmnist_ray.errors import InputError

_LOG_RANGE = (-3.0, 3.0)
"""Temperatures from 0.05 to 20: beyond them it is the network that is broken, not its calibration."""


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature with the least negative log-likelihood of `labels` [N] given `logits` [N, K].

    Guo et al., On Calibration of Modern Neural Networks, arXiv 1706.04599. Fit it on images that the network was not
    trained on. Raises `InputError` where there are none, or where a logit is not finite.
    """
    scores = np.asarray(logits, np.float64)
    if not len(scores) or not np.isfinite(scores).all():
        raise InputError(f"A temperature needs labelled images with finite logits; of {len(scores)} none will do.")
    rows = np.arange(len(scores))

    def loss(log_temperature: float) -> float:
        likelihoods = log_softmax(scores / np.exp(log_temperature), axis=1)
        return float(-likelihoods[rows, labels].mean())

    fit = minimize_scalar(loss, bounds=_LOG_RANGE, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(fit.x))


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
