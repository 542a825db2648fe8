"""Answers of an earlier run, by the content of the image: what it has classified is carried over, not done again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fmnist_ray.catalogue.results import Results
from fmnist_ray.errors import RefusedError
from fmnist_ray.images.digest import DIGEST_BYTES
from fmnist_ray.schema import IDENTITY_COLUMNS, IMAGE_DIGEST, PREDICTIONS

ANSWER_COLUMNS = [name for name in PREDICTIONS.names if name not in IDENTITY_COLUMNS]
"""What a carried prediction has from the earlier one: all but whose it is."""
MAX_ROWS = 10_000_000
"""Every worker holds the digests and answers of the earlier run: 90 bytes a row, and 290 while they are loaded
(measured with a million rows, which load in 2 s)."""
_TEXTS = [
    *(name for name in ANSWER_COLUMNS if pa.types.is_string(PREDICTIONS.field(name).type)),
    *(f"{name}.list.element" for name in ANSWER_COLUMNS if pa.types.is_list(PREDICTIONS.field(name).type)),
]
"""Held as numbers of the few texts that there are."""


@dataclass(frozen=True, slots=True)
class Carried:
    """Rows of a batch that an earlier run has answered."""

    positions: NDArray[np.int64]
    """Index of each into the batch, ascending."""
    answers: pa.Table
    """Columns `ANSWER_COLUMNS`, a row for each position."""

    @classmethod
    def none(cls) -> Carried:
        """No row."""
        fields = [PREDICTIONS.field(name) for name in ANSWER_COLUMNS]
        return cls(np.empty(0, np.int64), pa.schema(fields).empty_table())


class EarlierAnswers:
    """The predictions of a committed run, to be looked up by digest."""

    def __init__(self, results: Results) -> None:
        check_carriable(results)
        tables = [
            pq.read_table(pa.BufferReader(data), columns=ANSWER_COLUMNS, read_dictionary=_TEXTS)
            for data in results.contents("predictions")
        ]
        table = pa.concat_tables(tables) if tables else Carried.none().answers
        keys = _keys(table.column(IMAGE_DIGEST).combine_chunks())
        order = np.argsort(keys[:, 0], kind="stable")
        self._keys = keys[order]
        self._answers = table.take(pa.array(order))

    def find(self, digests: pa.Array) -> Carried:
        """The rows among `digests` whose images the earlier run has classified."""
        if not len(self._keys):
            return Carried.none()
        wanted = _keys(digests)
        places = np.minimum(np.searchsorted(self._keys[:, 0], wanted[:, 0]), len(self._keys) - 1)
        same = (self._keys[places] == wanted).all(axis=1) & digests.is_valid().to_numpy(zero_copy_only=False)
        positions = np.flatnonzero(same)
        return Carried(positions, self._answers.take(pa.array(places[positions])))


def check_carriable(results: Results) -> None:
    """`RefusedError` where a run is too large for workers to hold."""
    num_rows = results.commit.num_predictions
    if num_rows > MAX_ROWS:
        raise RefusedError(
            f"--since names a run of {num_rows:,} predictions, over the {MAX_ROWS:,} that workers hold: split the "
            "catalogue into several runs, or leave out --since."
        )


def _keys(digests: pa.Array) -> NDArray[np.uint64]:
    """Digests as pairs of whole numbers, [n, 2]; of a null one, anything."""
    filled = digests.fill_null(bytes(DIGEST_BYTES))
    buffer = filled.buffers()[1]
    if buffer is None:
        return np.empty((0, 2), np.uint64)
    pairs = np.frombuffer(buffer, np.uint64).reshape(-1, 2)
    return pairs[filled.offset : filled.offset + len(filled)]
