"""The four files of Fashion-MNIST, and reading one with its checksum."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from dataclasses import dataclass
from pathlib import Path

from fmnist_ray.errors import SourceError

IMAGE_SIDE = 28
IMAGES_HEADER_BYTES = 16
LABELS_HEADER_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """One idx file."""

    name: str
    """Name without `.gz`."""
    size_bytes: int
    """Size of the content, uncompressed."""
    md5: str
    """Checksum of the content, uncompressed, in hex."""

    @property
    def gz_name(self) -> str:
        return f"{self.name}.gz"


# The published md5s are of the .gz files, but Debian's files lack the name and time in the gzip header, so the content
# is what is pinned. It is the published one: with that header put back (2017-08-31 10:50:06 UTC for train, 10:50:27 for
# t10k) Debian's files have the md5s of the data set's page: 8d4fb7e6..., 25c81989..., bef4ecab... and bb300cfd...
TRAIN_IMAGES = DataFile(name="train-images-idx3-ubyte", size_bytes=47_040_016, md5="f4a8712d7a061bf5bd6d2ca38dc4d50a")
TRAIN_LABELS = DataFile(name="train-labels-idx1-ubyte", size_bytes=60_008, md5="9018921c3c673c538a1fc5bad174d6f9")
TEST_IMAGES = DataFile(name="t10k-images-idx3-ubyte", size_bytes=7_840_016, md5="8181f5470baa50b63fa0f6fddb340f0a")
TEST_LABELS = DataFile(name="t10k-labels-idx1-ubyte", size_bytes=10_008, md5="15d484375f8d13e6eb1aabb0c3f46965")

FILES = (TEST_LABELS, TRAIN_LABELS, TEST_IMAGES, TRAIN_IMAGES)
"""All of them, the small ones first: a source that fails then fails early."""


def find_file(folder: Path, file: DataFile) -> Path:
    """Where `folder` holds the file, compressed or not; `SourceError` where it does not."""
    for name in (file.gz_name, file.name):
        if (folder / name).is_file():
            return folder / name
    raise SourceError(f"{folder} has no {file.gz_name}.")


def read_file(folder: Path, file: DataFile) -> bytes:
    """The content of the file, header included; `SourceError` where it is missing, unreadable or not the published."""
    path = find_file(folder, file)
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            content = stream.read(file.size_bytes + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"{path} can't be read ({error}).") from error
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if md5 != file.md5:
        raise SourceError(f"{path} is not the published file: the md5 of its content is {md5}, not {file.md5}.")
    return content


def check_folder(folder: Path) -> None:
    """`SourceError` unless `folder` holds all four files as published."""
    for file in FILES:
        read_file(folder, file)
