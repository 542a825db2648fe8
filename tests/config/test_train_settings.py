"""Training settings: checked on construction, changed by name, named by a digest."""

from __future__ import annotations

import dataclasses

import pytest

from fmnist_ray.config.augmentation import Augmentation
from fmnist_ray.config.train import TrainSettings
from fmnist_ray.errors import SettingError
from fmnist_ray.networks.recipes import RECIPES


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipes_survive_json(recipe: str) -> None:
    assert TrainSettings.from_dict(RECIPES[recipe].to_dict()) == RECIPES[recipe]


def test_override_changes_nested_settings_and_network_arguments() -> None:
    changed = TrainSettings().override(
        ["epochs=5", "learning_rate=1", "augmentation.flip=true", "architecture_args.dropout=0.2", "optimiser=sgd"]
    )
    assert changed == TrainSettings(
        epochs=5,
        learning_rate=1,
        augmentation=Augmentation(flip=True),
        architecture_args={"dropout": 0.2},
        optimiser="sgd",
    )


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("epochs", "sets nothing"),
        ("epoch=3", "sets nothing"),
        ("augmentation.turn=3", "sets nothing"),
        ("epochs=many", "epochs can't be 'many'"),
        ("epochs=2.5", "epochs can't be '2.5'"),
        ("augmentation.flip=1", "augmentation.flip can't be '1'"),
        ("optimiser=lion", "allowed are sgd, adam"),
        ("augmentation.shift=0.9", "allowed are 0.0 to 0.5"),
        ("epochs=0", "at least 1"),
        ("patience=2", "set select to one"),
    ],
)
def test_what_cannot_be_set_is_refused_in_a_sentence(assignment: str, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        TrainSettings().override([assignment])


def test_what_has_no_value_by_default_can_be_taken_out_again() -> None:
    settings = TrainSettings().override(["teacher=default", "source.catalogue_uri=photos"])
    assert (settings.teacher, settings.source.catalogue_uri) == ("default", "photos")
    assert settings.override(["teacher=null", "source.catalogue_uri=null"]) == TrainSettings()


def test_the_digest_changes_with_every_setting_and_not_with_their_order() -> None:
    settings = TrainSettings()
    others = [
        dataclasses.replace(settings, epochs=11),
        dataclasses.replace(settings, seed=1),
        dataclasses.replace(settings, augmentation=Augmentation(flip=True)),
        dataclasses.replace(settings, architecture_args={"dropout": 0.1}),
    ]
    digests = {entry.digest() for entry in [settings, *others]}
    assert len(digests) == 5
    assert settings.digest() == TrainSettings.from_dict(settings.to_dict()).digest()


def test_more_cycles_of_the_same_length_are_the_same_run_longer() -> None:
    one = TrainSettings(epochs=4)
    assert dataclasses.replace(one, epochs=12, cycles=3).digest() == one.digest()
    assert dataclasses.replace(one, epochs=12, cycles=2).digest() != one.digest()
