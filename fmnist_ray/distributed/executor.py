"""Shards on a Ray cluster: Ray Data hands them to a pool of worker processes and brings the outcomes back.

Ray only distributes. What is done is decided by the receipts, so nothing here needs to be exactly-once: workers are
never restarted and shards never retried by Ray (its defaults do both without end, and one poison shard would loop).
A worker that dies ends the round, and the flow starts another one with what has no receipt.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import ray
import ray.data
from ray.exceptions import RayError
from ray.util.annotations import RayDeprecationWarning

from fmnist_ray.config.classify import Runtime
from fmnist_ray.distributed.session import connect
from fmnist_ray.errors import ClusterError, WorkerDiedError
from fmnist_ray.flows.shard import ShardOutcome, ShardWorker, WorkerSettings

_CPU_SHARE = 0.8
"""CPUs that a worker reserves. Less than one, because a Ray Data pool that takes every CPU of a cluster hangs."""


@contextlib.contextmanager
def open_executor(
    *, address: str | None = None, runtime: Runtime | None = None, workers: int | None = None
) -> Iterator[RayExecutor]:
    """An executor on the cluster at `address`, or on an embedded Ray that ends with it; see `session.connect`.

    `runtime` None takes GPUs where there are any, `workers` None one worker per CPU or per GPU. `ClusterError` when the
    cluster has less than what was asked for.
    """
    with connect(address):
        cpus, gpus = _cluster_count("CPU"), _cluster_count("GPU")
        runtime = runtime or ("gpu" if gpus else "cpu")
        if runtime == "gpu" and not gpus:
            raise ClusterError("--runtime gpu was asked for, but the cluster has no GPU: use --runtime cpu.")
        if runtime == "cpu" and workers and workers > cpus:
            raise ClusterError(f"{workers} workers were asked for, but the cluster has {cpus} CPUs: ask for fewer.")
        yield RayExecutor(runtime=runtime, workers=workers or max(1, gpus if runtime == "gpu" else cpus))


class RayExecutor:
    """Runs shards on the connected cluster. Made by `open_executor`."""

    def __init__(self, *, runtime: Runtime, workers: int) -> None:
        self._runtime = runtime
        self._workers = workers

    @property
    def facts(self) -> dict[str, Any]:
        """`num_workers` and `runtime`."""
        return {"num_workers": self._workers, "runtime": self._runtime}

    def run(self, settings: WorkerSettings, shard_ids: Sequence[str]) -> Iterator[ShardOutcome]:
        """The outcomes of the shards, in the order in which they end. `WorkerDiedError` when a worker process ends."""
        settings = dataclasses.replace(settings, runtime=self._runtime)
        outcomes = _dispatch(settings, shard_ids, min(self._workers, len(shard_ids)))
        try:
            for row in outcomes.iter_rows():
                yield ShardOutcome(**json.loads(row["outcome"]))
        except RayError as error:
            raise WorkerDiedError(f"A worker process ended without an answer ({type(error).__name__}).") from error


def _dispatch(settings: WorkerSettings, shard_ids: Sequence[str], workers: int) -> ray.data.Dataset:
    """A dataset of outcomes, one per shard."""
    shards = ray.data.from_items([{"shard": shard_id} for shard_id in shard_ids], override_num_blocks=len(shard_ids))
    with warnings.catch_warnings():
        # Ray Data of 2.60 to 2.63 takes max_restarts by this argument or by a free keyword; both are announced to go.
        warnings.simplefilter("ignore", RayDeprecationWarning)
        return shards.map_batches(
            _ShardActor,
            fn_constructor_kwargs={"settings": settings},
            batch_size=1,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=workers),
            num_cpus=_CPU_SHARE,
            num_gpus=_gpu_share(workers) if settings.runtime == "gpu" else None,
            ray_remote_args_fn=_never_again,
        )


class _ShardActor:
    """A worker process: its `ShardWorker` keeps the plan and the model between shards."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._worker = ShardWorker(settings)

    def __call__(self, batch: Any) -> dict[str, list[str]]:
        outcomes = [self._worker.run(shard_id) for shard_id in batch.column("shard").to_pylist()]
        return {"outcome": [json.dumps(dataclasses.asdict(outcome)) for outcome in outcomes]}


def _never_again() -> dict[str, int]:
    return {"max_restarts": 0, "max_task_retries": 0}


def _gpu_share(workers: int) -> float:
    """Share of a GPU for each worker, when there are more workers than GPUs."""
    return min(1.0, _cluster_count("GPU") / workers)


def _cluster_count(resource: str) -> int:
    total: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return int(total.get(resource, 0))
