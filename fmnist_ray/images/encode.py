"""Pixels to encoded bytes, for catalogues that are built from arrays."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image


def encode_png(pixels: np.ndarray) -> bytes:
    """A lossless PNG of pixels uint8, (H, W) grey or (H, W, 3) RGB."""
    encoded = BytesIO()
    Image.fromarray(pixels).save(encoded, "PNG")
    return encoded.getvalue()
