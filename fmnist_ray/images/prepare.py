"""Pixels to model input. Training, batch, endpoint and golden rows all come through here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from fmnist_ray.config.images import ImageLimits, Preparation
from fmnist_ray.errors import ImageRejected
from fmnist_ray.images.decode import decode_image

_REDUCING_GAP = 3.0


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

    An image that has the wanted size and channels already comes out bit for bit. Any other keeps its proportions, and
    is padded to a square with the median of its border, which on a product photo is the background.
    """
    pixels = _in_channels(pixels, preparation.channels)
    if pixels.shape[:2] != (preparation.size, preparation.size):
        pixels = _padded(_fitted(pixels, preparation.size), preparation.size)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _in_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """Grey to RGB by repetition; RGB to grey by the weights of ITU-R BT.601."""
    if pixels.ndim == 2:
        return pixels if channels == 1 else np.repeat(pixels[:, :, None], 3, axis=2)
    return pixels if channels == 3 else np.asarray(Image.fromarray(pixels).convert("L"))


def _fitted(pixels: np.ndarray, size: int) -> np.ndarray:
    """Scaled so that the longer side is `size`. Hamming averages over the area without the aliases of a plain box."""
    height, width = pixels.shape[:2]
    scale = size / max(height, width)
    target = max(1, round(width * scale)), max(1, round(height * scale))
    filter_ = Image.Resampling.HAMMING if scale < 1 else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(pixels).resize(target, filter_, reducing_gap=_REDUCING_GAP))


def _padded(pixels: np.ndarray, size: int) -> np.ndarray:
    """Centred on a square of `size`, filled with the median of the border, channel by channel."""
    height, width = pixels.shape[:2]
    if height == width == size:
        return pixels
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    square = np.empty((size, size, *pixels.shape[2:]), np.uint8)
    square[:] = np.sort(border, axis=0)[len(border) // 2]
    top, left = (size - height) // 2, (size - width) // 2
    square[top : top + height, left : left + width] = pixels
    return square
