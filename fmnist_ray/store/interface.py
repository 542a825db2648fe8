"""The store interface: immutable blobs under `/`-separated keys below one root.

A run is exactly-once with any store that keeps three promises: a `put` is seen whole or not at all, what was
acknowledged is readable afterwards, and nothing is lost by itself. `put_if_absent` only saves duplicate work; no step
needs rename, locks, clocks or the order of a listing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from fmnist_ray.errors import TooLargeError


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """What a store knows of one object."""

    key: str
    """Name below the store's root, with `/` between folders."""
    size_bytes: int
    etag: str
    """Changes whenever the content does."""
    modified_s: float
    """Time of the last write, in seconds since 1970."""


def check_size(uri: str, size_bytes: int, max_bytes: int | None) -> None:
    """`TooLargeError` for an object of more than `max_bytes`."""
    if max_bytes is not None and size_bytes > max_bytes:
        raise TooLargeError(f"{uri} has {size_bytes:,} bytes, more than the {max_bytes:,} allowed")


class Source(Protocol):
    """Objects below one root that can be read by name, and no more; errors as of `Store`."""

    @property
    def uri(self) -> str:
        """The root as a user would write it."""

    def get(self, key: str, *, max_bytes: int | None = None) -> bytes:
        """The whole object; `TooLargeError`, without reading all of it, where it has more than `max_bytes`."""


class Store(Protocol):
    """Objects below one root. Every method raises `AccessDeniedError` where a permission is missing and `StoreError`
    for a failure that may pass; `get`, `info` and `read_range` raise `NotFoundError`."""

    @property
    def uri(self) -> str:
        """The root as a user would write it."""

    def get(self, key: str, *, max_bytes: int | None = None) -> bytes:
        """The whole object; `TooLargeError`, without reading it, where it has more than `max_bytes`."""

    def info(self, key: str) -> ObjectInfo:
        """Size and etag, without the content."""

    def read_range(self, key: str, start: int, length: int, *, etag: str) -> bytes:
        """`length` bytes from `start` of the version `etag`; `ChangedError` when that version is gone."""

    def put(self, key: str, data: bytes) -> None:
        """Write the object whole, replacing what was there."""

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write the object unless one is there. False: one is there, and it may be an earlier try of this very call."""

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """All objects whose key starts with `prefix`, in the order of their keys."""

    def delete(self, key: str) -> None:
        """Remove the object; fine when it is not there."""
