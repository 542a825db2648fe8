"""The folds of a search as Ray tasks: each setting on each fold, as many at a time as the cluster has CPUs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from fmnist_ray.errors import FmnistRayError, WorkerDiedError
from fmnist_ray.heads.search import FoldTask, LabelledFeatures, run_fold


def search_folds(rows: LabelledFeatures, tasks: Sequence[FoldTask]) -> Iterator[tuple[int, float]]:
    """Number and accuracy of each task as it ends, on the connected cluster. The rows travel once.

    `WorkerDiedError` when a task's worker died three times; the fold's own errors as they are.
    """
    if not tasks:
        return
    run: Any = ray.remote(num_cpus=1, max_retries=2)(run_fold)
    shared = ray.put(rows)
    running = {run.remote(shared, task): number for number, task in enumerate(tasks)}
    while running:
        ended, _ = ray.wait(list(running), num_returns=1)
        try:
            yield running.pop(ended[0]), ray.get(ended[0])
        except RayTaskError as error:
            if isinstance(error.cause, FmnistRayError):
                raise error.cause from error
            raise
        except RayError as error:
            raise WorkerDiedError(f"A worker of the search died three times ({type(error).__name__}).") from error
