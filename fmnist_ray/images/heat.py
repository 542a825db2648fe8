"""Heat maps as pictures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_ANCHORS = np.array(
    [
        [0, 0, 4],
        [40, 11, 84],
        [101, 21, 110],
        [159, 42, 99],
        [212, 72, 66],
        [245, 125, 21],
        [250, 193, 39],
        [252, 255, 164],
    ],
    np.float64,
)
"""The colour map inferno, at eight places: even steps to the eye, and the same order to the colour-blind."""


def heat_picture(values: NDArray[np.float32], side: int) -> NDArray[np.uint8]:
    """A map [H, W] in 0..1 as colours [side, side, 3]."""
    fitted = np.asarray(Image.fromarray(values.astype(np.float32)).resize((side, side), Image.Resampling.BILINEAR))
    places = np.linspace(0, 1, len(_ANCHORS))
    channels = [np.interp(fitted.clip(0, 1), places, _ANCHORS[:, channel]) for channel in range(3)]
    colours: NDArray[np.uint8] = np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
    return colours


def overlay_picture(pixels: NDArray[np.uint8], values: NDArray[np.float32], side: int) -> NDArray[np.uint8]:
    """Model input [channels, size, size] under its map, [side, side, 3]: the hotter, the less of the image shows."""
    heat = heat_picture(values, side).astype(np.float32)
    image = input_picture(pixels, side).astype(np.float32)
    fitted = np.asarray(Image.fromarray(values.astype(np.float32)).resize((side, side), Image.Resampling.BILINEAR))
    share = 0.7 * fitted.clip(0, 1)[..., None]
    blended: NDArray[np.uint8] = np.rint((1 - share) * image + share * heat).astype(np.uint8)
    return blended


def input_picture(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Model input [channels, size, size] as colours [side, side, 3], its pixels sharp."""
    colours = np.repeat(pixels, 3, axis=0) if len(pixels) == 1 else pixels
    image = Image.fromarray(np.ascontiguousarray(colours.transpose(1, 2, 0)))
    return np.asarray(image.resize((side, side), Image.Resampling.NEAREST))


def tiles_picture(tiles: NDArray[np.float32], columns: int, side: int) -> NDArray[np.uint8]:
    """Small maps [n, H, W] in 0..1 side by side, each `side` pixels wide, as grey [rows, width]."""
    rows = -(-len(tiles) // columns)
    sheet = np.full((rows * (side + 1) - 1, columns * (side + 1) - 1), 255, np.uint8)
    for number, tile in enumerate(tiles):
        top, left = (number // columns) * (side + 1), (number % columns) * (side + 1)
        grey = Image.fromarray(np.rint(tile.clip(0, 1) * 255).astype(np.uint8))
        sheet[top : top + side, left : left + side] = np.asarray(grey.resize((side, side), Image.Resampling.NEAREST))
    return sheet
