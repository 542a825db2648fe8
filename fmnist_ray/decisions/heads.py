"""From the scores of two heads, the network's own and the SVM's, to one answer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fmnist_ray.config.classify import HeadName
from fmnist_ray.decisions.calibration import Curve, fit_curve, fit_temperature
from fmnist_ray.decisions.decide import Answers, decide
from fmnist_ray.decisions.pairwise import pairwise_labels, pairwise_margins
from fmnist_ray.errors import BundleError

HEADS: tuple[HeadName, ...] = ("cnn", "svm", "both")
_LARGEST_WEIGHT = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadRule:
    """How two heads become one answer: everything about it that was fitted on validation images."""

    pairwise: bool
    """Whether the SVM has a score for each pair of classes (one against one), not for each class."""
    svm_temperature: float
    """Divisor of the SVM's class scores that makes their softmax a calibrated probability."""
    cnn_weight: float
    svm_weight: float
    """Weights of logits and class scores in the combination, whose softmax is calibrated as it is."""
    decides: HeadName
    """Which answer is the row's."""

    def __post_init__(self) -> None:
        if not (isinstance(self.svm_temperature, float | int) and 0 < self.svm_temperature < math.inf):
            raise BundleError(f"An SVM head needs a temperature above 0; found {self.svm_temperature!r}.")
        if self.decides not in HEADS:
            raise BundleError(f"A bundle's head is one of {', '.join(HEADS)}; found {self.decides!r}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadAnswers:
    """What each head says, and the answer that counts."""

    answers: Answers
    cnn: Answers
    svm: Answers | None
    """None for a bundle without an SVM."""


def decide_heads(
    logits: np.ndarray,
    svm_scores: np.ndarray | None,
    *,
    temperature: float,
    rule: HeadRule | None,
    head: HeadName,
    curves: Mapping[HeadName, Curve] | None = None,
) -> HeadAnswers:
    """Answers for `logits` [N, K] and, of a bundle with a `rule`, `svm_scores` [N, K or pairs]. `curves` are those of
    the heads' confidences."""
    curves = curves or {}
    cnn = decide(logits, temperature, curves.get("cnn"))
    if rule is None or svm_scores is None:
        return HeadAnswers(answers=cnn, cnn=cnn, svm=None)
    num_labels = logits.shape[1]
    scores = class_scores(svm_scores, num_labels, pairwise=rule.pairwise)
    svm = decide(scores, rule.svm_temperature, curves.get("svm"))
    if rule.pairwise:
        svm = _labelled(scores / rule.svm_temperature, pairwise_labels(svm_scores, num_labels), curves.get("svm"))
    both = decide(rule.cnn_weight * np.asarray(logits, np.float64) + rule.svm_weight * scores, 1.0, curves.get("both"))
    return HeadAnswers(answers={"cnn": cnn, "svm": svm, "both": both}[head], cnn=cnn, svm=svm)


def class_scores(svm_scores: np.ndarray, num_labels: int, *, pairwise: bool) -> NDArray[np.float64]:
    """A score [N, num_labels] for each class: as it is, or how well the class does against its strongest rival."""
    scores = np.asarray(svm_scores, np.float64)
    return pairwise_margins(scores, num_labels) if pairwise else scores


def fit_rule(
    logits: np.ndarray, svm_scores: np.ndarray, labels: np.ndarray, *, temperature: float, pairwise: bool
) -> HeadRule:
    """Calibrate the SVM, fit the combination, and choose who decides, all on images that neither head was fitted on.

    Of those whose accuracy is within one standard error of the best, the one with the least negative log-likelihood
    decides: differences below that are chance. The combination is a logistic regression with one weight for each head,
    none negative. `logits` [N, K], `svm_scores` [N, K or pairs], `labels` [N].
    """
    from scipy.special import log_softmax

    scores = class_scores(svm_scores, logits.shape[1], pairwise=pairwise)
    svm_temperature = fit_temperature(scores, labels)
    cnn_weight, svm_weight = _fit_weights(logits, scores, labels, start=(0.5 / temperature, 0.5 / svm_temperature))

    def rule(decides: HeadName) -> HeadRule:
        return HeadRule(
            pairwise=pairwise,
            svm_temperature=svm_temperature,
            cnn_weight=cnn_weight,
            svm_weight=svm_weight,
            decides=decides,
        )

    scaled: dict[HeadName, NDArray[np.float64]] = {
        "cnn": np.asarray(logits, np.float64) / temperature,
        "svm": scores / svm_temperature,
        "both": cnn_weight * logits + svm_weight * scores,
    }
    accuracies: dict[HeadName, float] = {}
    for head in HEADS:
        found = decide_heads(logits, svm_scores, temperature=temperature, rule=rule(head), head=head)
        accuracies[head] = float((found.answers.label_ids == labels).mean())
    best = max(accuracies.values())
    good = [head for head in HEADS if accuracies[head] >= best - math.sqrt(best * (1 - best) / len(labels))]
    rows = np.arange(len(labels))
    return rule(min(good, key=lambda head: float(-log_softmax(scaled[head], axis=1)[rows, labels].mean())))


def _fit_weights(
    logits: np.ndarray, scores: np.ndarray, labels: np.ndarray, *, start: tuple[float, float]
) -> tuple[float, float]:
    """The two weights with the least negative log-likelihood."""
    from scipy.optimize import minimize
    from scipy.special import log_softmax, softmax

    rows = np.arange(len(labels))
    parts = [np.asarray(logits, np.float64), scores]

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        total = weights[0] * parts[0] + weights[1] * parts[1]
        error = softmax(total, axis=1)
        error[rows, labels] -= 1
        gradient = np.array([(error * part).sum(axis=1).mean() for part in parts])
        return float(-log_softmax(total, axis=1)[rows, labels].mean()), gradient

    fit = minimize(loss, start, jac=True, bounds=[(0.0, _LARGEST_WEIGHT)] * 2, method="L-BFGS-B")
    return float(fit.x[0]), float(fit.x[1])


def fit_curves(
    logits: np.ndarray, svm_scores: np.ndarray | None, labels: np.ndarray, *, temperature: float, rule: HeadRule | None
) -> dict[HeadName, Curve]:
    """The curve of each head's confidence, on images that no head was fitted on; see `fit_rule` for the arguments."""
    curves: dict[HeadName, Curve] = {}
    for head in HEADS if rule is not None else HEADS[:1]:
        found = decide_heads(logits, svm_scores, temperature=temperature, rule=rule, head=head).answers
        confidences = np.asarray(found.confidences, np.float64).clip(1e-12, 1 - 1e-9)
        curves[head] = fit_curve((1 - confidences) / confidences, found.label_ids == labels)
    return curves


def _labelled(scaled: NDArray[np.float64], label_ids: NDArray[np.int64], curve: Curve | None) -> Answers:
    """Answers with labels that were decided otherwise, and their own probabilities."""
    weights = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probabilities = weights / weights.sum(axis=1, keepdims=True)
    own = probabilities[np.arange(len(label_ids)), label_ids]
    confidences = own if curve is None else curve.apply((1 - own) / own)
    return Answers(label_ids.astype(np.int16), confidences.astype(np.float32), probabilities.astype(np.float32))
