"""Where a classifier looks, whatever it is made of: cover a part of the image, and see how much the score falls."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fmnist_ray.images.corruptions import background_of

Score = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""From model input [n, channels, size, size] to the score of one label, [n]."""


def occlusion_map(score: Score, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How much the score falls when each part of one image [channels, size, size] is covered, [size, size] in 0..1.

    A square of a fifth of the side, in the colour of the background, moves over the image in steps of a quarter of
    itself (Zeiler and Fergus, arXiv 1311.2901); a pixel has the mean over the squares that cover it.
    """
    size = pixels.shape[-1]
    side = max(2, size // 5)
    step = max(1, side // 4)
    starts = sorted({*range(0, size - side + 1, step), size - side})
    covered = [covered_square(pixels, top, left, side) for top in starts for left in starts]
    scores = score(np.stack([pixels, *covered]))
    total, times = np.zeros((size, size), np.float32), np.zeros((size, size), np.float32)
    places = [(top, left) for top in starts for left in starts]
    for (top, left), found in zip(places, scores[1:].tolist(), strict=True):
        total[top : top + side, left : left + side] += float(scores[0]) - found
        times[top : top + side, left : left + side] += 1
    falls = np.maximum(total / times, 0)
    scaled: NDArray[np.float32] = falls / max(float(falls.max()), 1e-12)
    return scaled


def covered_square(pixels: NDArray[np.uint8], top: int, left: int, side: int) -> NDArray[np.uint8]:
    """One image with a square in the colour of its background."""
    changed = pixels.copy()
    changed[:, top : top + side, left : left + side] = background_of(pixels[None].astype(np.float32))[0]
    return changed
