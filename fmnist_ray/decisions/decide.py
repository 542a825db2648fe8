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


def likeliest(probabilities: np.ndarray, label_id: int, confidence: float, count: int) -> list[tuple[int, float]]:
    """The `count` likeliest labels of a row with `probabilities` [K] that is answered with `label_id`: the answer comes
    first and has its confidence, the others their shares of what is left, and none more than the first."""
    others = [number for number in np.argsort(-probabilities, kind="stable").tolist() if number != label_id]
    left = 1 - float(probabilities[label_id])
    scale = (1 - confidence) / left if left > 0 else 0.0
    shares = ((number, min(confidence, float(probabilities[number]) * scale)) for number in others[: count - 1])
    return [(label_id, confidence), *shares]
