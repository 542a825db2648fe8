"""The review queue of a run: rows that people should look at, in order, and a random sample to judge a night by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fmnist_ray.catalogue.commit import Commit
from fmnist_ray.catalogue.plan import Plan
from fmnist_ray.catalogue.receipts import DataFile
from fmnist_ray.catalogue.row_images import read_chosen
from fmnist_ray.catalogue.samples import row_orders
from fmnist_ray.catalogue.writer import encode_table
from fmnist_ray.config.images import ImageLimits
from fmnist_ray.images.thumbnail import thumbnail
from fmnist_ray.reports.review_page import QueuedRow, review_page
from fmnist_ray.schema import REVIEW_QUEUE, Decision
from fmnist_ray.store import Store

AUDIT_ROWS = 300
"""Rows drawn at random from all predictions: if some 240 of them were accepted and all of these are right, the night's
precision is above 98.5 %, by the exact 95 % interval."""
_SHOWN = 120


def write_queue(store: Store, commit: Commit) -> str | None:
    """Write `queue.parquet` and `queue.html` beside a run, and return the page's URI; None where nothing was promised,
    so that no row is to be reviewed. Rows to audit come first, then those that may be the most classes, and of them
    those that are most likely wrong."""
    if commit.facts.get("thresholds") is None:
        return None
    table = pa.concat_tables([REVIEW_QUEUE.empty_table(), *_chosen(store, commit)])
    table = table.take(pa.array(_review_order(table)))
    store.put(queue_key(commit.plan_id, "parquet"), encode_table(table))
    shown = table.slice(0, _SHOWN).to_pylist()
    plan = Plan.from_json(store.get(f"plan/{commit.plan_id}.json"))
    images = read_chosen(plan, [(row["input_file"], row["input_row"]) for row in shown])
    limits = ImageLimits()
    pictures = [None if image is None else thumbnail(image, limits) for image in images]
    rows = [QueuedRow(row=row, thumbnail=picture) for row, picture in zip(shown, pictures, strict=True)]
    page = queue_key(commit.plan_id, "html")
    num_audit = int(pc.sum(table.column("audit")).as_py() or 0)
    store.put(page, review_page(rows, num_rows=len(table), num_audit=num_audit, plan_id=commit.plan_id))
    return f"{store.uri}/{page}"


def queue_key(plan_id: str, ending: str) -> str:
    """Where the queue of a run lies below its output place."""
    return f"review/{plan_id}/queue.{ending}"


def _chosen(store: Store, commit: Commit) -> Iterator[pa.Table]:
    """The rows of the queue, a data file at a time; of the rows to audit a few more than needed, dropped at the end."""
    files = [file for file in commit.files if file.table == "predictions"]
    limit = _audit_limit(store, files)
    for file in files:
        rows = pq.ParquetFile(pa.BufferReader(store.get(file.key))).read(columns=_columns())
        orders = _orders(rows)
        audit = orders <= limit
        review = pc.equal(rows.column("decision"), str(Decision.REVIEW)).to_numpy()
        kept = np.flatnonzero(audit | review)
        confidences = rows.column("confidence").to_numpy()
        rows = rows.append_column("value", pa.array(1 - confidences, pa.float32()))
        rows = rows.append_column("audit", pa.array(audit)).append_column("order", pa.array(orders, pa.uint64()))
        yield rows.select(REVIEW_QUEUE.names).take(pa.array(kept)).cast(REVIEW_QUEUE)


def _review_order(table: pa.Table) -> NDArray[np.int64]:
    """The order in which people see the rows. A row that is typical of no class is no more ambiguous for that: classes
    that are easily told have rows with high confidence and an empty set."""
    audit, value, order = (table.column(name).to_numpy() for name in ("audit", "value", "order"))
    sizes = pc.list_value_length(table.column("label_set")).to_numpy()
    return np.lexsort((order, -value, -np.maximum(sizes, 1), ~audit))


def _audit_limit(store: Store, files: Sequence[DataFile]) -> int:
    """The order up to which rows are audited: that of the last of `AUDIT_ROWS`."""
    lowest = np.empty(0, np.uint64)
    for file in files:
        rows = pq.ParquetFile(pa.BufferReader(store.get(file.key))).read(columns=["input_file", "input_row"])
        lowest = np.sort(np.concatenate([lowest, _orders(rows)]))[:AUDIT_ROWS]
    return int(lowest[-1]) if len(lowest) else 0


def _orders(rows: pa.Table) -> NDArray[np.uint64]:
    """A random number for each row that depends on nothing but its place in the catalogue."""
    numbers = rows.column("input_row").to_numpy()
    if not len(numbers):
        return np.empty(0, np.uint64)
    first = int(numbers.min())
    orders = row_orders(rows.column("input_file")[0].as_py(), first, int(numbers.max()) - first + 1)
    return np.asarray(orders[numbers - first])


def _columns() -> list[str]:
    return [name for name in REVIEW_QUEUE.names if name not in ("value", "audit", "order")]
