"""Recipes by name: every published network trains under its own."""

from __future__ import annotations

import dataclasses
import math
from io import BytesIO

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from fmnist_ray.datasets.shipped import sample_catalogue_path
from fmnist_ray.errors import SettingError
from fmnist_ray.networks.architectures import ARCHITECTURES, ENSEMBLE
from fmnist_ray.networks.data import LabelledImages
from fmnist_ray.networks.job import TrainingJob, train_here
from fmnist_ray.networks.recipes import RECIPES, find_recipe


@pytest.fixture(scope="module")
def sample() -> LabelledImages:
    """Real images, the classes mixed."""
    table = pq.read_table(sample_catalogue_path()).take(np.random.default_rng(0).permutation(1000))
    pixels = np.stack([np.asarray(Image.open(BytesIO(cell))) for cell in table["image"].to_pylist()])
    return LabelledImages(pixels=pixels[:, None], labels=table["label"].to_numpy().astype(np.int64))


def test_every_architecture_of_this_package_has_a_recipe() -> None:
    assert {settings.architecture for settings in RECIPES.values()} == {
        name for name, architecture in ARCHITECTURES.items() if architecture.size == 28 and name != ENSEMBLE
    }


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "plain"])
def test_one_epoch_of_a_recipe_learns(name: str, sample: LabelledImages) -> None:
    settings = dataclasses.replace(find_recipe(name), epochs=1, cycles=1, batch_size=32)
    if name == "large":  # a billion multiply-adds for an image of full size
        sample = LabelledImages(pixels=sample.pixels[:, :, ::2, ::2], labels=sample.labels)
    parts = {"train": sample.take(np.arange(512)), "validation": sample.take(np.arange(512, 612))}
    state = train_here(TrainingJob(settings=settings, num_labels=10, **parts), lambda metrics: None)
    (epoch,) = state.record["history"]
    assert state.record["architecture"] == settings.architecture
    # So early, running statistics spoil the one, and dropout the other.
    assert min(epoch["loss"], epoch["validation_loss"]) < math.log(10)
    assert epoch["images_per_s"] > 0


def test_an_unknown_recipe_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(SettingError, match="the nearest are keras-bn"):
        find_recipe("keras_bn")
