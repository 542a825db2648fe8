"""Rounds over the shards of a plan until each has its receipt."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from fmnist_ray import errors
from fmnist_ray.catalogue.plan import Plan, Shard
from fmnist_ray.catalogue.receipts import Receipt, read_receipts
from fmnist_ray.errors import AccessDeniedError, ChangedError, IncompleteError, InputError, WorkerDiedError
from fmnist_ray.flows.shard import ShardOutcome, WorkerSettings
from fmnist_ray.store import Store

_LOG = logging.getLogger(__name__)
_IDLE_ROUNDS = 3
"""Rounds in a row that may end without one new receipt before the run gives up, to be resumed later."""
_NOT_RETRIED = (InputError, ChangedError, AccessDeniedError)
"""What another attempt can't change."""
_DEATHS_OF_A_SHARD = 2
"""Workers that a shard ends before its rows are suspected: the first one may have died of something else."""
_DEADLY_ROWS = 10
"""Deadly rows of one shard that are believed. With more, it is the machine, and no row is blamed."""


class Executor(Protocol):
    """What runs shards in parallel; `distributed.executor` does it on Ray."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """`num_workers` and `runtime`."""

    def run(self, settings: WorkerSettings, shard_ids: Sequence[str]) -> Iterator[ShardOutcome]:
        """The outcomes of the shards, in any order; that of a shard whose worker died has the error kind
        `WorkerDiedError`, which is raised when the workers can't go on."""


def complete(
    out: Store,
    plan: Plan,
    receipts: dict[str, Receipt],
    worker: WorkerSettings,
    executor: Executor,
    on_progress: Callable[[int, int], None],
) -> dict[str, Receipt]:
    """Run rounds over the shards without a receipt until all have one. After trouble they are taken in another order,
    so that a shard which ends its worker does not keep the same others from their turn. A shard that does it again is
    searched for the rows that do it; they are rejected as `worker_died`, and the rest of the shard is classified."""
    order = random.Random(plan.plan_id)
    idle_rounds, trouble = 0, ""
    deaths: Counter[str] = Counter()
    largest_first = sorted(plan.shards, key=lambda shard: -shard.num_rows)  # the last ones make the others wait least
    while pending := [shard.id for shard in largest_first if shard.id not in receipts]:
        if trouble:
            order.shuffle(pending)
        if idle_rounds == _IDLE_ROUNDS:
            raise IncompleteError(
                f"{len(pending)} of {len(plan.shards)} shards could not be done, {pending[0]} among them "
                f"({trouble.rstrip('. ')}). What is done is kept: run the same command again to resume."
            )
        for suspect in [shard for shard in pending if deaths[shard] >= _DEATHS_OF_A_SHARD]:
            rows = _deadly_rows(worker, executor, Shard.from_id(suspect))
            worker = dataclasses.replace(worker, deadly_rows={**worker.deadly_rows, suspect: rows})
            del deaths[suspect]
        done = num_rows(receipts)
        on_progress(done, plan.num_rows)
        try:
            for outcome in executor.run(worker, pending):
                _log(plan, outcome)
                if outcome.error is not None:
                    trouble = _judge(outcome)
                    deaths[outcome.shard] += outcome.error_kind == WorkerDiedError.__name__
                done += outcome.num_rows
                on_progress(done, plan.num_rows)
        except WorkerDiedError as error:
            trouble = str(error)
        found = read_receipts(out, plan, receipts)
        idle_rounds = 0 if len(found) > len(receipts) else idle_rounds + 1
        receipts = found
    return receipts


def _log(plan: Plan, outcome: ShardOutcome) -> None:
    facts = {"run": plan.plan_id, "shard": outcome.shard, "attempt": outcome.attempt}
    if outcome.error is None:
        _LOG.info("shard is done", extra={**facts, "num_rows": outcome.num_rows, **outcome.seconds_by_step})
    else:
        _LOG.info("attempt failed", extra={**facts, "error": outcome.error, "kind": outcome.error_kind})


def num_rows(receipts: Mapping[str, Receipt]) -> int:
    """Rows that the receipts count."""
    return sum(receipt.num_rows for receipt in receipts.values())


def _deadly_rows(worker: WorkerSettings, executor: Executor, shard: Shard) -> tuple[int, ...]:
    """Rows of a shard that end a worker which is given nothing but them, found by halving. None where the halves do no
    harm, nor where so many do that something else must be wrong."""
    suspects, idle_rounds = shard.halves(), 0
    found: list[int] = []
    while suspects and len(found) <= _DEADLY_ROWS and idle_rounds < _IDLE_ROUNDS:
        outcomes: dict[str, ShardOutcome] = {}
        with contextlib.suppress(WorkerDiedError):  # what had no turn has it in the next round
            for outcome in executor.run(worker, [part.id for part in suspects]):
                outcomes[outcome.shard] = outcome
        left = []
        for part in suspects:
            ended = outcomes.get(part.id)
            if ended is None or ended.error_kind not in (None, WorkerDiedError.__name__):
                left.append(part)
            elif ended.error_kind and part.num_rows > 1:
                left.extend(part.halves())
            elif ended.error_kind:
                found.append(part.start)
        idle_rounds = idle_rounds + 1 if left == suspects else 0
        suspects = left
    return () if suspects or len(found) > _DEADLY_ROWS else tuple(found)


def _judge(outcome: ShardOutcome) -> str:
    """The sentence of an attempt that failed; raised where another attempt can't end otherwise."""
    kind = getattr(errors, outcome.error_kind or "", None)
    message = outcome.error or ""
    if isinstance(kind, type) and issubclass(kind, _NOT_RETRIED):
        raise kind(message)
    return message if kind else f"{outcome.error_kind}: {message}"
