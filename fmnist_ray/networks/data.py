"""Labelled images in memory: as arrays, which travel, and as tensors, which are trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Labelled images in memory: `pixels` uint8 [N, channels, size, size], `labels` int64 [N]."""

    pixels: Tensor
    labels: Tensor


def epoch_rows(labels: Tensor, sampling: str, generator: Generator) -> Tensor:
    """Which rows one epoch trains on, in random order: int64, as many in every epoch; `sampling` as in the settings."""
    if sampling == "all":
        return torch.randperm(len(labels), generator=generator)
    counts = torch.bincount(labels)
    present = torch.argwhere(counts).flatten()
    wanted = int(counts[present].max() if sampling == "over" else counts[present].min())
    drawn = []
    for label in present:
        rows = torch.argwhere(labels == label).flatten()
        extra = rows[torch.randperm(len(rows), generator=generator)[: wanted % len(rows)]]
        drawn += [rows] * (wanted // len(rows)) + [extra]
    rows = torch.cat(drawn)
    return rows[torch.randperm(len(rows), generator=generator)]


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
