"""One training job as plain arrays and settings: what a flow hands to whatever executes it."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fmnist_ray.config.train import TrainSettings
from fmnist_ray.networks.architectures import ENSEMBLE, build_network
from fmnist_ray.networks.batches import Batches, MemoryBatches
from fmnist_ray.networks.checkpoint import TrainState, final_weights, prefixed
from fmnist_ray.networks.data import LabelledImages, StreamedImages
from fmnist_ray.networks.memory import keep_freed_memory
from fmnist_ray.networks.network import Network
from fmnist_ray.networks.training import EpochMetrics, TrainingRun, World

Report = Callable[[EpochMetrics], None]
"""Told of every finished epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJob:
    """Settings and data of one run."""

    settings: TrainSettings
    num_labels: int
    train: LabelledImages | StreamedImages
    validation: LabelledImages
    initial: dict[str, Tensor] | None = None
    """Weights to start from, in place of those of the seed."""
    teacher: Network | None = None
    """The network of the bundle that the settings name as teacher; training moves it to where it computes."""

    def __post_init__(self) -> None:
        assert (self.teacher is None) == (self.settings.teacher is None), "settings and job name one teacher"

    def fresh_network(self) -> Network:
        """The network with the initial weights of the seed, normalised to the training images, or to the held-out ones
        where those are not in memory."""
        torch.manual_seed(self.settings.training_seed)
        pixels = self.train.pixels if isinstance(self.train, LabelledImages) else self.validation.pixels
        _, channels, size, _ = pixels.shape
        network = build_network(
            self.settings.architecture,
            num_labels=self.num_labels,
            channels=channels,
            size=size,
            **self.settings.architecture_args,
        )
        axes = (0, 2, 3)
        mean, std = pixels.mean(axes) / 255, pixels.std(axes) / 255
        network.set_normalisation(torch.from_numpy(mean), torch.from_numpy(std).clamp_min(1e-3))
        return network

    def finished_network(self, state: TrainState) -> Network:
        """The network with the weights that the run keeps."""
        network = self.fresh_network()
        network.load_state_dict(final_weights(state))
        return network

    def start(self, world: World, batches: Batches | None = None) -> TrainingRun:
        """The run of one worker, before its first epoch; on its own share of images in memory, unless it is given
        `batches` of streamed ones."""
        network = self.fresh_network()
        if self.settings.pretrained:
            from fmnist_ray.networks.backbones import load_pretrained  # torchvision takes seconds to import

            load_pretrained(network, self.settings.architecture)
        if self.initial is not None:
            network.load_state_dict(self.initial)
        keep_freed_memory()
        if batches is None:
            assert isinstance(self.train, LabelledImages), "streamed images need batches"
            batches = MemoryBatches(
                self.train.split(), self.settings, rank=world.rank, size=world.size, device=world.device
            )
        return TrainingRun(
            network,
            batches=batches,
            validation=self.validation.split(),
            settings=self.settings,
            world=world,
            class_weights=self._class_weights(),
            teacher=self.teacher,
        )

    def _class_weights(self) -> Tensor | None:
        if not self.settings.class_weights:
            return None
        counts = torch.bincount(torch.from_numpy(self.train.labels)).float()
        return counts.sum() / (counts.clamp_min(1) * len(counts))


def join_networks(networks: list[Network], settings: TrainSettings, *, num_labels: int, size: int) -> Network:
    """The one network, or an ensemble of all, as `bundle_architecture` names it."""
    if len(networks) == 1:
        return networks[0]
    name, args = bundle_architecture(settings)
    joined = build_network(name, num_labels=num_labels, channels=networks[0].channels, size=size, **args)
    weights = [prefixed(network.state_dict(), f"members.{number}") for number, network in enumerate(networks)]
    joined.load_state_dict(joined.state_dict() | dict(ChainMap(*weights)))
    return joined


def bundle_architecture(settings: TrainSettings) -> tuple[str, dict[str, Any]]:
    """Name and arguments that rebuild what `settings` train."""
    if settings.ensemble == 1:
        return settings.architecture, settings.architecture_args
    return ENSEMBLE, {"member": settings.architecture, "members": settings.ensemble, **settings.architecture_args}


def train_here(job: TrainingJob, report: Report) -> TrainState:
    """Execute a job in this process, without checkpoints."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return job.start(World(device=device)).run(lambda metrics, _: report(metrics))
