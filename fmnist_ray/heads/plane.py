"""A plane through the features, to draw on: the two directions in which they vary most."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from fmnist_ray.heads.svm import SvmHead


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """Rows as points of the plane, and a grid of places on it as rows."""

    points: NDArray[np.float64]
    """[N, 2], in 0..1 across and up"""
    grid: NDArray[np.float32]
    """[side * side, width]: features of the places, line by line from below"""
    side: int
    explained: float
    """Share of the variance of the standardised features that the plane holds."""


def feature_plane(head: SvmHead, features: NDArray[np.float32], *, side: int) -> Plane:
    """The plane of the first two principal components of the standardised `features` [N, width]."""
    standardised = (features - head.mean) / head.scale
    components = PCA(2, random_state=0).fit(standardised)
    points = components.transform(standardised)
    low, high = np.percentile(points, [0.5, 99.5], axis=0)
    low, high = low - 0.05 * (high - low), high + 0.05 * (high - low)
    centres = (np.arange(side) + 0.5) / side
    across, up = np.meshgrid(low[0] + centres * (high[0] - low[0]), low[1] + centres * (high[1] - low[1]))
    places = components.inverse_transform(np.stack([across.ravel(), up.ravel()], axis=1))
    return Plane(
        points=(points - low) / (high - low),
        grid=(places * head.scale + head.mean).astype(np.float32),
        side=side,
        explained=float(components.explained_variance_ratio_.sum()),
    )
