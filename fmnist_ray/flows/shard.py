"""One shard, from its rows to its receipt: read, prepare, classify, decide, write. Knows nothing of Ray."""

from __future__ import annotations

import dataclasses
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fmnist_ray.bundle.classifier import CellAnswers, Classifier, open_classifier
from fmnist_ray.bundle.format import read_bundle
from fmnist_ray.catalogue.carry import Carried, EarlierAnswers
from fmnist_ray.catalogue.columns import Columns
from fmnist_ray.catalogue.fetch import ImageFetcher
from fmnist_ray.catalogue.plan import InputFile, Plan, Shard
from fmnist_ray.catalogue.reader import RowBatch, read_rows
from fmnist_ray.catalogue.receipts import write_shard
from fmnist_ray.catalogue.results import open_results
from fmnist_ray.catalogue.samples import Sample, SampleKeeper, row_orders
from fmnist_ray.catalogue.writer import ShardTables, encode_table
from fmnist_ray.config.classify import Precision, Runtime
from fmnist_ray.config.images import ImageLimits
from fmnist_ray.errors import CatalogueError, ImageRejected, ParityError
from fmnist_ray.images.digest import DIGEST_BYTES, image_digests
from fmnist_ray.images.thumbnail import thumbnail
from fmnist_ray.labels import known_label_ids, label_index
from fmnist_ray.reports.statistics import RunStatistics
from fmnist_ray.schema import SAMPLES, Reason
from fmnist_ray.store import open_store

