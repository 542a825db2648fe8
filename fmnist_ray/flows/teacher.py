"""The network that a training learns to answer like, from its bundle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fmnist_ray.bundle.format import WEIGHTS, read_bundle
from fmnist_ray.bundle.runtimes import load_network
from fmnist_ray.config.images import Preparation
from fmnist_ray.config.train import TrainSettings
from fmnist_ray.errors import SettingError
from fmnist_ray.flows.training_data import TrainingData

if TYPE_CHECKING:
    from fmnist_ray.networks.network import Network


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherBundle:
    """A network to learn from, or none."""

    network: Network | None = None
    facts: dict[str, Any]
    """Of the provenance: its bundle's digest, as a URI may hold another tomorrow."""


def load_teacher(settings: TrainSettings, data: TrainingData) -> TeacherBundle:
    """What `settings.teacher` names. Raises `SettingError` where it answers another question than `data` asks."""
    if settings.teacher is None:
        return TeacherBundle(facts={})
    bundle = read_bundle(settings.teacher)
    if WEIGHTS not in bundle.files:
        raise SettingError(f"Bundle {bundle.uri} holds no weights to learn from: name one that train wrote.")
    for what, found, needed in (
        ("classes", ", ".join(bundle.spec.labels), ", ".join(data.labels)),
        ("images", _described(bundle.spec.preparation), _described(data.preparation)),
    ):
        if found != needed:
            raise SettingError(
                f"The {what} of the teacher {bundle.uri} are {found}; this training's are {needed}: name a bundle that "
                "answers the same question."
            )
    return TeacherBundle(
        network=load_network(bundle.spec, bundle.files[WEIGHTS]), facts={"teacher_digest": bundle.digest}
    )


def _described(preparation: Preparation) -> str:
    colours = "grey" if preparation.channels == 1 else "RGB"
    return f"{preparation.size} x {preparation.size} pixels, {colours}, in the style {preparation.style}"
