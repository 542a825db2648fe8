"""A product photo as Fashion-MNIST would show it: the product alone, grey, bright on black, as large as the square.

Zalando made the data set from photos on white: trim, shrink, sharpen, centre, negate, grey (arXiv 1708.07747,
section 2). A photo of anyone else has another ground, so the ground is found first, and what is not the product becomes
black. Sharpening is left out: it lowered the share of right answers. `tests/benchmarks/photos.py` measures all of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fmnist_ray.images.fit import centre_on, scale_to

_WORK_SCALE = 3
"""The product is found at this many times the size of the result: fine enough for sleeves, and fast."""
_MAX_SCALE = 4.6
"""Photos up to this many times that size, such as most JPEGs come from the decoder, are taken as they are."""
_FRAME = 2
"""Pixels along each edge that are taken for the ground."""
_WEIGHTS = np.array([0.25, 1.77, 1.4], np.float32)
"""Of a difference in brightness, in blue and in red (Y, Cb and Cr). A shadow changes brightness, another thing changes
colour: so brightness counts less."""
_HALVES = np.arange(1024)
"""Half grey levels of distance."""
_MIN_STEP, _MAX_STEP = 6, 60
"""Grey levels within which the step from ground to product is looked for."""
_MIN_EXTENT = 0.08
"""A row or column with less of the product is trimmed."""
_DARK_GROUND = 40
"""Grey level of a ground on which products are bright already, as in Fashion-MNIST itself."""
_EVEN = 24
"""Grey levels from the ground's colour within which a pixel of the frame has it."""


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
        height, width = self.mask.shape
        rows = np.flatnonzero(self.mask.sum(axis=1) > _MIN_EXTENT * width)
        columns = np.flatnonzero(self.mask.sum(axis=0) > _MIN_EXTENT * height)
        if not (len(rows) and len(columns)):
            return 0, 0, width, height
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
    if max(pixels.shape) > _MAX_SCALE * size:
        pixels = scale_to(pixels, _WORK_SCALE * size)
    image = Image.fromarray(pixels)
    colours = np.asarray((image if image.mode == "RGB" else image.convert("RGB")).convert("YCbCr"))
    frame = _frame(colours)
    ground = np.partition(frame, len(frame) // 2, axis=0)[len(frame) // 2]
    distance = _distance(colours, ground)
    dark = bool(ground[0] < _DARK_GROUND)
    step = _MIN_STEP if dark else min(max(_otsu(distance), _MIN_STEP), _MAX_STEP)
    return Product(
        grey=colours[:, :, 0],
        mask=_majority(distance > step),
        ground=int(ground[0]),
        bright_on_dark=dark,
        distance=distance,
    )


def like_fashion_mnist(pixels: np.ndarray, size: int) -> NDArray[np.uint8]:
    """Model input uint8 (size, size) from a photo uint8 (H, W) or (H, W, 3): its product, trimmed, bright on black."""
    product = find_product(pixels, size)
    shown = (product.grey if product.bright_on_dark else 255 - product.grey) * product.mask
    left, top, right, bottom = product.box
    return centre_on(scale_to(shown[top:bottom, left:right], size), size, 0)


def _frame(pixels: NDArray[Any]) -> NDArray[Any]:
    """The pixels along the edges, [n] or [n, 3]."""
    edges = pixels[:_FRAME], pixels[-_FRAME:], pixels[:, :_FRAME], pixels[:, -_FRAME:]
    frame: NDArray[Any] = np.concatenate([edge.reshape(-1, *pixels.shape[2:]) for edge in edges])
    return frame


def _distance(colours: NDArray[np.uint8], ground: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How far each pixel is from the ground [H, W], in grey levels, from its brightness and its two differences of
    colour."""
    planes: NDArray[np.float32] = colours.transpose(2, 0, 1).astype(np.float32, order="C")
    planes -= ground.astype(np.float32)[:, None, None]
    planes *= _WEIGHTS[:, None, None]
    np.square(planes, out=planes)
    distance: NDArray[np.float32] = np.sqrt(planes[0] + planes[1] + planes[2])
    return distance


def _otsu(distance: NDArray[np.float32]) -> float:
    """The threshold that leaves the least variance within the two groups, to half a grey level."""
    counts = np.bincount((distance * 2).astype(np.intp).ravel(), minlength=len(_HALVES))[: len(_HALVES)]
    below, sums = counts.cumsum(), (counts * _HALVES).cumsum()
    parted = np.maximum(below * (below[-1] - below), 1)
    return float(((below * (sums[-1] / below[-1]) - sums) ** 2 / parted).argmax()) / 2


def _majority(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Each pixel as most of the nine around it are; those of the edges as they are."""
    ones = mask.view(np.uint8)
    rows = ones[:-2] + ones[1:-1] + ones[2:]
    smooth = mask.copy()
    smooth[1:-1, 1:-1] = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:] > 4
    return smooth
