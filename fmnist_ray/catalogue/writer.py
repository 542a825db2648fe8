"""The tables that one shard writes: predictions (or features) and rejects, with every input row in exactly one."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fmnist_ray.catalogue.carry import ANSWER_COLUMNS, Carried
from fmnist_ray.catalogue.reader import RowBatch
from fmnist_ray.config.classify import Table
from fmnist_ray.decisions.columns import Answered, answer_columns
from fmnist_ray.errors import StoreError
from fmnist_ray.labels import Labels
from fmnist_ray.schema import IMAGE_DIGEST, PREDICTIONS, REJECTS, Status, sized_features, with_kept

_COMPRESSION = "zstd"


class Refusal(Protocol):
    """One row of a batch without a prediction."""

    @property
    def position(self) -> int: ...
    @property
    def reason(self) -> str: ...
    @property
    def detail(self) -> str: ...


class AnsweredCells(Answered, Protocol):
    """What a classifier says of a batch of rows: each position is in `positions` or in a reject."""

    @property
    def positions(self) -> NDArray[np.int64]: ...
    @property
    def logits(self) -> NDArray[np.float32]: ...
    @property
    def features(self) -> NDArray[np.float32]: ...
    @property
    def rejects(self) -> Sequence[Refusal]: ...


class ShardTables:
    """Collects the answers of a shard, batch by batch, in input order."""

    def __init__(
        self, *, table: Table, input_file: str, bundle_digest: str, labels: Labels, kept: Sequence[str]
    ) -> None:
        self._table: Table = table
        self._input_file = input_file
        self._bundle_digest = bundle_digest
        self._labels = labels
        self._kept = kept
        self._batches: dict[str, list[pa.RecordBatch]] = {table: [], "rejects": []}
        self._num_rows = 0

    def add(
        self,
        rows: RowBatch,
        answers: AnsweredCells,
        *,
        digests: pa.Array,
        carried: Carried,
        truth: NDArray[np.int64] | None = None,
    ) -> None:
        """Take the answers for one batch of rows, new and carried ones, the digests of its images, and the true label
        ids (negative: unknown) where there are any; `StoreError` unless each row has exactly one answer."""
        rejected = np.fromiter((reject.position for reject in answers.rejects), np.int64, len(answers.rejects))
        answered = np.sort(np.concatenate([answers.positions, rejected, carried.positions]))
        if not np.array_equal(answered, np.arange(len(rows))):
            raise StoreError(f"{len(rows)} rows came in and {len(answered)} went out; the attempt is dropped.")
        self._num_rows += len(rows)
        if self._table == "predictions":
            self._append("predictions", PREDICTIONS, rows, answers.positions, self._predictions(answers, digests))
            earlier = [carried.answers.column(name).combine_chunks() for name in ANSWER_COLUMNS if name != "status"]
            earlier.insert(ANSWER_COLUMNS.index("status"), _repeat(Status.CARRIED, len(carried.positions)))
            self._append("predictions", PREDICTIONS, rows, carried.positions, earlier)
        else:
            schema = sized_features(answers.features.shape[1], len(self._labels))
            self._append("features", schema, rows, answers.positions, self._features(answers, truth, schema))
        reasons = pa.array([str(reject.reason) for reject in answers.rejects], pa.string())
        details = pa.array([reject.detail for reject in answers.rejects], pa.string())
        self._append("rejects", REJECTS, rows, rejected, [reasons, details])

    def encode(self, *, num_rows: int) -> dict[str, tuple[bytes, int]]:
        """Parquet bytes and row count of every table that has rows; `StoreError` unless `num_rows` went in."""
        if self._num_rows != num_rows:
            raise StoreError(f"The shard has {num_rows} rows, but {self._num_rows} were read; the attempt is dropped.")
        tables = {
            name: pa.Table.from_batches(batches).sort_by("input_row")
            for name, batches in self._batches.items()
            if batches
        }
        return {name: (encode_table(table), len(table)) for name, table in tables.items()}

    def _predictions(self, answers: AnsweredCells, digests: pa.Array) -> list[pa.Array]:
        columns = {
            **answer_columns(self._labels, answers),
            IMAGE_DIGEST: digests.take(pa.array(answers.positions)),
            "status": _repeat(Status.CLASSIFIED, len(answers.positions)),
            "bundle_digest": _repeat(self._bundle_digest, len(answers.positions)),
        }
        return [columns[name] for name in ANSWER_COLUMNS]

    def _features(self, answers: AnsweredCells, truth: NDArray[np.int64] | None, schema: pa.Schema) -> list[pa.Array]:
        known = np.full(len(answers.positions), -1) if truth is None else truth[answers.positions]
        lists = (
            pa.FixedSizeListArray.from_arrays(pa.array(values.ravel(), pa.float32()), type=schema.field(name).type)
            for name, values in (("features", answers.features), ("logits", answers.logits))
        )
        labels = pa.array(self._labels).take(pa.array(known, mask=known < 0))
        return [labels, *lists, _repeat(self._bundle_digest, len(answers.positions))]

    def _append(
        self, name: str, schema: pa.Schema, rows: RowBatch, positions: NDArray[np.int64], answers: list[pa.Array]
    ) -> None:
        if not len(positions):
            return
        taken = pa.array(positions)
        kept = [pa.field(column, cells.type) for column, cells in zip(self._kept, rows.kept, strict=True)]
        columns = [
            rows.ids.take(taken),
            _repeat(self._input_file, len(positions)),
            pa.array(positions + rows.first_row, pa.int64()),
            *answers,
            *(cells.take(taken) for cells in rows.kept),
        ]
        full = with_kept(schema, kept)
        arrays = [column.cast(field.type) for column, field in zip(columns, full, strict=True)]
        self._batches[name].append(pa.RecordBatch.from_arrays(arrays, schema=full))


def encode_table(table: pa.Table) -> bytes:
    """A table as one Parquet file in memory: a file is written by one `put`, so that it is never seen in part."""
    buffer = io.BytesIO()
    # A dictionary of features would be all of them: without it, 3 instead of 14 microseconds and 237 instead of 340
    # bytes a row of 128.
    flat = [field.name for field in table.schema if not pa.types.is_fixed_size_list(field.type)]
    pq.write_table(table, buffer, compression=_COMPRESSION, use_dictionary=flat)
    return buffer.getvalue()


def _repeat(value: str, times: int) -> pa.Array:
    return pa.repeat(pa.scalar(str(value), pa.string()), times)
