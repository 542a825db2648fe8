"""EXIF orientation: how a camera was held. Read here because Pillow's reader warns about broken metadata, and the
orientation is the only entry that changes pixels."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np

_TAG = 0x0112
_SHORT = 3

_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels.swapaxes(0, 1)[:, ::-1],
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels.swapaxes(0, 1)[::-1],
}


def read_orientation(exif: bytes) -> int:
    """Orientation 1..8 of an EXIF block (a TIFF header and its first directory); 1, upright, where there is none."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return 1
    try:
        (directory,) = struct.unpack_from(f"{order}I", exif, 4)
        (num_entries,) = struct.unpack_from(f"{order}H", exif, directory)
        for number in range(num_entries):
            tag, kind, count, value = struct.unpack_from(f"{order}HHIH", exif, directory + 2 + 12 * number)
            if tag == _TAG:
                return value if (kind, count) == (_SHORT, 1) and 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


def turn_upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """`pixels` (H, W) or (H, W, 3) as they were seen by the person who held the camera."""
    turn = _UPRIGHT.get(orientation)
    return pixels if turn is None else np.ascontiguousarray(turn(pixels))
