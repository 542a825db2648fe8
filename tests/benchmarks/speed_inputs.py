"""What the speed benchmark works on: catalogues of Fashion-MNIST's training images, and a bundle of bn_cnn."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fmnist_ray.catalogue.build import catalogue_batch, write_catalogue
from fmnist_ray.config.train import TrainSettings
from fmnist_ray.datasets.fashion_mnist import load_split
from fmnist_ray.images.encode import encode_png
from fmnist_ray.store import open_store

NUM_FILES = 12


def write_images(folder: Path, num_rows: int) -> None:
    """A catalogue of `num_rows` rows in `NUM_FILES` Parquet files. Images repeat after 60,000, product ids do not."""
    rows_per_file = -(-num_rows // NUM_FILES)
    write_catalogue(_batches(num_rows), open_store(str(folder)), rows_per_file=rows_per_file, replace=False)


def train_bn_cnn(out_uri: str) -> None:
    """A bundle of bn_cnn after one epoch of half the images: weights change no speed, but plausible answers make a
    plausible number of samples."""
    from fmnist_ray.flows.train import train
    from fmnist_ray.networks.job import train_here

    settings = TrainSettings(architecture="bn_cnn", epochs=1, validation_share=0.5)
    train(settings, out_uri=out_uri, command="classify_speed.py", execute=train_here, report=lambda metrics: None)


def _batches(num_rows: int) -> Iterator[pa.RecordBatch]:
    for start in range(0, num_rows, 60_000):
        cells, labels = _encoded(min(num_rows, 60_000))
        stop = min(start + 60_000, num_rows)
        ids = [f"train-{row:07d}" for row in range(start, stop)]
        yield catalogue_batch(ids, cells[: len(ids)], pa.array(labels[: len(ids)]))


@functools.cache
def _encoded(num_images: int) -> tuple[list[bytes], NDArray[np.int8]]:
    images, labels = load_split("train")
    return [encode_png(image) for image in images[:num_images]], labels[:num_images].astype(np.int8)
