"""Encoded bytes to pixels: PNG, JPEG and WebP, told apart by content, each size checked before a pixel is decoded."""

from __future__ import annotations

import numpy as np

from fmnist_ray.config.images import ImageLimits
from fmnist_ray.errors import ImageRejected
from fmnist_ray.images import jpeg, png, webp
from fmnist_ray.schema import Reason

_MAX_DETAIL = 200


def decode_image(data: bytes, limits: ImageLimits, *, min_side: int) -> np.ndarray:
    """Pixels uint8, (H, W) where the file is grey and (H, W, 3) RGB where not, upright and on white.

    A JPEG, and a PNG of more than `max_whole_pixels`, is decoded at a scale whose sides are at least twice `min_side`,
    the side in pixels that the result is wanted for; others come in full. Of an animation it is the first frame.
    Raises `ImageRejected`, and nothing else whatever the bytes; only running out of memory is not the image's fault.
    """
    _check_cell(data, limits)
    try:
        if data.startswith(png.MAGIC):
            return png.read_png(data, limits, min_side=min_side)
        if data.startswith(jpeg.MAGIC):
            return jpeg.read_jpeg(data, limits, min_side=min_side)
        if webp.is_webp(data):
            return webp.read_webp(data, limits, min_side=min_side)
    except (ImageRejected, MemoryError):
        raise
    except Exception as error:  # on broken bytes, codecs raise nearly every built-in exception
        message = f"{type(error).__name__}: {error}"[:_MAX_DETAIL]
        reason = Reason.TRUNCATED if "truncated" in message else Reason.UNDECODABLE
        raise ImageRejected(reason, message) from error
    raise ImageRejected(Reason.UNSUPPORTED_FORMAT, f"starts with {data[:8]!r}; allowed are PNG, JPEG and WebP")


def _check_cell(data: object, limits: ImageLimits) -> None:
    if data is None:
        raise ImageRejected(Reason.EMPTY, "the cell is null")
    if not isinstance(data, bytes):
        raise ImageRejected(Reason.WRONG_TYPE, f"the cell holds a {type(data).__name__}, not the bytes of an image")
    if not data:
        raise ImageRejected(Reason.EMPTY, "the cell has no bytes")
    if len(data) > limits.max_bytes:
        raise ImageRejected(
            Reason.TOO_LARGE, f"{len(data):,} bytes; an image may have {limits.max_bytes:,} bytes at most"
        )
