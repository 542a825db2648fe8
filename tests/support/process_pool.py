"""An executor of plain processes: what Ray's does, without the ten seconds that Ray takes to start."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from fmnist_ray.flows.shard import ShardOutcome, ShardWorker, WorkerSettings

WORKERS = 2


class ProcessPool:
    """Two worker processes with one shard at a time; one that dies costs its shard, and another takes its place."""

    facts = {"num_workers": WORKERS, "runtime": "cpu"}

    def run(self, settings: WorkerSettings, shard_ids: Sequence[str]) -> Iterator[ShardOutcome]:
        pending = deque(shard_ids)
        busy: dict[Any, str] = {}
        for _ in range(min(WORKERS, len(pending))):
            self._give(_start(settings), pending, busy)
        while busy:
            for worker in wait(list(busy)):
                shard = busy.pop(worker)
                try:
                    yield worker.recv()
                except (EOFError, ConnectionError):
                    yield ShardOutcome(shard=shard, num_rows=0, error="killed", error_kind="WorkerDiedError")
                    worker = _start(settings)
                self._give(worker, pending, busy)

    def _give(self, worker: Connection, pending: deque[str], busy: dict[Any, str]) -> None:
        if pending:
            busy[worker] = pending.popleft()
            with contextlib.suppress(ConnectionError):  # of one that is dead already, `wait` tells
                worker.send(busy[worker])
        else:
            worker.close()


def _start(settings: WorkerSettings) -> Connection:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    context.Process(target=_serve, args=(settings, theirs), daemon=True).start()
    theirs.close()
    return ours


def _serve(settings: WorkerSettings, shards: Connection) -> None:
    """The life of a worker. It ends with its driver, after the shard that it has."""
    worker = ShardWorker(settings)
    while True:
        try:
            shard = shards.recv()
            shards.send(worker.run(shard))
        except (EOFError, ConnectionError):
            return
