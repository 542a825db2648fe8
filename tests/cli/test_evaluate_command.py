"""`fmnist-ray evaluate` as a user types it, on the shipped bundle and sample."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from fmnist_ray.cli.app import app
from fmnist_ray.datasets.shipped import sample_catalogue_path
from fmnist_ray.labels import FASHION_MNIST


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


@pytest.fixture(scope="module")
def sliced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample with a column to slice by, one broken image, and one label that no bundle knows."""
    table = pq.read_table(sample_catalogue_path())
    images, labels = table["image"].to_pylist(), [str(label) for label in table["label"].to_pylist()]
    images[3], labels[4] = b"no image", "Hat"
    columns = {
        "product_id": table["product_id"],
        "image": pa.array(images, pa.binary()),
        "label": labels,
        "season": ["winter" if row % 2 else "<b>summer" for row in range(len(table))],
    }
    path = tmp_path_factory.mktemp("data") / "sliced.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def test_every_file_is_written_and_agrees(sliced: Path, tmp_path: Path) -> None:
    done = run("default", sliced, "--out", tmp_path, "--slice-by", "season", "--json")
    assert done.exit_code == 0, done.output
    headline = json.loads(done.stdout)
    assert sorted(headline["files"]) == sorted(
        str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()
    )
    content = json.loads((tmp_path / "evaluation.json").read_text())
    evaluation = content["evaluation"]
    assert (evaluation["num_labelled"], content["facts"]["num_rejects"], content["facts"]["num_unlabelled"]) == (
        998,
        1,
        1,
    )
    assert headline["accuracy"] == evaluation["accuracy"] == np.trace(evaluation["confusion"]) / 998
    assert 0.88 < evaluation["accuracy"] < 0.96
    assert content["log_loss"] < 0.35
    assert {entry["value"] for entry in content["slices"] if entry["kind"] == "season"} == {"winter", "<b>summer"}
    assert all(0.9 < entry["curves"]["auc"] <= 1 for entry in content["classes"])
    mistakes = content["galleries"]["surest_mistakes"]
    assert all(entry["label"] != entry["true_label"] for entry in mistakes)
    assert [entry["confidence"] for entry in mistakes] == sorted(entry["confidence"] for entry in mistakes)[::-1]
    page = (tmp_path / "evaluation.html").read_text()
    assert "<script" not in page
    assert "<b>summer" not in page
    assert content["learning"]["num_epochs"] == len(content["learning"]["loss"]) == 128
    summary = (tmp_path / "evaluation.md").read_text()
    assert f"**{100 * evaluation['accuracy']:.2f}" in summary
    assert all(f"| {label} |" in summary for label in FASHION_MNIST)
    for figure in tmp_path.glob("charts/*.svg"):
        assert ElementTree.parse(figure).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_against_another_bundle(sliced: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    done = run("default", sliced, "--against", tiny_bundle, "--out", tmp_path, "--json")
    assert done.exit_code == 0, done.output
    content = json.loads((tmp_path / "evaluation.json").read_text())
    comparison = content["comparison"]
    assert sum(comparison[f"num_{kind}"] for kind in ("both_right", "only_first", "only_second", "both_wrong")) == 998
    assert comparison["p_value"] < 1e-9
    assert comparison["verdict"] == "More accurate than the other bundle"
    assert sum(flip["num_rows"] for flip in comparison["flips"]) == comparison["num_flipped"] > 500
    assert comparison["flips"][0]["examples"]

    again = run("default", sliced, "--against", "default", "--out", tmp_path, "--json")
    assert json.loads(again.stdout)["comparison"]["num_flipped"] == 0
    assert json.loads(again.stdout)["comparison"]["p_value"] == 1


def test_corruptions_are_seeded_and_hurt(tmp_path: Path) -> None:
    small = tmp_path / "small.parquet"
    pq.write_table(pq.read_table(sample_catalogue_path()).slice(0, 200), small)
    found = []
    for out in ("a", "b"):
        done = run("default", small, "--out", tmp_path / out, "--corruptions", "--json")
        assert done.exit_code == 0, done.output
        found.append(json.loads((tmp_path / out / "evaluation.json").read_text())["corruptions"])
    assert found[0] == found[1]
    rows = {row["name"]: row["accuracy"] for row in found[0]["rows"]}
    assert len(rows) == 17
    assert len(rows["rotate"]) == 5
    assert rows["flip_left_right"][0] > found[0]["clean"] - 0.1  # it was trained with flips
    assert rows["inverse"][0] < 0.5
    assert rows["rotate"][0] > rows["rotate"][4]


def test_rows_with_a_near_duplicate_in_the_training_data_are_a_slice(sliced: Path, tmp_path: Path) -> None:
    training = tmp_path / "training.parquet"
    pq.write_table(pq.read_table(sample_catalogue_path()).slice(0, 300), training)
    done = run("default", sliced, "--training", training, "--out", tmp_path, "--json")
    assert done.exit_code == 0, done.output
    content = json.loads((tmp_path / "evaluation.json").read_text())
    rows = {entry["value"]: entry["num_rows"] for entry in content["slices"] if entry["kind"].startswith("Near dup")}
    assert sum(rows.values()) == 998
    assert 298 <= rows["yes"] < 310
    assert content["facts"]["training_uri"] == str(training)


def test_trackers_get_the_figures_too(tmp_path: Path) -> None:
    small = tmp_path / "small.parquet"
    pq.write_table(pq.read_table(sample_catalogue_path()).slice(0, 100), small)
    done = run("default", small, "--track", "tensorboard", "--out", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.output
    (events,) = tmp_path.glob("out/tensorboard/evaluation-*/events*")
    assert b"accuracy" in events.read_bytes()
    assert b"recall/Ankle_boot" in events.read_bytes()
    unknown = run("default", small, "--track", "paper", "--out", tmp_path / "none")
    assert (unknown.exit_code, (tmp_path / "none" / "evaluation.html").exists()) == (2, False)


def test_images_that_the_catalogue_names_are_read_where_that_is_allowed(tmp_path: Path) -> None:
    table = pq.read_table(sample_catalogue_path()).slice(0, 40)
    photos, data = tmp_path / "photos", tmp_path / "data"
    photos.mkdir()
    data.mkdir()
    for row, image in enumerate(table["image"].to_pylist()):
        (photos / f"{row}.png").write_bytes(image)
    places = [str(photos / f"{row}.png") for row in range(40)]
    pq.write_table(pa.table({"image": places, "label": table["label"]}), data / "named.parquet")
    assert run("default", data, "--out", tmp_path / "out").exit_code == 2
    done = run("default", data, "--images", photos, "--out", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["num_labelled"] == 40


def test_what_can_not_be_evaluated_exits_with_2(sliced: Path, tmp_path: Path) -> None:
    done = run("default", sliced, "--label-column", "season", "--out", tmp_path)
    assert done.exit_code == 2
    assert "no usable row with a label that the bundle knows" in done.stderr
    assert run("default", sliced, "--slice-by", "colour", "--out", tmp_path).exit_code == 2
    assert run("nothing", sliced, "--out", tmp_path).exit_code == 2
