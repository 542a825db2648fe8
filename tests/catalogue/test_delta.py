"""Publishing runs as partitions of a Delta table; needs the extra."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from fmnist_ray.catalogue.carry import ANSWER_COLUMNS
from fmnist_ray.catalogue.commit import claim, commit_run
from fmnist_ray.catalogue.delta import publish_delta
from fmnist_ray.catalogue.plan import InputFile, make_plan
from fmnist_ray.catalogue.receipts import write_shard
from fmnist_ray.catalogue.results import Results, open_results
from fmnist_ray.catalogue.writer import encode_table
from fmnist_ray.errors import SettingError
from fmnist_ray.schema import PREDICTIONS
from fmnist_ray.store import open_store

deltalake = pytest.importorskip("deltalake")

ROW = {
    "image_digest": b"0123456789abcdef",
    "label": "Bag",
    "label_id": 8,
    "confidence": 0.5,
    "cnn_label": "Bag",
    "cnn_confidence": 0.5,
    "status": "classified",
    "bundle_digest": "d",
}


def commit(out_uri: str, num_rows: int, bundle: str = "b1") -> Results:
    """A committed run with that many predictions, in shards of two."""
    assert set(ANSWER_COLUMNS) | {"image_digest"} >= set(ROW)
    store = open_store(out_uri)
    file = InputFile(key="in.parquet", size_bytes=1, etag="e", row_groups=(num_rows,))
    planned = make_plan(catalogue_uri="c", inputs=[file], columns={}, promises={"bundle": bundle}, shard_rows=2)
    plan = claim(store, planned, replace=True)
    receipts = {}
    for shard in plan.shards:
        rows = [
            {**ROW, "product_id": bundle, "input_file": "in.parquet", "input_row": row}
            for row in range(shard.start, shard.stop)
        ]
        known = [{name: row.get(name) for name in PREDICTIONS.names} for row in rows]
        table = pa.Table.from_pylist(known, PREDICTIONS)
        tables = {"predictions": (encode_table(table), len(table))}
        receipts[shard.id] = write_shard(store, plan, shard, "a", tables, {})
    commit_run(store, plan, receipts, statistics={}, facts={})
    return open_results(out_uri)


def count(uri: str, options: dict[str, str] | None = None) -> dict[tuple[str, str], int]:
    """Rows by run and product id, as a reader of Delta sees them."""
    table = deltalake.DeltaTable(uri, storage_options=options)
    query = deltalake.QueryBuilder().register("t", table)
    found: dict[str, Any] = pa.table(
        query.execute("SELECT run, product_id, label, count(*) AS n FROM t GROUP BY run, product_id, label").read_all()
    ).to_pydict()
    assert set(found["label"]) == {"Bag"}
    return dict(zip(zip(found["run"], found["product_id"], strict=True), found["n"], strict=True))


def test_nights_are_partitions_and_a_night_is_replaced_whole(tmp_path: Path) -> None:
    table = str(tmp_path / "nights")
    first = publish_delta(commit(f"{table}/night=21", 5), table)
    assert (first.run, first.num_files) == ("night=21", 3)
    assert publish_delta(open_results(f"{table}/night=21"), table).version == first.version
    publish_delta(commit(f"{table}/22", 4), table)
    assert count(table) == {("night=21", "b1"): 5, ("22", "b1"): 4}
    again = publish_delta(commit(f"{table}/night=21", 5, bundle="b2"), table)
    assert count(table) == {("night=21", "b2"): 5, ("22", "b1"): 4}
    publish_delta(commit(f"{table}/night=21", 5), table)
    assert count(table) == {("night=21", "b1"): 5, ("22", "b1"): 4}
    old = deltalake.DeltaTable(table, version=again.version - 1)
    assert len(old.file_uris()) == 5


def test_a_run_may_be_its_own_table_on_s3(bucket: str) -> None:
    out = f"{bucket}/results"
    published = publish_delta(commit(out, 3), out)
    assert published.run == "."

    options = {"AWS_ENDPOINT_URL": os.environ["AWS_ENDPOINT_URL"], "AWS_ALLOW_HTTP": "true"}
    assert count(out, options) == {(".", "b1"): 3}
    assert publish_delta(open_results(out), out).version == published.version


def test_a_table_elsewhere_is_refused(tmp_path: Path) -> None:
    results = commit(str(tmp_path / "out"), 2)
    with pytest.raises(SettingError, match="at or below"):
        publish_delta(results, str(tmp_path / "table"))
