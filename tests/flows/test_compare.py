"""Comparisons: runs that are done stay done, and the table says what they came to."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load
from typer.testing import CliRunner

from fmnist_ray.bundle.format import WEIGHTS, read_bundle
from fmnist_ray.cli.app import app
from fmnist_ray.config.compare import CompareSettings
from fmnist_ray.config.train import TrainSettings
from fmnist_ray.errors import SettingError
from fmnist_ray.flows.compare import compare
from fmnist_ray.flows.compare_rows import ROWS, CompareRun, planned_runs
from fmnist_ray.flows.compare_training import train_or_load
from fmnist_ray.heads.classical import build_classical
from fmnist_ray.networks.architectures import find_architecture
from fmnist_ray.networks.checkpoint import final_weights
from fmnist_ray.networks.data import LabelledImages
from fmnist_ray.networks.job import TrainingJob
from fmnist_ray.reports.compare_page import CompareReport


def made_up(run: CompareRun) -> dict[str, Any]:
    facts = {"calibration_error": None, "num_parameters": 10, "multiply_adds": 20, "epochs": 1, "num_train": 5}
    return {**facts, "test_accuracy": 0.8 + run.seed / 10, "fit_s": 2.0, "images_per_s": 1000.0}


class Killed(Exception):
    pass


def executor(done: list[str], most: int | None = None) -> Any:
    def execute(runs: Sequence[CompareRun]) -> Iterator[tuple[CompareRun, dict[str, Any]]]:
        for run in runs:
            if len(done) == most:
                raise Killed
            done.append(f"{run.row.name} {run.seed}")
            yield run, made_up(run)

    return execute


def test_every_row_can_be_trained() -> None:
    names = [row.name for rows in ROWS.values() for row in rows]
    assert len(names) == len(set(names))
    assert len(ROWS["leaderboard"]) == 25
    for row in (row for rows in ROWS.values() for row in rows):
        settings = row.settings(3, None)
        assert settings.seed == 3
        find_architecture(settings.architecture)
        if row.kind != "network":
            build_classical(row.model, params=row.params)
    changed = {row.name: row.settings(0, None) for row in ROWS["batches"]}
    assert len({settings.digest() for settings in changed.values()}) == 12
    assert changed["bn-cnn-32-0.0003-0.25"].architecture_args == {"dropout": 0.25}


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    settings = CompareSettings(out_uri=str(tmp_path), only=("ann", "lr"), seeds=2)
    done: list[str] = []
    with pytest.raises(Killed):
        compare(settings, execute=executor(done, most=3))
    half = json.loads((tmp_path / "leaderboard.json").read_text())
    assert (half["num_done"], half["num_runs"], half["missing"]) == (3, 4, [])
    (tmp_path / "runs" / "lr").joinpath("garbage.json").write_text("{")
    summary = compare(settings, execute=executor(done))
    assert done == ["ann 0", "lr 0", "ann 1", "lr 1"]
    assert summary.num_done_before == 3
    [ann, lr] = summary.report.content["rows"]
    assert (ann["name"], ann["num_seeds"], ann["reported"]) == ("ann", 2, 0.8803)
    assert ann["test_accuracy"] == pytest.approx(0.85)
    assert ann["spread"] == pytest.approx(0.0707, abs=1e-4)
    assert lr["calibration_error"] is None
    compare(settings, execute=executor(done, most=4))

    other = CompareSettings(out_uri=str(tmp_path), only=("ann",), seeds=1, epochs=2)
    compare(other, execute=executor(done))
    assert done[4:] == ["ann 0"], "another number of epochs is another run"
    page = (tmp_path / "leaderboard.html").read_text()
    assert "A quick look, 2 epochs" in page
    assert "<script" not in page


def test_the_key_of_a_run_is_its_settings() -> None:
    """And stays what it is when settings are added, or days of training would be done again."""
    [run] = planned_runs(CompareSettings(out_uri="x", only=("ann",), seeds=1))
    assert isinstance(run.row.settings(0, None), TrainSettings)
    assert run.key == "runs/ann/0-b75ff325e891.json"
    with pytest.raises(SettingError, match="no row 'an'; the nearest are ann"):
        planned_runs(CompareSettings(out_uri="x", only=("an",)))


def test_networks_pixels_and_features_for_real(tmp_path: Path, fashion_mnist: Path) -> None:
    names = [argument for name in ("ann", "lr", "cnn+svm") for argument in ("--only", name)]
    quick = ["--seeds", "1", "--epochs", "1", "--subset", "600", "--json"]
    done = CliRunner().invoke(app, ["compare", "--out", str(tmp_path), *names, *quick])
    assert done.exit_code == 0, done.output
    rows = {row["name"]: row for row in json.loads(done.stdout)["rows"]}
    assert rows["ann"]["num_parameters"] == 101_770
    assert rows["ann"]["multiply_adds"] == 784 * 128 + 128 * 10
    assert (rows["cnn+svm"]["num_train"], rows["cnn+svm"]["epochs"]) == (600, 1)
    assert rows["cnn+svm"]["network_accuracy"] > 0.2
    assert all(0.4 < row["test_accuracy"] < 0.86 for row in rows.values()), rows
    assert 0 <= rows["lr"]["calibration_error"] < 0.3
    assert rows["cnn+svm"]["calibration_error"] is None
    assert all(row["images_per_s"] > 100 and row["fit_s"] > 0 for row in rows.values())
    table = (tmp_path / "leaderboard.md").read_text()
    assert "| lr | 84.20 % |" in table


def test_the_shipped_training_is_loaded() -> None:
    """Not trained for hours: the row `default` with seed 0 has the very weights of the shipped bundle."""
    [run] = planned_runs(CompareSettings(out_uri="x", only=("default",), seeds=1))
    few = LabelledImages(pixels=np.zeros((20, 1, 28, 28), np.uint8), labels=np.arange(20) % 10)
    job = TrainingJob(settings=run.row.settings(0, None), num_labels=10, train=few, validation=few)
    state, fit_s = train_or_load(job, subset=False)
    assert fit_s is None
    shipped = load(read_bundle("default").files[WEIGHTS])
    found = final_weights(state)
    assert found.keys() == shipped.keys()
    assert all(torch.equal(found[name], weight) for name, weight in shipped.items())
    quick = dataclasses.replace(job, settings=run.row.settings(0, 2))
    assert train_or_load(quick, subset=False)[1] is not None, "other epochs are another training"
    assert train_or_load(dataclasses.replace(quick, settings=run.row.settings(1, 2)), subset=False)[1] is not None


def test_a_row_below_its_report_says_why() -> None:
    row = {"spread": None, "num_seeds": 1, "num_parameters": 1, "multiply_adds": 1, "fit_s": None}
    row |= {"images_per_s": 5.0, "calibration_error": None, "reported": 0.9, "note": None, "source": None}
    rows = [
        row | {"name": "even", "test_accuracy": 0.9, "cause": None},
        row | {"name": "low", "test_accuracy": 0.89, "cause": "trained on fewer images"},
        row | {"name": "lower", "test_accuracy": 0.88, "cause": None},
        row | {"name": "lowest", "test_accuracy": 0.87, "cause": "trained on fewer images"},
    ]
    facts = {"study": "leaderboard", "rows": rows, "missing": [], "num_done": 4, "num_runs": 4, "epochs": None}
    report = CompareReport({**facts, "subset": None, "written_at": "2026-11-21T22:00:00+00:00"})
    table = report.to_markdown()
    assert "| low | 90.00 % | 89.00 % (below) | 1 |" in table
    assert "| even | 90.00 % | 90.00 % | 1 |" in table
    assert table.endswith(
        "Below the reported figure: low and lowest (trained on fewer images); lower (cause not known).\n"
    )
    page = report.files()["leaderboard.html"].decode()
    assert "low and lowest are below their reported figure: trained on fewer images." in page
    assert "lower is below its reported figure: cause not known." in page
