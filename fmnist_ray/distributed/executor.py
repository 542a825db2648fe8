"""Shards on a Ray cluster: a pool of worker processes, each with one shard at a time.

Ray only distributes. What is done is decided by the receipts, so nothing here needs to be exactly-once: Ray restarts no
worker and repeats no shard, since a shard that ends its worker would loop. A worker that dies costs the shard that it
had, which is then known by name; another worker takes its place, and the flow decides about the shard.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from typing import Any

import ray
from ray.exceptions import RayError

from fmnist_ray.config.classify import Runtime
from fmnist_ray.distributed.run_metrics import LAST_VALUES_S, RunMetrics, record_commit
from fmnist_ray.distributed.session import connect, find_address
from fmnist_ray.errors import ClusterError, WorkerDiedError
from fmnist_ray.flows.shard import ShardOutcome, ShardWorker, WorkerSettings
from fmnist_ray.store import ENVIRONMENT

_DEATHS_IN_A_ROW = 4
"""Workers that may die one after the other, no shard ending between them, before the round ends: where no worker can
live, trying one for each of many thousand shards would take hours."""
_NO_PROGRESS_TIMEOUT_S = 900
"""Seconds without any answer after which a round is given up; a shard takes seconds, a cluster that grows, minutes."""


@contextlib.contextmanager
def open_executor(
    *, address: str | None = None, runtime: Runtime | None = None, workers: int | None = None
) -> Iterator[RayExecutor]:
    """An executor on the cluster at `address`, or on an embedded Ray that ends with it; see `session.connect`. Whoever
    leaves it without an exception has committed the run.

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
        record_commit()
        if find_address(address) is not None:  # a Ray of our own ends with us, and nobody has looked at it
            time.sleep(LAST_VALUES_S)


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
        """The outcomes of the shards, in the order in which they end. A shard whose worker died has an outcome too;
        `WorkerDiedError` when no worker can live or none answers."""
        metrics = RunMetrics(settings.plan_id)
        num_workers = min(self._workers, len(shard_ids))
        pool = _Pool(dataclasses.replace(settings, runtime=self._runtime), self._gpu_share(num_workers))
        for _ in range(num_workers):
            pool.add_worker()
        try:
            for outcome in pool.outcomes(deque(shard_ids)):
                metrics.add(outcome)
                yield outcome
        except WorkerDiedError:
            pool.kill()
            raise

    def _gpu_share(self, num_workers: int) -> float:
        """Share of a GPU for each worker; several have one where there are more workers than GPUs."""
        return min(1.0, _cluster_count("GPU") / num_workers) if self._runtime == "gpu" else 0.0


class _NoPandas(MetaPathFinder):
    """Keeps pandas out of a process. pyarrow would import it with the first array, to ask whether that is a frame,
    which costs every worker 0.2 s and 32 MB."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:
        """Nothing is known of any module, and there is no pandas."""
        if fullname == "pandas":
            raise ModuleNotFoundError("pandas is kept out of workers")


class _ShardActor:
    """A worker process: its `ShardWorker` keeps the plan and the model between shards."""

    def __init__(self, settings: WorkerSettings, places: dict[str, str]) -> None:
        sys.meta_path.insert(0, _NoPandas())
        os.environ.update(places)
        self._worker = ShardWorker(settings)

    def start(self) -> None:
        """Answers when the process is up, so that a worker which waits for a free CPU holds no shard."""

    def run(self, shard_id: str) -> ShardOutcome:
        """Classify one shard."""
        return self._worker.run(shard_id)


class _Pool:
    """The workers of one round, and what each of them is busy with: a shard, or its start (None)."""

    def __init__(self, settings: WorkerSettings, gpu_share: float) -> None:
        self._settings = settings
        self._places = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
        self._actor = ray.remote(num_cpus=1, num_gpus=gpu_share, max_restarts=0, max_task_retries=0)(_ShardActor)
        self._busy: dict[Any, tuple[Any, str | None]] = {}

    def add_worker(self) -> None:
        """Start a worker; it is given its first shard once it is up."""
        actor: Any = self._actor.remote(self._settings, self._places)
        self._busy[actor.start.remote()] = actor, None

    def outcomes(self, pending: deque[str]) -> Iterator[ShardOutcome]:
        """Give out the pending shards, and yield how each of them ended."""
        deaths = 0
        while pending or any(shard for _, shard in self._busy.values()):
            ended, _ = ray.wait(list(self._busy), num_returns=1, timeout=_NO_PROGRESS_TIMEOUT_S)
            if not ended:
                raise WorkerDiedError(f"No worker answered for {_NO_PROGRESS_TIMEOUT_S // 60} minutes.")
            actor, shard = self._busy.pop(ended[0])
            try:
                outcome = ray.get(ended[0])
            except RayError as error:
                outcome, deaths = _death(shard, error), deaths + 1
                if deaths == _DEATHS_IN_A_ROW:
                    raise WorkerDiedError(f"{deaths} workers in a row ended without an answer.") from error
                self.add_worker()
            else:
                deaths = 0 if shard else deaths
                if pending:
                    shard = pending.popleft()
                    self._busy[actor.run.remote(shard)] = actor, shard
            if outcome is not None:
                yield outcome

    def kill(self) -> None:
        """End the workers at once. Otherwise they end by themselves, once nothing refers to them."""
        for actor, _ in self._busy.values():
            ray.kill(actor)


def _death(shard: str | None, error: RayError) -> ShardOutcome | None:
    """The outcome of a shard whose worker died; None for a worker that died before it had one."""
    if shard is None:
        return None
    message = f"the worker process of shard {shard} ended without an answer ({type(error).__name__})"
    return ShardOutcome(shard=shard, num_rows=0, error=message, error_kind=WorkerDiedError.__name__)


def _cluster_count(resource: str) -> int:
    total: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return int(total.get(resource, 0))
