"""Training settings by name: how the published reports trained, and how we do."""

from __future__ import annotations

import difflib

from fmnist_ray.config.train import Augmentation, TrainSettings
from fmnist_ray.errors import SettingError

RECIPES: dict[str, TrainSettings] = {
    "plain": TrainSettings(),
    "keras-bn": TrainSettings(
        architecture="bn_cnn", batch_size=64, augmentation=Augmentation(rotation=10, shift=0.1, zoom=0.1)
    ),
    "bn-cnn": TrainSettings(
        architecture="bn_cnn",
        epochs=20,
        batch_size=256,
        optimiser="adamw",
        learning_rate=4e-3,
        weight_decay=0.02,
        schedule="one_cycle",
        warmup=0.2,
        ema=0.999,
        augmentation=Augmentation(shift=0.04, flip=True, erasing=0.3),
    ),
    "default": TrainSettings(
        architecture="fashion_resnet",
        epochs=64,
        batch_size=256,
        optimiser="sgd",
        learning_rate=0.2,
        weight_decay=5e-4,
        schedule="one_cycle",
        warmup=0.1,
        label_smoothing=0.05,
        ema=0.998,
        augmentation=Augmentation(shift=0.08, flip=True, erasing=0.5),
        validation_share=1 / 12,
    ),
}
"""`plain` is what is used where no recipe is named."""


def find_recipe(name: str) -> TrainSettings:
    """The settings of a recipe; `SettingError` names the nearest for an unknown one."""
    if name not in RECIPES:
        near = difflib.get_close_matches(name, RECIPES, n=3, cutoff=0.4) or sorted(RECIPES)
        raise SettingError(f"There is no recipe {name!r}; the nearest are {', '.join(near)}.")
    return RECIPES[name]