_SAMPLES_PER_KIND = 20
"""Rows of each kind that a run keeps to show; spread over its shards, but at least a few of each."""
_FEW = 3
_DEADLY = ImageRejected(Reason.WORKER_DIED, "it ends every process that decodes it")
_REASONS = {reason: -1 - number for number, reason in enumerate(Reason)}


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
    """How a shard went. `error` is the sentence and `error_kind` the class name of what stopped it, else None."""

    shard: str
    num_rows: int
    error: str | None = None
    error_kind: str | None = None


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
        try:
            shard = self._shards.get(shard_id) or Shard.from_id(shard_id)
            try:
                num_rows = self._attempt(shard)
            except CatalogueError:  # it was readable when it was planned: a bit may have flipped on the way
                num_rows = self._attempt(shard)
        except Exception as error:  # noqa: BLE001 an exception that left a worker would end the round of all shards
            return ShardOutcome(shard=shard_id, num_rows=0, error=str(error), error_kind=type(error).__name__)
        return ShardOutcome(shard=shard_id, num_rows=num_rows)

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

    def _attempt(self, shard: Shard) -> int:
        """Number of rows that the receipt counts."""
        file = self._plan.inputs[shard.file]
        per_kind = max(_FEW, -(-_SAMPLES_PER_KIND // len(self._plan.shards)))
        columns = Columns.from_dict(self._plan.columns)
        work = _ShardWork(self._classifier, file, columns, SampleKeeper(per_kind))
        work.earlier = self._earlier
        deadly = self._settings.deadly_rows.get(shard.id, ())
        batches = self._fetcher.fetched(read_rows(self._catalogue, file, shard, work.columns))
        while True:
            started = time.perf_counter()
            rows = next(batches, None)
            work.statistics.add_seconds("read_s", time.perf_counter() - started)
            if rows is None:
                break
            work.add(rows.rejecting(deadly, _DEADLY))
        if shard.id not in self._shards:
            return shard.num_rows
        started = time.perf_counter()
        tables = work.encode(num_rows=shard.num_rows)
        work.statistics.add_seconds("write_s", time.perf_counter() - started)
        attempt = uuid.uuid4().hex[:12]
        return write_shard(self._out, self._plan, shard, attempt, tables, work.statistics.to_dict()).num_rows


class _ShardWork:
    """Everything that one attempt gathers on its way through the rows."""

    def __init__(self, classifier: Classifier, file: InputFile, columns: Columns, samples: SampleKeeper) -> None:
        labels = classifier.labels
        self.columns = columns
        self.statistics = RunStatistics.empty(len(labels))
        self._classifier = classifier
        self._file = file
        self._label_ids = label_index(labels)
        self._tables = ShardTables(
            input_file=file.key, bundle_digest=classifier.digest, labels=labels, kept=columns.keep
        )
        self._samples = samples
        self.earlier: EarlierAnswers | None = None

    def add(self, rows: RowBatch) -> None:
        """Classify one batch of rows and take its answers into the tables, the statistics and the samples. Images that
        the earlier run has answered are not looked at."""
        digests = pa.array(image_digests(rows.images), pa.binary(DIGEST_BYTES))
        carried = self.earlier.find(digests) if self.earlier else Carried.none()
        known = set(carried.positions.tolist())
        answers = self._classifier.answer([None if row in known else cell for row, cell in enumerate(rows.images)])
        answers = dataclasses.replace(
            answers, rejects=[reject for reject in answers.rejects if reject.position not in known]
        )
        truth = self._true_label_ids(rows)
        started = time.perf_counter()
        self._tables.add(rows, answers, digests, carried)
        self._count(rows, answers, truth)
        self._count_carried(carried, truth)
        self._sample(rows, answers, truth)
        self.statistics.add_seconds("write_s", time.perf_counter() - started)

    def encode(self, *, num_rows: int) -> dict[str, tuple[bytes, int]]:
        """Parquet bytes and row count of each of the shard's tables."""
        tables = self._tables.encode(num_rows=num_rows)
        if samples := self._samples.chosen():
            limits = self._classifier.limits
            for sample in samples:
                sample["thumbnail"] = thumbnail(sample.pop("cell"), limits)
            table = pa.Table.from_pylist(samples, SAMPLES)
            tables["samples"] = encode_table(table), len(table)
        return tables

    def _count(self, rows: RowBatch, answers: CellAnswers, truth: NDArray[np.int64] | None) -> None:
        statistics = self.statistics
        known = None if truth is None else truth[answers.positions]
        statistics.add_predictions(answers.label_ids, answers.confidences, known)
        statistics.add_images(answers.pixels)
        statistics.add_rejects(reject.reason for reject in answers.rejects)
        statistics.num_null_ids += rows.ids.null_count
        statistics.bytes_read += sum(len(cell) for cell in rows.images if isinstance(cell, bytes))
        for step in ("prepare_s", "score_s", "decide_s"):
            statistics.add_seconds(step, getattr(answers, step))

    def _count_carried(self, carried: Carried, truth: NDArray[np.int64] | None) -> None:
        label_ids, confidences = (carried.answers.column(name).to_numpy() for name in ("label_id", "confidence"))
        self.statistics.add_predictions(label_ids, confidences, None if truth is None else truth[carried.positions])
        self.statistics.num_carried += len(carried.positions)

    def _sample(self, rows: RowBatch, answers: CellAnswers, truth: NDArray[np.int64] | None) -> None:
        """Offer the rows by kind: right (or not known to be wrong) per class, wrong per pair, rejects per reason."""
        orders = row_orders(self._file.key, rows.first_row, len(rows))
        predicted = np.full(len(rows), -1, np.int64)
        predicted[answers.positions] = answers.label_ids
        kinds = predicted.copy()
        if truth is not None:
            wrong = (truth >= 0) & (predicted >= 0) & (truth != predicted)
            kinds[wrong] = (truth[wrong] + 1) * len(self._classifier.labels) + predicted[wrong]
        rejects = {reject.position: reject for reject in answers.rejects}
        for position, reject in rejects.items():
            kinds[position] = _REASONS[Reason(reject.reason)]
        confidences = dict(zip(answers.positions.tolist(), answers.confidences.tolist(), strict=True))

        def describe(position: int) -> Sample:
            reject = rejects.get(position)
            return {
                "product_id": rows.ids[position].as_py(),
                "input_file": self._file.key,
                "input_row": rows.first_row + position,
                "label_id": int(predicted[position]) if reject is None else None,
                "confidence": confidences.get(position),
                "true_label_id": int(truth[position]) if truth is not None and truth[position] >= 0 else None,
                "reason": None if reject is None else str(reject.reason),
                "detail": None if reject is None else reject.detail,
                "cell": rows.images[position],
            }

        new = np.sort(np.concatenate([answers.positions, np.array(list(rejects), np.int64)]))
        self._samples.offer(kinds[new], orders[new], lambda place: describe(int(new[place])))

    def _true_label_ids(self, rows: RowBatch) -> NDArray[np.int64] | None:
        """Ids of the catalogue's own labels, -1 where there is none or it is none of the bundle's."""
        return None if rows.labels is None else np.array(known_label_ids(rows.labels, self._label_ids), np.int64)
