"""Receipts: the memory of a run. A shard is done when its receipt is there, and the receipt is written after its data.

Data files carry the name of the attempt, so attempts never overwrite each other; the receipt says whose files count.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from fmnist_ray.catalogue.plan import Plan, Shard, canonical_json
from fmnist_ray.schema import ANSWERED
from fmnist_ray.store import Store

_THREADS = 16
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """One Parquet file of a run."""

    table: str
    """predictions, features, rejects or samples"""
    key: str
    """Name below the output place."""
    size_bytes: int
    num_rows: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A shard is done: these files hold its rows."""

    plan_id: str
    shard: str
    attempt: str
    num_predictions: int
    """Rows that are no rejects; in a features run too."""
    num_rejects: int
    files: tuple[DataFile, ...]
    statistics: dict[str, Any]
    """Mergeable counts of the shard's rows; see `reports.statistics`."""

    @property
    def num_rows(self) -> int:
        return self.num_predictions + self.num_rejects

    def to_json(self) -> bytes:
        return canonical_json(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, data: bytes) -> Receipt:
        content = json.loads(data)
        return cls(**{**content, "files": tuple(DataFile(**item) for item in content["files"])})


def write_shard(
    store: Store,
    plan: Plan,
    shard: Shard,
    attempt: str,
    tables: Mapping[str, tuple[bytes, int]],
    statistics: dict[str, Any],
) -> Receipt:
    """Write the files of an attempt, then the shard's receipt, and return the receipt that counts: this attempt's, or
    that of another one which was faster, or of an earlier try of this very write whose answer was lost."""
    files = []
    for table, (data, num_rows) in tables.items():
        key = f"data/{plan.plan_id}/{shard.id}-{attempt}.{table}.parquet"
        store.put(key, data)
        sha256 = hashlib.sha256(data).hexdigest()
        files.append(DataFile(table=table, key=key, size_bytes=len(data), num_rows=num_rows, sha256=sha256))
    rows = {file.table: file.num_rows for file in files}
    receipt = Receipt(
        plan_id=plan.plan_id,
        shard=shard.id,
        attempt=attempt,
        num_predictions=sum(rows.get(table, 0) for table in ANSWERED),
        num_rejects=rows.get("rejects", 0),
        files=tuple(files),
        statistics=statistics,
    )
    key = _receipt_key(plan.plan_id, shard.id)
    if store.put_if_absent(key, receipt.to_json()):
        return receipt
    winner = _parse(store.get(key), shard)
    if winner is None:
        store.put(key, receipt.to_json())
        return receipt
    return winner


def adopt_receipt(store: Store, plan: Plan, receipt: Receipt) -> None:
    """Let a shard of `plan` be done by the receipt of another plan, whose files it takes over."""
    adopted = dataclasses.replace(receipt, plan_id=plan.plan_id)
    store.put_if_absent(_receipt_key(plan.plan_id, receipt.shard), adopted.to_json())


def read_receipts(store: Store, plan: Plan, known: Mapping[str, Receipt] | None = None) -> dict[str, Receipt]:
    """The receipts of a plan by shard id. One that can't be read is left out with a warning: its shard is redone. Those
    `known` from an earlier look are not read again: a receipt never changes."""
    shards = {shard.id: shard for shard in plan.shards}
    receipts = dict(known or {})
    listed = (info.key for info in store.list(_receipt_key(plan.plan_id, "").removesuffix(".json")))
    names = {key.rpartition("/")[2].removesuffix(".json"): key for key in listed}
    new = [(shard_id, key) for shard_id, key in names.items() if shard_id in shards and shard_id not in receipts]
    for (shard_id, key), data in zip(new, _contents(store, [key for _, key in new]), strict=True):
        receipt = _parse(data, shards[shard_id])
        if receipt is None:
            _LOG.warning("The receipt %s is unreadable; its shard is done again.", key)
        else:
            receipts[shard_id] = receipt
    return receipts


def _contents(store: Store, keys: Sequence[str]) -> Iterator[bytes]:
    """The objects in order, side by side where they are many: on S3 each is a request of some 20 ms."""
    if len(keys) < _THREADS:
        yield from map(store.get, keys)
        return
    with ThreadPoolExecutor(_THREADS) as pool:
        yield from pool.map(store.get, keys)


def _parse(data: bytes, shard: Shard) -> Receipt | None:
    try:
        receipt = Receipt.from_json(data)
    except (ValueError, KeyError, TypeError):
        return None
    return receipt if receipt.shard == shard.id and receipt.num_rows == shard.num_rows else None


def _receipt_key(plan_id: str, shard_id: str) -> str:
    return f"receipts/{plan_id}/{shard_id}.json"
