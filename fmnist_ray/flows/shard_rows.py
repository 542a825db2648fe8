"""The rows of one shard on their way: batches in, tables, statistics and samples out."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fmnist_ray.bundle.classifier import CellAnswers, Classifier
from fmnist_ray.catalogue.carry import Carried, EarlierAnswers
from fmnist_ray.catalogue.columns import Columns
from fmnist_ray.catalogue.plan import InputFile
from fmnist_ray.catalogue.reader import RowBatch
from fmnist_ray.catalogue.samples import Sample, SampleKeeper, row_orders
from fmnist_ray.catalogue.writer import ShardTables, encode_table
from fmnist_ray.config.classify import Table
from fmnist_ray.decisions.columns import read_judgements
from fmnist_ray.decisions.counts import count_judgements
from fmnist_ray.flows.contradictions import Contradictions
from fmnist_ray.flows.once import AnswerOnce
from fmnist_ray.images.digest import DIGEST_BYTES, image_digests
from fmnist_ray.images.thumbnail import thumbnail
from fmnist_ray.labels import known_label_ids, label_index
from fmnist_ray.reports.statistics import RunStatistics
from fmnist_ray.schema import SAMPLES, Reason

_REASONS = {reason: -1 - number for number, reason in enumerate(Reason)}


class ShardRows:
    """Everything that one attempt gathers on its way through the rows."""

    def __init__(
        self,
        classifier: Classifier,
        table: Table,
        file: InputFile,
        columns: Columns,
        samples: SampleKeeper,
        earlier: EarlierAnswers | None,
    ) -> None:
        labels = classifier.labels
        self.columns = columns
        self.statistics = RunStatistics.empty(len(labels))
        self._classifier = classifier
        self._file = file
        self._label_ids = label_index(labels)
        self._tables = ShardTables(
            table=table,
            input_file=file.key,
            bundle_digest=classifier.digest,
            labels=labels,
            kept=columns.keep,
        )
        self._samples = samples
        self._contradictions = Contradictions(file.key, labels, classifier.limits)
        self._earlier = earlier
        self._once = AnswerOnce(classifier)

    def add(self, rows: RowBatch) -> None:
        """Classify one batch of rows and take its answers into the tables, the statistics and the samples. Images that
        the earlier run has answered are not looked at, nor those that this shard has."""
        found = image_digests(rows.images)
        digests = pa.array(found, pa.binary(DIGEST_BYTES))
        carried = self._earlier.find(digests) if self._earlier else Carried.none()
        known = set(carried.positions.tolist())
        cells = [None if row in known else cell for row, cell in enumerate(rows.images)]
        answers = self._once.answer(cells, [None if row in known else digest for row, digest in enumerate(found)])
        answers = dataclasses.replace(
            answers, rejects=[reject for reject in answers.rejects if reject.position not in known]
        )
        truth = self._true_label_ids(rows)
        started = time.perf_counter()
        self._tables.add(rows, answers, digests=digests, carried=carried, truth=truth)
        self._count(rows, answers, truth)
        self._count_carried(rows, carried, truth)
        self._sample(rows, answers, truth)
        self._contradictions.add(rows, answers.positions, answers.label_ids, answers.confidences, truth)
        self.statistics.add_seconds("write_s", time.perf_counter() - started)

    def encode(self, *, num_rows: int) -> dict[str, tuple[bytes, int]]:
        """Parquet bytes and row count of each of the shard's tables; the statistics are whole then."""
        self.statistics.num_repeated = self._once.num_repeated
        tables = self._tables.encode(num_rows=num_rows)
        if samples := self._samples.chosen():
            limits = self._classifier.limits
            for sample in samples:
                sample["thumbnail"] = thumbnail(sample.pop("cell"), limits)
            table = pa.Table.from_pylist(samples, SAMPLES)
            tables["samples"] = encode_table(table), len(table)
        if "predictions" in tables and (contradictions := self._contradictions.encode()):
            tables["contradictions"] = contradictions
        return tables

    def _count(self, rows: RowBatch, answers: CellAnswers, truth: NDArray[np.int64] | None) -> None:
        statistics = self.statistics
        known = None if truth is None else truth[answers.positions]
        statistics.add_predictions(answers.label_ids, answers.confidences, known)
        if answers.svm is not None:
            statistics.add_heads(answers.label_ids, answers.cnn.label_ids, answers.svm.label_ids, known)
        if answers.judgements is not None:
            statistics.decisions.update(count_judgements(answers.label_ids, answers.judgements, known))
        statistics.add_images(answers.pixels)
        statistics.add_rejects(reject.reason for reject in answers.rejects)
        statistics.num_null_ids += rows.ids.null_count
        statistics.bytes_read += sum(len(cell) for cell in rows.images if isinstance(cell, bytes))
        for step in ("prepare_s", "score_s", "decide_s"):
            statistics.add_seconds(step, getattr(answers, step))

    def _count_carried(self, rows: RowBatch, carried: Carried, truth: NDArray[np.int64] | None) -> None:
        statistics, known = self.statistics, None if truth is None else truth[carried.positions]
        label_ids, confidences = (carried.answers.column(name).to_numpy() for name in ("label_id", "confidence"))
        statistics.add_predictions(label_ids, confidences, known)
        self._contradictions.add(rows, carried.positions, label_ids, confidences, truth)
        statistics.num_carried += len(carried.positions)
        if self._classifier.spec.heads is not None:
            cells = (carried.answers.column(name).to_pylist() for name in ("cnn_label", "svm_label"))
            cnn, svm = ([self._label_ids[cell] for cell in column] for column in cells)
            statistics.add_heads(label_ids, cnn, svm, known)
        if self._classifier.rule is not None:
            judgements = read_judgements(carried.answers, self._classifier.labels, self._classifier.rule.alarm_rate)
            statistics.decisions.update(count_judgements(label_ids, judgements, known))

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
