"""The networks that trainings learn to answer like, from their bundles."""

from __future__ import annotations

import dataclasses
import itertools
import json
from typing import TYPE_CHECKING, Any

from fmnist_ray.bundle.format import WEIGHTS, Bundle, read_bundle
from fmnist_ray.bundle.runtimes import load_network
from fmnist_ray.config.images import Preparation
from fmnist_ray.config.train import TrainSettings
from fmnist_ray.errors import SettingError
from fmnist_ray.flows.training_data import TrainingData

if TYPE_CHECKING:
    from fmnist_ray.networks.network import Network


class Teachers:
    """The bundles that settings name as teachers, each read once."""

    def __init__(self) -> None:
        self._bundles: dict[str, Bundle] = {}
        self._networks: dict[str, Network] = {}

    def settle(self, settings: TrainSettings) -> TrainSettings:
        """The settings with their teacher's digest, so that another bundle of its name is another training.

        Raises `SettingError` for a bundle without weights, and for one that has learned from images that this training
        holds out: they would no longer say how good it is.
        """
        if settings.teacher is None:
            return settings
        if settings.teacher not in self._bundles:
            self._bundles[settings.teacher] = read_bundle(settings.teacher)
        bundle = self._bundles[settings.teacher]
        if WEIGHTS not in bundle.files:
            raise SettingError(f"Bundle {bundle.uri} holds no weights to learn from: name one that train wrote.")
        if settings.teacher_digest not in (None, bundle.digest):
            raise SettingError(
                f"The teacher {bundle.uri} has the digest {bundle.digest[:12]}, and these settings are of "
                f"{str(settings.teacher_digest)[:12]}: name the bundle it was, or set teacher_digest to null."
            )
        _check_split(settings, bundle)
        return dataclasses.replace(settings, teacher_digest=bundle.digest)

    def network(self, settings: TrainSettings, data: TrainingData) -> Network | None:
        """The network of settled settings, on the CPU; None without a teacher. Raises `SettingError` where it answers
        another question than `data` asks."""
        if settings.teacher is None:
            return None
        bundle = self._bundles[settings.teacher]
        pairs = itertools.zip_longest(bundle.spec.labels, data.labels, fillvalue="missing")
        for number, (theirs, ours) in enumerate(pairs, start=1):
            if theirs != ours:
                raise SettingError(
                    f"Class {number} of the teacher {bundle.uri} is {theirs}, of this training {ours}: name a bundle "
                    "of the very same classes."
                )
        if bundle.spec.preparation != data.preparation:
            raise SettingError(
                f"The teacher {bundle.uri} takes images of {_described(bundle.spec.preparation)}; this training's of "
                f"{_described(data.preparation)}: change source.size, source.channels or source.style, or the teacher."
            )
        if settings.teacher not in self._networks:
            self._networks[settings.teacher] = load_network(bundle.spec, bundle.files[WEIGHTS])
        return self._networks[settings.teacher]


def _check_split(settings: TrainSettings, bundle: Bundle) -> None:
    """The teacher held out what this training does."""
    trained = bundle.spec.provenance.get("settings")
    if trained is None:
        raise SettingError(
            f"Bundle {bundle.uri} does not say what it was trained on, so images that are held out here may be among "
            "it: name one that train wrote."
        )
    theirs, ours = _split(TrainSettings.from_dict(trained)), _split(settings)
    if different := [name for name, value in theirs.items() if ours[name] != value]:
        raise SettingError(
            f"The teacher {bundle.uri} has learned from images that this training holds out: train with "
            + " ".join(f"--set {name}={json.dumps(theirs[name])}" for name in different)
            + ", as it was."
        )


def _split(settings: TrainSettings) -> dict[str, Any]:
    """What decides which images are held out."""
    names = ("catalogue_uri", "label_column", "group_column")
    of_source = {f"source.{name}": getattr(settings.source, name) for name in names}
    return {**of_source, "seed": settings.seed, "validation_share": settings.validation_share}


def _described(preparation: Preparation) -> str:
    colours = "grey" if preparation.channels == 1 else "RGB"
    return f"{preparation.size} x {preparation.size} pixels, {colours}, in the style {preparation.style}"
