"""Rows from a folder, or a prefix, of image files, whose bytes go into the catalogue as they are."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath

import pyarrow as pa

from fmnist_ray.catalogue.build import catalogue_batch
from fmnist_ray.errors import CatalogueError
from fmnist_ray.store import ObjectInfo, Store

IMAGE_SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif")
)
"""Files that become rows. Some of these formats are rejected by a run, with a reason: better than a photo that is
silently not in the catalogue."""

_BATCH_ROWS = 256
_BATCH_BYTES = 32 << 20
_MAX_FILE_BYTES = 256 << 20
_THREADS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderSurvey:
    """What a folder holds."""

    num_images: int
    num_others: int
    """Files that are no images by their name; they are left out."""
    labelled: bool
    """Every image lies in a sub-folder of the first level, whose name is its class."""


def survey_folder(store: Store) -> FolderSurvey:
    """List the folder, reading no file. `CatalogueError` where it holds no images."""
    num_images = num_others = 0
    labelled = True
    for info in store.list():
        if _is_image(info):
            num_images += 1
            labelled = labelled and info.key.count("/") == 1
        else:
            num_others += 1
    if not num_images:
        raise CatalogueError(
            f"{store.uri} holds no image files: name a folder with files ending in {', '.join(sorted(IMAGE_SUFFIXES))}."
        )
    return FolderSurvey(num_images=num_images, num_others=num_others, labelled=labelled)


def folder_batches(store: Store, survey: FolderSurvey, *, by_name: bool) -> Iterator[pa.RecordBatch]:
    """Rows of a catalogue in the order of the paths; `product_id` is the path below the folder. With `by_name`, their
    images are the places of the files, and no file is read."""
    with ThreadPoolExecutor(_THREADS) as pool:
        for infos in _chunks(store):
            keys = [info.key for info in infos]
            labels = pa.array([key.partition("/")[0] for key in keys], pa.string()) if survey.labelled else None
            images = [f"{store.uri}/{key}" for key in keys] if by_name else list(pool.map(store.get, keys))
            yield catalogue_batch(keys, images, labels)


def _chunks(store: Store) -> Iterator[list[ObjectInfo]]:
    chunk: list[ObjectInfo] = []
    num_bytes = 0
    for info in filter(_is_image, store.list()):
        if info.size_bytes > _MAX_FILE_BYTES:
            raise CatalogueError(
                f"{store.uri}/{info.key} has {info.size_bytes} bytes, over the {_MAX_FILE_BYTES} that a row may hold: "
                "remove it, or leave it out of the folder."
            )
        if len(chunk) == _BATCH_ROWS or (chunk and num_bytes + info.size_bytes > _BATCH_BYTES):
            yield chunk
            chunk, num_bytes = [], 0
        chunk.append(info)
        num_bytes += info.size_bytes
    if chunk:
        yield chunk


def _is_image(info: ObjectInfo) -> bool:
    path = PurePosixPath(info.key)
    return path.suffix.lower() in IMAGE_SUFFIXES and not any(part.startswith(".") for part in path.parts)
