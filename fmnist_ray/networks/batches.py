"""What each step of an epoch trains on: a worker's share of every batch, from images in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Generator, Tensor

from fmnist_ray.config.train import TrainSettings
from fmnist_ray.errors import SettingError
from fmnist_ray.networks.data import Split


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One worker's share of a batch: `pixels` [N, channels, size, size], `labels` [N], and which of the images are
    `mirrored` [N] this time, where mirroring is switched on."""

    pixels: Tensor
    labels: Tensor
    mirrored: Tensor


class Batches(Protocol):
    """Where a worker's batches come from."""

    @property
    def batch_size(self) -> int:
        """Images per step, over all workers together."""

    @property
    def num_batches(self) -> int:
        """Steps in an epoch; fewer where images that were counted turn out to be unusable."""

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of epoch `number`, from 0; as many for every worker."""


class MemoryBatches:
    """Batches of images that are all in memory, on the device that trains."""

    def __init__(self, images: Split, settings: TrainSettings, *, rank: int, size: int, device: str) -> None:
        self._images = Split(pixels=images.pixels.to(device), labels=images.labels.to(device))
        self._labels = images.labels
        self._settings = settings
        self._rank, self._size, self._device = rank, size, device
        num_rows = len(epoch_rows(self._labels, settings.sampling, Generator()))
        self.batch_size = min(settings.batch_size, num_rows)
        self.num_batches = num_rows // self.batch_size
        if self.batch_size < size:
            raise SettingError(
                f"A batch of {self.batch_size} images can't be shared by {size} workers: ask for fewer workers, "
                "or for a larger batch_size."
            )

    def epoch(self, number: int) -> Iterator[Batch]:
        """See `Batches`. Mirrored are, by turns, one random half of the images and the other (arXiv 2404.00498)."""
        generator = Generator().manual_seed(epoch_seed(self._settings, number))
        rows = epoch_rows(self._labels, self._settings.sampling, generator).to(self._device)
        side = torch.rand(len(self._labels), generator=Generator().manual_seed(self._settings.training_seed)) < 0.5
        mirrored = side.to(self._device) ^ bool(number % 2)
        for batch in range(self.num_batches):
            chosen = rows[batch * self.batch_size :][: self.batch_size][self._rank :: self._size]
            yield Batch(
                pixels=self._images.pixels[chosen], labels=self._images.labels[chosen], mirrored=mirrored[chosen]
            )


def epoch_seed(settings: TrainSettings, epoch: int) -> int:
    """The seed of everything random in one epoch."""
    return (settings.training_seed * 100_003 + epoch) * 1009


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
