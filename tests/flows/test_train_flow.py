"""The training flow: split, train, calibrate, prove, write; with a network that trains in a second."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load

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


def test_a_bundle_teaches_an_ensemble(tmp_path: Path) -> None:
    first = run(tmp_path / "first")
    jobs: list[TrainingJob] = []

    def execute(job: TrainingJob, report: Report) -> TrainState:
        jobs.append(job)
        return train_here(job, report)

    settings = dataclasses.replace(SETTINGS, teacher=first.bundle_uri, ensemble=2)
    second = flow.train(
        settings, out_uri=str(tmp_path / "second"), command="", execute=execute, report=lambda metrics: None
    )
    facts = read_bundle(second.bundle_uri).spec.provenance["settings"]
    assert (facts["teacher"], facts["teacher_digest"]) == (first.bundle_uri, first.bundle_digest)
    weights = load(read_bundle(first.bundle_uri).files[WEIGHTS])
    for job in jobs:
        assert job.teacher is not None
        assert all(torch.equal(weights[name], value) for name, value in job.teacher.state_dict().items())
    assert len({job.settings.digest() for job in jobs}) == 2
    assert second.test_accuracy > 0.95

    # The name of the teacher means another bundle: another training, and not that of the settings that were written.
    run(tmp_path / "first", dataclasses.replace(SETTINGS, epochs=1), replace=True)
    with pytest.raises(SettingError, match="these settings are of"):
        run(tmp_path / "third", TrainSettings.from_dict(facts))
    before = {job.settings.digest() for job in jobs}
    flow.train(settings, out_uri=str(tmp_path / "third"), command="", execute=execute, report=lambda metrics: None)
    assert before.isdisjoint(job.settings.digest() for job in jobs[2:])


def test_who_can_not_teach(tmp_path: Path) -> None:
    bundle = read_bundle(run(tmp_path / "first", dataclasses.replace(SETTINGS, epochs=1)).bundle_uri)
    number = 0

    def said(settings: TrainSettings = SETTINGS, *, without: tuple[str, ...] = (), **changes: object) -> str:
        nonlocal number
        number += 1
        place = str(tmp_path / str(number))
        files = {name: data for name, data in bundle.files.items() if name not in (SPEC, *without)}
        write_bundle(open_store(place), dataclasses.replace(bundle.spec, **changes), files)
        with pytest.raises(SettingError) as caught:
            run(tmp_path / "out", dataclasses.replace(settings, teacher=place))
        return str(caught.value)

    labels = (*bundle.spec.labels[:9], "Gown")
    assert "Class 10 of the teacher" in said(labels=labels)
    assert "is Gown, of this training Ankle boot" in said(labels=labels)
    assert "in the style plain; this training's of 28 x 28 pixels, grey, in the style fashion-mnist" in said(
        preparation=Preparation()
    )
    assert "holds no weights to learn from" in said(without=(WEIGHTS,))
    assert "does not say what it was trained on" in said(provenance={})
    other = dataclasses.replace(SETTINGS, seed=3, validation_share=0.2)
    assert "holds out: train with --set seed=2 --set validation_share=0.1, as it was." in said(other)
    with pytest.raises(SettingError, match="must name a bundle"):
        dataclasses.replace(SETTINGS, teacher="")
    assert not (tmp_path / "out").exists()


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
