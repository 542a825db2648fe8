"""Retrying the rejects of a committed run that may end otherwise another time."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from fmnist_ray.bundle.aliases import aliased_uri
from fmnist_ray.bundle.format import read_bundle
from fmnist_ray.catalogue.carry import check_carriable
from fmnist_ray.catalogue.plan import Plan
from fmnist_ray.catalogue.receipts import Receipt, adopt_receipt, read_receipts
from fmnist_ray.catalogue.results import open_results
from fmnist_ray.config.classify import ClassifySettings, Runtime
from fmnist_ray.errors import SettingError
from fmnist_ray.flows.classify import RunSummary, run_plan
from fmnist_ray.flows.rounds import Executor
from fmnist_ray.reports.statistics import RunStatistics
from fmnist_ray.schema import RETRYABLE
from fmnist_ray.store import open_store


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RetrySettings:
    """A retry: whose rejects, and how many may be left."""

    out_uri: str
    bundle: str | None = None
    """Where the run's bundle is now; None where it was. It must be the same one."""
    runtime: Runtime | None = None
    max_rejects: float = 0.02
    accept_rejects: bool = False


def retry(
    settings: RetrySettings,
    open_executor: Callable[[], AbstractContextManager[Executor]],
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> RunSummary | None:
    """Do the shards with retryable rejects again, and commit a new version that links the one before; None where there
    is nothing to retry.

    Other shards are taken over with their files. In those that are done again, the answers of the earlier version are
    carried over. The same call resumes an interrupted retry. `IncompleteError` where nothing is committed yet;
    `ChangedError` where the catalogue was changed since; otherwise as `classify`.
    """
    started = time.perf_counter()
    results = open_results(settings.out_uri)
    out = open_store(settings.out_uri)
    earlier = Plan.from_json(out.get(f"plan/{results.commit.plan_id}.json"))
    if earlier.promises["table"] != "predictions":
        raise SettingError(f"{settings.out_uri} holds features; only runs of fmnist-ray classify are retried.")
    done = [receipt for receipt in read_receipts(out, earlier).values() if not _retryable(receipt)]
    if len(done) == len(earlier.shards):
        return None
    check_carriable(results)
    plan = dataclasses.replace(
        earlier,
        plan_id=hashlib.sha256(f"retry of {earlier.plan_id}".encode()).hexdigest()[: len(earlier.plan_id)],
        promises={**earlier.promises, "since": {"uri": out.uri, "plan_id": earlier.plan_id}},
    )
    for receipt in done:
        adopt_receipt(out, plan, receipt)
    facts = results.commit.facts
    place = aliased_uri(settings.bundle or facts["bundle"], keep=earlier.promises["bundle_digest"])
    run = ClassifySettings(
        catalogue_uri=earlier.catalogue_uri,
        out_uri=settings.out_uri,
        bundle=place,
        precision=earlier.promises["precision"],
        runtime=settings.runtime,
        max_rejects=settings.max_rejects,
        accept_rejects=settings.accept_rejects,
        replace=True,
    )
    return run_plan(
        run,
        read_bundle(place),
        plan,
        open_executor,
        on_progress=on_progress,
        started=started,
        alias=facts.get("alias"),
    )


def _retryable(receipt: Receipt) -> bool:
    reasons = RunStatistics.from_dict(receipt.statistics).rejects_by_reason
    return any(reasons[reason] for reason in RETRYABLE)
