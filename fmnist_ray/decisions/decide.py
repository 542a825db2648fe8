"""From logits to answers. Batch, endpoint and command line all decide here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fmnist_ray.decisions.calibration import Curve


@dataclass(frozen=True, slots=True)
class Answers:
    """One answer per row of logits."""

    label_ids: np.ndarray
    """int16 [N]: the label with the highest score, the first of equals"""
    confidences: np.ndarray
    """float32 [N]: the calibrated probability that it is right, 0..1"""
    probabilities: np.ndarray
    """float32 [N, K]: softmax over all labels; those of a row add up to 1"""


def decide(logits: np.ndarray, temperature: float, curve: Curve | None = None) -> Answers:
    """Label and confidence for each row of `logits` [N, K]; a row's answer does not depend on the other rows."""
    scores = np.asarray(logits, np.float64) / temperature
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))  # the label's own weight is 1
    total = weights.sum(axis=1)
    confidences = 1 / total if curve is None else curve.apply(total - 1)
    probabilities = (weights / total[:, None]).astype(np.float32)
    return Answers(logits.argmax(axis=1).astype(np.int16), confidences.astype(np.float32), probabilities)
