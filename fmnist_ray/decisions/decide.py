"""From logits to answers. Batch, endpoint and command line all decide here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Answers:
    """One answer per row of logits."""

    label_ids: np.ndarray
    """int16 [N]: the label with the highest score, the first of equals"""
    confidences: np.ndarray
    """float32 [N]: its calibrated probability, 0..1"""


def decide(logits: np.ndarray, temperature: float) -> Answers:
    """Label and confidence for each row of `logits` [N, K]; a row's answer does not depend on the other rows."""
    scores = np.asarray(logits, np.float64) / temperature
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))  # the label's own weight is 1
    return Answers(logits.argmax(axis=1).astype(np.int16), (1 / weights.sum(axis=1)).astype(np.float32))


def probabilities(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Calibrated probabilities, float32 [N, K], of all labels; that of the label of `decide` is its confidence."""
    scores = np.asarray(logits, np.float64) / temperature
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: np.ndarray = weights / weights.sum(axis=1, keepdims=True)
    return shares.astype(np.float32)
