"""The content of an evaluation: every number and example of its page, its JSON and its summary."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmnist_ray.labels import Labels
from fmnist_ray.reports.accuracy_content import accuracy_content
from fmnist_ray.reports.comparison import Comparison, compare
from fmnist_ray.reports.curves import class_curves, risk_coverage
from fmnist_ray.reports.gallery import Example, Gallery, embedded_picture
from fmnist_ray.reports.metrics import evaluate
from fmnist_ray.reports.slices import slice_accuracy
from fmnist_ray.reports.statistics import RunStatistics

EVALUATION_VERSION = 1
"""Raised whenever a key of `evaluation.json` changes its meaning or goes away."""

_NUM_FLIPS_SHOWN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationFacts:
    """What was evaluated, on what."""

    bundle_uri: str
    bundle_digest: str
    architecture: str
    num_parameters: int | None
    data_uri: str
    num_rows: int
    """Rows that were read."""
    num_unlabelled: int
    """Of these, rows without a label that the bundle knows; they count for nothing here."""
    num_rejects: int
    """Labelled rows whose image can't be used."""
    training_uri: str | None
    """What rows were looked up in for near duplicates."""
    similarity: float
    """Correlation from which on two images are near duplicates."""
    against_uri: str | None
    against_digest: str | None
    evaluated_at: str
    """ISO 8601 with an offset."""
    elapsed_s: float
    program_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredRows:
    """Labelled rows with a bundle's answers, in order."""

    probabilities: NDArray[np.float32]
    """[n, labels]; those of a row add up to 1"""
    label_ids: NDArray[np.int64]
    """[n]"""
    confidences: NDArray[np.float32]
    """[n]: calibrated probability that the label is right"""
    truth: NDArray[np.int64]
    """[n] true label ids"""

    @property
    def correct(self) -> NDArray[np.bool_]:
        """[n]"""
        return np.asarray(self.label_ids == self.truth)


@dataclass(frozen=True, slots=True, kw_only=True)
class CorruptionAccuracy:
    """Accuracy under one corruption."""

    name: str
    accuracy: tuple[float, ...]
    """By severity, the mildest first; one where the corruption has no severities."""
    against: tuple[float, ...] | None
    """The same for the bundle that it is compared with."""
    example: bytes | None = field(default=None, repr=False)
    """One row under it, at the middle severity, as PNG."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CorruptionTable:
    """Accuracy under every corruption, on a sample of the rows."""

    num_rows: int
    clean: float
    """Accuracy on these rows as they are."""
    against_clean: float | None
    rows: tuple[CorruptionAccuracy, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictured:
    """Rows with pictures, by what they show."""

    pairs: Gallery
    """Wrong ones, for each pair of classes."""
    surest_mistakes: Gallery
    least_sure: Gallery
    """Right, but only just."""
    right: Gallery
    """Right, at random."""
    flips: Mapping[tuple[int, int], Gallery] = field(default_factory=dict)
    """Rows that two bundles give different labels, by these labels."""


def evaluation_content(
    facts: EvaluationFacts,
    rows: ScoredRows,
    labels: Labels,
    pictured: Pictured,
    *,
    kinds: Mapping[str, Sequence[str]],
    corruptions: CorruptionTable | None = None,
    against: ScoredRows | None = None,
    learning: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Everything that `evaluation.json` and the page say. `kinds` gives, for each way to slice the rows, the value of
    every row; `against` has another bundle's answers to the same rows, `learning` the curves of
    `learning_content`."""
    statistics = RunStatistics.empty(len(labels))
    statistics.add_predictions(rows.label_ids, rows.confidences, rows.truth)
    evaluation = evaluate(statistics)
    if evaluation is None:
        raise ValueError("An evaluation needs at least one labelled row.")
    curves = class_curves(rows.probabilities, rows.truth)
    own = rows.probabilities[np.arange(len(rows.truth)), rows.truth].astype(np.float64)
    distances = ((rows.probabilities - np.eye(len(labels), dtype=np.float32)[rows.truth]) ** 2).sum(axis=1)
    return {
        "evaluation_version": EVALUATION_VERSION,
        "facts": dataclasses.asdict(facts),
        "evaluation": accuracy_content(evaluation, statistics, pictured.pairs, labels),
        "log_loss": float(-np.log(own.clip(1e-12)).mean()),
        "brier": float(distances.mean()),
        "classes": [
            {"label": label, "curves": None if found is None else dataclasses.asdict(found)}
            for label, found in zip(labels, curves, strict=True)
        ],
        "risk_coverage": dataclasses.asdict(risk_coverage(rows.confidences, rows.correct)),
        "slices": [dataclasses.asdict(found) for found in slice_accuracy(kinds, rows.correct)],
        "corruptions": None if corruptions is None else corruption_content(corruptions),
        "learning": learning,
        "comparison": None if against is None else _comparison(rows, against, labels, pictured),
        "galleries": {
            "surest_mistakes": pictured.surest_mistakes.first(24),
            "least_sure": pictured.least_sure.first(12),
            "right": pictured.right.first(24),
        },
    }


def corruption_content(table: CorruptionTable) -> dict[str, Any]:
    """The table with its means: each corruption counts the same, however many severities it has."""
    means = [float(np.mean(row.accuracy)) for row in table.rows]
    against = [None if row.against is None else float(np.mean(row.against)) for row in table.rows]
    known = [mean for mean in against if mean is not None]
    return {
        "num_rows": table.num_rows,
        "clean": table.clean,
        "against_clean": table.against_clean,
        "mean": float(np.mean(means)),
        "against_mean": float(np.mean(known)) if known else None,
        "rows": [
            {
                "name": row.name,
                "accuracy": row.accuracy,
                "against": row.against,
                "mean": mean,
                "against_mean": other,
                "picture": embedded_picture(row.example),
            }
            for row, mean, other in zip(table.rows, means, against, strict=True)
        ],
    }


def _comparison(rows: ScoredRows, against: ScoredRows, labels: Labels, pictured: Pictured) -> dict[str, Any]:
    found = compare(rows.truth, rows.label_ids, against.label_ids)
    return {
        **{name: value for name, value in dataclasses.asdict(found).items() if name != "flips"},
        "accuracy": float(rows.correct.mean()),
        "against_accuracy": float(against.correct.mean()),
        "verdict": _verdict(found),
        "against_risk_coverage": dataclasses.asdict(risk_coverage(against.confidences, against.correct)),
        "flips": [
            {
                "label": labels[flip.first_id],
                "against_label": labels[flip.second_id],
                "num_rows": flip.num_rows,
                "num_gained": flip.num_gained,
                "num_lost": flip.num_lost,
                "examples": _flip_examples(pictured, flip.first_id, flip.second_id)
                if number < _NUM_FLIPS_SHOWN
                else [],
            }
            for number, flip in enumerate(found.flips)
        ],
    }


def _flip_examples(pictured: Pictured, first_id: int, second_id: int) -> list[Example]:
    gallery = pictured.flips.get((first_id, second_id))
    return [] if gallery is None else gallery.first(7, budget_bytes=60_000)


def _verdict(found: Comparison) -> str:
    if not found.num_flipped:
        return "The two bundles give every row the same label"
    if found.p_value >= 0.05:
        return "No difference in accuracy that chance would not explain"
    return "More accurate than the other bundle" if found.difference > 0 else "Less accurate than the other bundle"
