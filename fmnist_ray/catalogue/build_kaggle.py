"""Rows from the CSV layout in which Kaggle hosts MNIST and Fashion-MNIST: one image per line, one column per pixel."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from fmnist_ray.catalogue.build_files import open_source
from fmnist_ray.catalogue.build_pixels import id_prefix, pixels_batch
from fmnist_ray.errors import CatalogueError
from fmnist_ray.schema import LABEL
from fmnist_ray.store import split_uri

SIDE = 28
_HEADER_BYTES = 1 << 16
_COLUMNS_ERROR = re.compile(r"Row #(\d+): Expected (\d+) columns, got (\d+)")
_VALUE_ERROR = re.compile(r"In CSV column #(\d+): Row #(\d+): .*invalid value '([^']{0,40})")


def kaggle_batches(csv_uri: str) -> Iterator[pa.RecordBatch]:
    """Rows of a catalogue, in the order of the lines: 784 columns of pixels row by row, 0 to 255, below a header, and
    optionally a column `label` with the label id. Plain or gzip.

    Raises `CatalogueError` with the line number where a line has other columns or values.
    """
    prefix = id_prefix(split_uri(csv_uri)[1])
    with open_source(csv_uri) as stream:
        names = _names(stream, csv_uri)
        label = names.index(LABEL) if LABEL in names else None
        first_row = 0
        for block in _blocks(stream, names, csv_uri):
            values = np.stack([column.to_numpy() for column in block.columns], axis=1)
            labels = None if label is None else values[:, label]
            pixels = values if label is None else np.delete(values, label, axis=1)
            yield pixels_batch(prefix, first_row, pixels.reshape(-1, SIDE, SIDE), labels)
            first_row += len(values)


def _names(stream: BinaryIO, uri: str) -> list[str]:
    """The header's column names, the stream being back at its start."""
    line = stream.readline(_HEADER_BYTES).decode("utf-8-sig", errors="replace")
    stream.seek(0)
    names = [name.strip().lower() for name in next(csv.reader([line]), [])]
    num_pixels = len(names) - (LABEL in names)
    if num_pixels != SIDE * SIDE:
        raise CatalogueError(
            f"{uri}, line 1: {num_pixels} columns besides label; the Kaggle layout has {SIDE * SIDE} of pixels, "
            "and optionally one named label."
        )
    if all(name.isdigit() for name in names):
        raise CatalogueError(
            f"{uri}, line 1: numbers, not names; the Kaggle layout starts with label,pixel1,pixel2,..."
        )
    return names


def _blocks(stream: BinaryIO, names: list[str], uri: str) -> Iterator[pa.RecordBatch]:
    keys = [str(number) for number in range(len(names))]
    # In one thread the reader knows the line of an error.
    read = pa_csv.ReadOptions(column_names=keys, skip_rows=1, use_threads=False)
    convert = pa_csv.ConvertOptions(column_types=dict.fromkeys(keys, pa.uint8()), null_values=[])
    try:
        blocks = pa_csv.open_csv(stream, read_options=read, convert_options=convert)
        yield from (block for block in blocks if len(block))
    except pa.ArrowInvalid as error:
        raise CatalogueError(f"{uri}, {_explained(str(error))}") from error


def _explained(message: str) -> str:
    """pyarrow's message without the content of the line, which may be long. Empty lines are not counted by it."""
    if match := _COLUMNS_ERROR.search(message):
        line, expected, found = match.groups()
        return f"line {line}: {found} columns, where the header has {expected}."
    if match := _VALUE_ERROR.search(message):
        column, line, value = match.groups()
        return f"line {line}, column {int(column) + 1}: {value!r} is not a whole number of 0 to 255."
    return f"not a CSV of pixels ({message[:200]})."
