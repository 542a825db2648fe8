"""Novelty: how unlike the training classes a row's features are, and how rare that is among good photos."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from fmnist_ray.errors import BundleError

_SHRINKAGE = 1e-3
"""Of the covariance towards a multiple of the identity; 1e-4 to 1e-2 gave the same figures on Fashion-MNIST."""
_MOST_DIRECTIONS = 512
"""A wider network is judged by the directions of largest variance: a matrix product per row has to stay cheap."""
_FOLDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class NoveltyModel:
    """The squared Mahalanobis distance to the nearest class, with one covariance for all classes (Lee et al., arXiv
    1807.03888)."""

    projection: NDArray[np.float32]
    """[width, directions]: features to coordinates in which every class is a unit ball"""
    centres: NDArray[np.float32]
    """[classes, directions]"""

    def distances(self, features: NDArray[np.floating]) -> NDArray[np.float32]:
        """How strange each row of `features` [N, width] is; in double precision inside, so that it does not depend on
        the other rows."""
        centres = self.centres.astype(np.float64)
        places = np.asarray(features, np.float64) @ self.projection.astype(np.float64)
        squared = (places**2).sum(axis=1)[:, None] - 2 * places @ centres.T + (centres**2).sum(axis=1)
        return np.asarray(squared.min(axis=1).clip(0), np.float32)

    def to_bytes(self) -> bytes:
        """`novelty.safetensors`."""
        return save({field.name: np.ascontiguousarray(getattr(self, field.name)) for field in dataclasses.fields(self)})

    @classmethod
    def from_bytes(cls, data: bytes) -> NoveltyModel:
        """The inverse of `to_bytes`; `BundleError` where `data` holds something else."""
        try:
            return cls(**load(data))
        except (SafetensorError, TypeError) as error:
            raise BundleError(f"novelty.safetensors does not hold the statistics of features: {error}.") from error


def fit_novelty(
    features: NDArray[np.floating], labels: NDArray[np.integer]
) -> tuple[NoveltyModel, NDArray[np.float32]]:
    """The model of held-out `features` [N, width] with `labels` [N], and the distance of each of these rows [N] from a
    model that was fitted without it: to compare with the distances of new rows."""
    distances = np.empty(len(labels), np.float32)
    folds = np.random.default_rng(0).permutation(len(labels)) % min(_FOLDS, len(labels))
    for fold in np.unique(folds):
        inside = folds == fold
        rest = ~inside if not inside.all() else inside
        distances[inside] = _fit(features[rest], labels[rest]).distances(features[inside])
    return _fit(features, labels), distances


def upper_tail(values: NDArray[np.floating], reference: NDArray[np.floating]) -> NDArray[np.float64]:
    """For each value the conformal p-value that it comes from where `reference` (ascending) does: the share of the two
    together that is at least as large. Of such values at most a share p has a p-value of p or less."""
    larger = len(reference) - np.searchsorted(reference, values, side="left")
    return np.asarray((1 + larger) / (1 + len(reference)))


def _fit(features: NDArray[np.floating], labels: NDArray[np.integer]) -> NoveltyModel:
    rows = np.asarray(features, np.float64)
    classes, index = np.unique(labels, return_inverse=True)
    centres = np.stack([rows[index == number].mean(axis=0) for number in range(len(classes))])
    rest = rows - centres[index]
    covariance = rest.T @ rest / len(rows)
    width = len(covariance)
    covariance += (_SHRINKAGE * np.trace(covariance) / width + 1e-12) * np.eye(width)
    variances, directions = np.linalg.eigh(covariance)
    projection = (directions / np.sqrt(variances))[:, -_MOST_DIRECTIONS:]
    return NoveltyModel(projection=projection.astype(np.float32), centres=(centres @ projection).astype(np.float32))
