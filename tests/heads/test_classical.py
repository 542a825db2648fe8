"""Classical models by name, on real images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from fmnist_ray.cli.app import app
from fmnist_ray.cli.classical import CLASSICAL_MODELS
from fmnist_ray.config.train import TrainingSource, TrainSettings
from fmnist_ray.datasets.shipped import sample_catalogue_path
from fmnist_ray.errors import OutputTakenError, SettingError
from fmnist_ray.flows.train_classical import train_classical
from fmnist_ray.heads.classical import MODELS
from fmnist_ray.heads.hog import hog

SETTINGS = TrainSettings(source=TrainingSource(catalogue_uri=str(sample_catalogue_path())))
QUICK = {"rf": {"n_estimators": 30, "n_jobs": 1}, "gb": {"max_iter": 10, "max_leaf_nodes": 6}, "mlp": {"tol": 1e-2}}


def test_the_command_knows_every_model_without_importing_scikit_learn() -> None:
    assert tuple(MODELS) == CLASSICAL_MODELS


@pytest.mark.parametrize("name", CLASSICAL_MODELS)
def test_every_model_learns_from_770_images(name: str, tmp_path: Path) -> None:
    outcome = train_classical(name, SETTINGS, out_uri=str(tmp_path), params=QUICK.get(name))
    assert (outcome.num_train, outcome.num_test) == (770, 150)
    assert outcome.test_accuracy > 0.7
    assert json.loads((tmp_path / "result.json").read_text())["test_accuracy"] == outcome.test_accuracy
    assert np.mean(list(outcome.recall_by_label.values())) == pytest.approx(outcome.test_accuracy)


def test_a_subset_is_even_and_what_is_wrong_is_refused(tmp_path: Path) -> None:
    assert train_classical("knn", SETTINGS, out_uri=str(tmp_path), subset=100).num_train == 100
    with pytest.raises(OutputTakenError, match="holds a result already"):
        train_classical("knn", SETTINGS, out_uri=str(tmp_path))
    other = str(tmp_path / "other")
    with pytest.raises(SettingError, match="10 classes need at least 20"):
        train_classical("knn", SETTINGS, out_uri=other, subset=19)
    with pytest.raises(SettingError, match=r"knn has no parameter 'k'; it has algorithm"):
        train_classical("knn", SETTINGS, out_uri=other, params={"k": 3})
    with pytest.raises(SettingError, match="no classical model 'tree'; there are lr"):
        train_classical("tree", SETTINGS, out_uri=other)


def test_the_train_command_takes_a_models_name_and_its_parameters(tmp_path: Path) -> None:
    arguments = ["--arch", "knn", "--set", "n_neighbors=3", "--data", str(sample_catalogue_path()), "--json"]
    done = CliRunner().invoke(app, ["train", *arguments, "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["model"], found["params"]) == ("knn", {"n_neighbors": 3})
    assert CliRunner().invoke(app, ["train", "--arch", "bn_cnn", "--subset", "9", "--out", "x"]).exit_code == 2


def test_hog_sees_direction_and_not_brightness() -> None:
    upright = np.zeros((28, 28), np.float32)
    upright[:, 14:] = 1
    features = hog(np.stack([upright, upright * 0.5 + 0.2, upright.T, np.full((28, 28), 0.7)]))
    assert features.shape == (4, 6 * 6 * 4 * 9)
    np.testing.assert_allclose(features[0], features[1], atol=1e-3)
    by_direction = features.reshape(4, -1, 9).sum(axis=1)
    assert by_direction[0].argmax() == 0
    assert by_direction[2].argmax() == 4
    assert features[3].max() < 1e-3
