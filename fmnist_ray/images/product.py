"""A product photo as Fashion-MNIST would show it: the product alone, grey, bright on black, as large as the square.

Zalando made the data set from photos on white: trim, shrink, sharpen, centre, negate, grey (arXiv 1708.07747,
section 2). A photo of anyone else has another ground, so the ground is found first, and what is not the product becomes
black. Sharpening is left out: it lowered the share of right answers. `tests/benchmarks/photos.py` measures all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from fmnist_ray.images.fit import centre_on, scale_to

_WORK_SCALE = 3
"""The product is found at this many times the size of the result: fine enough for sleeves, and fast."""
_FRAME = 2
"""Pixels along each edge that are taken for the ground."""
_WEIGHTS = np.float32(0.25), np.float32(1.77), np.float32(1.4)
"""Of a difference in brightness, in blue and in red (Y, Cb and Cr). A shadow changes brightness, another thing changes
colour: so brightness counts less."""
_LEVELS = np.arange(256, dtype=np.float32)
_MIN_STEP, _MAX_STEP = 6, 60
"""Grey levels within which the step from ground to product is looked for."""
_MIN_EXTENT = 0.08
"""A row or column with less of the product is trimmed."""
_DARK_GROUND = 40
"""Grey level of a ground on which products are bright already, as in Fashion-MNIST itself."""
_EVEN = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """Where in a photo the product is, and what lies behind it."""

    grey: NDArray[np.uint8]
    """[H, W]: the photo in grey, its longer side the working size"""
    mask: NDArray[np.bool_]
    """[H, W]: what is the product"""
    ground: int
    """Grey level of the ground, 0..255"""
    bright_on_dark: bool
    """The photo has the polarity of Fashion-MNIST already"""
    distance: NDArray[np.float32]
    """[H, W]: how far each pixel is from the ground, in grey levels"""

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of the product; all of the photo where nothing stands out."""
        rows = np.flatnonzero(self.mask.mean(axis=1) > _MIN_EXTENT)
        columns = np.flatnonzero(self.mask.mean(axis=0) > _MIN_EXTENT)
        if not (len(rows) and len(columns)):
            return 0, 0, self.mask.shape[1], self.mask.shape[0]
        return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1

    @property
    def evenness(self) -> float:
        """Share of the photo's frame that has the colour of the ground, 0..1."""
        return float((_frame(self.distance) < _EVEN).mean())


def find_product(pixels: np.ndarray, size: int) -> Product:
    """The product of a photo uint8 (H, W) or (H, W, 3), for a model input of `size`.

    The ground's colour is the median of the frame. How far each pixel is from it falls into two groups; Otsu's
    threshold (IEEE Trans. SMC 9, 1979) parts them, and the far one is the product. On black, all that is not black is.
    """
    image = Image.fromarray(scale_to(pixels, _WORK_SCALE * size)).convert("RGB").convert("YCbCr")
    planes = [np.asarray(plane) for plane in image.split()]
    ground = [_median(_frame(plane)) for plane in planes]
    distance = _distance(planes, ground)
    dark = ground[0] < _DARK_GROUND
    step = _MIN_STEP if dark else min(max(_otsu(distance), _MIN_STEP), _MAX_STEP)
    mask = Image.fromarray(np.uint8(255) * (distance > step))
    return Product(
        grey=planes[0],
        mask=np.asarray(mask.filter(ImageFilter.BoxBlur(1))) > 127,
        ground=ground[0],
        bright_on_dark=dark,
        distance=distance,
    )


def like_fashion_mnist(pixels: np.ndarray, size: int) -> NDArray[np.uint8]:
    """Model input uint8 (size, size) from a photo uint8 (H, W) or (H, W, 3): its product, trimmed, bright on black."""
    product = find_product(pixels, size)
    shown = (product.grey if product.bright_on_dark else 255 - product.grey) * product.mask
    left, top, right, bottom = product.box
    return centre_on(scale_to(shown[top:bottom, left:right], size), size, 0)


def _frame(plane: NDArray[Any]) -> NDArray[Any]:
    """The pixels along the edges."""
    edges = plane[:_FRAME], plane[-_FRAME:], plane[:, :_FRAME], plane[:, -_FRAME:]
    return np.concatenate([edge.ravel() for edge in edges])


def _median(levels: NDArray[np.uint8]) -> int:
    middle = len(levels) // 2
    return int(np.partition(levels, middle)[middle])


def _distance(planes: Sequence[NDArray[np.uint8]], ground: Sequence[int]) -> NDArray[np.float32]:
    """How far each pixel is from the ground, in grey levels, from its brightness and its two differences of colour."""
    squares = [
        np.square((_LEVELS - level) * weight)[plane]
        for plane, level, weight in zip(planes, ground, _WEIGHTS, strict=True)
    ]
    distance: NDArray[np.float32] = np.sqrt(squares[0] + squares[1] + squares[2])
    return distance


def _otsu(distance: NDArray[np.float32]) -> float:
    """The threshold that leaves the least variance within the two groups, in half grey levels."""
    counts = np.bincount(np.minimum(distance * 2, 511).astype(np.int64).ravel(), minlength=512)
    below = np.cumsum(counts)
    sums = np.cumsum(counts * np.arange(512))
    share = below / below[-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (sums[-1] / below[-1] * share - sums / below[-1]) ** 2 / (share * (1 - share))
    return float(np.nan_to_num(between, posinf=0).argmax()) / 2
