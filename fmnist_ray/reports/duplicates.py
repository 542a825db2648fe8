"""Images that are nearly the same, within a data set and across two."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BLOCK = 2_000
_COMPONENTS = 96


@dataclass(frozen=True, slots=True)
class Pair:
    """Two images, by their places, and the correlation of their pixels."""

    first: int
    second: int
    similarity: float


def near_duplicates(
    pixels: NDArray[np.uint8], others: NDArray[np.uint8] | None = None, *, similarity: float
) -> list[Pair]:
    """Every pair of images, within `pixels` [n, ...] or between `pixels` and `others` [m, ...], whose pixels correlate
    by at least `similarity`; the most similar first.

    Exact, and mostly cheap: images are compared by their first principal components and the length of what these leave
    over, which bounds the correlation from above (Cauchy and Schwarz); only pairs that pass are compared in full.
    """
    units = _units(pixels)
    other_units = units if others is None else _units(others)
    sketches, other_sketches = _sketches(units, other_units)
    pairs: list[Pair] = []
    for start in range(0, len(units), _BLOCK):
        bounds = sketches[start : start + _BLOCK] @ other_sketches.T
        first, second = np.nonzero(bounds >= similarity - 1e-5)
        first += start
        if others is None:
            first, second = first[first < second], second[first < second]
        exact = np.concatenate(
            [
                np.einsum("ij,ij->i", units[first[part : part + _BLOCK]], other_units[second[part : part + _BLOCK]])
                for part in range(0, len(first), _BLOCK)
            ]
            or [np.empty(0, np.float32)]
        )
        near = exact >= similarity
        columns = zip(first[near].tolist(), second[near].tolist(), exact[near].tolist(), strict=True)
        pairs += [Pair(a, b, min(value, 1.0)) for a, b, value in columns]
    return sorted(pairs, key=lambda pair: (-pair.similarity, pair.first, pair.second))


def _units(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Images as vectors of mean 0 and length 1; one without any contrast is nothing and resembles nothing."""
    flat = pixels.reshape(len(pixels), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    units: NDArray[np.float32] = flat / np.maximum(length, 1e-6)
    return units


def _sketches(
    units: NDArray[np.float32], others: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    sample = units[:: max(1, len(units) // 5_000)]
    _, vectors = np.linalg.eigh(sample.T @ sample)
    axes = vectors[:, -_COMPONENTS:]

    def sketch(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        inside = vectors @ axes
        left_over = np.sqrt(np.maximum(0, (vectors**2).sum(axis=1) - (inside**2).sum(axis=1)))
        return np.column_stack([inside, left_over]).astype(np.float32)

    own = sketch(units)
    return own, own if others is units else sketch(others)
