"""Training settings by name: how the published reports trained, and how we do."""

from __future__ import annotations

import dataclasses
import difflib

from fmnist_ray.config.augmentation import Augmentation
from fmnist_ray.config.train import TrainSettings
from fmnist_ray.errors import SettingError

_AS_KERAS = Augmentation(rotation=10, shift=0.1, zoom=0.1)
_KERAS_BATCH = 32
"""What Keras takes where a report names no batch size."""

RECIPES: dict[str, TrainSettings] = {
    "plain": TrainSettings(),
    "keras-cnn3": TrainSettings(architecture="keras_cnn3", batch_size=64),
    "conv1-k3": TrainSettings(architecture="conv1_k3", batch_size=64),
    "conv1-k4": TrainSettings(architecture="conv1_k4", batch_size=64),
    "cnn3-128": TrainSettings(architecture="cnn3_128", validation_share=0.2),
    "cnn3-128-dropout": TrainSettings(
        architecture="cnn3_128_dropout", epochs=50, select="validation_loss", patience=10, validation_share=0.2
    ),
    "cnn-dropout-1": TrainSettings(architecture="cnn_dropout_1", batch_size=_KERAS_BATCH),
    "cnn-dropout-2": TrainSettings(architecture="cnn_dropout_2", batch_size=_KERAS_BATCH),
    "cnn-dropout-3": TrainSettings(architecture="cnn_dropout_3", batch_size=_KERAS_BATCH),
    "cnn-simple": TrainSettings(
        architecture="cnn_simple", epochs=12, batch_size=128, optimiser="adadelta", learning_rate=1.0
    ),
    "ann": TrainSettings(architecture="ann", batch_size=_KERAS_BATCH, select="validation_loss"),
    "keras-bn": TrainSettings(
        architecture="bn_cnn", epochs=30, select="validation_loss", patience=10, batch_size=64, augmentation=_AS_KERAS
    ),
    "basic-cnn": TrainSettings(architecture="basic_cnn", batch_size=64),
    "basic-cnn-2": TrainSettings(architecture="basic_cnn_2", batch_size=64),
    "resnet-small": TrainSettings(
        architecture="resnet_small",
        optimiser="sgd",
        learning_rate=0.1,
        weight_decay=5e-4,
        schedule="cosine",
        warmup=0.1,
        augmentation=Augmentation(shift=0.08, flip=True),
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
        epochs=128,
        cycles=2,
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
RECIPES["quick"] = dataclasses.replace(
    RECIPES["default"], epochs=10, cycles=1, ema=0.995, augmentation=Augmentation(shift=0.04, flip=True)
)
RECIPES["large"] = dataclasses.replace(
    RECIPES["default"],
    architecture="wide_resnet",
    epochs=300,
    cycles=1,
    batch_size=128,
    learning_rate=0.1,
    schedule="cosine",
    label_smoothing=0.1,
    ema=0.999,
    augmentation=dataclasses.replace(RECIPES["default"].augmentation, cutmix=0.5),
)
"""`plain` is used where no recipe is named; `bn-cnn`, `default`, `quick` and `large` are our own, the others follow
published reports."""


def find_recipe(name: str) -> TrainSettings:
    """The settings of a recipe; `SettingError` names the nearest for an unknown one."""
    if name not in RECIPES:
        near = difflib.get_close_matches(name, RECIPES, n=3, cutoff=0.4) or sorted(RECIPES)
        raise SettingError(f"There is no recipe {name!r}; the nearest are {', '.join(near)}.")
    return RECIPES[name]
