"""Reading a catalogue: finding its Parquet files, checking their columns, and streaming the rows of a shard."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fmnist_ray.catalogue.build import UNFINISHED
from fmnist_ray.catalogue.plan import InputFile, Shard
from fmnist_ray.config.classify import ColumnNames
from fmnist_ray.errors import AccessDeniedError, CatalogueError, NotFoundError
from fmnist_ray.schema import LABEL, PRODUCT_ID
from fmnist_ray.store import ObjectInfo, RangeFile, Store, open_store, split_uri

_FOOTER_THREADS = 16
_BATCH_ROWS = 1024
_BATCH_BYTES = 32 << 20
"""A batch of rows has at most this many rows, and on average at most this many image bytes."""
_STREAM_BYTES = 1 << 20
"""Column chunks are streamed through a buffer of this size, so that a large row group is never held whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The columns a run reads, resolved against the catalogue's schema."""

    id: str | None
    image: str
    label: str | None
    keep: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """Each column once."""
        wanted = (self.id, self.image, self.label, *self.keep)
        return list(dict.fromkeys(name for name in wanted if name is not None))

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Columns:
        return cls(**{**content, "keep": tuple(content["keep"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class RowBatch:
    """Consecutive rows of one input file."""

    first_row: int
    """Row number of the first of them in the file."""
    images: list[Any]
    """Cells of the image column: bytes, or None."""
    ids: pa.Array
    """Product ids as text, null where there is none."""
    labels: list[Any] | None
    """Cells of the label column."""
    kept: list[pa.Array]
    """The columns to keep, in their order."""

    def __len__(self) -> int:
        return len(self.images)


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
    """One input file, pinned to the version of `info`; `CatalogueError` when it is not Parquet."""
    try:
        return pq.ParquetFile(RangeFile(store, info), buffer_size=_STREAM_BYTES)
    except (pa.ArrowException, OSError) as error:
        raise CatalogueError(
            f"{store.uri}/{info.key} is not a readable Parquet file ({_first_line(error)}): repair or remove it."
        ) from error


def inspect_inputs(store: Store, infos: Sequence[ObjectInfo], names: ColumnNames) -> tuple[list[InputFile], Columns]:
    """Read every footer, check every file for the columns of the run, and return the files and the columns. Nothing is
    read of the rows."""

    def footer(info: ObjectInfo) -> tuple[InputFile, pa.Schema]:
        with open_parquet(store, info) as file:
            metadata = file.metadata
            rows = tuple(metadata.row_group(number).num_rows for number in range(metadata.num_row_groups))
            planned = InputFile(key=info.key, size_bytes=info.size_bytes, etag=info.etag, row_groups=rows)
            return planned, file.schema_arrow

    with ThreadPoolExecutor(_FOOTER_THREADS) as pool:
        footers = list(pool.map(footer, infos))
    first = footers[0][1]
    columns = _resolve(names, first, f"{store.uri}/{infos[0].key}")
    kept = pa.schema([first.field(name) for name in columns.keep])
    for planned, schema in footers:
        _check_file(schema, columns, kept, f"{store.uri}/{planned.key}")
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


def _resolve(names: ColumnNames, schema: pa.Schema, where: str) -> Columns:
    """Fill in the columns that were not named, and refuse those that were named but are not there."""
    asked = [name for name in (names.id, names.image, names.label, *names.keep) if name is not None]
    if missing := [name for name in asked if name not in schema.names]:
        raise CatalogueError(f"{where} has no column {missing[0]!r}; it has {', '.join(schema.names)}.")
    return Columns(
        id=names.id or (PRODUCT_ID if PRODUCT_ID in schema.names else None),
        image=names.image,
        label=names.label or (LABEL if LABEL in schema.names else None),
        keep=tuple(dict.fromkeys(names.keep)),
    )


def _check_file(schema: pa.Schema, columns: Columns, kept: pa.Schema, where: str) -> None:
    if missing := [name for name in columns.names if name not in schema.names]:
        raise CatalogueError(f"{where} has no column {missing[0]!r}, which other files of the catalogue have.")
    for name in columns.names:
        if isinstance(schema.field(name).type, pa.BaseExtensionType):
            raise CatalogueError(f"Column {name!r} of {where} has an extension type; store it as a plain column.")
    image = schema.field(columns.image).type
    if not _holds_bytes(image):
        raise CatalogueError(
            f"Column {columns.image!r} of {where} holds {image}; it must hold encoded image bytes (binary). "
            "Name the right one with --image-column."
        )
    if columns.id is not None and not _is_id(schema.field(columns.id).type):
        raise CatalogueError(
            f"Column {columns.id!r} of {where} holds {schema.field(columns.id).type}; ids are text or "
            "whole numbers. Name the right one with --id-column."
        )
    for field in kept:
        if schema.field(field.name).type != field.type:
            raise CatalogueError(
                f"Column {field.name!r} of {where} holds {schema.field(field.name).type}, in other files {field.type}: "
                "a kept column must have one type."
            )


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and _holds_bytes(field.type) for field in kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _is_id(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_null(kind)
    )


def _is_input(key: str) -> bool:
    return key.endswith(".parquet") and not any(part.startswith(("_", ".")) for part in key.split("/"))


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0].rstrip(". ")
