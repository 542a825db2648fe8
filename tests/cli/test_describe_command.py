"""`fmnist-ray data describe` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from typer.testing import CliRunner, Result

from fmnist_ray.cli.app import app
from fmnist_ray.datasets.shipped import sample_catalogue_path
from fmnist_ray.labels import FASHION_MNIST


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["data", "describe", *map(str, arguments)])


def test_the_sample_with_a_planted_duplicate(tmp_path: Path) -> None:
    table = pq.read_table(sample_catalogue_path())
    images, labels = table["image"].to_pylist(), [FASHION_MNIST[label] for label in table["label"].to_pylist()]
    before = json.loads(run(sample_catalogue_path(), "--out", tmp_path / "before", "--json").stdout)
    images[10], images[20] = images[11], b"no image"
    labels[10] = FASHION_MNIST[(FASHION_MNIST.index(labels[11]) + 5) % 10]
    columns = {"product_id": table["product_id"], "image": pa.array(images, pa.binary()), "label": labels}
    pq.write_table(pa.table(columns), tmp_path / "data.parquet")
    done = run(tmp_path / "data.parquet", "--against", sample_catalogue_path(), "--out", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert sum(found["rows_by_label"].values()) == 999
    assert list(found["rows_by_label"]) == list(FASHION_MNIST)
    assert found["num_near_duplicates"] >= before["num_near_duplicates"] + 1
    assert found["num_near_duplicates_across"] == 999
    content = json.loads((tmp_path / "out" / "describe.json").read_text())
    assert content["facts"]["num_rejects"] == 1
    assert content["within"]["pairs"][0]["first"]["name"] == table["product_id"][10].as_py()
    assert table["product_id"][10].as_py() in [entry["row"]["name"] for entry in content["suspects"]]
    assert sum(content["pixel_counts"]) == 999 * 784
    assert "<script" not in (tmp_path / "out" / "describe.html").read_text()


def test_a_row_without_a_label_has_no_wrong_one(tmp_path: Path) -> None:
    table = pq.read_table(sample_catalogue_path())
    labels = [None if row % 3 == 0 else FASHION_MNIST[label] for row, label in enumerate(table["label"].to_pylist())]
    columns = {"product_id": table["product_id"], "image": table["image"], "label": labels}
    pq.write_table(pa.table(columns), tmp_path / "data.parquet")
    done = run(tmp_path / "data.parquet", "--out", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.output
    content = json.loads((tmp_path / "out" / "describe.json").read_text())
    unlabelled = {table["product_id"][row].as_py() for row in range(0, len(table), 3)}
    assert 0 < content["num_suspects"] < 60
    assert unlabelled.isdisjoint(entry["row"]["name"] for entry in content["suspects"])


def test_without_labels_nothing_is_judged(tmp_path: Path) -> None:
    table = pq.read_table(sample_catalogue_path()).slice(0, 50).select(["image"])
    pq.write_table(table, tmp_path / "data.parquet")
    done = run(tmp_path / "data.parquet", "--out", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["num_suspect_labels"] is None
    assert json.loads(done.stdout)["rows_by_label"] == {"no label": 50}


def test_what_can_not_be_described_exits_with_2(tmp_path: Path) -> None:
    assert run(tmp_path / "nothing", "--out", tmp_path / "out").exit_code == 2
    assert run(sample_catalogue_path(), "--out", tmp_path / "out", "--similarity", 2).exit_code == 2
