"""A committed run in a Delta table: its files registered where they lie, in one transaction; nothing is copied."""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

import pyarrow as pa
import pyarrow.parquet as pq

from fmnist_ray.catalogue.results import Results
from fmnist_ray.errors import SettingError, StoreError
from fmnist_ray.schema import PREDICTIONS
from fmnist_ray.store import open_store

RUN_COLUMN = "run"
"""Partition column: where below the table's place the run's output is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedTable:
    """A Delta table that holds the predictions of a run."""

    table_uri: str
    version: int
    """The table's newest version; every Delta reader sees it whole."""
    run: str
    """Value of `RUN_COLUMN` in the rows of this run."""
    num_files: int


def publish_delta(results: Results, table_uri: str) -> PublishedTable:
    """Make the predictions of a committed run a partition of the Delta table at `table_uri`, in place of what was
    published from the same output place before. Where the table shows just these files already, it stays as it is.

    Raises `SettingError` where the output place is not at or below the table's, or the extra is missing; `StoreError`
    where the table does not show the run afterwards.
    """
    deltalake = _library()
    uri = open_store(table_uri).uri
    if results.uri != uri and not results.uri.startswith(f"{uri}/"):
        raise SettingError(f"{results.uri} must lie at or below the Delta table {uri}: files are registered in place.")
    run = results.uri.removeprefix(uri).strip("/") or "."
    options = _storage_options(uri)
    files = _files(results, run)
    if not deltalake.DeltaTable.is_deltatable(uri, options):
        schema = _schema(results)
        deltalake.DeltaTable.create(uri, schema, mode="ignore", partition_by=[RUN_COLUMN], storage_options=options)
    table = deltalake.DeltaTable(uri, storage_options=options)
    if not _shows(table, run, files):
        # A commit whose answer was lost fails though it was made: what the table shows afterwards decides.
        with contextlib.suppress(deltalake.exceptions.CommitFailedError):
            table.create_write_transaction(
                files,
                mode="overwrite",
                schema=table.schema(),
                partition_by=[RUN_COLUMN],
                partition_filters=[(RUN_COLUMN, "=", run)],
            )
        table = deltalake.DeltaTable(uri, storage_options=options)
    if not _shows(table, run, files):
        raise StoreError(f"The Delta table {uri} was changed by somebody else at the same time: run the same again.")
    return PublishedTable(table_uri=uri, version=table.version(), run=run, num_files=len(files))


def _shows(table: Any, run: str, files: list[Any]) -> bool:
    """Whether the partition of the run has these files and no others."""
    shown = {
        unquote(uri).rpartition("/data/")[2] for uri in table.file_uris(file_pruning_predicate=[(RUN_COLUMN, "=", run)])
    }
    return shown == {unquote(file.path).rpartition("data/")[2] for file in files}


def _files(results: Results, run: str) -> list[Any]:
    from deltalake.transaction import AddAction

    return [
        AddAction(
            quote(file.key if run == "." else f"{run}/{file.key}", safe="/=-_.:"),
            file.size_bytes,
            {RUN_COLUMN: run},
            int(time.time() * 1000),
            True,
            json.dumps({"numRecords": file.num_rows}),
        )
        for file in results.commit.files
        if file.table == "predictions"
    ]


def _schema(results: Results) -> pa.Schema:
    data = next(results.contents("predictions"), None)
    schema = PREDICTIONS if data is None else pq.read_schema(pa.BufferReader(data))
    if RUN_COLUMN in schema.names:
        raise SettingError(f"The kept column {RUN_COLUMN!r} has the name of the table's partition; do not keep it.")
    fields = [field.with_type(_delta_type(field.type)) for field in schema]
    return pa.schema([*fields, pa.field(RUN_COLUMN, pa.string())])


def _delta_type(kind: pa.DataType) -> pa.DataType:
    """Delta knows fewer types than Parquet."""
    return pa.binary() if pa.types.is_fixed_size_binary(kind) else kind


def _storage_options(uri: str) -> dict[str, str]:
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if not uri.startswith("s3://") or not endpoint:
        return {}
    return {"AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": str(endpoint.startswith("http://")).lower()}


def _library() -> Any:
    try:
        import deltalake
        import deltalake.exceptions
    except ImportError as error:
        raise SettingError("--publish-delta needs the extra: pip install 'fmnist-ray[delta]'.") from error
    return deltalake
