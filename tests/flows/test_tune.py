"""Searching: what is drawn, how trials are ranked, what is written. Trials are made up; none is trained."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from fmnist_ray.bundle.format import read_bundle
from fmnist_ray.config.train import TrainSettings
from fmnist_ray.config.tune import Choice, Range, TuneSettings, parse_vary
from fmnist_ray.errors import SettingError
from fmnist_ray.flows import training_data
from fmnist_ray.flows.train import find_settings
from fmnist_ray.flows.tune import draw, tune
from fmnist_ray.networks.job import TrainingJob

SETTINGS = TuneSettings(
    base=TrainSettings(architecture="ann", epochs=4),
    vary={
        "learning_rate": Range(low=1e-4, high=1e-1),
        "batch_size": Choice(values=(32, 64)),
        "architecture_args.hidden": Range(low=16, high=256, whole=True),
    },
    trials=40,
)


@pytest.fixture(autouse=True)
def tiny_data(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.zeros((100, 28, 28), np.uint8), (np.arange(100) % 10).astype(np.uint8)
    monkeypatch.setattr(training_data, "load_split", lambda split: images)


def test_draws_are_spread_repeatable_and_of_the_right_type() -> None:
    drawn = draw(SETTINGS)
    assert drawn == draw(SETTINGS)
    rates = [math.log10(settings.learning_rate) for settings, _ in drawn]
    assert -4 <= min(rates) < -3.5
    assert -1.5 < max(rates) <= -1
    assert {settings.batch_size for settings, _ in drawn} == {32, 64}
    widths = [settings.architecture_args["hidden"] for settings, _ in drawn]
    assert all(isinstance(width, int) and 16 <= width <= 256 for width in widths)
    assert len(set(widths)) > 10


def test_the_best_settings_become_a_recipe_file(tmp_path: Path) -> None:
    def search(jobs: Sequence[TrainingJob]) -> list[tuple[tuple[float, ...], str | None]]:
        assert len({id(job.train) for job in jobs}) == 1
        answers: list[tuple[tuple[float, ...], str | None]] = [((0.5, 0.6), None)] * len(jobs)
        answers[3], answers[7], answers[8] = ((0.7, 0.8, 0.85, 0.9), None), ((0.99,), "The loss is nan."), ((), "died")
        return answers

    outcome = tune(SETTINGS, out_uri=str(tmp_path), search=search)
    assert outcome.best.number == 3
    assert [trial.number for trial in outcome.trials[-2:]] == [7, 8]
    best, varied = draw(SETTINGS)[3]
    assert find_settings(outcome.recipe_uri) == best
    table = json.loads((tmp_path / "trials.json").read_text())
    assert table[0]["learning_rate"] == varied["learning_rate"]
    assert table[0]["accuracy"] == 0.9
    assert [row["failure"] for row in table[-2:]] == ["The loss is nan.", "died"]
    chart = ElementTree.fromstring((tmp_path / "trials.svg").read_text())
    assert len(chart.findall("{http://www.w3.org/2000/svg}polyline")) == 40


def test_the_trials_share_one_teacher(tmp_path: Path) -> None:
    base = dataclasses.replace(SETTINGS.base, teacher="default", validation_share=1 / 12)

    def search(jobs: Sequence[TrainingJob]) -> list[tuple[tuple[float, ...], str | None]]:
        assert len({id(job.teacher) for job in jobs}) == 1
        assert jobs[0].teacher is not None
        return [((0.5,), None)] * len(jobs)

    outcome = tune(dataclasses.replace(SETTINGS, base=base, trials=3), out_uri=str(tmp_path), search=search)
    assert find_settings(outcome.recipe_uri).teacher_digest == read_bundle("default").digest


def test_ranges_and_choices_are_read_from_text() -> None:
    assert parse_vary("learning_rate=1e-4..1e-2") == ("learning_rate", Range(low=1e-4, high=1e-2))
    assert parse_vary("epochs=2..8") == ("epochs", Range(low=2, high=8, whole=True))
    assert parse_vary("optimiser=adam,sgd") == ("optimiser", Choice(values=("adam", "sgd")))
    assert parse_vary("augmentation.flip=true,false") == ("augmentation.flip", Choice(values=(True, False)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs", "varies nothing"),
        ("epochs=", "varies nothing"),
        ("epochs=a..b", "no range"),
        ("epochs=5..2", "range"),
    ],
)
def test_what_cannot_vary_is_refused(text: str, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        parse_vary(text)


def test_a_setting_that_does_not_exist_is_refused_before_any_trial(tmp_path: Path) -> None:
    settings = TuneSettings(base=TrainSettings(), vary={"rate": Choice(values=(1,))})
    with pytest.raises(SettingError, match="sets nothing"):
        tune(settings, out_uri=str(tmp_path), search=lambda jobs: [])
    with pytest.raises(SettingError, match="something to vary"):
        TuneSettings(base=TrainSettings(), vary={})
