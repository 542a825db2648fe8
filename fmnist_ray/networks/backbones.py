"""torchvision's networks, for transfer to a user's own colour photos."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.error import URLError

import torch
import torchvision.models as zoo
from torch import Tensor, nn

from fmnist_ray.errors import SettingError, SourceError
from fmnist_ray.networks.network import Network


@dataclass(frozen=True, slots=True)
class Backbone:
    """A torchvision network without its last layer."""

    build: Callable[[], nn.Module]
    last: str
    """Dotted name of the last layer, which is replaced."""
    weights: zoo.WeightsEnum
    """Trained on ImageNet."""


BACKBONES: dict[str, Backbone] = {
    "resnet18": Backbone(zoo.resnet18, "fc", zoo.ResNet18_Weights.IMAGENET1K_V1),
    "mobilenet_v3_small": Backbone(
        zoo.mobilenet_v3_small, "classifier.3", zoo.MobileNet_V3_Small_Weights.IMAGENET1K_V1
    ),
    "efficientnet_b0": Backbone(zoo.efficientnet_b0, "classifier.1", zoo.EfficientNet_B0_Weights.IMAGENET1K_V1),
    "vgg16": Backbone(zoo.vgg16, "classifier.6", zoo.VGG16_Weights.IMAGENET1K_V1),
    "densenet121": Backbone(zoo.densenet121, "classifier", zoo.DenseNet121_Weights.IMAGENET1K_V1),
    "inception_v3": Backbone(
        lambda: zoo.inception_v3(aux_logits=False, init_weights=False), "fc", zoo.Inception_V3_Weights.IMAGENET1K_V1
    ),
}


class Rgb(nn.Module):
    """A network for three channels, given one or three."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        answer: Tensor = self.network(images.expand(-1, 3, -1, -1))
        return answer


def backbone_network(*, num_labels: int, channels: int, size: int, backbone: str, dropout: float = 0.0) -> Network:
    """`backbone` with fresh weights and a last layer for `num_labels` classes."""
    parts = BACKBONES[backbone]
    body = parts.build()
    last = body.get_submodule(parts.last)
    assert isinstance(last, nn.Linear)
    body.set_submodule(parts.last, nn.Identity())
    head = nn.Sequential(nn.Dropout(dropout), nn.Linear(last.in_features, num_labels))
    network = Network(Rgb(body), head, channels=channels)
    network.eval()
    with torch.no_grad():
        network(torch.zeros(1, channels, size, size, dtype=torch.uint8))  # refuses sizes that leave no pixel
    return network.train()


def load_pretrained(network: Network, architecture: str) -> None:
    """Give the body of a backbone its ImageNet weights, from torchvision's cache or its server.

    Raises `SettingError` for other architectures and `SourceError` when the weights can't be had.
    """
    if architecture not in BACKBONES:
        raise SettingError(f"There are pretrained weights for {', '.join(BACKBONES)} only, not for {architecture}.")
    parts = BACKBONES[architecture]
    try:
        weights = parts.weights.get_state_dict(progress=False, check_hash=True)
    except (URLError, OSError, RuntimeError) as error:
        raise SourceError(
            f"The pretrained weights of {architecture} can't be had from {parts.weights.url} ({error}): allow this "
            "machine to reach it, or put the file into the folder that TORCH_HOME names, below hub/checkpoints."
        ) from error
    kept = {name: value for name, value in weights.items() if not name.startswith((f"{parts.last}.", "AuxLogits."))}
    assert isinstance(network.body, Rgb)
    network.body.network.load_state_dict(kept)
