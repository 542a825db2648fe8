"""Reading a catalogue: finding its Parquet files, checking their columns, and streaming the rows of a shard."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fmnist_ray.catalogue.build import UNFINISHED
from fmnist_ray.catalogue.columns import Columns, check_columns, resolve_columns
from fmnist_ray.catalogue.plan import InputFile, Shard
from fmnist_ray.config.classify import ColumnNames
from fmnist_ray.errors import AccessDeniedError, CatalogueError, ImageRejected, NotFoundError
from fmnist_ray.store import ObjectInfo, RangeFile, Store, open_store, split_uri

_FOOTER_THREADS = 16
_BATCH_ROWS = 1024
_BATCH_BYTES = 32 << 20
"""A batch of rows has at most this many rows, and on average at most this many image bytes."""
_STREAM_BYTES = 1 << 20
"""Column chunks are streamed through a buffer of this size, so that a large row group is never held whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowBatch:
    """Consecutive rows of one input file."""

    first_row: int
    """Row number of the first of them in the file."""
    images: list[Any]
    """Cells of the image column: bytes, the name of an image as text, or None."""
    ids: pa.Array
    """Product ids as text, null where there is none."""
    labels: list[Any] | None
    """Cells of the label column."""
    kept: list[pa.Array]
    """The columns to keep, in their order."""

    def __len__(self) -> int:
        return len(self.images)

    def rejecting(self, rows: Collection[int], reject: ImageRejected) -> RowBatch:
        """The batch with `reject` in place of the images of those of `rows` (numbers in the file) that are its own."""
        mine = {row - self.first_row for row in rows}
        images = [reject if position in mine else image for position, image in enumerate(self.images)]
        return dataclasses.replace(self, images=images) if mine else self

    def part(self, start: int, images: list[Any]) -> RowBatch:
        """The rows from `start` on, as many as there are `images`, with these in place of their own."""
        rows = slice(start, start + len(images))
        return RowBatch(
            first_row=self.first_row + start,
            images=images,
            ids=self.ids[rows],
            labels=None if self.labels is None else self.labels[rows],
            kept=[cells[rows] for cells in self.kept],
        )


def list_inputs(uri: str) -> tuple[Store, list[ObjectInfo]]:
    """The Parquet files of a catalogue: the one that `uri` names, or all below it. Names that start with `_` or `.`
    are left out, as other readers of Parquet folders do."""
    folder, name = split_uri(uri)
    parent, store = open_store(folder), open_store(uri)
    denied = None
    try:
        return parent, [parent.info(name)]
    except NotFoundError:
        pass
    except AccessDeniedError as error:  # a policy on a prefix denies a look at what is not below it
        denied = error
    listed = list(store.list())
    if denied and not listed:
        raise denied
    if any(info.key == UNFINISHED for info in listed):
        raise CatalogueError(f"{uri} was not built to its end: run the same fmnist-ray catalogue build again.")
    found = [info for info in listed if _is_input(info.key)]
    if not found:
        raise CatalogueError(f"No catalogue at {uri}: name a Parquet file, or a folder with .parquet files below it.")
    return store, found


