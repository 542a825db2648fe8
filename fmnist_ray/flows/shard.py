"""One shard, from its rows to its receipt: read, prepare, classify, decide, write. Knows nothing of Ray."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from fmnist_ray.bundle.classifier import Classifier, open_classifier
from fmnist_ray.bundle.format import read_bundle
from fmnist_ray.catalogue.carry import EarlierAnswers
from fmnist_ray.catalogue.columns import Columns
from fmnist_ray.catalogue.fetch import ImageFetcher
from fmnist_ray.catalogue.plan import Plan, Shard
from fmnist_ray.catalogue.reader import read_rows
from fmnist_ray.catalogue.receipts import write_shard
from fmnist_ray.catalogue.results import open_results
from fmnist_ray.catalogue.samples import SampleKeeper
from fmnist_ray.config.classify import Precision, Runtime
from fmnist_ray.config.decisions import Promises
from fmnist_ray.config.images import ImageLimits
from fmnist_ray.errors import CatalogueError, ImageRejected, ParityError
from fmnist_ray.flows.shard_rows import ShardRows
from fmnist_ray.schema import Reason
from fmnist_ray.store import open_store

_SAMPLES_PER_KIND = 20
"""Rows of each kind that a run keeps to show; spread over its shards, but at least a few of each."""
_FEW = 2
_DEADLY = ImageRejected(Reason.WORKER_DIED, "it ends every process that decodes it")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """What a worker must know that is not in the plan: where things are, and what it runs on."""

    out_uri: str
    plan_id: str
    catalogue_uri: str
    bundle_uri: str
    runtime: Runtime = "cpu"
    """Set by the executor, which knows what the cluster has."""
    deadly_rows: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """By shard: rows that end whoever decodes them; they are rejected unseen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardOutcome:
    """How an attempt at a shard went. `error` is the sentence and `error_kind` the class name of what stopped it, else
    None."""

    shard: str
    num_rows: int
    error: str | None = None
    error_kind: str | None = None
    attempt: str | None = None
    """Id of the attempt, as in the names of its files; None where its worker died."""
    rejects_by_reason: Mapping[str, int] = field(default_factory=dict)
    seconds_by_step: Mapping[str, float] = field(default_factory=dict)


class ShardWorker:
    """Classifies shards of one plan, one after the other. The plan and the bundle are loaded with the first one."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._out = open_store(settings.out_uri)
        self._catalogue = open_store(settings.catalogue_uri)

    def run(self, shard_id: str) -> ShardOutcome:
        """Classify a shard. Never raises: what goes wrong is the outcome of this attempt, for the driver to judge.

        An id that names a part of a planned shard is a trial: its rows are classified, and nothing is written.
        """
        attempt = uuid.uuid4().hex[:12]
        try:
            shard = self._shards.get(shard_id) or Shard.from_id(shard_id)
            try:
                return self._attempt(shard, attempt)
            except CatalogueError:  # it was readable when it was planned: a bit may have flipped on the way
                return self._attempt(shard, attempt)
        except Exception as error:  # noqa: BLE001 an exception that left a worker would end the round of all shards
            message, kind = str(error), type(error).__name__
            return ShardOutcome(shard=shard_id, num_rows=0, error=message, error_kind=kind, attempt=attempt)

    @cached_property
    def _plan(self) -> Plan:
        return Plan.from_json(self._out.get(f"plan/{self._settings.plan_id}.json"))

    @cached_property
    def _shards(self) -> dict[str, Shard]:
        return {shard.id: shard for shard in self._plan.shards}

    @cached_property
    def _classifier(self) -> Classifier:
        promises = self._plan.promises
        bundle = read_bundle(self._settings.bundle_uri)
        if bundle.digest != promises["bundle_digest"]:
            raise ParityError(
                f"Bundle {self._settings.bundle_uri} has digest {bundle.digest[:12]} here, but the run was planned "
                f"with {promises['bundle_digest'][:12]}: give every node the same bundle."
            )
        precision: Precision = promises["precision"]
        return open_classifier(
            bundle,
            runtime=self._settings.runtime,
            precision=precision,
            limits=ImageLimits(**promises["limits"]),
            head=promises["head"],
            layer=promises["layer"],
            promises=Promises(**promises["decisions"]),
        )

    @cached_property
    def _fetcher(self) -> ImageFetcher:
        promises = self._plan.promises
        max_bytes = ImageLimits(**promises["limits"]).max_bytes
        return ImageFetcher(self._catalogue.uri, promises["image_prefixes"], max_bytes=max_bytes)

    @cached_property
    def _earlier(self) -> EarlierAnswers | None:
        since = self._plan.promises["since"]
        return EarlierAnswers(open_results(since["uri"], plan_id=since["plan_id"])) if since else None

    def _attempt(self, shard: Shard, attempt: str) -> ShardOutcome:
        """A `CatalogueError` comes before anything is written."""
        file = self._plan.inputs[shard.file]
        per_kind = max(_FEW, -(-_SAMPLES_PER_KIND // len(self._plan.shards)))
        columns, table = Columns.from_dict(self._plan.columns), self._plan.promises["table"]
        work = ShardRows(self._classifier, table, file, columns, SampleKeeper(per_kind), self._earlier)
        deadly = self._settings.deadly_rows.get(shard.id, ())
        batches = self._fetcher.fetched(read_rows(self._catalogue, file, shard, work.columns))
        while True:
            started = time.perf_counter()
            rows = next(batches, None)
            work.statistics.add_seconds("read_s", time.perf_counter() - started)
            if rows is None:
                break
            work.add(rows.rejecting(deadly, _DEADLY))
        if shard.id in self._shards:
            started = time.perf_counter()
            tables = work.encode(num_rows=shard.num_rows)
            work.statistics.add_seconds("write_s", time.perf_counter() - started)
            write_shard(self._out, self._plan, shard, attempt, tables, work.statistics.to_dict())
        return ShardOutcome(
            shard=shard.id,
            num_rows=shard.num_rows,
            attempt=attempt,
            rejects_by_reason=dict(work.statistics.rejects_by_reason),
            seconds_by_step=work.statistics.seconds_by_step,
        )
