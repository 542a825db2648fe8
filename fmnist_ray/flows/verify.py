"""Proving that a committed run is what was committed: every byte, and every row exactly once."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fmnist_ray.catalogue.commit import Commit
from fmnist_ray.catalogue.plan import Plan
from fmnist_ray.catalogue.receipts import DataFile
from fmnist_ray.catalogue.results import open_results
from fmnist_ray.errors import NotFoundError, VerifyError
from fmnist_ray.schema import ANSWERED
from fmnist_ray.store import Store, open_store


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What was read and found to be right."""

    out_uri: str
    plan_id: str
    num_files: int
    num_rows: int
    size_bytes: int


def verify_run(out_uri: str, *, plan_id: str | None = None) -> Verification:
    """Read every file of the committed run, compare it with its sha256, and count every planned row in predictions (or
    features) and rejects. `VerifyError` names what is missing, changed, lost or doubled."""
    store = open_store(out_uri)
    commit = open_results(out_uri, plan_id=plan_id).commit
    plan = Plan.from_json(store.get(f"plan/{commit.plan_id}.json"))
    rows: dict[str, list[np.ndarray]] = defaultdict(list)
    for file in commit.files:
        data = _checked_bytes(store, file)
        if file.table in (*ANSWERED, "rejects"):
            _collect(pq.read_table(pa.BufferReader(data), columns=["input_file", "input_row"]), rows)
    for planned in plan.inputs:
        _check_rows(planned.key, planned.num_rows, rows.pop(planned.key, []))
    if rows:
        raise VerifyError(f"{store.uri} holds rows of {min(rows)}, which is not in the plan.")
    return _verification(store, commit)


def _checked_bytes(store: Store, file: DataFile) -> bytes:
    try:
        data = store.get(file.key)
    except NotFoundError as error:
        raise VerifyError(f"{store.uri}/{file.key} is missing: restore it, or run with --replace.") from error
    if len(data) != file.size_bytes or hashlib.sha256(data).hexdigest() != file.sha256:
        raise VerifyError(f"{store.uri}/{file.key} was changed since the commit: restore it, or run with --replace.")
    return data


def _collect(table: pa.Table, rows: dict[str, list[np.ndarray]]) -> None:
    """Row numbers of a data file by input file; a shard's file has rows of one only."""
    for key in table.column("input_file").unique().to_pylist():
        rows[key].append(table.column("input_row").to_numpy())


def _check_rows(key: str, num_rows: int, found: list[np.ndarray]) -> None:
    numbers = np.sort(np.concatenate(found)) if found else np.empty(0, np.int64)
    if not np.array_equal(numbers, np.arange(num_rows)):
        doubled = len(numbers) - len(np.unique(numbers))
        lost = num_rows - len(np.unique(numbers))
        raise VerifyError(f"Of {num_rows} rows of {key}, {lost} are lost and {doubled} are doubled.")


def _verification(store: Store, commit: Commit) -> Verification:
    return Verification(
        out_uri=store.uri,
        plan_id=commit.plan_id,
        num_files=len(commit.files),
        num_rows=commit.num_rows,
        size_bytes=sum(file.size_bytes for file in commit.files),
    )
