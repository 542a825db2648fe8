"""A read-only, seekable file over ranges of one pinned object, for libraries that want a file."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from fmnist_ray.store.interface import ObjectInfo, Store

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class RangeFile(io.RawIOBase):
    """Reads the version of an object that `info` names; `ChangedError` as soon as another one is there.

    pyarrow's own S3 file system can't pin the version it reads, which is why Parquet goes through this.
    """

    def __init__(self, store: Store, info: ObjectInfo) -> None:
        super().__init__()
        self._store = store
        self._info = info
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._info.size_bytes}[whence]
        self._position = max(0, origin + offset)
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """As every raw file has it. `io.RawIOBase` would go by `readinto` and two more copies, which cost a reader of
        Parquet more than all the rest of its reading."""
        left = max(0, self._info.size_bytes - self._position)
        length = left if size is None or size < 0 else min(size, left)
        if not length:
            return b""
        data = self._store.read_range(self._info.key, self._position, length, etag=self._info.etag)
        self._position += len(data)
        return data

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)
