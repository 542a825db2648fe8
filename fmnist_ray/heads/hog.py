"""Histograms of oriented gradients (Dalal and Triggs, CVPR 2005), for a whole batch of images at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_CELL = 4
"""Pixels per side of a cell; blocks are 2 x 2 cells and overlap by one."""
_ORIENTATIONS = 9
_CLIP = 0.2


def hog(images: NDArray[np.floating]) -> NDArray[np.float32]:
    """Features [N, width] of grey images [N, side, side]: of each cell, how much edge there is in nine directions,
    normalised within every block that the cell is in (L2, clipped, L2 again)."""
    pixels = np.asarray(images, np.float32)
    down, right = np.zeros_like(pixels), np.zeros_like(pixels)
    down[:, 1:-1] = pixels[:, 2:] - pixels[:, :-2]
    right[:, :, 1:-1] = pixels[:, :, 2:] - pixels[:, :, :-2]
    strength = np.hypot(down, right)
    angle = np.arctan2(down, right) % np.pi * (_ORIENTATIONS / np.pi)
    bins = np.minimum(angle.astype(np.int64), _ORIENTATIONS - 1)
    cells = pixels.shape[1] // _CELL
    kept = cells * _CELL
    histograms = np.stack(
        [
            np.where(bins == number, strength, 0)[:, :kept, :kept]
            .reshape(len(pixels), cells, _CELL, cells, _CELL)
            .sum(axis=(2, 4))
            for number in range(_ORIENTATIONS)
        ],
        axis=-1,
    )
    corners = [(slice(None), slice(y, cells - 1 + y), slice(x, cells - 1 + x)) for y in (0, 1) for x in (0, 1)]
    blocks = np.concatenate([histograms[corner] for corner in corners], axis=-1)
    clipped = np.minimum(_normalised(blocks), _CLIP)
    features: NDArray[np.float32] = _normalised(clipped).reshape(len(pixels), -1).astype(np.float32)
    return features


def _normalised(blocks: NDArray[np.float32]) -> NDArray[np.float32]:
    norms: NDArray[np.float32] = np.sqrt((blocks**2).sum(axis=-1, keepdims=True) + 1e-6)
    return blocks / norms
