"""The batch run: plan, skip what is done, classify the rest shard by shard, commit, report."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fmnist_ray.bundle.aliases import aliased_uri, split_alias
from fmnist_ray.bundle.classifier import deciding_head
from fmnist_ray.bundle.decisions import proven_thresholds
from fmnist_ray.bundle.format import Bundle, node_uri, read_bundle
from fmnist_ray.catalogue.carry import check_carriable
from fmnist_ray.catalogue.commit import Commit, claim, commit_run, read_commit, read_plan
from fmnist_ray.catalogue.plan import Plan, make_plan
from fmnist_ray.catalogue.reader import inspect_inputs, list_inputs
from fmnist_ray.catalogue.receipts import Receipt, read_receipts
from fmnist_ray.catalogue.results import open_results
from fmnist_ray.config.classify import ClassifySettings
from fmnist_ray.config.images import PREPARATION_VERSION, ImageLimits
from fmnist_ray.decisions.counts import decisions_made
from fmnist_ray.errors import SettingError
from fmnist_ray.flows.budget import check_rejects
from fmnist_ray.flows.report import write_report
from fmnist_ray.flows.review_queue import write_queue
from fmnist_ray.flows.rounds import Executor, complete, num_rows
from fmnist_ray.flows.shard import WorkerSettings
from fmnist_ray.reports.metrics import evaluate
from fmnist_ray.reports.statistics import RunStatistics
from fmnist_ray.store import Store, open_source, open_store

_LOG = logging.getLogger(__name__)
_CARRIED_ANYWAY = ("image_prefixes", "since")
"""Promises that say nothing of what an image is answered."""


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
    num_carried: int
    """Predictions that are those of the run that `--since` names."""
    num_repeated: int
    """Rows whose image is that of another row of their shard, and was looked at once with it."""
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
    `RejectBudgetError` when more rows are rejected than allowed, `IncompleteError` when shards are left.
    """
    started = time.perf_counter()
    pinned = pinned_settings(settings)
    bundle = read_bundle(pinned.bundle)
    alias = settings.bundle if pinned.bundle != settings.bundle else None
    plan = _plan(pinned, bundle)
    return run_plan(pinned, bundle, plan, open_executor, on_progress=on_progress, started=started, alias=alias)


def pinned_settings(settings: ClassifySettings) -> ClassifySettings:
    """The settings with the place of the bundle that an alias means now, whoever moves it meanwhile. A run that has
    begun keeps the bundle it began with, unless it is to be replaced."""
    if split_alias(settings.bundle) is None:
        return settings
    begun = None if settings.replace else read_plan(open_store(settings.out_uri))
    keep = None if begun is None else begun.promises["bundle_digest"]
    return dataclasses.replace(settings, bundle=aliased_uri(settings.bundle, keep=keep))


def run_plan(
    settings: ClassifySettings,
    bundle: Bundle,
    planned: Plan,
    open_executor: Callable[[], AbstractContextManager[Executor]],
    *,
    on_progress: Callable[[int, int], None] | None,
    started: float,
    alias: str | None = None,
) -> RunSummary:
    """Carry out a plan, from the claim of its place to the report; `started` is the `time.perf_counter` of the command,
    `alias` the name by which the bundle was found. The executor is left without an exception once the run is committed.
    Errors as of `classify`."""
    out = open_store(settings.out_uri)
    plan = claim(out, planned, replace=settings.replace)
    worker = WorkerSettings(
        out_uri=out.uri,
        plan_id=plan.plan_id,
        catalogue_uri=planned.catalogue_uri,  # where it is now: the stored plan may come from another machine
        bundle_uri=node_uri(settings.bundle),
    )
    commit = read_commit(out)
    resumed = len(plan.shards)
    if commit is None or commit.plan_id != plan.plan_id:
        receipts = read_receipts(out, plan)
        resumed, before = len(receipts), num_rows(receipts)
        facts: dict[str, Any] = {"num_workers": None, "runtime": None}
        with nullcontext() if resumed == len(plan.shards) else open_executor() as executor:
            if executor is not None:
                receipts = complete(out, plan, receipts, worker, executor, on_progress or (lambda done, total: None))
                facts = dict(executor.facts)
            if not settings.accept_rejects:
                check_rejects(out, receipts, max_share=settings.max_rejects)
            facts |= _facts(settings, bundle, plan, time.perf_counter() - started, plan.num_rows - before)
            facts["alias"] = alias
            commit = commit_run(out, plan, receipts, statistics=_merged(receipts, bundle), facts=facts)
        counts = {"num_predictions": commit.num_predictions, "num_rejects": commit.num_rejects}
        _LOG.info("run is committed", extra={"run": plan.plan_id, "out_uri": out.uri, **counts})
    report_uri = write_report(out, commit)
    elapsed_s = time.perf_counter() - started
    return _summary(out, plan, commit, resumed=resumed, elapsed_s=elapsed_s, report_uri=report_uri)


def _plan(settings: ClassifySettings, bundle: Bundle) -> Plan:
    catalogue, infos = list_inputs(settings.catalogue_uri)
    inputs, columns = inspect_inputs(catalogue, infos, settings.columns, fetches=True)
    head = deciding_head(bundle, settings.head)
    promises: dict[str, Any] = {
        "bundle_digest": bundle.digest,
        "labels": list(bundle.spec.labels),
        "table": settings.table,
        "layer": settings.layer,
        "head": head,
        "decisions": dataclasses.asdict(settings.promises),
        "thresholds": proven_thresholds(bundle, settings.promises, head),
        "precision": settings.precision,
        "preparation_version": PREPARATION_VERSION,
        "limits": dataclasses.asdict(ImageLimits()),
        "image_prefixes": [open_source(prefix).uri for prefix in settings.image_prefixes],
    }
    promises["since"] = _since(settings, promises)
    return make_plan(
        catalogue_uri=catalogue.uri,
        inputs=inputs,
        columns=columns.to_dict(),
        promises=promises,
        shard_rows=settings.shard_rows,
    )


def _since(settings: ClassifySettings, promises: Mapping[str, Any]) -> dict[str, str] | None:
    """The committed run whose answers are carried over; None where it answers otherwise than this one would."""
    if settings.since_uri is None:
        return None
    earlier, out = open_store(settings.since_uri), open_store(settings.out_uri)
    if earlier.uri == out.uri:
        raise SettingError("--since names the place of --out: give each night a place of its own.")
    results = open_results(settings.since_uri)
    check_carriable(results)
    plan_id = results.commit.plan_id
    before = Plan.from_json(earlier.get(f"plan/{plan_id}.json")).promises
    changed = [name for name in promises if name not in _CARRIED_ANYWAY and promises[name] != before.get(name)]
    return None if changed else {"uri": earlier.uri, "plan_id": plan_id}


def _merged(receipts: Mapping[str, Receipt], bundle: Bundle) -> dict[str, Any]:
    total = RunStatistics.empty(len(bundle.spec.labels))
    for receipt in receipts.values():
        total.merge(RunStatistics.from_dict(receipt.statistics))
    return total.to_dict()


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
        num_carried=statistics.num_carried,
        num_repeated=statistics.num_repeated,
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
