"""The hybrid study: one training per run, every head on its features, and figures that follow from the images."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fmnist_ray.bundle.format import read_bundle
from fmnist_ray.config.compare import CompareSettings
from fmnist_ray.errors import SettingError
from fmnist_ray.flows.compare import Run, compare, run_here
from fmnist_ray.flows.heads_study import HeadsRun, packed, planned_heads, unpacked
from fmnist_ray.images.corruptions import CORRUPTIONS
from fmnist_ray.reports.heads_page import HeadsReport


def study(out: Path, **values: Any) -> CompareSettings:
    return CompareSettings(out_uri=str(out), study="heads", **values)


def test_what_is_planned() -> None:
    runs = planned_heads(study(Path("x")))
    assert len(runs) == 4 * 4 * 2 - 1, "the shipped network with all rows has nothing that a seed would change"
    assert len({run.key for run in runs}) == len(runs)
    assert [run.title for run in runs[:2]] == ["keras-cnn3, 100 rows, seed 0", "cnn3-128-dropout, 100 rows, seed 0"]
    quick = planned_heads(study(Path("x"), subset=600, only=("bn-cnn",), seeds=1))
    assert [run.num_rows for run in quick] == [100, 600]
    assert quick[0].key == "heads/bn-cnn/100-0-a9fc50310fa4.json", "the same with a setting more, or work is lost"
    with pytest.raises(SettingError, match="no network 'bn_cnn'; the nearest are bn-cnn"):
        planned_heads(study(Path("x"), only=("bn_cnn",)))


@pytest.mark.parametrize(("rows", "epochs", "patience"), [(60_000, 50, 10), (10_000, 50, 10), (1_000, 200, 40)])
def test_few_rows_have_more_epochs(rows: int, epochs: int, patience: int) -> None:
    settings = HeadsRun(network="cnn3-128-dropout", num_rows=rows, seed=1, epochs=None).settings
    assert (settings.epochs, settings.patience, settings.seed) == (epochs, patience, 1)
    steps = epochs * (round(0.8 * rows) // settings.batch_size)
    assert steps >= 1_000


def test_differences_survive_being_kept() -> None:
    values = np.array([0, 1, -1, 0.5, 0, 0], np.float32)
    np.testing.assert_array_equal(unpacked(packed(values)), values)


def made_up(run: HeadsRun) -> dict[str, Any]:
    """Softmax is right everywhere; the linear SVM is wrong on 100 of the test images, the RBF SVM on one."""
    wrong = np.zeros(10_000, np.float32)
    wrong[100 * run.seed : 100 * (run.seed + 1)] = -1
    one = np.where(np.arange(10_000) == 5, -1, 0)
    heads = {
        "softmax": {"accuracy": 1.0},
        "linear": {"accuracy": 0.99, "p_value": 0.0, "differences": packed(wrong)},
        "rbf": {"accuracy": 0.9999, "p_value": 1.0, "differences": packed(one)},
    }
    means = dict.fromkeys(CORRUPTIONS, 0.5)
    corrupted = {"num_images": 10_000} | {name: {**head, "by_corruption": means} for name, head in heads.items()}
    facts = {"test_accuracy": 1.0, "fit_s": 2.0, "num_train": 90, "epochs": 3, "width": 64, "refitted": False}
    return {**facts, "heads": heads, "corrupted": corrupted if run.num_rows == 60_000 else None}


def invented(runs: Sequence[Run]) -> Iterator[tuple[Run, dict[str, Any]]]:
    for run in runs:
        assert isinstance(run, HeadsRun)
        yield run, made_up(run)


def test_intervals_are_those_of_the_mean_over_seeds(tmp_path: Path) -> None:
    report = compare(study(tmp_path, seeds=2), execute=invented).report
    assert isinstance(report, HeadsReport)
    assert (len(report.rows), report.content["num_done"], report.content["missing"]) == (16, 31, [])
    linear, rbf = (report.rows[0]["svms"][name] for name in ("linear", "rbf"))
    assert linear["difference"] == pytest.approx(-0.01)
    half = 1.96 * np.sqrt((200 * 0.25 - 10_000 * 0.01**2) / 10_000 / 10_000)
    assert linear["difference_high"] == pytest.approx(-0.01 + half, rel=1e-4), "200 images, each half wrong"
    assert rbf["difference_low"] < 0 < rbf["difference_high"]
    first, second = report.sentences()
    assert "of these 8 differences 0 are above 0 with 95 % confidence and 4 below" in first
    assert "is −1.00 to −0.01 points (4 networks, linear and RBF, 2 seeds, 10,000 test images)" in first
    assert "it is −0.01 (−0.01 to −0.01) with 100 labels, " in second
    assert second.endswith("and −0.01 (−0.01 to −0.01) with all of them on corrupted images.")
    again = compare(study(tmp_path, seeds=2), execute=lambda runs: iter(()))
    assert again.num_done_before == 31
    page = (tmp_path / "heads.html").read_text()
    assert page.count("corrupted</h2>") == 4
    assert "<script" not in page


def test_heads_of_the_shipped_network_need_few_labels(tmp_path: Path, fashion_mnist: Path) -> None:
    """Its features have seen all of them."""
    [row] = compare(study(tmp_path, seeds=1, only=("default",), subset=100), execute=run_here).report.content["rows"]
    assert (row["num_rows"], row["num_train"], row["refitted"], row["epochs"]) == (100, 100, True, None)
    assert row["softmax"]["accuracy"] == pytest.approx(read_bundle("default").spec.metrics["test_accuracy"], abs=0.01)
    for svm in row["svms"].values():
        assert svm["difference"] == pytest.approx(svm["accuracy"] - row["softmax"]["accuracy"], abs=1e-6)
        assert 0.9 < svm["accuracy"] < 0.95


def test_a_network_is_trained_once_for_all_heads(tmp_path: Path, fashion_mnist: Path) -> None:
    settings = study(tmp_path, seeds=1, only=("keras-cnn3",), epochs=4, subset=1_000)
    told: list[str] = []
    [few, many] = compare(settings, told=told.append).report.content["rows"]
    assert (few["num_train"], many["num_train"], many["width"]) == (90, 900, 64)
    assert len(told) == 2
    for row in (few, many):
        for svm in row["svms"].values():
            assert svm["difference_low"] < svm["difference"] < svm["difference_high"]
    assert many["svms"]["rbf"]["accuracy"] > few["svms"]["rbf"]["accuracy"] + 0.05
    kept = json.loads(next((tmp_path / "heads" / "keras-cnn3").glob("1000-0-*.json")).read_text())
    assert kept["heads"]["rbf"]["accuracy"] == many["svms"]["rbf"]["accuracy"]
    assert unpacked(kept["heads"]["rbf"]["differences"]).mean() == pytest.approx(many["svms"]["rbf"]["difference"])
