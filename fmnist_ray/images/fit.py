"""Pixels fitted into a square: scaled with their proportions, centred, the rest filled."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

_REDUCING_GAP = 3.0


def scale_to(pixels: np.ndarray, side: int) -> np.ndarray:
    """`pixels` uint8 (H, W) or (H, W, 3), scaled so that the longer side is `side`. Hamming averages over the area
    without the aliases of a plain box."""
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    target = max(1, round(width * scale)), max(1, round(height * scale))
    filter_ = Image.Resampling.HAMMING if scale < 1 else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(pixels).resize(target, filter_, reducing_gap=_REDUCING_GAP))


def centre_on(pixels: np.ndarray, side: int, fill: ArrayLike) -> np.ndarray:
    """`pixels` in the middle of a square of `side`, around them the colour `fill`."""
    height, width = pixels.shape[:2]
    if height == width == side:
        return pixels
    square = np.empty((side, side, *pixels.shape[2:]), np.uint8)
    square[:] = fill
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = pixels
    return square
