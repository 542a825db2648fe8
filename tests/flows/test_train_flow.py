"""The training flow: split, train, calibrate, prove, write; with a network that trains in a second."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from fmnist_ray.bundle.classifier import load_bundle
from fmnist_ray.bundle.format import HISTORY, SPEC, WEIGHTS, read_bundle, write_bundle
from fmnist_ray.config.images import Preparation
from fmnist_ray.config.train import TrainSettings
from fmnist_ray.errors import DivergedError, OutputTakenError, SettingError
from fmnist_ray.flows import train as flow
from fmnist_ray.flows import training_data
from fmnist_ray.images.encode import encode_png
from fmnist_ray.networks.checkpoint import TrainState
from fmnist_ray.networks.job import Report, TrainingJob, train_here
from fmnist_ray.reports.learning import learning_content
from fmnist_ray.store import open_store

SETTINGS = TrainSettings(architecture="ann", epochs=3, batch_size=50, seed=2)


def stripes(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Ten classes: a bright row at one of ten heights."""
    generator = np.random.default_rng(seed)
    labels = (np.arange(count) % 10).astype(np.uint8)
    pixels = generator.integers(0, 60, (count, 28, 28), dtype=np.uint8)
    pixels[np.arange(count), 4 + 2 * labels.astype(int)] = 200
    return pixels, labels


@pytest.fixture(autouse=True)
def small_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        training_data, "load_split", lambda split: stripes(*{"train": (3500, 0), "test": (200, 1)}[split])
    )


def run(out: Path, settings: TrainSettings = SETTINGS, **options: object) -> flow.TrainOutcome:
    return flow.train(
        settings,
        out_uri=str(out),
        command="fmnist-ray train",
        execute=train_here,
        report=lambda metrics: None,
        **options,
    )


def test_the_bundle_proves_itself_says_how_it_was_made_and_makes_way_for_an_ensemble_when_asked(tmp_path: Path) -> None:
    outcome = run(tmp_path / "bundle", recipe="plain")
    assert outcome.test_accuracy > 0.95
    assert outcome.num_parameters == 101_770
    bundle = read_bundle(outcome.bundle_uri)
    assert bundle.digest == outcome.bundle_digest
    assert bundle.spec.metrics["num_validation"] == 350
    assert bundle.spec.metrics["test_accuracy"] == outcome.test_accuracy
    assert TrainSettings.from_dict(bundle.spec.provenance["settings"]) == SETTINGS
    card = bundle.files["README.md"].decode()
    assert "fmnist-ray train" in card
    assert "| architecture | ann |" in card

    assert "`history.json` the learning curves" in card
    learning = learning_content(bundle.files[HISTORY])
    assert learning is not None
    assert (learning["num_epochs"], learning["kept_epoch"]) == (3, 3)
    assert learning["validation_accuracy"][-1] == bundle.spec.metrics["validation_accuracy"]
    assert learning["loss"][0] > learning["loss"][-1] > 0

    classifier = load_bundle(outcome.bundle_uri, runtime="cpu", num_threads=1)
    assert classifier.golden.num_rows == flow.NUM_GOLDEN
    pixels, labels = stripes(20, 3)
    table = classifier.classify([encode_png(image) for image in pixels])
    assert (table["label_id"].to_numpy() == labels).all()

    with pytest.raises(OutputTakenError, match="--replace"):
        run(tmp_path / "bundle")
    second = run(tmp_path / "bundle", dataclasses.replace(SETTINGS, ensemble=2), replace=True)
    assert (second.architecture, second.num_parameters, second.epochs) == ("ensemble", 2 * 101_770, 6)
    joined = learning_content(read_bundle(outcome.bundle_uri).files[HISTORY])
    assert joined is not None
    assert (joined["num_networks"], joined["num_epochs"], joined["kept_epoch"]) == (2, 3, None)
    assert second.test_accuracy > 0.95
    assert second.bundle_digest != outcome.bundle_digest
    assert read_bundle(outcome.bundle_uri).digest == second.bundle_digest


def test_a_bundle_teaches_another_and_only_one_that_answers_the_same_question(tmp_path: Path) -> None:
    first = run(tmp_path / "first")
    second = run(tmp_path / "second", dataclasses.replace(SETTINGS, teacher=first.bundle_uri, seed=3))
    facts = read_bundle(second.bundle_uri).spec.provenance
    assert facts["teacher_digest"] == first.bundle_digest
    assert facts["settings"]["teacher"] == first.bundle_uri
    assert "teacher_digest" not in read_bundle(first.bundle_uri).spec.provenance
    assert second.test_accuracy > 0.95

    bundle = read_bundle(first.bundle_uri)
    for changes, said in (
        (
            {"labels": tuple(f"class {number}" for number in range(10))},
            "classes of the teacher .* are class 0, class 1",
        ),
        ({"preparation": Preparation()}, "images of the teacher .* in the style plain; this .* style fashion-mnist"),
    ):
        files = {name: data for name, data in bundle.files.items() if name != SPEC}
        write_bundle(open_store(str(tmp_path / "other")), dataclasses.replace(bundle.spec, **changes), files)
        with pytest.raises(SettingError, match=said):
            run(tmp_path / "third", dataclasses.replace(SETTINGS, teacher=str(tmp_path / "other")))
    files = {name: data for name, data in bundle.files.items() if name not in (SPEC, WEIGHTS)}
    write_bundle(open_store(str(tmp_path / "bare")), bundle.spec, files)
    with pytest.raises(SettingError, match="holds no weights to learn from"):
        run(tmp_path / "third", dataclasses.replace(SETTINGS, teacher=str(tmp_path / "bare")))
    assert not (tmp_path / "third").exists()


def test_nothing_is_written_when_training_fails(tmp_path: Path) -> None:
    def fail(job: TrainingJob, report: Report) -> TrainState:
        raise DivergedError("The loss is nan.")

    with pytest.raises(DivergedError):
        flow.train(SETTINGS, out_uri=str(tmp_path), command="", execute=fail, report=lambda metrics: None)
    assert list(tmp_path.iterdir()) == []


def test_settings_come_by_name_or_from_a_file(tmp_path: Path) -> None:
    assert flow.find_settings("bn-cnn").architecture == "bn_cnn"
    with pytest.raises(SettingError, match="nearest are keras-bn"):
        flow.find_settings("keras_bn")
    file = tmp_path / "best.json"
    file.write_text(json.dumps(SETTINGS.to_dict()))
    assert flow.find_settings(str(file)) == SETTINGS
    file.write_text('{"epoch": 3}')
    with pytest.raises(SettingError, match="epoch"):
        flow.find_settings(str(file))
    with pytest.raises(SettingError, match="no recipe file"):
        flow.find_settings(str(tmp_path / "other.json"))
