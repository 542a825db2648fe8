"""The batch run: plan, skip what is done, classify the rest shard by shard, commit, report."""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from fmnist_ray import errors
from fmnist_ray.bundle.classifier import deciding_head
from fmnist_ray.bundle.decisions import proven_thresholds
from fmnist_ray.bundle.format import Bundle, node_uri, read_bundle
from fmnist_ray.catalogue.commit import Commit, claim, commit_run, read_commit
from fmnist_ray.catalogue.plan import Plan, make_plan
from fmnist_ray.catalogue.reader import inspect_inputs, list_inputs
from fmnist_ray.catalogue.receipts import Receipt, read_receipts
from fmnist_ray.config.classify import ClassifySettings
from fmnist_ray.config.images import ImageLimits
from fmnist_ray.decisions.counts import decisions_made
from fmnist_ray.errors import AccessDeniedError, ChangedError, IncompleteError, InputError, WorkerDiedError
from fmnist_ray.flows.report import write_report
from fmnist_ray.flows.review_queue import write_queue
from fmnist_ray.flows.shard import ShardOutcome, WorkerSettings
from fmnist_ray.reports.metrics import evaluate
from fmnist_ray.reports.statistics import RunStatistics
from fmnist_ray.store import Store, open_store

_IDLE_ROUNDS = 3
"""Rounds in a row that may end without one new receipt before the run gives up, to be resumed later."""
_NOT_RETRIED = (InputError, ChangedError, AccessDeniedError)
"""What another attempt can't change."""


class Executor(Protocol):
    """What runs shards in parallel; `distributed.executor` does it on Ray."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """`num_workers` and `runtime`."""

    def run(self, settings: WorkerSettings, shard_ids: Sequence[str]) -> Iterator[ShardOutcome]:
        """The outcomes of the shards, in any order. `WorkerDiedError` when the workers can't go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """What a run came to."""

    plan_id: str
    out_uri: str
    bundle_digest: str
    precision: str
    """Arithmetic of the network."""
    committed: bool
    num_rows: int
    num_predictions: int
    num_rejects: int
    rejects_by_reason: dict[str, int]
    num_shards: int
    num_shards_resumed: int
    """Shards that an earlier start of the same command had done."""
    decisions: dict[str, int]
    """Rows by decision; empty where no precision was promised."""
    accuracy: float | None
    """Share of labelled predictions that are right; None without labels."""
    elapsed_s: float
    rows_per_s: float | None
    """Rows that this command classified, by its seconds from start to commit; None when all were done before."""
    report_uri: str
    review_uri: str | None
    """The page of the review queue; None where no precision was promised."""


