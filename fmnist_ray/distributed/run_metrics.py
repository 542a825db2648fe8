"""Figures of runs and trainings for Prometheus, through Ray's metrics: each node's metrics port gives them to scrapers.

The driver records them, from what its workers answer, and passes them on every second. Ray writes `ray_` before the
names and `_total` behind counters.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ray.util.metrics import Counter, Gauge

from fmnist_ray.flows.shard import ShardOutcome

if TYPE_CHECKING:  # workers that classify come by here, and never import torch
    from fmnist_ray.networks.training import EpochMetrics


class RunMetrics:
    """What becomes of the shards of one run."""

    def __init__(self, run: str) -> None:
        self._run = {"run": run}
        self._rows = Counter("fmnist_rows", "Rows of attempts that ended well", ("run",))
        self._rejects = Counter("fmnist_rejects", "Rejected rows by reason", ("run", "reason"))
        self._seconds = Counter("fmnist_step_seconds", "Seconds of workers by step", ("run", "step"))
        self._attempts = Counter("fmnist_shard_attempts", "Attempts at shards by how they ended", ("run", "outcome"))

    def add(self, outcome: ShardOutcome) -> None:
        """Count an attempt: what it did, or which error ended it."""
        self._attempts.inc(1, {**self._run, "outcome": outcome.error_kind or "done"})
        counts: list[tuple[Counter, float, dict[str, str]]] = [(self._rows, outcome.num_rows, self._run)]
        counts += [(self._rejects, n, {**self._run, "reason": why}) for why, n in outcome.rejects_by_reason.items()]
        counts += [
            (self._seconds, seconds, {**self._run, "step": step.removesuffix("_s")})
            for step, seconds in outcome.seconds_by_step.items()
        ]
        for counter, value, tags in counts:
            if value > 0:  # Ray's counters refuse 0
                counter.inc(value, tags)


LAST_VALUES_S = 1.5
"""How long a driver must live after a value for it to be passed on: Ray does not do that at its end."""


def record_commit() -> None:
    """Say that a run has just been committed."""
    Gauge("fmnist_last_commit_timestamp_seconds", "When a run was last committed, in seconds since 1970").set(
        time.time()
    )


class TrainingMetrics:
    """How far one training is, and how well it does."""

    def __init__(self, training: str) -> None:
        self._training = {"training": training}
        self._epoch = Gauge("fmnist_training_epoch", "Epochs finished", ("training",))
        self._loss = Gauge("fmnist_training_loss", "Mean loss of the last epoch", ("training", "split"))
        self._accuracy = Gauge("fmnist_training_accuracy", "Accuracy on the validation split", ("training",))
        self._speed = Gauge("fmnist_training_images_per_second", "Training images per second", ("training",))

    def add(self, metrics: EpochMetrics) -> None:
        """Record an epoch."""
        self._epoch.set(metrics.epoch, self._training)
        self._loss.set(metrics.loss, {**self._training, "split": "training"})
        self._loss.set(metrics.validation_loss, {**self._training, "split": "validation"})
        self._accuracy.set(metrics.validation_accuracy, self._training)
        self._speed.set(metrics.images_per_s, self._training)
