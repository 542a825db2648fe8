"""`fmnist-ray explain` as a user types it."""

from __future__ import annotations

import dataclasses
import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from fmnist_ray.cli.app import app
from fmnist_ray.config.classify import ClassifySettings
from fmnist_ray.config.decisions import Promises
from fmnist_ray.datasets.shipped import sample_catalogue_path
from fmnist_ray.flows.classify import classify


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["explain", *map(str, arguments)])


def test_rows_of_a_catalogue(tmp_path: Path) -> None:
    done = run("default", sample_catalogue_path(), "--row", 3, "--row", 999, "--out", tmp_path, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    ids = pq.read_table(sample_catalogue_path())["product_id"]
    assert [image["name"] for image in found["images"]] == [ids[3].as_py(), ids[999].as_py()]
    assert [entry["method"] for entry in found["images"][0]["maps"]] == ["grad-cam", "gradient", "occlusion"]
    assert sorted(found["files"]) == sorted(
        str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()
    )
    for name in found["files"]:
        if name.endswith(".png"):
            with Image.open(tmp_path / name) as picture:
                assert picture.width >= 100
    assert "<script" not in (tmp_path / "explain.html").read_text()


def test_rows_of_a_run_by_id(tiny_bundle: Path, tmp_path: Path, in_process: type[Any]) -> None:
    settings = ClassifySettings(
        catalogue_uri=str(sample_catalogue_path()), out_uri=str(tmp_path / "run"), bundle=str(tiny_bundle)
    )
    classify(settings, lambda: nullcontext(in_process()))
    wanted = pq.read_table(sample_catalogue_path())["product_id"][500].as_py()
    arguments = (tiny_bundle, tmp_path / "run", "--id", wanted, "--method", "occlusion", "--out", tmp_path / "why")
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    assert [image["name"] for image in json.loads(done.stdout)["images"]] == [wanted]
    assert not (tmp_path / "why" / "filters.png").exists()  # occlusion looks at no weight
    assert run(*arguments[:3], "no such id", *arguments[4:]).exit_code == 2


def test_the_most_alike_rows_of_a_feature_table(tiny_bundle: Path, tmp_path: Path, in_process: type[Any]) -> None:
    settings = ClassifySettings(
        catalogue_uri=str(sample_catalogue_path()),
        out_uri=str(tmp_path / "features"),
        bundle=str(tiny_bundle),
        table="features",
    )
    classify(settings, lambda: nullcontext(in_process()))
    rows = ("--row", 7, "--row", 940, "--method", "occlusion", "--features", tmp_path / "features")
    done = run(tiny_bundle, sample_catalogue_path(), *rows, "--out", tmp_path / "why", "--json")
    assert done.exit_code == 0, done.output
    for row, image in zip((7, 940), json.loads(done.stdout)["images"], strict=True):
        alike = image["neighbours"]
        assert len(alike) == 8
        assert alike[0]["name"].endswith(f", row {row}")  # the row itself is in the table
        assert alike[0]["similarity"] == pytest.approx(1)
        assert alike[0]["label"] == image["true_label"]
        values = [entry["similarity"] for entry in alike]
        assert values == sorted(values, reverse=True)
        assert (tmp_path / "why" / alike[3]["picture"]).is_file()
    other = run("default", sample_catalogue_path(), *rows, "--out", tmp_path / "why")
    assert other.exit_code == 3
    assert "holds features of bundle" in other.stderr


def test_the_review_queue_of_a_run(tmp_path: Path, in_process: type[Any]) -> None:
    plain = ClassifySettings(catalogue_uri=str(sample_catalogue_path()), out_uri=str(tmp_path / "plain"))
    promised = dataclasses.replace(plain, out_uri=str(tmp_path / "run"), promises=Promises(min_precision=0.95))
    for settings in (plain, promised):
        classify(settings, lambda: nullcontext(in_process()))
    options = ("--queue", 5, "--method", "grad-cam", "--out", tmp_path / "why", "--json")
    done = run("default", tmp_path / "run", *options)
    assert done.exit_code == 0, done.output
    (queue,) = tmp_path.glob("run/review/*/queue.parquet")
    rows = pq.read_table(queue).slice(0, 5).to_pylist()
    images = json.loads(done.stdout)["images"]
    assert [(image["name"], image["label"]) for image in images] == [(row["product_id"], row["label"]) for row in rows]
    page = (tmp_path / "why" / "queue.html").read_text()
    assert page.count('alt="heat map over the photo"') == page.count('alt="photo to review"') == 5
    assert f"{pq.read_metadata(queue).num_rows:,} rows to look at" in page
    none = run("default", tmp_path / "plain", *options)
    assert none.exit_code == 2
    assert "has no review queue: classify with --min-precision" in none.stderr
    assert run("default", sample_catalogue_path(), *options).exit_code == 2
    assert run("default", tmp_path / "run", "--row", 1, *options).exit_code == 2


def test_one_image_file(tmp_path: Path) -> None:
    image = tmp_path / "bag <1>.png"
    image.write_bytes(pq.read_table(sample_catalogue_path())["image"][0].as_py())
    done = run("default", image, "--method", "grad-cam", "--out", tmp_path / "why", "--json")
    assert done.exit_code == 0, done.output
    assert "<1>" not in (tmp_path / "why" / "explain.html").read_text()
    (tmp_path / "broken.png").write_bytes(b"no image")
    assert run("default", tmp_path / "broken.png", "--out", tmp_path / "why").exit_code == 2
    assert run("default", tmp_path / "absent.png", "--out", tmp_path / "why").exit_code == 2
    assert run("default", image, "--method", "tea-leaves", "--out", tmp_path / "why").exit_code == 2
