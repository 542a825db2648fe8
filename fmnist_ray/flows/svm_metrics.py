"""How good each head is, on rows that neither was fitted on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmnist_ray.catalogue.feature_rows import FeatureRows
from fmnist_ray.config.classify import HeadName
from fmnist_ray.decisions.calibration import Curve, expected_calibration_error
from fmnist_ray.decisions.heads import HEADS, HeadRule, decide_heads, fit_curves
from fmnist_ray.flows.svm_data import SvmRows
from fmnist_ray.heads.svm import SvmHead


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadScores:
    """What both heads say of labelled rows."""

    logits: NDArray[np.float32]
    """[N, labels]"""
    svm: NDArray[np.float32]
    """[N, scores]"""
    labels: NDArray[np.int64]
    """[N]"""

    @classmethod
    def of(cls, rows: SvmRows, numbers: NDArray[np.int64], head: SvmHead) -> HeadScores:
        """Score rows by their numbers; a data file at a time, so that only their scores are held."""
        logits, svm, labels = [], [], []
        for file, truth in rows.files(numbers):
            logits.append(file.logits)
            svm.append(head.scores(file.features).astype(np.float32))
            labels.append(truth)
        return cls(logits=np.concatenate(logits), svm=np.concatenate(svm), labels=np.concatenate(labels))

    @classmethod
    def of_table(cls, table: FeatureRows, head: SvmHead) -> HeadScores:
        """Score all labelled rows of a table."""
        labels = table.label_ids()
        every = np.flatnonzero(labels >= 0)
        rows = SvmRows(table=table, labels=labels, train=every[:0], validation=every[:0], test=every)
        return cls.of(rows, every, head)

    def curves(self, rule: HeadRule, *, temperature: float) -> dict[HeadName, Curve]:
        """The curves of the heads' confidences that fit these rows."""
        return fit_curves(self.logits, self.svm, self.labels, temperature=temperature, rule=rule)


def head_metrics(
    validation: HeadScores,
    test: HeadScores,
    rule: HeadRule,
    *,
    temperature: float,
    curves: Mapping[HeadName, Curve],
) -> dict[str, Any]:
    """Accuracy and calibration error by head, and how often the two heads differ."""
    found: dict[str, Any] = {}
    for part, scores in (("validation", validation), ("test", test)):
        for head in HEADS:
            answers = decide_heads(
                scores.logits, scores.svm, temperature=temperature, rule=rule, head=head, curves=curves
            ).answers
            right, confidences = answers.label_ids == scores.labels, answers.confidences
            found[f"{head}_{part}_accuracy"] = float(right.mean())
            found[f"{head}_{part}_calibration_error"] = expected_calibration_error(confidences, right)
        found[f"{part}_disagreement"] = _disagreement(scores, rule, temperature)
    return found


def _disagreement(scores: HeadScores, rule: HeadRule, temperature: float) -> float:
    found = decide_heads(scores.logits, scores.svm, temperature=temperature, rule=rule, head="cnn")
    assert found.svm is not None
    return float((found.cnn.label_ids != found.svm.label_ids).mean())
