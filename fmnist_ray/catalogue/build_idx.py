"""Rows from idx files, the format of MNIST and its relatives: grey images, and their labels in a second file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fmnist_ray.catalogue.build_files import open_source
from fmnist_ray.catalogue.build_pixels import id_prefix, pixels_batch
from fmnist_ray.errors import CatalogueError
from fmnist_ray.store import split_uri

IMAGES_MAGIC = b"\x00\x00\x08\x03"
"""uint8 in three dimensions: number, height, width"""
LABELS_MAGIC = b"\x00\x00\x08\x01"
"""uint8 in one dimension"""

_BATCH_ROWS = 1_000
_BATCH_BYTES = 16 << 20
_MAX_PIXELS = 50_000_000


def idx_batches(images_uri: str, labels_uri: str | None) -> Iterator[pa.RecordBatch]:
    """Rows of a catalogue, in the order of the file; `label` is the label id as int8. Plain or gzip.

    Raises `CatalogueError` for a file of another kind, one that ends early or late, and labels that do not fit.
    """
    prefix = id_prefix(split_uri(images_uri)[1])
    with contextlib.ExitStack() as stack:
        images = stack.enter_context(open_source(images_uri))
        num_rows, height, width = _header(images, images_uri, IMAGES_MAGIC, "images")
        if not 1 <= height * width <= _MAX_PIXELS:
            raise CatalogueError(f"{images_uri} says that its images have {height} x {width} pixels.")
        labels = None
        if labels_uri is not None:
            labels = stack.enter_context(open_source(labels_uri))
            (num_labels,) = _header(labels, labels_uri, LABELS_MAGIC, "labels")
            if num_labels != num_rows:
                raise CatalogueError(f"{images_uri} has {num_rows} images, {labels_uri} has {num_labels} labels.")
        step = max(1, min(_BATCH_ROWS, _BATCH_BYTES // (height * width)))
        for start in range(0, num_rows, step):
            rows = min(step, num_rows - start)
            pixels = _read(images, images_uri, rows * height * width).reshape(rows, height, width)
            ids = None if labels is None else _read(labels, str(labels_uri), rows)
            yield pixels_batch(prefix, start, pixels, ids)
        _check_end(images, images_uri)
        if labels is not None:
            _check_end(labels, str(labels_uri))


def labels_beside(images_uri: str) -> str | None:
    """The labels file that goes with `images_uri` by name; None where the name says nothing."""
    folder, name = split_uri(images_uri)
    labels = name.replace("images", "labels").replace("idx3", "idx1")
    return None if labels == name else f"{folder.rstrip('/')}/{labels}"


def _header(stream: BinaryIO, uri: str, magic: bytes, what: str) -> tuple[int, ...]:
    found = stream.read(4)
    if found != magic:
        raise CatalogueError(
            f"{uri} is not an idx file of {what}: it starts with the bytes {found.hex(' ')}, not {magic.hex(' ')}."
        )
    sizes = stream.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise CatalogueError(f"{uri} ends within its header.")
    return tuple(int(size) for size in np.frombuffer(sizes, ">u4"))


def _read(stream: BinaryIO, uri: str, num_bytes: int) -> NDArray[np.uint8]:
    data = stream.read(num_bytes)
    if len(data) < num_bytes:
        raise CatalogueError(f"{uri} ends before the number of items that its header gives.")
    return np.frombuffer(data, np.uint8)


def _check_end(stream: BinaryIO, uri: str) -> None:
    if stream.read(1):
        raise CatalogueError(f"{uri} goes on after the number of items that its header gives.")
