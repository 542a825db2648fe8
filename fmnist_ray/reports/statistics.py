"""What a run counts about its rows, shard by shard, so that a report never reads the rows again.

Everything is a sum of integers: merging is associative and commutative to the last digit, and a run split into other
shards has the same statistics. Confidences are summed in millionths and durations in nanoseconds for that reason.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Counts = NDArray[np.int64]

NUM_CONFIDENCE_BINS = 50
"""Equal bins of confidence over 0..1; the last one holds 1 itself."""
NUM_BRIGHTNESS_BINS = 64
"""Equal bins of an image's mean pixel value over 0..255."""
STEPS = ("read_s", "prepare_s", "score_s", "decide_s", "write_s")
"""The steps of a shard whose seconds are counted, in order."""

_ARRAYS = (
    "confidence_histogram",
    "label_confusion",
    "labelled_by_bin",
    "correct_by_bin",
    "labelled_confidence_by_bin",
    "brightness_histogram",
)


@dataclass(slots=True, eq=False)
class RunStatistics:
    """Mergeable counts of the rows of a shard, or of a run. Start from `RunStatistics.empty(num_labels)`."""

    confidence_histogram: Counts
    """Predictions by label id and confidence bin, [num_labels, NUM_CONFIDENCE_BINS]."""
    label_confusion: Counts
    """Labelled predictions by true and predicted label id, [num_labels, num_labels]."""
    labelled_by_bin: Counts
    """Labelled predictions by confidence bin, [NUM_CONFIDENCE_BINS]."""
    correct_by_bin: Counts
    """Labelled predictions that are right, by confidence bin, [NUM_CONFIDENCE_BINS]."""
    labelled_confidence_by_bin: Counts
    """Sum of the confidence of labelled predictions in millionths, by confidence bin, [NUM_CONFIDENCE_BINS]."""
    brightness_histogram: Counts
    """Model inputs by mean pixel value, [NUM_BRIGHTNESS_BINS]."""
    rejects_by_reason: Counter[str] = field(default_factory=Counter)
    """Rejects by reason."""
    nanoseconds_by_step: Counter[str] = field(default_factory=Counter)
    """Time spent by step, summed over workers; `seconds_by_step` gives it in seconds."""
    num_carried: int = 0
    """Predictions that are an earlier run's."""
    num_repeated: int = 0
    """Rows whose image was that of a row before in their shard, and was not looked at again."""
    heads: Counter[str] = field(default_factory=Counter)
    """How often the two heads of a bundle with an SVM agree, and who is right; see `add_heads`."""
    decisions: Counter[str] = field(default_factory=Counter)
    """How many rows are accepted, reviewed and declined, and why; `decisions.counts` names the entries."""
    num_null_ids: int = 0
    """Rows without an id, classified or not."""
    bytes_read: int = 0
    """Encoded image bytes."""

    @classmethod
    def empty(cls, num_labels: int) -> RunStatistics:
        """The statistics of no rows at all."""

        def zeros(*shape: int) -> Counts:
            return np.zeros(shape, np.int64)

        return cls(
            confidence_histogram=zeros(num_labels, NUM_CONFIDENCE_BINS),
            label_confusion=zeros(num_labels, num_labels),
            labelled_by_bin=zeros(NUM_CONFIDENCE_BINS),
            correct_by_bin=zeros(NUM_CONFIDENCE_BINS),
            labelled_confidence_by_bin=zeros(NUM_CONFIDENCE_BINS),
            brightness_histogram=zeros(NUM_BRIGHTNESS_BINS),
        )

    @property
    def num_labels(self) -> int:
        return len(self.label_confusion)

    @property
    def num_rows(self) -> int:
        return self.num_predictions + self.num_rejects

    @property
    def num_predictions(self) -> int:
        return int(self.confidence_histogram.sum())

    @property
    def num_rejects(self) -> int:
        return self.rejects_by_reason.total()

    @property
    def num_labelled(self) -> int:
        """Predictions whose true label is known."""
        return int(self.label_confusion.sum())

    @property
    def rows_by_label(self) -> list[int]:
        """Predictions by label id."""
        counts: list[int] = self.confidence_histogram.sum(axis=1).tolist()
        return counts

    @property
    def seconds_by_step(self) -> dict[str, float]:
        """Seconds by step, summed over workers: in the order of `STEPS`, then any others."""
        names = [*STEPS, *sorted(self.nanoseconds_by_step.keys() - set(STEPS))]
        return {name: self.nanoseconds_by_step[name] / 1e9 for name in names if name in self.nanoseconds_by_step}

    def add_predictions(
        self, label_ids: ArrayLike, confidences: ArrayLike, true_label_ids: ArrayLike | None = None
    ) -> None:
        """Count predictions: label ids and confidences in 0..1, both [n]; true label ids [n], negative where unknown.

        Raises `ValueError` for a confidence that is no number and for a label id that is out of range.
        """
        predicted = np.asarray(label_ids, np.int64)
        confidence = np.asarray(confidences, np.float64)
        if not np.isfinite(confidence).all():
            raise ValueError("A confidence is not a number.")
        confidence = confidence.clip(0, 1)
        bins = np.minimum((confidence * NUM_CONFIDENCE_BINS).astype(np.int64), NUM_CONFIDENCE_BINS - 1)
        self.confidence_histogram += _count(self.confidence_histogram, predicted * NUM_CONFIDENCE_BINS + bins)
        if true_label_ids is None:
            return
        true = np.asarray(true_label_ids, np.int64)
        known = true >= 0
        true, predicted, bins = true[known], predicted[known], bins[known]
        millionths = np.rint(confidence[known] * 1e6).astype(np.int64)
        self.label_confusion += _count(self.label_confusion, true * self.num_labels + predicted)
        self.labelled_by_bin += _count(self.labelled_by_bin, bins)
        self.correct_by_bin += _count(self.correct_by_bin, bins[true == predicted])
        np.add.at(self.labelled_confidence_by_bin, bins, millionths)

    def add_heads(
        self, label_ids: ArrayLike, cnn_ids: ArrayLike, svm_ids: ArrayLike, true_label_ids: ArrayLike | None = None
    ) -> None:
        """Count what two heads said, all [n]: the row's answer, the network's and the SVM's, and the truth (negative
        where unknown). Of labelled rows that agree or differ it counts who is right."""
        label, cnn, svm = (np.asarray(ids, np.int64) for ids in (label_ids, cnn_ids, svm_ids))
        truth = np.full(len(label), -1) if true_label_ids is None else np.asarray(true_label_ids, np.int64)
        for name, rows in (("agree", cnn == svm), ("differ", cnn != svm)):
            self.heads[name] += int(rows.sum())
            self.heads[f"{name}_labelled"] += int((rows & (truth >= 0)).sum())
            for who, ids in (("answer", label), ("cnn", cnn), ("svm", svm)):
                self.heads[f"{name}_{who}_right"] += int((rows & (ids == truth)).sum())

    def add_rejects(self, reasons: Iterable[str]) -> None:
        """Count rejects, one reason each."""
        self.rejects_by_reason.update(str(reason) for reason in reasons)

    def add_images(self, inputs: NDArray[np.uint8]) -> None:
        """Count the mean pixel values of model inputs, uint8 [n, ...]."""
        if not len(inputs):
            return
        pixels = inputs.reshape(len(inputs), -1)
        means = pixels.sum(axis=1, dtype=np.int64) * NUM_BRIGHTNESS_BINS // (256 * pixels.shape[1])
        self.brightness_histogram += _count(self.brightness_histogram, means)

    def add_seconds(self, step: str, seconds: float) -> None:
        """Count time spent in a step, one of `STEPS`."""
        self.nanoseconds_by_step[step] += round(seconds * 1e9)

    def merge(self, other: RunStatistics) -> None:
        """Add the counts of `other` to this one, in place."""
        for name in _ARRAYS:
            total = getattr(self, name)
            total += getattr(other, name)
        self.rejects_by_reason.update(other.rejects_by_reason)
        self.nanoseconds_by_step.update(other.nanoseconds_by_step)
        self.num_carried += other.num_carried
        self.num_repeated += other.num_repeated
        self.heads.update(other.heads)
        self.decisions.update(other.decisions)
        self.num_null_ids += other.num_null_ids
        self.bytes_read += other.bytes_read

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a receipt. Arrays keep only the cells that are not zero, so 1,000 classes stay small."""
        return {
            "num_labels": self.num_labels,
            "rejects_by_reason": dict(sorted(self.rejects_by_reason.items())),
            "nanoseconds_by_step": dict(sorted(self.nanoseconds_by_step.items())),
            "num_carried": self.num_carried,
            "num_repeated": self.num_repeated,
            "heads": dict(sorted(self.heads.items())),
            "decisions": dict(sorted(self.decisions.items())),
            "num_null_ids": self.num_null_ids,
            "bytes_read": self.bytes_read,
            **{name: _cells(getattr(self, name)) for name in _ARRAYS},
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> RunStatistics:
        """The inverse of `to_dict`. Raises `ValueError` where `content` is something else."""
        try:
            statistics = cls.empty(content["num_labels"])
            for name in _ARRAYS:
                array = getattr(statistics, name)
                array.flat[content[name]["cells"]] = content[name]["counts"]
            return dataclasses.replace(
                statistics,
                rejects_by_reason=Counter(content["rejects_by_reason"]),
                nanoseconds_by_step=Counter(content["nanoseconds_by_step"]),
                num_carried=content["num_carried"],
                num_repeated=content.get("num_repeated", 0),
                heads=Counter(content["heads"]),
                decisions=Counter(content.get("decisions", {})),
                num_null_ids=content["num_null_ids"],
                bytes_read=content["bytes_read"],
            )
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"These are not the statistics of a run: {error!r}.") from error


def _count(shape_of: Counts, cells: Counts) -> Counts:
    """How often each flat cell occurs, in the shape of an array of counts."""
    return np.bincount(cells, minlength=shape_of.size).reshape(shape_of.shape)


def _cells(array: Counts) -> dict[str, list[int]]:
    cells = np.flatnonzero(array)
    return {"cells": cells.tolist(), "counts": array.flat[cells].tolist()}
