"""WebP to pixels. The canvas is read from the header here: libwebp allocates all of it when a file is opened."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import WebPImagePlugin

from fmnist_ray.config.images import ImageLimits
from fmnist_ray.errors import ImageRejected
from fmnist_ray.images.header import check_size
from fmnist_ray.images.orientation import read_orientation, turn_upright
from fmnist_ray.images.strips import pixels_of
from fmnist_ray.images.transparency import flatten_on_white
from fmnist_ray.schema import Reason

_HEADER_BYTES = 30


def is_webp(data: bytes) -> bool:
    """Whether `data` starts as a WebP file does."""
    return data.startswith(b"RIFF") and data[8:12] == b"WEBP"


def read_webp(data: bytes, limits: ImageLimits, *, min_side: int) -> np.ndarray:
    """Pixels uint8 (H, W, 3) of a WebP; of an animated one, the first frame. It can only be decoded whole, at some 16
    bytes a pixel, so more than `max_whole_pixels` are too many."""
    size_bytes = int.from_bytes(data[4:8], "little") + 8
    if len(data) < max(size_bytes, _HEADER_BYTES):
        raise ImageRejected(Reason.TRUNCATED, f"the WebP has {len(data)} of its {size_bytes} bytes")
    _check_canvas(*_canvas(data), limits)
    image = WebPImagePlugin.WebPImageFile(BytesIO(data))
    _check_canvas(*image.size, limits)
    image.load()
    exif: bytes = image.info.get("exif", b"")
    pixels = pixels_of(image, limits, lambda part: np.asarray(flatten_on_white(part)), min_side=min_side)
    return turn_upright(pixels, read_orientation(exif.removeprefix(b"Exif\0\0")))


def _check_canvas(width: int, height: int, limits: ImageLimits) -> None:
    check_size(width, height, limits)
    if width * height > limits.max_whole_pixels:
        raise ImageRejected(
            Reason.TOO_LARGE, f"{width} x {height} pixels; a WebP may have {limits.max_whole_pixels:,} pixels at most"
        )


def _canvas(data: bytes) -> tuple[int, int]:
    """Width and height of the canvas, in pixels (RFC 9649, sections 2.5 to 2.7)."""
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L" and data[20] == 0x2F:
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF
    raise ImageRejected(Reason.UNDECODABLE, f"the WebP starts with a chunk {kind!r} that holds no picture")
