"""The runs of a comparison as Ray tasks, each with its own CPUs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from fmnist_ray.errors import FmnistRayError, WorkerDiedError
from fmnist_ray.flows.compare_rows import CompareRun
from fmnist_ray.flows.compare_run import run_once


def runs_on_ray(runs: Sequence[CompareRun], *, cpus: int) -> Iterator[tuple[CompareRun, dict[str, Any]]]:
    """Each run with its result, as they end, on the connected cluster; `cpus` for each.

    `WorkerDiedError` when a run's worker died three times; the run's own errors as they are.
    """
    task: Any = ray.remote(num_cpus=cpus, max_retries=2)(run_once)
    running = {task.remote(run): run for run in runs}
    while running:
        ended, _ = ray.wait(list(running), num_returns=1)
        try:
            yield running.pop(ended[0]), ray.get(ended[0])
        except RayTaskError as error:
            if isinstance(error.cause, FmnistRayError):
                raise error.cause from error
            raise
        except RayError as error:
            raise WorkerDiedError(f"The worker of a run died three times ({type(error).__name__}).") from error
