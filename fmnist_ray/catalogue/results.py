"""Reading a committed run. Nothing is listed: the commit names the files, so a reader sees a whole run or none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fmnist_ray.catalogue.commit import Commit, read_commit
from fmnist_ray.catalogue.nights import newest_night, night_uri
from fmnist_ray.errors import IncompleteError
from fmnist_ray.schema import CONTRADICTIONS, FEATURES, PREDICTIONS, REJECTS, SAMPLES
from fmnist_ray.store import Store, open_store

_SCHEMAS = {
    "predictions": PREDICTIONS,
    "features": FEATURES,
    "rejects": REJECTS,
    "samples": SAMPLES,
    "contradictions": CONTRADICTIONS,
}


class Results:
    """The tables of one committed run, in the order of the catalogue's rows."""

    def __init__(self, store: Store, commit: Commit) -> None:
        self._store = store
        self.commit = commit

    @property
    def uri(self) -> str:
        """The output place."""
        return self._store.uri

    def predictions(self) -> pa.Table:
        """One row per classified input row; columns of `schema.PREDICTIONS`, then those that were kept."""
        return self.table("predictions")

    def features(self) -> pa.Table:
        """Of a features run, one row per usable input row; columns of `schema.FEATURES`, then those that were kept."""
        return self.table("features")

    def rejects(self) -> pa.Table:
        """One row per input row without a prediction; columns of `schema.REJECTS`, then those that were kept."""
        return self.table("rejects")

    def samples(self) -> pa.Table:
        """A few rows per class and reason, with thumbnails; columns of `schema.SAMPLES`."""
        return self.table("samples")

    def contradictions(self) -> pa.Table:
        """Rows whose category in the catalogue is another class than the photo surely shows, the surest first; columns
        of `schema.CONTRADICTIONS`."""
        return self.table("contradictions").sort_by([("confidence", "descending")])

    def report(self) -> dict[str, Any]:
        """The numbers of the run's report. `NotFoundError` where it was not written; `fmnist-ray report OUT` does."""
        content: dict[str, Any] = json.loads(self._store.get(report_key(self.commit.plan_id, "json")))
        return content

    def files(self, table: str) -> list[str]:
        """URIs of the Parquet files of a table, for engines that take a list of files (DuckDB, pandas, Spark)."""
        return [f"{self._store.uri}/{file.key}" for file in self.commit.files if file.table == table]

    def contents(self, table: str) -> Iterator[bytes]:
        """The Parquet files of a table, one after the other."""
        return (self._store.get(file.key) for file in self.commit.files if file.table == table)

    def table(self, name: str) -> pa.Table:
        """All rows of `predictions`, `features`, `rejects`, `samples` or `contradictions`."""
        tables = [pq.ParquetFile(pa.BufferReader(data)).read() for data in self.contents(name)]
        return pa.concat_tables(tables) if tables else _SCHEMAS[name].empty_table()


def open_results(uri: str, *, plan_id: str | None = None) -> Results:
    """The committed run at `uri`, or the earlier run of `plan_id` that it took the place of. The root of nights stands
    for the newest one that was published.

    `IncompleteError` while nothing is committed there.
    """
    store = open_store(uri)
    commit = read_commit(store, plan_id)
    if commit is None and plan_id is None and (night := newest_night(store)) is not None:
        store = open_store(night_uri(uri, night.date))
        commit = read_commit(store)
    if commit is None:
        wanted = "run" if plan_id is None else f"run of plan {plan_id}"
        raise IncompleteError(f"No committed {wanted} at {uri}: start it or complete it with fmnist-ray classify.")
    return Results(store, commit)


def report_key(plan_id: str, ending: str) -> str:
    """Where the report of a run lies below its output place."""
    return f"report/{plan_id}/report.{ending}"
