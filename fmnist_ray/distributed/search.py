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
    yield from results_of({run.remote(shared, tasks[number]): number for number in _from_both_ends(len(tasks))})


def _from_both_ends(count: int) -> Iterator[int]:
    """First, last, second, ...: settings that are far apart in a grid are the least alike. Two fits that do the same,
    as linear ones that read all rows over and over, slow each other down where cores share a cache."""
    for number in range(count):
        yield number // 2 if number % 2 == 0 else count - 1 - number // 2
