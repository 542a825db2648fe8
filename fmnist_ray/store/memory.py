"""A store in the memory of one process: for tests, and as the smallest statement of the contract."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator

from fmnist_ray.errors import ChangedError, NotFoundError
from fmnist_ray.store.interface import ObjectInfo, check_size


class MemoryStore:
    """Keeps objects in a dictionary. Not shared between processes."""

    def __init__(self, uri: str = "memory://") -> None:
        self.uri = uri
        self._objects: dict[str, tuple[bytes, float]] = {}

    def get(self, key: str, *, max_bytes: int | None = None) -> bytes:
        data = self._entry(key)[0]
        check_size(f"{self.uri}/{key}", len(data), max_bytes)
        return data

    def info(self, key: str) -> ObjectInfo:
        data, modified_s = self._entry(key)
        etag = hashlib.sha256(data).hexdigest()[:32]
        return ObjectInfo(key=key, size_bytes=len(data), etag=etag, modified_s=modified_s)

    def read_range(self, key: str, start: int, length: int, *, etag: str) -> bytes:
        if key not in self._objects or self.info(key).etag != etag:
            raise ChangedError(f"{self.uri}/{key} was replaced or removed while it was being read.")
        return self._objects[key][0][start : start + length]

    def put(self, key: str, data: bytes) -> None:
        self._objects[key] = (data, time.time())

    def put_if_absent(self, key: str, data: bytes) -> bool:
        if key in self._objects:
            return False
        self.put(key, data)
        return True

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        for key in sorted(self._objects):
            if key.startswith(prefix):
                yield self.info(key)

    def delete(self, key: str) -> None:
        self._objects.pop(key, None)

    def _entry(self, key: str) -> tuple[bytes, float]:
        if key not in self._objects:
            raise NotFoundError(f"{self.uri}/{key} does not exist.")
        return self._objects[key]