def open_parquet(store: Store, info: ObjectInfo) -> pq.ParquetFile:
    """One input file, pinned to the version of `info`; `CatalogueError` when it is not Parquet. Where its pages have
    checksums they are compared: a range that a store sends has none of its own."""
    try:
        return pq.ParquetFile(RangeFile(store, info), buffer_size=_STREAM_BYTES, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise CatalogueError(
            f"{store.uri}/{info.key} is not a readable Parquet file ({_first_line(error)}): repair or remove it."
        ) from error


def inspect_inputs(
    store: Store, infos: Sequence[ObjectInfo], names: ColumnNames, *, fetches: bool = False
) -> tuple[list[InputFile], Columns]:
    """Read every footer, check every file for the columns of the run, and return the files and the columns. Nothing is
    read of the rows. Where the caller `fetches`, the image column may hold names of images."""

    def footer(info: ObjectInfo) -> tuple[InputFile, pa.Schema]:
        with open_parquet(store, info) as file:
            metadata = file.metadata
            rows = tuple(metadata.row_group(number).num_rows for number in range(metadata.num_row_groups))
            planned = InputFile(key=info.key, size_bytes=info.size_bytes, etag=info.etag, row_groups=rows)
            return planned, file.schema_arrow

    with ThreadPoolExecutor(_FOOTER_THREADS) as pool:
        footers = list(pool.map(footer, infos))
    first = footers[0][1]
    columns = resolve_columns(names, first, f"{store.uri}/{infos[0].key}")
    kept = pa.schema([first.field(name) for name in columns.keep])
    for planned, schema in footers:
        check_columns(schema, columns, kept, f"{store.uri}/{planned.key}", fetches=fetches)
    return [planned for planned, _ in footers], columns


def read_cells(store: Store, file: InputFile, columns: Sequence[str]) -> pa.Table:
    """These columns of all rows of a file."""
    with _opened(store, file) as parquet:
        return parquet.read(list(columns), use_threads=False)


def read_rows(store: Store, file: InputFile, shard: Shard, columns: Columns) -> Iterator[RowBatch]:
    """The rows of a shard in order, in batches; memory does not grow with the shard or its row groups."""
    with _opened(store, file) as parquet:
        groups, offset = _overlapping(file.row_groups, shard)
        batch_rows = _rows_per_batch(parquet.metadata, groups)
        for batch in parquet.iter_batches(batch_rows, row_groups=groups, columns=columns.names, use_threads=False):
            if offset >= shard.stop:
                return
            start, stop = max(offset, shard.start), min(offset + len(batch), shard.stop)
            if start < stop:
                yield _row_batch(batch.slice(start - offset, stop - start), start, columns)
            offset += len(batch)


@contextlib.contextmanager
def _opened(store: Store, file: InputFile) -> Iterator[pq.ParquetFile]:
    """A planned file, in the version that was planned; `CatalogueError` where it turns out to be broken."""
    info = ObjectInfo(key=file.key, size_bytes=file.size_bytes, etag=file.etag, modified_s=0.0)
    with open_parquet(store, info) as parquet:
        try:
            yield parquet
        except (pa.ArrowException, OSError) as error:
            where = f"{store.uri}/{file.key}"
            raise CatalogueError(f"{where} can't be read ({_first_line(error)}): repair or remove the file.") from error


def _row_batch(batch: pa.RecordBatch, first_row: int, columns: Columns) -> RowBatch:
    image = batch.column(columns.image)
    if pa.types.is_struct(image.type):
        image = pc.struct_field(image, "bytes")
    ids = pa.nulls(len(batch), pa.string()) if columns.id is None else batch.column(columns.id).cast(pa.string())
    return RowBatch(
        first_row=first_row,
        images=image.to_pylist(),
        ids=ids,
        labels=None if columns.label is None else batch.column(columns.label).to_pylist(),
        kept=[batch.column(name) for name in columns.keep],
    )


def _rows_per_batch(metadata: pq.FileMetaData, groups: Sequence[int]) -> int:
    chunks = [metadata.row_group(group) for group in groups]
    size: int = sum(chunk.total_byte_size for chunk in chunks)
    rows: int = sum(chunk.num_rows for chunk in chunks)
    return max(1, min(_BATCH_ROWS, _BATCH_BYTES * rows // max(1, size)))


def _overlapping(row_groups: Sequence[int], shard: Shard) -> tuple[list[int], int]:
    """Row groups that hold rows of the shard, and the row number at which the first of them starts."""
    groups: list[int] = []
    first_row = offset = 0
    for number, rows in enumerate(row_groups):
        if offset < shard.stop and offset + rows > shard.start:
            if not groups:
                first_row = offset
            groups.append(number)
        offset += rows
    return groups, first_row


def _is_input(key: str) -> bool:
    return key.endswith(".parquet") and not any(part.startswith(("_", ".")) for part in key.split("/"))


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0].rstrip(". ")
