"""What a file's header must promise before one of its pixels is decoded."""

from __future__ import annotations

from fmnist_ray.config.images import ImageLimits
from fmnist_ray.errors import ImageRejected
from fmnist_ray.schema import Reason

MIN_SIDE = 2
"""An image with a shorter side, in pixels, has nothing to classify."""


def check_size(width: int, height: int, limits: ImageLimits) -> None:
    """Raise `ImageRejected` unless an image of `width` x `height` pixels may be decoded."""
    if width < 1 or height < 1:
        raise ImageRejected(Reason.UNDECODABLE, f"its header says {width} x {height} pixels")
    if max(width, height) > limits.max_side:
        raise ImageRejected(
            Reason.TOO_LARGE, f"{width} x {height} pixels; a side may have {limits.max_side:,} pixels at most"
        )
    if width * height > limits.max_pixels:
        raise ImageRejected(
            Reason.TOO_LARGE, f"{width} x {height} pixels; an image may have {limits.max_pixels:,} pixels at most"
        )
    if min(width, height) < MIN_SIDE:
        raise ImageRejected(Reason.UNUSABLE, f"{width} x {height} pixels; a side needs {MIN_SIDE} pixels at least")
