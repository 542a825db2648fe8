"""Fashion-MNIST (Xiao et al., arXiv 1708.07747): got once, kept in the user's cache, and read as arrays."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fmnist_ray.datasets.files import (
    FILES,
    IMAGE_SIDE,
    IMAGES_HEADER_BYTES,
    LABELS_HEADER_BYTES,
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    DataFile,
    check_folder,
    find_file,
    read_file,
)
from fmnist_ray.datasets.sources import DEBIAN_PACKAGE, Folder, Source, default_sources
from fmnist_ray.errors import SourceError

Split = Literal["train", "test"]

SPLIT_FILES = {"train": (TRAIN_IMAGES, TRAIN_LABELS), "test": (TEST_IMAGES, TEST_LABELS)}
"""Images and labels of each split."""

_INCOMING = ".incoming-"
_ABANDONED_S = 24 * 3600
"""An unfinished download of this age belongs to a process that was killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedFashionMnist:
    """The four files, checked."""

    folder: Path
    """Holds them, compressed or not."""
    source: str
    """Where they were found this time."""


def fetch(from_folder: Path | None = None, *, sources: Sequence[Source] | None = None) -> FetchedFashionMnist:
    """Get the four files from the first place that has them as published, into the cache where they would not last.

    With `from_folder` that folder is the only place, and its files are copied into the cache. Without a network this
    works from the cache. Raises `SourceError`, which says for every place why it failed.
    """
    cache = cache_folder()
    if from_folder is not None:
        named = Folder(str(from_folder), from_folder, lasting=False)
        return FetchedFashionMnist(folder=_obtain(named, cache), source=named.name)
    failures = []
    for source in default_sources(cache) if sources is None else sources:
        try:
            return FetchedFashionMnist(folder=_obtain(source, cache), source=source.name)
        except SourceError as error:
            failures.append(f"- {source.name}: {error}")
    raise SourceError(
        "Fashion-MNIST can't be had from any place:\n" + "\n".join(failures) + "\nPut its four .gz files into a folder "
        "and run fmnist-ray data fetch --from FOLDER, or on Debian and Ubuntu: apt-get install " + DEBIAN_PACKAGE
    )


def load_split(split: Split, folder: Path | None = None) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images `[N, 28, 28]` (0 is background) and label ids `[N]` of a split, in their published order.

    `folder` holds the files; None fetches them. Raises `SourceError`.
    """
    folder = folder or fetch().folder
    images_file, labels_file = SPLIT_FILES[split]
    images = np.frombuffer(read_file(folder, images_file), np.uint8, offset=IMAGES_HEADER_BYTES)
    labels = np.frombuffer(read_file(folder, labels_file), np.uint8, offset=LABELS_HEADER_BYTES)
    return images.reshape(-1, IMAGE_SIDE, IMAGE_SIDE), labels


def split_paths(split: Split, folder: Path) -> tuple[Path, Path]:
    """Where `folder` holds the images and the labels of a split. Raises `SourceError`."""
    images_file, labels_file = SPLIT_FILES[split]
    return find_file(folder, images_file), find_file(folder, labels_file)


def cache_folder() -> Path:
    """Our folder in the user's cache: `$XDG_CACHE_HOME`, or `~/.cache`."""
    caches = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(caches) if os.path.isabs(caches) else Path.home() / ".cache") / "fmnist_ray" / "fashion-mnist"


def _obtain(source: Source, cache: Path) -> Path:
    if source.lasting:
        folder = source.obtain(cache)
        check_folder(folder)
        return folder
    with _staging(cache) as staging:
        folder = source.obtain(staging)
        check_folder(folder)
        for file in FILES:
            _keep(file, find_file(folder, file), cache, staging)
    return cache


@contextlib.contextmanager
def _staging(cache: Path) -> Iterator[Path]:
    """A folder beside the files, so that they can be renamed into place; removed in the end."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        for old in cache.glob(f"{_INCOMING}*"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - old.stat().st_mtime > _ABANDONED_S:
                    shutil.rmtree(old, ignore_errors=True)
        staging = Path(tempfile.mkdtemp(prefix=_INCOMING, dir=cache))
    except OSError as error:
        raise SourceError(
            f"{cache} can't be written ({error.strerror}): set XDG_CACHE_HOME to a place that can."
        ) from error
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _keep(file: DataFile, path: Path, cache: Path, staging: Path) -> None:
    """Give the cache a file in one step: a process that is killed leaves the whole file or none."""
    try:
        copy = staging / f"copy-{path.name}"
        shutil.copyfile(path, copy)
        os.replace(copy, cache / path.name)
        for name in {file.name, file.gz_name} - {path.name}:
            (cache / name).unlink(missing_ok=True)
    except OSError as error:
        raise SourceError(f"{cache} can't take {path.name} ({error.strerror}): make room there.") from error
