"""Which product ids occur more than once, exactly and in 16 bytes a row, whatever the length of the ids."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

_DIGEST_BYTES = 16


class IdentityCounter:
    """Takes the ids of a catalogue batch by batch, and counts nulls and repetitions."""

    def __init__(self) -> None:
        self.num_nulls = 0
        self._digests = bytearray()

    def add(self, ids: Iterable[str | None]) -> None:
        """The ids of the next rows, as text."""
        for product_id in ids:
            if product_id is None:
                self.num_nulls += 1
            else:
                self._digests += digest(product_id)

    def repeated(self) -> tuple[int, set[bytes]]:
        """Number of rows whose id another row has too, and the digests of a few of these ids."""
        keys = np.frombuffer(bytes(self._digests), np.uint64).reshape(-1, 2)
        keys = keys[np.lexsort((keys[:, 1], keys[:, 0]))]
        same = _same_as_next(keys)
        repeated = np.zeros(len(keys), bool)
        repeated[:-1] |= same
        repeated[1:] |= same
        examples = np.unique(keys[repeated], axis=0)[:3]
        return int(repeated.sum()), {row.tobytes() for row in examples}


def digest(product_id: str) -> bytes:
    """What is kept of an id."""
    return hashlib.blake2b(product_id.encode(), digest_size=_DIGEST_BYTES).digest()


def _same_as_next(keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
    same: NDArray[np.bool_] = (keys[1:] == keys[:-1]).all(axis=1)
    return same
