"""`fmnist-ray bundle` as a user types it, on the shipped bundle and sample."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from fmnist_ray.bundle.format import read_bundle
from fmnist_ray.cli.app import app
from fmnist_ray.datasets.shipped import sample_catalogue_path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["bundle", *map(str, arguments)])


def said(*arguments: object) -> dict[str, Any]:
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_list_and_show_what_ships() -> None:
    digest = read_bundle("default").digest
    assert said("list")["shipped"]["default"] == digest
    shown = said("show")
    assert (shown["digest"], shown["description"]["architecture"]) == (digest, "fashion_resnet")
    assert shown["files"]["model.onnx"] > 100_000


def test_diff_shows_the_rows_that_flip(tiny_bundle: Path, tmp_path: Path) -> None:
    described = said("diff", tiny_bundle, "default")
    assert described["rows"] is None
    assert {"name": "architecture", "before": "pooling", "after": "fashion_resnet"} in described["differences"]

    table = pq.read_table(sample_catalogue_path())
    unlabelled = tmp_path / "unlabelled.parquet"
    pq.write_table(table.drop_columns(["label"]).slice(0, 200), unlabelled)
    rows = said("diff", tiny_bundle, "default", "--catalogue", unlabelled, "--out", tmp_path / "a")["rows"]
    assert (rows["num_usable"], rows["num_labelled"], rows["comparison"]) == (200, 0, None)
    assert rows["num_flipped"] > 100

    found = said("diff", tiny_bundle, "default", "--catalogue", sample_catalogue_path(), "--out", tmp_path)
    content = json.loads((tmp_path / "diff.json").read_text())
    rows = content["rows"]
    assert rows["num_flipped"] == found["rows"]["num_flipped"] == sum(flip["num_rows"] for flip in rows["flips"])
    comparison = rows["comparison"]
    assert comparison["p_value"] < 1e-9
    assert comparison["after_accuracy"] - comparison["before_accuracy"] == pytest.approx(comparison["difference"])
    assert comparison["num_only_first"] == sum(flip["num_gained"] for flip in rows["flips"])
    assert rows["accepted"] is None
    assert "no held-out rows" in rows["no_promise"][0]
    first = rows["flips"][0]
    assert first["examples"]
    assert all(example["label"] == first["after_label"] for example in first["examples"])
    page = (tmp_path / "diff.html").read_text()
    assert "<script" not in page
    assert f"{rows['num_flipped']:,} of 1,000 rows get another label" in page


def test_the_same_bundle_flips_nothing_and_accepts_the_same(tmp_path: Path) -> None:
    rows = said("diff", "default", "default", "--catalogue", sample_catalogue_path(), "--out", tmp_path)["rows"]
    assert rows["num_flipped"] == 0
    assert rows["accepted"]["before"] == rows["accepted"]["after"] > 0.6
    assert "None. Both bundles give every row the same label." in (tmp_path / "diff.html").read_text()


def test_promote_refuses_with_exit_code_3_and_the_figures(tiny_bundle: Path, tmp_path: Path) -> None:
    sample, alias = sample_catalogue_path(), f"{tmp_path}@default"
    assert said("promote", "default", alias, "--data", sample)["promoted"]
    refused = run("promote", tiny_bundle, alias, "--data", sample, "--json")
    assert refused.exit_code == 3
    error = json.loads(refused.stdout)
    assert "accuracy: accuracy " in error["error"]
    assert "of 1,000 labelled rows" in error["error"]
    assert "flips: " in error["error"]
    loose = ("--max-accuracy-loss", 1, "--max-flips", 1, "--max-calibration-error", 1, "--min-precision", 0)
    assert said("promote", tiny_bundle, alias, "--data", sample, *loose, "--min-speed", 0)["promoted"]
    [record] = said("list", tmp_path)["aliases"]
    assert (record["number"], record["digest"]) == (2, read_bundle(str(tiny_bundle)).digest)
    assert said("rollback", alias)["digest"] == read_bundle("default").digest
    assert len(said("list", tmp_path, "--history")["aliases"]) == 3
    assert run("rollback", alias).exit_code == 3
    assert run("add", "default", alias).exit_code == 3
    assert said("add", "default", f"{tmp_path}@candidate")["alias"] == "candidate"
    assert run("show", f"{tmp_path}@nobody").exit_code == 2
