"""The sample in the package is real, small, and what its description says."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from fmnist_ray.datasets.fashion_mnist import load_split
from fmnist_ray.datasets.shipped import sample_catalogue_path
from fmnist_ray.flows.build import build_sample


def test_the_sample_is_a_hundred_images_of_each_class() -> None:
    path = sample_catalogue_path()
    table = pq.read_table(path)
    assert path.stat().st_size < 600_000
    assert table.schema.names == ["product_id", "image", "label"]
    assert np.bincount(table["label"]).tolist() == [100] * 10
    assert len(set(table["product_id"].to_pylist())) == 1_000
    assert (path.parent / "LICENSE").exists()


def test_the_sample_equals_the_real_data(fashion_mnist: Path) -> None:
    images, labels = load_split("test", fashion_mnist)
    table = pq.read_table(sample_catalogue_path())
    rows = [int(product_id.removeprefix("t10k-")) for product_id in table["product_id"].to_pylist()]
    assert rows == sorted(rows)
    assert all(rows.count(row) == 1 for row in np.flatnonzero(labels == 6)[:100])
    assert table["label"].to_pylist() == labels[rows].tolist()
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(cell))) for cell in table["image"].to_pylist()])
    np.testing.assert_array_equal(pixels, images[rows])


def test_the_sample_can_be_made_again(fashion_mnist: Path, tmp_path: Path) -> None:
    built = build_sample(str(tmp_path))
    assert (built.num_rows, built.num_files, built.labelled) == (1_000, 1, True)
    again, shipped = pq.read_table(tmp_path / "part-00000.parquet"), pq.read_table(sample_catalogue_path())
    # Another zlib may pack the same pixels into other bytes.
    assert again.drop_columns("image").equals(shipped.drop_columns("image"))
