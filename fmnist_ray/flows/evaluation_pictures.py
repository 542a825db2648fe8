"""Which rows of an evaluation are shown, kept while the rows stream by, and their pictures."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fmnist_ray.catalogue.reader import RowBatch
from fmnist_ray.catalogue.samples import Sample, SampleKeeper, row_orders
from fmnist_ray.config.images import ImageLimits
from fmnist_ray.images.thumbnail import thumbnail
from fmnist_ray.labels import Labels
from fmnist_ray.reports.evaluation_content import Pictured, ScoredRows
from fmnist_ray.reports.gallery import Gallery
from fmnist_ray.schema import SAMPLES

_PER_PAIR = 7
_PER_GALLERY = 24


class PictureKeeper:
    """Chooses rows by what they show: at random by the hash of their place, or by confidence."""

    def __init__(self, labels: Labels, limits: ImageLimits) -> None:
        self._labels = labels
        self._limits = limits
        self._pairs = SampleKeeper(_PER_PAIR)
        self._surest_mistakes = SampleKeeper(_PER_GALLERY)
        self._least_sure = SampleKeeper(_PER_GALLERY)
        self._right = SampleKeeper(_PER_GALLERY)
        self._flips: dict[tuple[int, int], SampleKeeper] = {}

    def offer(
        self,
        file: str,
        batch: RowBatch,
        positions: NDArray[np.int64],
        answered: ScoredRows,
        rival: ScoredRows | None,
    ) -> None:
        """Rows of a batch at `positions` [n], with the answers of the bundle and of the other one."""
        truth, label_ids, confidences = answered.truth, answered.label_ids, answered.confidences
        orders = row_orders(file, batch.first_row, len(batch))[positions]
        billionths = (confidences.astype(np.float64) * 1e9).astype(np.uint64)

        def describe(number: int) -> Sample:
            position = int(positions[number])
            return {
                "product_id": batch.ids[position].as_py(),
                "input_file": file,
                "input_row": batch.first_row + position,
                "label_id": int(label_ids[number]),
                "confidence": float(confidences[number]),
                "true_label_id": int(truth[number]),
                "cell": batch.images[position],
            }

        def offer(
            keeper: SampleKeeper, rows: NDArray[np.int64], kinds: NDArray[np.int64], by: NDArray[np.uint64]
        ) -> None:
            keeper.offer(kinds[rows], by[rows], lambda number: describe(int(rows[number])))

        wrong, right = np.flatnonzero(label_ids != truth), np.flatnonzero(label_ids == truth)
        one = np.zeros(len(positions), np.int64)
        offer(self._pairs, wrong, truth * len(self._labels) + label_ids, orders)
        offer(self._surest_mistakes, wrong, one, np.uint64(10**9) - billionths.clip(0, 10**9))
        offer(self._least_sure, right, one, billionths)
        offer(self._right, right, one, orders)
        if rival is not None:
            other = rival.label_ids
            for first, second in {(int(a), int(b)) for a, b in zip(label_ids, other, strict=True) if a != b}:
                keeper = self._flips.setdefault((first, second), SampleKeeper(_PER_PAIR))
                offer(keeper, np.flatnonzero((label_ids == first) & (other == second)), one, orders)

    def pictured(self) -> Pictured:
        """The chosen rows with their pictures."""
        return Pictured(
            pairs=self._gallery(self._pairs),
            surest_mistakes=self._gallery(self._surest_mistakes),
            least_sure=self._gallery(self._least_sure),
            right=self._gallery(self._right),
            flips={pair: self._gallery(keeper) for pair, keeper in self._flips.items()},
        )

    def _gallery(self, keeper: SampleKeeper) -> Gallery:
        samples = keeper.chosen()
        for sample in samples:
            sample["thumbnail"] = thumbnail(sample.pop("cell"), self._limits)
        return Gallery(pa.Table.from_pylist(samples, SAMPLES), self._labels)
