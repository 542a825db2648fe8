"""How good a photo is, by its model input alone: the lower a measure, the less there is to classify."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def photo_measures(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Contrast, extent and sharpness [N, 3] of model inputs uint8 [N, channels, size, size]; a low one is what
    `schema.PHOTO_PROBLEMS` names, in this order.

    - contrast: standard deviation of the pixels, 0..127.5;
    - extent: share of pixels that differ from the corners' mean by more than a quarter of the largest difference;
    - sharpness: mean absolute difference between neighbours, divided by contrast.
    """
    grey = pixels.mean(axis=1, dtype=np.float32) if pixels.shape[1] > 1 else pixels[:, 0].astype(np.float32)
    contrast = grey.std(axis=(1, 2))
    corners = (grey[:, 0, 0] + grey[:, 0, -1] + grey[:, -1, 0] + grey[:, -1, -1]) / 4
    distance = np.abs(grey - corners[:, None, None])
    extent = (distance > distance.max(axis=(1, 2), keepdims=True) / 4).mean(axis=(1, 2), dtype=np.float32)
    steps = np.abs(np.diff(grey, axis=1)).mean(axis=(1, 2)) + np.abs(np.diff(grey, axis=2)).mean(axis=(1, 2))
    return np.stack([contrast, extent, steps / (contrast + 1)], axis=1)
