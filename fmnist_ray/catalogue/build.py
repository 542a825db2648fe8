"""Building a catalogue: rows in, Parquet files of bounded size out, the same ones for the same rows.

The modules `build_*` read the rows; this one writes them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from fmnist_ray.errors import CatalogueError, RefusedError
from fmnist_ray.schema import IMAGE, LABEL, PRODUCT_ID
from fmnist_ray.store import Store

UNFINISHED = "_unfinished"
"""Lies in a catalogue while it is being built. One that a killed build left behind is no catalogue; the next build
takes its place."""

_GROUP_ROWS = 5_000
_GROUP_BYTES = 64 << 20
_FILE_BYTES = 128 << 20
"""A row group, and a file, ends at its number of rows or its bytes, whichever comes first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenCatalogue:
    """What a build wrote."""

    num_rows: int
    num_files: int
    size_bytes: int
    labelled: bool


def catalogue_batch(ids: list[str], images: list[bytes] | list[str], labels: pa.Array | None) -> pa.RecordBatch:
    """Rows as a catalogue has them: `product_id`, `image` (encoded bytes, or places) and, where known, `label`."""
    kind = pa.string() if images and isinstance(images[0], str) else pa.binary()
    columns = {PRODUCT_ID: pa.array(ids, pa.string()), IMAGE: pa.array(images, kind)}
    return pa.RecordBatch.from_pydict(columns if labels is None else {**columns, LABEL: labels})


def write_catalogue(
    batches: Iterator[pa.RecordBatch], store: Store, *, rows_per_file: int, replace: bool
) -> WrittenCatalogue:
    """Write the rows below the root of `store`. Memory is bounded by one file, whatever the number of rows.

    Raises `RefusedError` where Parquet files are and `replace` is not set. What is there is removed only after the
    first rows were read; a build that fails removes what it wrote.
    """
    parquet, finished = _what_is_there(store)
    if parquet and finished and not replace:
        raise RefusedError(
            f"{store.uri} already holds {len(parquet)} Parquet files, such as {parquet[0]}: "
            "name another place, or pass --replace to remove them."
        )
    first = next(batches, None)
    if first is None:
        raise CatalogueError("The source holds no images.")
    store.put(UNFINISHED, b"")
    for key in parquet:
        store.delete(key)
    written = []
    try:
        num_rows = size_bytes = 0
        for number, table in enumerate(_tables(itertools.chain([first], batches), rows_per_file)):
            data = _parquet(table)
            written.append(f"part-{number:05d}.parquet")
            store.put(written[-1], data)
            num_rows += len(table)
            size_bytes += len(data)
    except BaseException:  # also on Ctrl-C, nothing half-built stays
        for key in written:
            store.delete(key)
        raise
    finally:
        store.delete(UNFINISHED)
    return WrittenCatalogue(
        num_rows=num_rows, num_files=len(written), size_bytes=size_bytes, labelled=LABEL in first.schema.names
    )


def is_built(store: Store) -> bool:
    """Whether a finished build is there."""
    parquet, finished = _what_is_there(store)
    return bool(parquet) and finished


def _what_is_there(store: Store) -> tuple[list[str], bool]:
    """The keys of Parquet files, and whether no build is unfinished."""
    keys = [info.key for info in store.list()]
    return [key for key in keys if key.endswith(".parquet")], UNFINISHED not in keys


def _tables(batches: Iterator[pa.RecordBatch], rows_per_file: int) -> Iterator[pa.Table]:
    """The rows, cut into one table per file."""
    gathered: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        while len(batch):
            part = batch.slice(0, rows_per_file - rows)
            batch = batch.slice(len(part))
            gathered.append(part)
            rows += len(part)
            size += part.nbytes
            if rows == rows_per_file or size >= _FILE_BYTES:
                yield pa.Table.from_batches(gathered)
                gathered, rows, size = [], 0, 0
    if gathered:
        yield pa.Table.from_batches(gathered)


def _parquet(table: pa.Table) -> bytes:
    group_rows = min(_GROUP_ROWS, max(1, _GROUP_BYTES * len(table) // table.nbytes))
    buffer = pa.BufferOutputStream()
    pq.write_table(
        table,
        buffer,
        row_group_size=group_rows,
        # Encoded images do not compress, repeat or sort.
        compression={field.name: "none" if pa.types.is_binary(field.type) else "zstd" for field in table.schema},
        use_dictionary=[LABEL],
        write_page_checksum=True,
        write_statistics=[name for name in table.schema.names if name != IMAGE],
    )
    return bytes(buffer.getvalue())
