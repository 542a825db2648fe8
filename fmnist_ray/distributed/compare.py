"""The runs of a comparison as Ray tasks, each with its own CPUs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import ray

from fmnist_ray.distributed.tasks import RETRIES, results_of
from fmnist_ray.flows.compare import Run
from fmnist_ray.flows.compare_run import run_once


def runs_on_ray(runs: Sequence[Run], *, cpus: int) -> Iterator[tuple[Run, dict[str, Any]]]:
    """Each run with its result, as they end, on the connected cluster; `cpus` for each. Raises as `results_of`."""
    task: Any = ray.remote(num_cpus=cpus, max_retries=RETRIES)(run_once)
    yield from results_of({task.remote(run): run for run in runs})
