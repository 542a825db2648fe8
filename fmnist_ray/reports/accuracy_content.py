"""What a page says about labelled predictions: the figures of `metrics`, by class, by pair, and with pictures."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from fmnist_ray.labels import Labels
from fmnist_ray.reports.gallery import Gallery
from fmnist_ray.reports.metrics import CONFIDENCE_LEVEL, Evaluation
from fmnist_ray.reports.statistics import RunStatistics

_NUM_PAIRS_SHOWN = 8
_MATRIX_CLASSES = 25
"""Classes whose confusion fits a page as a matrix."""


def accuracy_content(
    evaluation: Evaluation, statistics: RunStatistics, gallery: Gallery, labels: Labels
) -> dict[str, Any]:
    """Plain values and examples for `templates/accuracy.html.j2`."""
    pairs = [(labels[pair.true_id], labels[pair.predicted_id]) for pair in evaluation.confused[:_NUM_PAIRS_SHOWN]]
    worst = zip(evaluation.confused, pairs, gallery.by_confusion(pairs), strict=False)
    confusion = statistics.label_confusion
    return {
        **{
            name: value for name, value in dataclasses.asdict(evaluation).items() if name not in ("classes", "confused")
        },
        "confidence_level": CONFIDENCE_LEVEL,
        "classes": [
            {"label": label, **dataclasses.asdict(metrics)}
            for label, metrics in zip(labels, evaluation.classes, strict=True)
        ],
        "confusion": confusion.tolist(),
        "confusion_rates": (confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)).tolist()
        if len(labels) <= _MATRIX_CLASSES
        else None,
        "worst_pairs": [
            {"true_label": true, "label": label, "num_rows": pair.num_rows, "share": pair.share, "examples": shown}
            for pair, (true, label), shown in worst
        ],
    }
