"""Opening one source file of a build through its store, unpacked where it is gzip."""

from __future__ import annotations

import contextlib
import gzip
import io
import zlib
from collections.abc import Iterator
from typing import BinaryIO, cast

from fmnist_ray.errors import CatalogueError, NotFoundError
from fmnist_ray.store import RangeFile, open_store, split_uri

_BUFFER_BYTES = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"


def is_file(uri: str) -> bool:
    """Whether `uri` names one object, rather than a folder or nothing."""
    folder, name = split_uri(uri)
    try:
        open_store(folder).info(name)
    except NotFoundError:
        return False
    return True


@contextlib.contextmanager
def open_source(uri: str) -> Iterator[BinaryIO]:
    """The content of the file as a seekable stream. `CatalogueError` where there is none, or its gzip is broken."""
    folder, name = split_uri(uri)
    store = open_store(folder)
    try:
        raw = io.BufferedReader(RangeFile(store, store.info(name)), _BUFFER_BYTES)
    except NotFoundError as error:
        raise CatalogueError(f"There is no file {uri}.") from error
    packed = raw.peek(2)[:2] == _GZIP_MAGIC
    try:
        yield cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if packed else raw
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise CatalogueError(f"{uri} is not a whole gzip file ({error}): get it anew.") from error
