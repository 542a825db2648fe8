"""Streams of training images: Ray Data's tasks read and prepare them, anew in each epoch, while workers train."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import ray.data
import torch

from fmnist_ray.config.train import TrainSettings
from fmnist_ray.errors import SettingError
from fmnist_ray.networks.batches import Batch, epoch_seed
from fmnist_ray.networks.data import LabelledImages, StreamedImages

_SHUFFLED_IMAGES = 20_000
"""Images of several parts from which each worker draws its batches."""


def stream_dataset(images: StreamedImages) -> ray.data.Dataset:
    """Rows of `pixels` and `label`, in an order in which parts that are read together may be mixed."""
    parts = ray.data.from_items(
        [{"part": number} for number in range(images.num_parts)], override_num_blocks=images.num_parts
    )
    return parts.map_batches(functools.partial(_load, load=images.load), batch_size=1)


def _load(batch: dict[str, Any], load: Callable[[int], Iterator[LabelledImages]]) -> Iterator[dict[str, Any]]:
    for images in load(int(batch["part"][0])):
        yield {"pixels": images.pixels, "label": images.labels}


class StreamBatches:
    """A worker's batches out of its shard of `stream_dataset`. See `networks.batches.Batches`."""

    def __init__(self, shard: Any, settings: TrainSettings, *, num_rows: int, size: int) -> None:
        if settings.sampling != "all":
            raise SettingError(
                f"sampling is {settings.sampling!r}, but streamed images come once each: use class_weights."
            )
        share = min(settings.batch_size, num_rows) // size
        if not share:
            raise SettingError(f"Each of {size} workers needs an image of every batch: ask for fewer workers.")
        self._shard, self._settings, self._share = shard, settings, share
        self.batch_size = share * size
        self.num_batches = num_rows // self.batch_size

    def epoch(self, number: int) -> Iterator[Batch]:
        """As many for each worker, because Ray Data splits rows equally; mirrored is a random half of the images."""
        batches = self._shard.iter_torch_batches(
            batch_size=self._share,
            drop_last=True,
            local_shuffle_buffer_size=_SHUFFLED_IMAGES,
            local_shuffle_seed=epoch_seed(self._settings, number),
        )
        for batch in batches:
            labels = batch["label"]
            yield Batch(
                pixels=batch["pixels"], labels=labels, mirrored=torch.rand(len(labels), device=labels.device) < 0.5
            )
