"""Similar products and near duplicates, of the shipped sample with the shipped bundle."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from fmnist_ray.catalogue.feature_rows import FeatureRows, open_features
from fmnist_ray.catalogue.feature_search import search
from fmnist_ray.cli.app import app
from fmnist_ray.config.classify import ClassifySettings
from fmnist_ray.datasets.shipped import sample_catalogue_path
from fmnist_ray.flows.features import extract_features

COPIES = {701: 12, 702: 650}
"""Rows that show the image of another one."""
BROKEN = 30


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory, in_process) -> str:
    """Features of the sample in two files, with copies and a broken image."""
    folder = tmp_path_factory.mktemp("similar")
    table = pq.read_table(sample_catalogue_path())
    images = table["image"].to_pylist()
    for row, original in COPIES.items():
        images[row] = images[original]
    images[BROKEN] = b"broken"
    table = table.set_column(table.schema.get_field_index("image"), "image", pa.array(images, pa.binary()))
    (folder / "catalogue").mkdir()
    for number, part in enumerate((table.slice(0, 300), table.slice(300))):
        pq.write_table(part, folder / "catalogue" / f"part-{number}.parquet")
    out = str(folder / "features")
    settings = ClassifySettings(catalogue_uri=str(folder / "catalogue"), out_uri=out, table="features", shard_rows=150)
    extract_features(settings, lambda: nullcontext(in_process()))
    return out


@pytest.fixture(scope="module")
def table(features: str) -> FeatureRows:
    return open_features(features)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["similar", *map(str, arguments)])


def test_a_row_is_found_by_its_place_in_the_catalogue(table: FeatureRows) -> None:
    rows = table.catalogue_rows()
    assert len(rows) == 999
    for row in (0, 29, 31, 149, 150, 299, 300, 999):
        found = table.find(row)
        assert found is not None
        assert rows[found] == row
    assert table.find(BROKEN) is None
    assert table.find(1000) is None


def test_neighbours_are_exact_and_mostly_of_the_same_class(table: FeatureRows) -> None:
    features = np.concatenate([table.features(number) for number in range(len(table.spans))])
    units = features / np.linalg.norm(features, axis=1, keepdims=True)
    nearest = search(table, features[:200], 11, threads=2)
    expected = np.argsort(-(units[:200] @ units.T), axis=1, kind="stable")[:, :11]
    same = np.take_along_axis(units[:200] @ units.T, expected, axis=1)
    np.testing.assert_allclose(nearest.best, same, atol=1e-5)
    labels = table.label_ids()
    others = np.where(nearest.rows == np.arange(200)[:, None], -1, nearest.rows)
    agree = (labels[others] == labels[:200, None]) & (others >= 0)
    assert agree.sum() / (others >= 0).sum() > 0.85


def test_a_row_and_an_image(features: str, tmp_path: Path) -> None:
    done = run(701, "--features", features, "--out", tmp_path, "--rows", 3, "--json")
    assert done.exit_code == 0, done.output
    hits = json.loads(done.stdout)["hits"]
    assert [len(hits), hits[0]["input_file"], hits[0]["input_row"]] == [3, "part-0.parquet", 12]
    assert hits[0]["similarity"] == pytest.approx(1, abs=1e-5)
    assert hits == json.loads((tmp_path / "similar.json").read_text())["hits"]
    page = (tmp_path / "similar.html").read_text()
    assert page.count("<img") == 4
    assert "<script" not in page

    photo = tmp_path / "photo.png"
    photo.write_bytes(pq.read_table(sample_catalogue_path())["image"][650].as_py())
    done = run(photo, "--features", features, "--out", tmp_path, "--json")
    assert {(hit["input_file"], hit["input_row"]) for hit in json.loads(done.stdout)["hits"][:2]} == {
        ("part-1.parquet", 350),
        ("part-1.parquet", 402),
    }


def test_what_can_not_be_asked(features: str, tiny_bundle: Path, tmp_path: Path) -> None:
    for query, said in ((BROKEN, "was rejected"), (1000, "fewer rows"), ("no.png", "There is no image")):
        done = run(query, "--features", features, "--out", tmp_path)
        assert (done.exit_code, said in done.stderr) == (2, True), done.output
    assert run("--features", features).exit_code == 2
    photo = tmp_path / "photo.png"
    photo.write_bytes(pq.read_table(sample_catalogue_path())["image"][650].as_py())
    done = run(photo, "--features", features, "--bundle", tiny_bundle, "--out", tmp_path)
    assert (done.exit_code, "holds features of bundle" in done.stderr) == (3, True)


def test_near_duplicates(features: str, tmp_path: Path) -> None:
    done = run("--duplicates", "--features", features, "--similarity", 0.999, "--out", tmp_path, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    pairs = pq.read_table(tmp_path / "duplicates.parquet").to_pylist()
    assert found["num_pairs"] == len(pairs) == 2
    rows = {
        tuple(
            int(pair[f"{side}_input_row"]) + 300 * ("1" in pair[f"{side}_input_file"]) for side in ("first", "second")
        )
        for pair in pairs
    }
    assert rows == {(12, 701), (650, 702)}
    assert all(pair["similarity"] == pytest.approx(1, abs=1e-5) for pair in pairs)
    assert (tmp_path / "duplicates.html").read_text().count("<img") == 4
