"""Ray tasks to their end: results as they come, and what a failure means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError, RayTaskError

from fmnist_ray.errors import FmnistRayError, WorkerDiedError

RETRIES = 2
"""How often a task is given to another worker after its own died."""

T = TypeVar("T")


def results_of(running: Mapping[Any, T]) -> Iterator[tuple[T, Any]]:
    """What stands for each task, by its reference, with its result, as they end.

    `WorkerDiedError` when a task's worker died three times; the package's own errors as they are.
    """
    left = dict(running)
    while left:
        ended, _ = ray.wait(list(left), num_returns=1)
        try:
            yield left.pop(ended[0]), ray.get(ended[0])
        except RayTaskError as error:
            if isinstance(error.cause, FmnistRayError):
                raise error.cause from error
            raise
        except RayError as error:
            raise WorkerDiedError(f"The worker of a task died three times ({type(error).__name__}).") from error