def classify(
    settings: ClassifySettings,
    open_executor: Callable[[], AbstractContextManager[Executor]],
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> RunSummary:
    """Classify a catalogue, exactly once per row, and commit the whole.

    The same call resumes a run that was ended in any way, and is quick when there is nothing left to do: the executor
    is opened only for shards without a receipt. `on_progress` is told the finished and the planned number of rows.
    Raises `InputError` for what can't be used, `OutputTakenError` when the place holds another plan's run,
    `IncompleteError` when shards are left.
    """
    started = time.perf_counter()
    bundle = read_bundle(settings.bundle)
    catalogue_uri, planned = _plan(settings, bundle)
    out = open_store(settings.out_uri)
    plan = claim(out, planned, replace=settings.replace)
    worker = WorkerSettings(
        out_uri=out.uri, plan_id=plan.plan_id, catalogue_uri=catalogue_uri, bundle_uri=node_uri(settings.bundle)
    )
    commit = read_commit(out)
    resumed = len(plan.shards)
    if commit is None or commit.plan_id != plan.plan_id:
        receipts = read_receipts(out, plan)
        resumed, before = len(receipts), _num_rows(receipts)
        facts: dict[str, Any] = {"num_workers": None, "runtime": None}
        if resumed < len(plan.shards):
            with open_executor() as executor:
                receipts = _complete(out, plan, receipts, worker, executor, on_progress or (lambda done, total: None))
                facts = dict(executor.facts)
        facts |= _facts(settings, bundle, plan, time.perf_counter() - started, plan.num_rows - before)
        commit = commit_run(out, plan, receipts, statistics=_merged(receipts, bundle), facts=facts)
    report_uri = write_report(out, commit)
    elapsed_s = time.perf_counter() - started
    return _summary(out, plan, commit, resumed=resumed, elapsed_s=elapsed_s, report_uri=report_uri)


def _plan(settings: ClassifySettings, bundle: Bundle) -> tuple[str, Plan]:
    """Root of the catalogue, and the plan over it."""
    catalogue, infos = list_inputs(settings.catalogue_uri)
    inputs, columns = inspect_inputs(catalogue, infos, settings.columns)
    head = deciding_head(bundle, settings.head)
    promises = {
        "bundle_digest": bundle.digest,
        "labels": list(bundle.spec.labels),
        "table": settings.table,
        "layer": settings.layer,
        "head": head,
        "decisions": dataclasses.asdict(settings.promises),
        "thresholds": proven_thresholds(bundle, settings.promises, head),
        "precision": settings.precision,
        "limits": dataclasses.asdict(ImageLimits()),
    }
    plan = make_plan(
        catalogue_uri=catalogue.uri,
        inputs=inputs,
        columns=columns.to_dict(),
        promises=promises,
        shard_rows=settings.shard_rows,
    )
    return catalogue.uri, plan


def _complete(
    out: Store,
    plan: Plan,
    receipts: dict[str, Receipt],
    worker: WorkerSettings,
    executor: Executor,
    on_progress: Callable[[int, int], None],
) -> dict[str, Receipt]:
    """Run rounds over the shards without a receipt until all have one. After trouble they are taken in another order,
    so that a shard which ends its worker does not keep the same others from their turn."""
    order = random.Random(plan.plan_id)
    idle_rounds, trouble = 0, ""
    while pending := [shard.id for shard in plan.shards if shard.id not in receipts]:
        if trouble:
            order.shuffle(pending)
        if idle_rounds == _IDLE_ROUNDS:
            raise IncompleteError(
                f"{len(pending)} of {len(plan.shards)} shards could not be done, {pending[0]} among them "
                f"({trouble.rstrip('. ')}). What is done is kept: run the same command again to resume."
            )
        done = _num_rows(receipts)
        on_progress(done, plan.num_rows)
        try:
            for outcome in executor.run(worker, pending):
                if outcome.error is not None:
                    trouble = _judge(outcome)
                done += outcome.num_rows
                on_progress(done, plan.num_rows)
        except WorkerDiedError as error:
            trouble = str(error)
        found = read_receipts(out, plan)
        idle_rounds = 0 if len(found) > len(receipts) else idle_rounds + 1
        receipts = found
    return receipts


def _judge(outcome: ShardOutcome) -> str:
    """The sentence of an attempt that failed; raised where another attempt can't end otherwise."""
    kind = getattr(errors, outcome.error_kind or "", None)
    message = outcome.error or ""
    if isinstance(kind, type) and issubclass(kind, _NOT_RETRIED):
        raise kind(message)
    return message if kind else f"{outcome.error_kind}: {message}"


def _merged(receipts: Mapping[str, Receipt], bundle: Bundle) -> dict[str, Any]:
    total = RunStatistics.empty(len(bundle.spec.labels))
    for receipt in receipts.values():
        total.merge(RunStatistics.from_dict(receipt.statistics))
    return total.to_dict()


def _num_rows(receipts: Mapping[str, Receipt]) -> int:
    return sum(receipt.num_rows for receipt in receipts.values())


def _facts(settings: ClassifySettings, bundle: Bundle, plan: Plan, elapsed_s: float, num_rows: int) -> dict[str, Any]:
    """What the report says of the run besides its rows and workers."""
    return {
        "catalogue_uri": settings.catalogue_uri,
        "bundle": settings.bundle,
        "bundle_digest": bundle.digest,
        "architecture": bundle.spec.architecture,
        "table": settings.table,
        "layer": settings.layer,
        "head": plan.promises["head"],
        "promises": plan.promises["decisions"],
        "thresholds": plan.promises["thresholds"],
        "labels": list(bundle.spec.labels),
        "precision": settings.precision,
        "num_shards": len(plan.shards),
        "committed_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "elapsed_s": round(elapsed_s, 3),
        "rows_per_s": round(num_rows / elapsed_s, 1) if num_rows else None,
    }


def _summary(out: Store, plan: Plan, commit: Commit, *, resumed: int, elapsed_s: float, report_uri: str) -> RunSummary:
    statistics = RunStatistics.from_dict(commit.statistics)
    evaluation = evaluate(statistics)
    all_before = resumed == len(plan.shards)
    return RunSummary(
        plan_id=commit.plan_id,
        out_uri=out.uri,
        bundle_digest=commit.facts["bundle_digest"],
        precision=commit.facts["precision"],
        committed=True,
        num_rows=commit.num_rows,
        num_predictions=commit.num_predictions,
        num_rejects=commit.num_rejects,
        rejects_by_reason=dict(statistics.rejects_by_reason),
        decisions=decisions_made(statistics.decisions),
        num_shards=len(plan.shards),
        num_shards_resumed=resumed,
        accuracy=None if evaluation is None else evaluation.accuracy,
        elapsed_s=round(elapsed_s, 3),
        rows_per_s=None if all_before else commit.facts["rows_per_s"],
        report_uri=report_uri,
        review_uri=write_queue(out, commit),
    )
