"""The failure budget: a run whose rejects are too many is not committed before somebody has looked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.parquet as pq

from fmnist_ray.catalogue.receipts import Receipt
from fmnist_ray.errors import RejectBudgetError
from fmnist_ray.reports.statistics import RunStatistics
from fmnist_ray.store import Store

_ALWAYS_ALLOWED = 20
"""Rejects that no budget minds: one broken photo of ten is no outage."""


def check_rejects(out: Store, receipts: Mapping[str, Receipt], *, max_share: float) -> None:
    """`RejectBudgetError` when more than `max_share` of the rows, and more than a few, are rejected."""
    num_rejects = sum(receipt.num_rejects for receipt in receipts.values())
    num_rows = sum(receipt.num_rows for receipt in receipts.values())
    if num_rejects <= max(_ALWAYS_ALLOWED, max_share * num_rows):
        return
    reasons: Counter[str] = Counter()
    for receipt in receipts.values():
        reasons.update(RunStatistics.from_dict(receipt.statistics).rejects_by_reason)
    told = ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common())
    raise RejectBudgetError(
        f"{num_rejects:,} of {num_rows:,} rows are rejected ({told}), more than --max-rejects {max_share:.4g} allows; "
        f"nothing was committed. {_example(out, receipts, reasons.most_common(1)[0][0])} Correct the catalogue, or run "
        "the same command with --accept-rejects: what is done is kept."
    )


def _example(out: Store, receipts: Mapping[str, Receipt], reason: str) -> str:
    """A row to look at, from the shard with the most rejects."""
    worst = max(receipts.values(), key=lambda receipt: receipt.num_rejects)
    [file] = [file for file in worst.files if file.table == "rejects"]
    rejects = pq.read_table(pa.BufferReader(out.get(file.key))).to_pylist()
    row = next((row for row in rejects if row["reason"] == reason), rejects[0])
    return (
        f"Look at row {row['input_row']:,} of {row['input_file']}, product {row['product_id']}: {row['reason']}, "
        f"{row['detail'].rstrip('. ')}. All such rows of that shard are in {out.uri}/{file.key}."
    )
