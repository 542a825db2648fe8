"""Reading a table of features: whose it is, its labels, and its rows, a data file at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fmnist_ray.catalogue.commit import Commit
from fmnist_ray.catalogue.plan import Plan, Shard
from fmnist_ray.catalogue.results import open_results
from fmnist_ray.errors import CatalogueError, ParityError, SettingError
from fmnist_ray.store import Store, open_store


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureFile:
    """The rows of one data file."""

    features: NDArray[np.float32]
    """[n, width]"""
    logits: NDArray[np.float32]
    """[n, labels]: what the network's own head said"""


class FeatureRows:
    """The table of a committed features run. Rows are numbered through all of its files, in catalogue order."""

    def __init__(self, store: Store, commit: Commit) -> None:
        self.uri = store.uri
        self.facts = commit.facts
        """Of the run: its bundle, labels, and more."""
        self._store = store
        self._labels: list[str] = commit.facts["labels"]
        self._plan_id = commit.plan_id
        self._files = [file for file in commit.files if file.table == "features"]
        ends = np.cumsum([0, *(file.num_rows for file in self._files)])
        self._kept_features: dict[int, NDArray[np.float32]] = {}
        self._kept_columns: dict[int, pa.Table] = {}
        self.spans = [slice(int(start), int(end)) for start, end in zip(ends[:-1], ends[1:], strict=True)]
        """Row numbers of each file."""

    @property
    def num_rows(self) -> int:
        return self.spans[-1].stop if self.spans else 0

    def label_ids(self) -> NDArray[np.int64]:
        """Label id of every row [N], -1 where it has none."""
        values = pa.array(self._labels, pa.string())
        parts = [pc.index_in(self._read(number, ["label"]).column("label"), values) for number in self._numbers]
        found = [pc.fill_null(part, -1).combine_chunks().to_numpy(zero_copy_only=False) for part in parts]
        return np.concatenate([np.empty(0, np.int64), *found]).astype(np.int64)

    def catalogue_rows(self) -> NDArray[np.int64]:
        """For every row [N], its number counted over all files of the catalogue."""
        inputs = self.plan().inputs
        starts = dict(
            zip((file.key for file in inputs), accumulate([0, *(file.num_rows for file in inputs)]), strict=False)
        )
        found = [np.empty(0, np.int64)]
        for number in self._numbers:
            table = self._read(number, ["input_file", "input_row"])
            key = table.column("input_file")[0].as_py()  # a shard's file has rows of one only
            found.append(starts[key] + table.column("input_row").to_numpy())
        return np.concatenate(found)

    def read(self, number: int) -> FeatureFile:
        """All rows of a file. `CatalogueError` where it can't be read or holds what is no number."""
        table = self._read(number, ["features", "logits"])
        features = self._checked(number, _matrix(table.column("features")))
        return FeatureFile(features=features, logits=_matrix(table.column("logits")))

    def features(self, number: int) -> NDArray[np.float32]:
        """The features [n, width] of a file alone. Safe to call from several threads; raises as `read`."""
        if number in self._kept_features:
            return self._kept_features[number]
        return self._checked(number, _matrix(self._read(number, ["features"]).column("features")))

    def keep(self, columns: Sequence[str], *, max_bytes: int) -> None:
        """Hold the features, and these columns, in memory from now on, unless the features are larger."""
        width = self.features(0).shape[1] if self.spans else 0
        if self.num_rows * width * np.dtype(np.float32).itemsize <= max_bytes:
            self._kept_features = {number: self.features(number) for number in self._numbers}
            self._kept_columns = {number: self._read(number, columns) for number in self._numbers}

    def find(self, catalogue_row: int) -> int | None:
        """The number of the row that is `catalogue_row` of the catalogue, counted over all of its files; None where the
        catalogue has no such row, or it has no features because its image was rejected."""
        starts = list(accumulate((file.num_rows for file in self.plan().inputs), initial=0))
        for number, span in enumerate(self.spans):
            shard = Shard.from_id(self._files[number].key.rpartition("/")[2].rpartition("-")[0])
            row = catalogue_row - starts[shard.file]
            if shard.start <= row < shard.stop:
                rows = self._read(number, ["input_row"]).column("input_row").to_numpy()
                position = int(np.searchsorted(rows, row))
                return span.start + position if row in rows[position : position + 1] else None
        return None

    def cells(self, rows: Sequence[int], columns: Sequence[str]) -> list[dict[str, Any]]:
        """Some columns of some rows, in their order."""
        found: dict[int, dict[str, Any]] = {}
        for number, span in enumerate(self.spans):
            inside = [row for row in rows if span.start <= row < span.stop]
            if inside:
                table = self._read(number, columns).take([row - span.start for row in inside])
                found.update(zip(inside, table.to_pylist(), strict=True))
        return [found[row] for row in rows]

    def _checked(self, number: int, features: NDArray[np.float32]) -> NDArray[np.float32]:
        if np.isfinite(features.sum(dtype=np.float64)):  # no sum of finite 32-bit numbers is infinite in 64
            return features
        bad = int((~np.isfinite(features).all(axis=1)).sum())
        if bad:
            raise CatalogueError(
                f"{bad} of {len(features)} rows of {self.uri}/{self._files[number].key} have features that are no "
                "numbers (NaN or infinite): look at their images, and run fmnist-ray features anew."
            )
        return features

    def take(self, rows: NDArray[np.int64]) -> FeatureFile:
        """The rows of these numbers, ascending."""
        parts = []
        for number, span in enumerate(self.spans):
            chosen = rows[(rows >= span.start) & (rows < span.stop)] - span.start
            if len(chosen):
                file = self.read(number)
                parts.append((file.features[chosen], file.logits[chosen]))
        features, logits = (np.concatenate(values) for values in zip(*parts, strict=True))
        return FeatureFile(features=features, logits=logits)

    def places(self, rows: NDArray[np.int64]) -> list[tuple[str, int]]:
        """Input file and row of each of some rows, in their order."""
        found = self.cells(rows.tolist(), ["input_file", "input_row"])
        return [(cell["input_file"], cell["input_row"]) for cell in found]

    def plan(self) -> Plan:
        """The plan of the run that wrote the table."""
        return Plan.from_json(self._store.get(f"plan/{self._plan_id}.json"))

    @property
    def _numbers(self) -> range:
        return range(len(self._files))

    def _read(self, number: int, columns: Sequence[str]) -> pa.Table:
        if number in self._kept_columns and set(columns) <= set(self._kept_columns[number].column_names):
            return self._kept_columns[number].select(list(columns))
        key = self._files[number].key
        try:
            file = pq.ParquetFile(pa.BufferReader(self._store.get(key)))
            if missing := set(columns) - set(file.schema_arrow.names):
                raise CatalogueError(
                    f"{self.uri} has no column {min(missing)!r}: add it to --keep of the features run."
                )
            return file.read(columns=list(columns), use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise CatalogueError(
                f"{self.uri}/{key} can't be read as Parquet: restore it, or run fmnist-ray features with --replace."
            ) from error


def open_features(uri: str, *, bundle_digest: str | None = None) -> FeatureRows:
    """The features at `uri`, if they are those of the bundle with that digest; of any where it is None.

    `IncompleteError` while nothing is committed there, `SettingError` where it is no such table, `ParityError` where
    another bundle made it.
    """
    commit = open_results(uri).commit
    facts = commit.facts
    if facts.get("table") != "features":
        raise SettingError(f"{uri} holds predictions, no features: name the --out of a fmnist-ray features.")
    if facts["layer"] is not None:
        raise SettingError(f"{uri} holds the layer {facts['layer']}; the layer before the logits is needed.")
    if bundle_digest is not None and facts["bundle_digest"] != bundle_digest:
        raise ParityError(
            f"{uri} holds features of bundle {facts['bundle_digest'][:12]}, not of {bundle_digest[:12]}: run "
            "fmnist-ray features with this bundle, or name the other one."
        )
    return FeatureRows(open_store(uri), commit)


def _matrix(column: pa.ChunkedArray) -> NDArray[np.float32]:
    cells = column.combine_chunks()
    values: NDArray[np.float32] = cells.flatten().to_numpy(zero_copy_only=False)
    return values.reshape(len(cells), -1)
