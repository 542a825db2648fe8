"""What tells whether two cells hold the same image file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

DIGEST_BYTES = 16


def image_digests(cells: Iterable[object]) -> list[bytes | None]:
    """BLAKE2b of the encoded bytes of each image, `DIGEST_BYTES` long; None where a cell holds none."""
    return [
        hashlib.blake2b(cell, digest_size=DIGEST_BYTES).digest() if isinstance(cell, bytes) else None for cell in cells
    ]
