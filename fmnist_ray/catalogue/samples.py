"""Choosing a few rows of a shard to show: per kind, those with the lowest hash of their identity.

The hash depends on nothing but the row's place in the catalogue, so the choice is the same after any crash, and the
lowest over all shards are a uniform sample of all rows of that kind (bottom-k sampling; Cohen and Kaplan, 2007).
"""

from __future__ import annotations

import hashlib
import heapq
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Sample = dict[str, Any]
"""One chosen row: columns of `schema.SAMPLES`, and whatever its maker needs to fill the rest."""


def row_orders(key: str, first_row: int, num_rows: int) -> NDArray[np.uint64]:
    """A 64-bit hash for each of `num_rows` consecutive rows of the file `key` (splitmix64 over file and row)."""
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little")
    rows = np.arange(first_row + 1, first_row + num_rows + 1, dtype=np.uint64)
    mixed = rows * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


class SampleKeeper:
    """Keeps the `per_kind` rows with the lowest order of every kind it is offered. A kind is any whole number."""

    def __init__(self, per_kind: int) -> None:
        self._per_kind = per_kind
        self._heaps: dict[int, list[tuple[int, Sample]]] = defaultdict(list)

    def offer(self, kinds: NDArray[np.int64], orders: NDArray[np.uint64], describe: Callable[[int], Sample]) -> None:
        """Rows of one batch: the kind and the order of each; `describe(position)` is called for chosen rows only."""
        for kind in np.unique(kinds):
            heap = self._heaps[int(kind)]
            members = np.flatnonzero(kinds == kind)
            for position in members[np.argsort(orders[members])[: self._per_kind]]:
                order = int(orders[position])
                if len(heap) == self._per_kind and order >= -heap[0][0]:
                    break
                sample = describe(int(position)) | {"order": order}
                push = heapq.heappush if len(heap) < self._per_kind else heapq.heapreplace
                push(heap, (-order, sample))

    def chosen(self) -> list[Sample]:
        """Every chosen row, by order."""
        return sorted((sample for heap in self._heaps.values() for _, sample in heap), key=lambda row: row["order"])
