"""The decision rule: thresholds, label sets and alarms, from a bundle's held-out rows and what is promised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fmnist_ray.config.classify import HeadName
from fmnist_ray.config.decisions import Promises
from fmnist_ray.decisions.calibration import Curve
from fmnist_ray.decisions.contract import NEVER, accept_thresholds
from fmnist_ray.decisions.decide import Answers
from fmnist_ray.decisions.heads import HeadRule, decide_heads
from fmnist_ray.decisions.heldout import HeldOut
from fmnist_ray.decisions.label_sets import label_sets, set_limits
from fmnist_ray.decisions.novelty import NoveltyModel, upper_tail
from fmnist_ray.labels import Labels
from fmnist_ray.schema import Decision, DecisionReason

REASONS = tuple(DecisionReason)
DECISION_OF = {
    DecisionReason.CONFIDENT: Decision.ACCEPT,
    DecisionReason.UNSURE: Decision.REVIEW,
    DecisionReason.UNPROVEN: Decision.REVIEW,
    DecisionReason.NOVEL: Decision.DECLINE,
    DecisionReason.UNUSABLE_PHOTO: Decision.DECLINE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgements:
    """What is to be done with N rows, and why."""

    reasons: NDArray[np.int8] | None
    """[N]: index into `REASONS`; None where no precision was promised"""
    label_sets: NDArray[np.bool_]
    """[N, K]"""
    novelty: NDArray[np.float32]
    """[N]: p-value, low for a row unlike all classes"""
    novel: NDArray[np.bool_]
    """[N]: whether it is low enough for an alarm"""
    photo_problems: NDArray[np.int8]
    """[N]: index into `schema.PHOTO_PROBLEMS`, -1 for a good photo"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRule:
    """Numbers in, decisions out: the same ones for the same bundle and the same promises."""

    thresholds: NDArray[np.float64] | None
    """[K]: the confidence from which on a row of each label is accepted; None where no precision was promised"""
    set_limits: NDArray[np.float64]
    """[K]: the probability from which on each class is in a row's set"""
    novelty: NoveltyModel
    distances: NDArray[np.float32]
    """Of the held-out rows, ascending"""
    quality: NDArray[np.float32]
    """[measures, rows]: of the held-out rows, negated and ascending"""
    alarm_rate: float

    def judge(self, answers: Answers, features: NDArray[np.float32], measures: NDArray[np.float32]) -> Judgements:
        """Judge rows by their answers, features [N, width] and photo measures [N, measures]; each by itself."""
        novelty = upper_tail(self.novelty.distances(features), self.distances)
        problems = _photo_problems(measures, self.quality, self.alarm_rate)
        novel = novelty <= self.alarm_rate
        reasons = None if self.thresholds is None else _reasons(answers, self.thresholds, novel, problems >= 0)
        return Judgements(
            reasons=reasons,
            label_sets=label_sets(answers.probabilities, self.set_limits),
            novelty=novelty.astype(np.float32),
            novel=novel,
            photo_problems=problems,
        )


def derive_rule(
    heldout: HeldOut,
    novelty: NoveltyModel,
    promises: Promises,
    *,
    labels: Labels,
    temperature: float,
    heads: HeadRule | None,
    head: HeadName,
    curves: Mapping[HeadName, Curve],
) -> DecisionRule:
    """The rule for the deciding `head`. Raises `RefusedError` where the held-out rows can't prove what is promised."""
    answers = decide_heads(
        heldout.logits, heldout.svm_scores, temperature=temperature, rule=heads, head=head, curves=curves
    ).answers
    distances, quality = np.sort(heldout.novelty), np.sort(-heldout.quality.T, axis=1)
    thresholds = None
    if promises.min_precision is not None:
        strange = upper_tail(heldout.novelty, distances) <= promises.alarm_rate
        good = ~strange & (_photo_problems(heldout.quality, quality, promises.alarm_rate) < 0)
        thresholds = accept_thresholds(
            answers.confidences[good],
            answers.label_ids[good],
            answers.label_ids[good] == heldout.label_ids[good],
            labels=labels,
            promises=promises,
        )
    return DecisionRule(
        thresholds=thresholds,
        set_limits=set_limits(answers.probabilities, heldout.label_ids, promises.coverage),
        novelty=novelty,
        distances=distances,
        quality=quality,
        alarm_rate=promises.alarm_rate,
    )


def _reasons(
    answers: Answers, thresholds: NDArray[np.float64], novel: NDArray[np.bool_], unusable: NDArray[np.bool_]
) -> NDArray[np.int8]:
    """The first reason that holds; a bad photo comes before a strange one, since it may be strange for being bad."""
    own = thresholds[answers.label_ids]
    rows = np.select(
        [unusable, novel, answers.confidences >= own, own < NEVER],
        [
            REASONS.index(reason)
            for reason in (
                DecisionReason.UNUSABLE_PHOTO,
                DecisionReason.NOVEL,
                DecisionReason.CONFIDENT,
                DecisionReason.UNSURE,
            )
        ],
        default=REASONS.index(DecisionReason.UNPROVEN),
    )
    return rows.astype(np.int8)


def _photo_problems(
    measures: NDArray[np.float32], reference: NDArray[np.float32], alarm_rate: float
) -> NDArray[np.int8]:
    """The measure [N] that is the rarest among good photos, where it is rare enough for an alarm, else -1. Each of the
    measures has an equal part of the alarms."""
    tails = np.stack([upper_tail(-measures[:, number], values) for number, values in enumerate(reference)])
    worst = tails.argmin(axis=0)
    alarms = tails.min(axis=0) <= alarm_rate / len(reference)
    return np.where(alarms, worst, -1).astype(np.int8)
