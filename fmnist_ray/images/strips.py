"""Large images a strip at a time: so a worker's memory does not grow by every copy of a whole image."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from fmnist_ray.config.images import ImageLimits

_STRIP_PIXELS = 2_000_000
_OVERSAMPLING = 2
"""As of JPEGs, see `jpeg.read_jpeg`."""


def pixels_of(
    image: Image.Image, limits: ImageLimits, to_pixels: Callable[[Image.Image], np.ndarray], *, min_side: int
) -> np.ndarray:
    """`to_pixels` of an image: uint8 (H, W) or (H, W, 3).

    Where the image has more than `max_whole_pixels` it is averaged down by a whole factor, to sides of at least twice
    `min_side`, the side in pixels that it is wanted for.
    """
    width, height = image.size
    num_pixels = width * height
    if num_pixels <= _STRIP_PIXELS:
        return to_pixels(image)
    factor = min(width, height) // (_OVERSAMPLING * min_side) if num_pixels > limits.max_whole_pixels else 1
    factor = max(1, factor)
    rows = factor * max(1, _STRIP_PIXELS // (width * factor))
    strips = []
    for top in range(0, height, rows):
        strip = to_pixels(image.crop((0, top, width, min(top + rows, height))))
        strips.append(strip if factor == 1 else np.asarray(Image.fromarray(strip).reduce(factor)))
    return np.concatenate(strips)
