"""A search on Ray Tune: trials side by side, the hopeless stopped early, an interrupted search goes on."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler

from fmnist_ray.distributed.train import STATE, read_state
from fmnist_ray.errors import ClusterError, FmnistRayError
from fmnist_ray.networks.checkpoint import TrainState
from fmnist_ray.networks.job import TrainingJob
from fmnist_ray.networks.training import EpochMetrics, World
from fmnist_ray.store import open_store

_ACCURACY = "validation_accuracy"


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPlace:
    """Where and on what a search runs."""

    storage_uri: str
    """Holds the trials' states; the same search with the same place goes on."""
    first_stop: int
    """Epochs after which the worse half of the trials is first stopped."""
    cpus_per_trial: int = 1
    gpu: bool = False
    """One GPU per trial."""


def search_on_ray(jobs: Sequence[TrainingJob], place: SearchPlace) -> list[tuple[tuple[float, ...], str | None]]:
    """Run the jobs as trials on the connected cluster; per job its validation accuracies by epoch, and why it failed.

    Raises `ClusterError` when the cluster is too small for a trial.
    """
    needed: dict[str, float] = {"CPU": place.cpus_per_trial, **({"GPU": 1} if place.gpu else {})}
    there = ray.cluster_resources()  # type: ignore[no-untyped-call]
    for name, count in needed.items():
        if there.get(name, 0) < count:
            raise ClusterError(f"A trial needs {count} {name}; this cluster has none free for it: ask for less.")
    trainable = tune.with_resources(tune.with_parameters(_run_trial, jobs=list(jobs)), needed)
    digests = json.dumps([job.settings.digest() for job in jobs])
    name = f"search-{hashlib.sha256(digests.encode()).hexdigest()[:12]}"
    path = f"{place.storage_uri}/{name}"
    if tune.Tuner.can_restore(path):
        tuner = tune.Tuner.restore(path, trainable, restart_errored=True)
    else:
        longest = max(job.settings.epochs for job in jobs)
        tuner = tune.Tuner(
            trainable,
            param_space={"job": tune.grid_search(list(range(len(jobs))))},
            tune_config=tune.TuneConfig(
                metric=_ACCURACY,
                mode="max",
                scheduler=ASHAScheduler(max_t=longest, grace_period=min(place.first_stop, longest), reduction_factor=2),
            ),
            run_config=tune.RunConfig(
                name=name,
                storage_path=place.storage_uri,
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=1),
                checkpoint_config=tune.CheckpointConfig(num_to_keep=1),
            ),
        )
    found: list[tuple[tuple[float, ...], str | None]] = [((), "it never ran")] * len(jobs)
    results = tuner.fit()
    for result in (results[number] for number in range(len(results))):
        frame = result.metrics_dataframe
        accuracies = () if frame is None else tuple(float(value) for value in frame[_ACCURACY].dropna())
        failure = (result.metrics or {}).get("failure") or (result.error and _first_line(result.error))
        assert result.config is not None
        found[result.config["job"]] = (accuracies, failure or None)
    return found


def _run_trial(config: dict[str, Any], jobs: list[TrainingJob]) -> None:
    """The process of one trial. A failure of the training itself is a result: repeating it would not help."""
    job = jobs[config["job"]]

    def on_epoch(metrics: EpochMetrics, state: Any) -> None:
        with tempfile.TemporaryDirectory() as folder:
            saved: TrainState = state()
            open_store(folder).put(STATE, saved.to_bytes())
            tune.report({_ACCURACY: metrics.validation_accuracy}, checkpoint=tune.Checkpoint.from_directory(folder))

    try:
        run = job.start(World(device="cuda" if ray.get_gpu_ids() else "cpu"))
        if (checkpoint := tune.get_checkpoint()) is not None:
            run.restore(read_state(checkpoint))
        run.run(on_epoch)
    except FmnistRayError as error:
        tune.report({_ACCURACY: 0.0, "failure": str(error)})


def _first_line(error: Exception) -> str:
    return str(error).strip().rsplit("\n", 1)[-1]
