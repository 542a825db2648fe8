"""Training on Ray Train: workers, checkpoints, restarts. What a step is, `networks/` decides."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from dataclasses import dataclass
from typing import Any

import ray
import ray.train
from ray.exceptions import RayError
from ray.train.torch import TorchTrainer, get_device

from fmnist_ray.distributed.process_group import NodeNetworkConfig
from fmnist_ray.distributed.progress import passing_on
from fmnist_ray.distributed.run_metrics import TrainingMetrics
from fmnist_ray.distributed.stream import StreamBatches, stream_dataset
from fmnist_ray.errors import ClusterError, FmnistRayError, SettingError, WorkerDiedError
from fmnist_ray.networks.checkpoint import TrainState
from fmnist_ray.networks.data import StreamedImages
from fmnist_ray.networks.job import Report, TrainingJob
from fmnist_ray.networks.training import EpochMetrics, World
from fmnist_ray.store import open_store

STATE = "state.safetensors"
_POLL_S = "0.2"
"""Seconds between two looks of Ray's controller for reports. An epoch waits for the look: the default is 2."""
_COLLECTIVE_TIMEOUT_S = 300
_STREAM = "train"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlace:
    """Where and on what a job runs."""

    storage_uri: str
    """Holds the checkpoints, from which the same job goes on. All nodes reach it: a path only when there is one."""
    workers: int = 1
    min_workers: int | None = None
    """With how many it may start or go on while the cluster has no room for more; None for `workers`."""
    gpu: bool = False
    """One GPU per worker."""
    max_failures: int = 3
    """How many deaths of a worker are survived; each goes back to the last checkpoint."""

    def __post_init__(self) -> None:
        if self.min_workers is not None and not 1 <= self.min_workers <= self.workers:
            raise SettingError(f"min_workers is {self.min_workers}; allowed are 1 to the {self.workers} workers.")


def train_on_ray(job: TrainingJob, place: TrainingPlace, report: Report) -> TrainState:
    """Execute `job` on the connected cluster and return its final state.

    Raises `ClusterError` when the cluster is too small, `WorkerDiedError` when workers die too often, and the
    training's own errors.
    """
    resources = _resources_per_worker(place, reading=isinstance(job.train, StreamedImages))
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", _POLL_S)
    name = f"{job.settings.architecture}-{job.settings.digest()}"
    gauges = TrainingMetrics(name)

    def on_epoch(metrics: EpochMetrics) -> None:
        gauges.add(metrics)
        report(metrics)

    with passing_on(on_epoch) as writer:
        trainer = TorchTrainer(
            _train_worker,
            train_loop_config={"job": ray.put(job)},
            datasets={_STREAM: stream_dataset(job.train)} if isinstance(job.train, StreamedImages) else None,
            torch_config=NodeNetworkConfig(timeout_s=_COLLECTIVE_TIMEOUT_S),
            scaling_config=ray.train.ScalingConfig(
                num_workers=_num_workers(place),
                use_gpu=place.gpu,
                resources_per_worker=resources,
            ),
            run_config=ray.train.RunConfig(
                name=name,
                storage_path=place.storage_uri,
                failure_config=_failure_config(place),
                checkpoint_config=ray.train.CheckpointConfig(num_to_keep=2),
                callbacks=[writer],  # type: ignore[list-item]  # Ray's types are of Train V1
            ),
        )
        result = _fit(trainer, place)
    if isinstance(result.return_value, FmnistRayError):
        raise result.return_value
    assert result.checkpoint is not None
    return read_state(result.checkpoint)


def _fit(trainer: TorchTrainer, place: TrainingPlace) -> Any:
    """Ray's result, or our error for its error; Ray's types are of Train V1."""
    try:
        return trainer.fit()
    except ray.train.WorkerGroupError as error:
        raise WorkerDiedError(f"Training workers died more than {place.max_failures} times: {error}") from error
    except (ray.train.ControllerError, RayError) as error:
        raise ClusterError(f"Ray could not run the training: {error}") from error


def _train_worker(config: dict[Any, Any]) -> Any:
    """The process of one worker. Errors of the training itself are returned: repeating them would not help."""
    context = ray.train.get_context()
    world = World(rank=context.get_world_rank(), size=context.get_world_size(), device=str(get_device()))
    job: TrainingJob = ray.get(config["job"])

    def on_epoch(metrics: EpochMetrics, state: Any) -> None:
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = None
            if world.rank == 0:
                open_store(folder).put(STATE, state().to_bytes())
                checkpoint = ray.train.Checkpoint.from_directory(folder)
            ray.train.report(dataclasses.asdict(metrics), checkpoint=checkpoint)

    try:
        run = job.start(world, _batches(job, world))
        if (checkpoint := ray.train.get_checkpoint()) is not None:
            run.restore(read_state(checkpoint))
        run.run(on_epoch)
    except FmnistRayError as error:
        return error
    return None


def _batches(job: TrainingJob, world: World) -> StreamBatches | None:
    """The worker's share of streamed images; None for images in memory."""
    if not isinstance(job.train, StreamedImages):
        return None
    shard = ray.train.get_dataset_shard(_STREAM)
    return StreamBatches(shard, job.settings, num_rows=len(job.train.labels), size=world.size)


def _num_workers(place: TrainingPlace) -> Any:
    """A number, or the least and the most for a group that shrinks and grows; Ray's types know only the former."""
    return place.workers if place.min_workers is None else (place.min_workers, place.workers)


def _failure_config(place: TrainingPlace) -> ray.train.FailureConfig:
    """Restarts of workers as asked, and as many of the controller, which after the loss of a node may ask in vain for a
    worker there; its default is to try a hopeless start for ever."""
    return ray.train.FailureConfig(
        max_failures=place.max_failures,
        controller_failure_limit=place.max_failures,  # type: ignore[call-arg]  # Ray's types are of Train V1
    )


def read_state(checkpoint: ray.train.Checkpoint) -> TrainState:
    """The state that a checkpoint of Ray holds."""
    with checkpoint.as_directory() as folder:
        return TrainState.from_bytes(open_store(folder).get(STATE))


def _resources_per_worker(place: TrainingPlace, *, reading: bool) -> dict[str, float]:
    """An equal share of the cluster for each worker, less a CPU per node where images are read meanwhile; raises
    `ClusterError` where there is none."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    cpus = [int(node.get("CPU", 0)) - reading for node in nodes]
    gpus = int(sum(node.get("GPU", 0) for node in nodes))
    needed = place.workers if place.min_workers is None else place.min_workers
    if needed > sum(cpus):
        free = f"{sum(cpus)} besides those that read images" if reading else str(sum(cpus))
        raise ClusterError(f"{needed} workers need a CPU each; this cluster has {free}: ask for fewer workers.")
    if place.gpu and needed > gpus:
        raise ClusterError(f"{needed} workers need a GPU each; this cluster has {gpus}: ask for fewer workers.")
    share = max(cpus)
    while sum(count // share for count in cpus) < min(place.workers, sum(cpus)):
        share -= 1
    return {"CPU": share, **({"GPU": 1} if place.gpu else {})}
