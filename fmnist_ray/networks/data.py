"""Labelled images: in memory, as arrays, which travel, and as tensors, which are trained on; or read part by part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Labelled images in memory: `pixels` uint8 [N, channels, size, size], `labels` int64 [N]."""

    pixels: Tensor
    labels: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledImages:
    """`pixels` uint8 [N, channels, size, size] and `labels` int64 [N], in 0..num_labels-1."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def take(self, positions: NDArray[np.int64]) -> LabelledImages:
        """The images at these positions."""
        return LabelledImages(pixels=self.pixels[positions], labels=self.labels[positions])

    def split(self) -> Split:
        """The same as tensors; shared memory of another process is copied, because torch wants to be able to write."""
        return Split(pixels=torch.tensor(self.pixels), labels=torch.tensor(self.labels))


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamedImages:
    """Images that do not fit in memory. Part `number` of `num_parts` is read by `load(number)`, in pieces, anew in each
    epoch and in any process; `labels` [N] are those of all images that may come, in any order."""

    labels: NDArray[np.int64]
    num_parts: int
    load: Callable[[int], Iterator[LabelledImages]]
