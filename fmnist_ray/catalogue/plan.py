"""The plan: every shard of a run, fixed before any work.

The plan id is a hash over all that changes results: the input files with their etags, the columns, and the promises
(bundle digest, precision, limits, ...). The same command gives the same id and so finds its own earlier work; anything
else gives another id and is never mixed in. How the rows are cut into shards does not change results and is not in the
id: the stored plan of the first run decides.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fmnist_ray.errors import StoreError

PLAN_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFile:
    """One Parquet file of the catalogue, pinned to the version that was planned."""

    key: str
    """Name below the catalogue's root; `input_file` of every row from it."""
    size_bytes: int
    etag: str
    row_groups: tuple[int, ...]
    """Rows of each row group."""

    @property
    def num_rows(self) -> int:
        return sum(self.row_groups)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """The unit of work and of restart: rows `start` to `stop` (exclusive) of one input file."""

    id: str
    file: int
    """Position in the plan's input files."""
    start: int
    stop: int

    @property
    def num_rows(self) -> int:
        return self.stop - self.start

    @classmethod
    def from_id(cls, shard_id: str) -> Shard:
        """The rows that an id names: those of a planned shard, or a part of them."""
        file, start, stop = map(int, shard_id.split("-"))
        return cls(id=shard_id, file=file, start=start, stop=stop)

    def halves(self) -> list[Shard]:
        """The rows in two parts; one row is its own only part."""
        middle = (self.start + self.stop) // 2
        bounds = [(self.start, middle), (middle, self.stop)]
        return [_shard(self.file, start, stop) for start, stop in bounds if start < stop]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All shards of a run. Immutable once stored."""

    plan_id: str
    catalogue_uri: str
    """Root that the input files' keys are relative to."""
    inputs: tuple[InputFile, ...]
    shards: tuple[Shard, ...]
    columns: dict[str, Any]
    """Columns of the catalogue that are read; see `reader.Columns`."""
    promises: dict[str, Any]
    """Everything else that changes results."""

    @property
    def num_rows(self) -> int:
        return sum(shard.num_rows for shard in self.shards)

    def to_json(self) -> bytes:
        return canonical_json({"plan_version": PLAN_VERSION, **dataclasses.asdict(self)})

    @classmethod
    def from_json(cls, data: bytes) -> Plan:
        content = json.loads(data)
        if content.pop("plan_version") != PLAN_VERSION:
            raise StoreError("The stored plan was made by another version of fmnist-ray: use that one, or --replace.")
        inputs = tuple(InputFile(**{**item, "row_groups": tuple(item["row_groups"])}) for item in content["inputs"])
        shards = tuple(Shard(**item) for item in content["shards"])
        return cls(**{**content, "inputs": inputs, "shards": shards})


def make_plan(
    *,
    catalogue_uri: str,
    inputs: Sequence[InputFile],
    columns: Mapping[str, Any],
    promises: Mapping[str, Any],
    shard_rows: int | None,
) -> Plan:
    """Cut the inputs into shards and name the whole by what changes its results."""
    identity = {
        "plan_version": PLAN_VERSION,
        "inputs": [[file.key, file.size_bytes, file.etag, file.num_rows] for file in inputs],
        "columns": dict(columns),
        "promises": dict(promises),
    }
    num_rows = sum(file.num_rows for file in inputs)
    limit = shard_rows or min(10_000, max(1_000, -(-num_rows // 16)))
    shards = tuple(shard for number, file in enumerate(inputs) for shard in _cut(number, file.row_groups, limit))
    return Plan(
        plan_id=hashlib.sha256(canonical_json(identity)).hexdigest()[:20],
        catalogue_uri=catalogue_uri,
        inputs=tuple(inputs),
        shards=shards,
        columns=dict(columns),
        promises=dict(promises),
    )


def _cut(file: int, row_groups: Sequence[int], limit: int) -> Iterator[Shard]:
    """Shards of one file: whole row groups while they fit; a larger row group in equal parts, since a reader that
    wants the middle of a row group has to skip through its beginning."""
    start = stop = 0
    for rows in row_groups:
        if stop > start and stop - start + rows > limit:
            yield _shard(file, start, stop)
            start = stop
        if rows > limit:
            parts = -(-rows // limit)
            for part in range(parts):
                yield _shard(file, start + rows * part // parts, start + rows * (part + 1) // parts)
            start += rows
        stop += rows
    if stop > start:
        yield _shard(file, start, stop)


def _shard(file: int, start: int, stop: int) -> Shard:
    return Shard(id=f"{file:05d}-{start:010d}-{stop:010d}", file=file, start=start, stop=stop)


def canonical_json(value: Any) -> bytes:
    """One spelling for equal values, so that hashes and stored bytes agree."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
