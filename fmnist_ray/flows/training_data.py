"""What a network is trained on: Fashion-MNIST, or a user's labelled catalogue with classes of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_ray.config.images import Preparation
from fmnist_ray.config.train import TrainingSource, TrainSettings
from fmnist_ray.datasets.fashion_mnist import load_split
from fmnist_ray.flows.split import split_rows
from fmnist_ray.flows.training_catalogue import load_catalogue
from fmnist_ray.labels import FASHION_MNIST, Labels
from fmnist_ray.networks.data import LabelledImages, StreamedImages


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """Images in three parts that share no group."""

    labels: Labels
    preparation: Preparation
    train: LabelledImages | StreamedImages
    validation: LabelledImages
    test: LabelledImages
    description: dict[str, Any]
    """For the model card."""


def load_training_data(settings: TrainSettings) -> TrainingData:
    """The data that `settings` name, split by their seed."""
    if settings.source.catalogue_uri is None:
        return _fashion_mnist(settings)
    return _catalogue(settings, settings.source)


def _fashion_mnist(settings: TrainSettings) -> TrainingData:
    pixels, labels = load_split("train")
    images = LabelledImages(pixels=pixels[:, None], labels=labels.astype(np.int64))
    pixels, labels = load_split("test")
    kept, held, _ = split_rows(settings, images.labels, np.arange(len(images.labels)), test=False)
    return TrainingData(
        labels=FASHION_MNIST,
        preparation=Preparation(style="fashion-mnist"),
        train=images.take(kept),
        validation=images.take(held),
        test=LabelledImages(pixels=pixels[:, None], labels=labels.astype(np.int64)),
        description={"data": "Fashion-MNIST", "num_train": len(kept)},
    )


def _catalogue(settings: TrainSettings, source: TrainingSource) -> TrainingData:
    images = load_catalogue(settings)
    return TrainingData(
        labels=images.labels,
        preparation=source.preparation,
        train=images.train,
        validation=images.validation,
        test=images.test,
        description={
            "data": source.catalogue_uri,
            "label_column": source.label_column,
            "group_column": source.group_column or "none",
            "num_train": len(images.train.labels),
            "num_unlabelled": images.num_unlabelled,
            "num_rejects": images.num_rejects,
        },
    )
