"""Training for a comparison: in this process, or, where the package ships the finished training, from its state."""

from __future__ import annotations

import time
from importlib import resources
from typing import TYPE_CHECKING

from fmnist_ray.config.train import TrainSettings

if TYPE_CHECKING:
    from fmnist_ray.networks.checkpoint import TrainState
    from fmnist_ray.networks.job import TrainingJob

_SHIPPED = "bundles/default-training"
_STATE = "state.safetensors"


def train_or_load(job: TrainingJob, *, subset: bool) -> tuple[TrainState, float | None]:
    """The final state, and seconds of the processor that it took, summed over cores; None where it was loaded, which
    a job on a `subset` of its data never is."""
    from fmnist_ray.networks.job import train_here

    if not subset and (shipped := _shipped_state(job.settings)) is not None:
        return shipped, None
    started = time.process_time()
    state = train_here(job, lambda metrics: None)
    return state, time.process_time() - started


def _shipped_state(settings: TrainSettings) -> TrainState | None:
    """The state that ships with the package, if it is of exactly these settings and all their epochs."""
    from fmnist_ray.networks.checkpoint import TrainState

    run = resources.files("fmnist_ray") / _SHIPPED / f"{settings.architecture}-{settings.digest()}"
    if not run.is_dir():
        return None
    for checkpoint in run.iterdir():
        if checkpoint.is_dir():
            state = TrainState.from_bytes((checkpoint / _STATE).read_bytes())
            if len(state.record["history"]) == settings.epochs:
                return state
    return None
