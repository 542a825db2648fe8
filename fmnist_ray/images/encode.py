"""Pixels to encoded bytes, for catalogues that are built from arrays."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image


def encode_png(pixels: np.ndarray, *, level: int = 6) -> bytes:
    """A lossless PNG of pixels uint8, (H, W) grey or (H, W, 3) RGB, with this level of zlib's, 1..9."""
    encoded = BytesIO()
    Image.fromarray(pixels).save(encoded, "PNG", compress_level=level)
    return encoded.getvalue()
