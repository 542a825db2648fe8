"""By what the rows of an evaluation are sliced: brightness, size, likeness to training images, and any column."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fmnist_ray.bundle.classifier import Classifier
from fmnist_ray.catalogue.reader import RowBatch
from fmnist_ray.config.evaluate import EvaluateSettings
from fmnist_ray.flows.rows import open_rows
from fmnist_ray.images.prepare import prepare_batch
from fmnist_ray.reports.duplicates import near_duplicates
from fmnist_ray.reports.slices import quarters

_CONTRAST = 24
"""Grey levels that part a product's pixels from the background."""
_AT_ONCE = 20_000
"""Training images that are compared at a time."""


class RowKinds:
    """Collects, row by row, what slices are made of."""

    def __init__(self, settings: EvaluateSettings, classifier: Classifier) -> None:
        self._settings = settings
        self._classifier = classifier
        self._brightness: list[NDArray[np.float64]] = []
        self._fill: list[NDArray[np.float64]] = []
        self._pixels: list[NDArray[np.uint8]] = []
        self._kept: dict[str, list[str]] = {name: [] for name in settings.columns.keep}

    def add(self, batch: RowBatch, positions: NDArray[np.int64], pixels: NDArray[np.uint8]) -> None:
        """Take the rows of a batch at `positions` [n], with their model input [n, channels, size, size]."""
        self._brightness.append(pixels.mean(axis=(1, 2, 3)))
        self._fill.append(_fill(pixels))
        if self._settings.training is not None:
            self._pixels.append(pixels)
        for name, column in zip(self._kept, batch.kept, strict=True):
            cells = column.to_pylist()
            self._kept[name] += ["nothing" if cells[row] is None else str(cells[row]) for row in positions]

    def kinds(self) -> Mapping[str, Sequence[str]]:
        """For each way to slice the rows, every row's value."""
        darkness = ("1st quarter, darkest", "2nd quarter", "3rd quarter", "4th quarter, brightest")
        sizes = ("1st quarter, smallest", "2nd quarter", "3rd quarter", "4th quarter, largest")
        found: dict[str, Sequence[str]] = {
            "Brightness of the model's input": quarters(np.concatenate(self._brightness), darkness),
            "Share of the picture that the product fills": quarters(np.concatenate(self._fill), sizes),
        }
        if self._settings.training is not None:
            near = self._near_training(self._settings.training)
            found["Near duplicate of a training image"] = ["yes" if is_near else "no" for is_near in near]
        return found | self._kept

    def _near_training(self, training_uri: str) -> NDArray[np.bool_]:
        """Which rows have a near duplicate among the training images."""
        pixels = np.concatenate(self._pixels)
        near = np.zeros(len(pixels), bool)
        for training in self._training(training_uri):
            pairs = near_duplicates(pixels, training, similarity=self._settings.similarity)
            near[[pair.first for pair in pairs]] = True
        return near

    def _training(self, uri: str) -> Iterator[NDArray[np.uint8]]:
        waiting: list[NDArray[np.uint8]] = []
        for _, batch in open_rows(uri).batches():
            prepared = prepare_batch(batch.images, self._classifier.spec.preparation, self._classifier.limits)
            waiting.append(prepared.pixels)
            if sum(map(len, waiting)) >= _AT_ONCE:
                yield np.concatenate(waiting)
                waiting = []
        if waiting:
            yield np.concatenate(waiting)


def _fill(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Share of each image that is not background, which is what its border mostly is."""
    grey = pixels.mean(axis=1)
    border = np.concatenate([grey[:, 0], grey[:, -1], grey[:, :, 0], grey[:, :, -1]], axis=1)
    distance = np.abs(grey - np.median(border, axis=1)[:, None, None])
    return np.asarray((distance > _CONTRAST).mean(axis=(1, 2)))
