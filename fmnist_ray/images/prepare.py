"""Pixels to model input. Training, batch, endpoint and golden rows all come through here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from fmnist_ray.config.images import ImageLimits, Preparation
from fmnist_ray.errors import ImageRejected
from fmnist_ray.images.decode import decode_image
from fmnist_ray.images.fit import centre_on, scale_to
from fmnist_ray.images.product import like_fashion_mnist


@dataclass(frozen=True, slots=True)
class Reject:
    """A cell that became no model input."""

    position: int
    """Index into the cells that were given."""
    reason: str
    """One of `schema.Reason`."""
    detail: str
    """What was found."""


@dataclass(frozen=True, slots=True)
class PreparedBatch:
    """Model input for the good cells, and a reason for each of the others: every cell is in exactly one of the two."""

    pixels: np.ndarray
    """uint8 [n, channels, size, size]"""
    positions: np.ndarray
    """int64 [n]: index of each of them into the cells, ascending"""
    rejects: list[Reject]
    """In the order of the cells."""


def prepare_batch(cells: Sequence[object], preparation: Preparation, limits: ImageLimits) -> PreparedBatch:
    """Decode and prepare a column of encoded images. A cell that fails costs nothing but its reject; one that was
    rejected before, which an `ImageRejected` in its place says, keeps its reason."""
    size = preparation.size
    pixels = np.empty((len(cells), preparation.channels, size, size), np.uint8)
    positions: list[int] = []
    rejects: list[Reject] = []
    for position, cell in enumerate(cells):
        try:
            if isinstance(cell, ImageRejected):
                raise cell
            decoded = decode_image(cell, limits, min_side=size)  # type: ignore[arg-type]  # other types are rejected
        except ImageRejected as error:
            rejects.append(Reject(position, error.reason, error.detail))
        else:
            pixels[len(positions)] = prepare_pixels(decoded, preparation)
            positions.append(position)
    return PreparedBatch(pixels[: len(positions)], np.array(positions, np.int64), rejects)


def prepare_pixels(pixels: np.ndarray, preparation: Preparation) -> np.ndarray:
    """Model input uint8 (channels, size, size) from pixels uint8 (H, W) or (H, W, 3).

    An image that has the wanted size and channels already comes out bit for bit, whatever the style. Any other keeps
    its proportions. In style `plain` it is padded to a square with the median of its border, which on a product photo
    is the background; in style `fashion-mnist` only the product is left, see `product.py`.
    """
    size = preparation.size
    if preparation.style == "fashion-mnist" and pixels.shape[:2] != (size, size):
        return like_fashion_mnist(pixels, size)[None]
    pixels = _in_channels(pixels, preparation.channels)
    if pixels.shape[:2] != (size, size):
        pixels = scale_to(pixels, size)
        pixels = centre_on(pixels, size, _border_median(pixels))
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _in_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """Grey to RGB by repetition; RGB to grey by the weights of ITU-R BT.601."""
    if pixels.ndim == 2:
        return pixels if channels == 1 else np.repeat(pixels[:, :, None], 3, axis=2)
    return pixels if channels == 3 else np.asarray(Image.fromarray(pixels).convert("L"))


def _border_median(pixels: np.ndarray) -> np.ndarray:
    """Channel by channel."""
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    return np.asarray(np.sort(border, axis=0)[len(border) // 2])
