"""Search for better training settings, judged on the validation split."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_ray.config.train import TrainSettings
from fmnist_ray.config.tune import Choice, Range, TuneSettings
from fmnist_ray.flows.teacher import Teachers
from fmnist_ray.flows.training_data import load_training_data
from fmnist_ray.networks.job import TrainingJob
from fmnist_ray.reports.trials import trials_chart
from fmnist_ray.store import open_store

BEST = "best.json"
TRIALS = "trials.json"
CHART = "trials.svg"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One drawn setting of everything that varies, and what it reached."""

    number: int
    varied: dict[str, Any]
    accuracies: tuple[float, ...]
    """On the validation split, per epoch; fewer than the others where the search stopped it."""
    failure: str | None = None
    """Why it ended without a result."""

    @property
    def accuracy(self) -> float:
        """After its last epoch; 0 for a failed trial."""
        return 0.0 if self.failure or not self.accuracies else self.accuracies[-1]


Search = Callable[[Sequence[TrainingJob]], list[tuple[tuple[float, ...], str | None]]]
"""Runs the jobs, stopping the hopeless early; per job its accuracies by epoch, and why it failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneOutcome:
    """What a search found."""

    out_uri: str
    recipe_uri: str
    """The best settings, for `train --recipe`."""
    best: Trial
    trials: tuple[Trial, ...]
    """Best first."""


def tune(settings: TuneSettings, *, out_uri: str, search: Search) -> TuneOutcome:
    """Draw trials, run them, and write the best settings, a table and a chart of all to `out_uri`."""
    out = open_store(out_uri)
    teachers = Teachers()
    drawn = [(teachers.settle(entry), varied) for entry, varied in draw(settings)]
    data = load_training_data(settings.base)
    jobs = [
        TrainingJob(
            settings=entry,
            num_labels=len(data.labels),
            train=data.train,
            validation=data.validation,
            teacher=teachers.network(entry, data),
        )
        for entry, _ in drawn
    ]
    trials = [
        Trial(number=number, varied=varied, accuracies=accuracies, failure=failure)
        for number, ((_, varied), (accuracies, failure)) in enumerate(zip(drawn, search(jobs), strict=True))
    ]
    ranked = sorted(trials, key=lambda trial: (-trial.accuracy, trial.number))
    out.put(BEST, _json(jobs[ranked[0].number].settings.to_dict()))
    out.put(TRIALS, _json([_row(trial) for trial in ranked]))
    out.put(CHART, trials_chart([trial.accuracies for trial in ranked]))
    return TuneOutcome(out_uri=out.uri, recipe_uri=f"{out.uri}/{BEST}", best=ranked[0], trials=tuple(ranked))


def draw(settings: TuneSettings) -> list[tuple[TrainSettings, dict[str, Any]]]:
    """The settings of every trial, and what was drawn for them; the same seed draws the same."""
    generator = np.random.default_rng(settings.seed)
    drawn = []
    for _ in range(settings.trials):
        varied = {name: draw_value(space, generator) for name, space in settings.vary.items()}
        changes = [f"{name}={json.dumps(value)}" for name, value in varied.items()]
        drawn.append((settings.base.override(changes), varied))
    return drawn


def draw_value(space: Choice | Range, generator: np.random.Generator) -> Any:
    """One value of what a setting may be."""
    if isinstance(space, Choice):
        return space.values[int(generator.integers(len(space.values)))]
    if space.low > 0:
        value = math.exp(generator.uniform(math.log(space.low), math.log(space.high)))
    else:
        value = generator.uniform(space.low, space.high)
    return round(value) if space.whole else float(f"{value:.3g}")


def _row(trial: Trial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "accuracy": trial.accuracy,
        "epochs": len(trial.accuracies),
        "accuracies": trial.accuracies,
        "failure": trial.failure,
        **trial.varied,
    }


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=2).encode() + b"\n"
