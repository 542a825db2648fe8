"""The folds of a search as Ray tasks: each setting on each fold, as many at a time as the cluster has CPUs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import ray

from fmnist_ray.distributed.tasks import RETRIES, results_of
from fmnist_ray.heads.search import FoldTask, LabelledFeatures, run_fold


def search_folds(rows: LabelledFeatures, tasks: Sequence[FoldTask]) -> Iterator[tuple[int, float]]:
    """Number and accuracy of each task as it ends, on the connected cluster. The rows travel once. Raises as
    `results_of`."""
    if not tasks:
        return
    run: Any = ray.remote(num_cpus=1, max_retries=RETRIES)(run_fold)
    shared = ray.put(rows)
    yield from results_of({run.remote(shared, task): number for number, task in enumerate(tasks)})
