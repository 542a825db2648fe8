"""Rows whose category contradicts the photo: found while a shard is classified, the surest with a picture."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from fmnist_ray.catalogue.reader import RowBatch
from fmnist_ray.catalogue.writer import encode_table
from fmnist_ray.config.images import ImageLimits
from fmnist_ray.images.thumbnail import thumbnail
from fmnist_ray.labels import Labels
from fmnist_ray.schema import CONTRADICTIONS

SURE = 0.9
"""Confidence from which on a photo contradicts its row's category; below, it may as well be the model that is wrong."""
_PICTURED = 24


class Contradictions:
    """Collects the contradictions of one shard, newly classified or carried over."""

    def __init__(self, input_file: str, labels: Labels, limits: ImageLimits) -> None:
        self._input_file = input_file
        self._labels = pa.array(labels, pa.string())
        self._limits = limits
        self._found = CONTRADICTIONS.empty_table()

    def add(
        self,
        rows: RowBatch,
        positions: NDArray[np.int64],
        label_ids: ArrayLike,
        confidences: ArrayLike,
        truth: NDArray[np.int64] | None,
    ) -> None:
        """Take the answers to the rows of a batch at `positions` [n]; `truth` has the category of every row of the
        batch, negative where it has none."""
        if truth is None or not len(positions):
            return
        predicted, sure, known = np.asarray(label_ids, np.int64), np.asarray(confidences), truth[positions]
        found = np.flatnonzero((known >= 0) & (known != predicted) & (sure >= SURE))
        if not len(found):
            return
        taken = positions[found]
        columns = [
            rows.ids.take(pa.array(taken)),
            pa.repeat(pa.scalar(self._input_file, pa.string()), len(found)),
            pa.array(taken + rows.first_row, pa.int64()),
            self._labels.take(pa.array(known[found])),
            self._labels.take(pa.array(predicted[found])),
            pa.array(sure[found], pa.float32()),
            pa.array([cell if isinstance(cell, bytes) else None for cell in (rows.images[row] for row in taken)]),
        ]
        arrays = [column.cast(field.type) for column, field in zip(columns, CONTRADICTIONS, strict=True)]
        table = pa.concat_tables([self._found, pa.Table.from_arrays(arrays, schema=CONTRADICTIONS)])
        table = table.sort_by([("confidence", "descending"), ("input_row", "ascending")])
        self._found = _with_pictures(table, table.column("thumbnail").slice(0, _PICTURED).to_pylist())

    def encode(self) -> tuple[bytes, int] | None:
        """Parquet bytes and number of rows, the surest first; None without any."""
        if not len(self._found):
            return None
        cells = self._found.column("thumbnail").slice(0, _PICTURED).to_pylist()
        pictures = [None if cell is None else thumbnail(cell, self._limits) for cell in cells]
        return encode_table(_with_pictures(self._found, pictures)), len(self._found)


def _with_pictures(table: pa.Table, pictures: list[bytes | None]) -> pa.Table:
    """The table with pictures in its first rows alone: until a shard ends they are whole photos."""
    padded = pa.array([*pictures, *[None] * (len(table) - len(pictures))], pa.binary())
    return table.set_column(table.schema.get_field_index("thumbnail"), CONTRADICTIONS.field("thumbnail"), padded)
