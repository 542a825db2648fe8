"""The rows of a feature table that are most like some images to the network: what it may have learnt from."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fmnist_ray.catalogue.feature_rows import FeatureRows
from fmnist_ray.catalogue.row_images import read_chosen
from fmnist_ray.config.images import ImageLimits
from fmnist_ray.images.thumbnail import thumbnail
from fmnist_ray.labels import Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """A row of the table."""

    input_file: str
    input_row: int
    label: str | None
    """Its own in its catalogue."""
    similarity: float
    """Cosine of the angle between its features and the image's."""
    thumbnail: bytes | None = field(repr=False)
    """PNG"""


def nearest_rows(
    table: FeatureRows, features: NDArray[np.float32], labels: Labels, *, most: int
) -> list[list[Neighbour]]:
    """For each image with `features` [n, width], the `most` rows of the table whose features point most nearly the same
    way, the nearest first. The table is read once, a data file at a time."""
    wanted = _units(features)
    best = np.empty((len(wanted), 0), np.float32)
    rows = np.empty((len(wanted), 0), np.int64)
    for number, span in enumerate(table.spans):
        found = wanted @ _units(table.read(number).features).T
        best = np.concatenate([best, found], axis=1)
        rows = np.concatenate([rows, np.broadcast_to(np.arange(span.start, span.stop), found.shape)], axis=1)
        kept = np.argsort(-best, axis=1, kind="stable")[:, :most]
        best, rows = np.take_along_axis(best, kept, axis=1), np.take_along_axis(rows, kept, axis=1)
    chosen = np.unique(rows)
    places = dict(zip(chosen.tolist(), table.places(chosen), strict=True))
    images = dict(zip(chosen.tolist(), read_chosen(table.plan(), list(places.values())), strict=True))
    label_ids = table.label_ids()
    limits = ImageLimits()

    def neighbour(row: int, similarity: float) -> Neighbour:
        image = images[row]
        return Neighbour(
            input_file=places[row][0],
            input_row=places[row][1],
            label=None if label_ids[row] < 0 else labels[label_ids[row]],
            similarity=similarity,
            thumbnail=None if image is None else thumbnail(image, limits),
        )

    return [
        [neighbour(row, similarity) for row, similarity in zip(*pair, strict=True)]
        for pair in zip(rows.tolist(), best.tolist(), strict=True)
    ]


def _units(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    units: NDArray[np.float32] = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return units
