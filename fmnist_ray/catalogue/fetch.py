"""Images that a catalogue names instead of holding: fetched side by side, within bounds, from allowed places only."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from fmnist_ray.catalogue.reader import RowBatch
from fmnist_ray.errors import ImageRejected, NotFoundError, TooLargeError
from fmnist_ray.schema import Reason
from fmnist_ray.store import Source, open_source, open_store

_THREADS = 16
_AHEAD = 32
"""Images that are on their way while others are classified."""
_PART_ROWS = 256
_PART_BYTES = 64 << 20
"""Rows go on when they are so many, or hold so much, whichever comes first. So a worker holds at most this much, and
`_AHEAD` images of at most the allowed size."""
_MAX_KEY_BYTES = 1024
"""S3 has no longer names."""
_SHOWN = 200


class ImageFetcher:
    """Gets the images that text cells name: a path relative to the catalogue, or a place below one of `prefixes`.

    Without prefixes, the catalogue's own place is the only one allowed. Names are not trusted: nothing else is ever
    asked for, and no other scheme than that of an allowed place is understood. So a web server is asked only where it
    is one of the prefixes; `store/web.py` has its own guards. Requests to the endpoint have no catalogue: None, and
    names must be full places.
    """

    def __init__(self, catalogue_uri: str | None, prefixes: Sequence[str], *, max_bytes: int) -> None:
        self._relative = None if catalogue_uri is None else open_store(catalogue_uri)
        own = () if catalogue_uri is None else (catalogue_uri,)
        self._sources: list[Source] = [open_source(prefix) for prefix in prefixes or own]
        self._max_bytes = max_bytes

    def fetched(self, batches: Iterator[RowBatch]) -> Iterator[RowBatch]:
        """The batches with image bytes in place of names, in order, in parts of bounded size; an `ImageRejected` stands
        where a name leads to no image. What may pass is raised: an outage never rejects a row."""
        with ThreadPoolExecutor(_THREADS) as pool:
            for batch in batches:
                if any(isinstance(cell, str) for cell in batch.images):
                    yield from self._parts(batch, pool)
                else:
                    yield batch

    def fetch(self, cells: Sequence[object]) -> list[object]:
        """What stands for a few cells, as in `fetched`."""
        with ThreadPoolExecutor(_THREADS) as pool:
            return list(pool.map(self.image_of, cells))

    def _parts(self, batch: RowBatch, pool: ThreadPoolExecutor) -> Iterator[RowBatch]:
        ahead: deque[Future[Any]] = deque()
        images: list[Any] = []
        start = num_bytes = 0
        cells = iter(batch.images)
        try:
            for row in range(len(batch)):
                while len(ahead) < min(_AHEAD, len(batch) - row):
                    ahead.append(pool.submit(self.image_of, next(cells)))
                images.append(ahead.popleft().result())
                num_bytes += len(images[-1]) if isinstance(images[-1], bytes) else 0
                if len(images) == _PART_ROWS or num_bytes >= _PART_BYTES or row + 1 == len(batch):
                    yield batch.part(start, images)
                    start, num_bytes, images = row + 1, 0, []
        finally:
            for future in ahead:
                future.cancel()

    def image_of(self, cell: object) -> object:
        """What stands for a cell: its image's bytes, why there are none, or the cell itself where it names nothing."""
        if not isinstance(cell, str):
            return cell
        try:
            source, key = self._place(cell)
            return source.get(key, max_bytes=self._max_bytes)
        except ImageRejected as reject:
            return reject
        except NotFoundError:
            return ImageRejected(Reason.NOT_FOUND, f"there is no {cell[:_SHOWN]}")
        except TooLargeError as error:
            return ImageRejected(Reason.TOO_LARGE, error.message)

    def _place(self, name: str) -> tuple[Source, str]:
        if not name:
            raise ImageRejected(Reason.EMPTY, "the cell names no image")
        parts = name.partition("://")[2].split("/") if "://" in name else name.split("/")
        if not name.isprintable() or ".." in parts or "." in parts[1:]:
            raise ImageRejected(Reason.NOT_ALLOWED, f"{name[:_SHOWN]!r} has '..' or unprintable characters")
        full = name
        if self._relative is not None and "://" not in name and not name.startswith("/"):
            full = f"{self._relative.uri}/{name.removeprefix('./')}"
        for source in self._sources:
            key = full.removeprefix(f"{source.uri}/")
            if key != full:
                if len(key.encode()) > _MAX_KEY_BYTES:
                    raise ImageRejected(Reason.NOT_FOUND, f"no image has a name as long as {name[:_SHOWN]}")
                return source, key
        allowed = ", ".join(source.uri for source in self._sources) or "all allowed places: there are none"
        raise ImageRejected(Reason.NOT_ALLOWED, f"{name[:_SHOWN]} lies outside {allowed}; see --images")
