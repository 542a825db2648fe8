"""What runs shards for every command that has any: Ray, which is imported only where something is left to do."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fmnist_ray.config.classify import Runtime
    from fmnist_ray.flows.rounds import Executor


def on_ray(
    address: str | None, runtime: Runtime | None, workers: int | None
) -> Callable[[], AbstractContextManager[Executor]]:
    """Opens an executor; see `distributed.executor.open_executor`."""

    def open_executor() -> AbstractContextManager[Executor]:
        from fmnist_ray.distributed.executor import open_executor as opened

        return opened(address=address, runtime=runtime, workers=workers)

    return open_executor
