"""The networks by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from fmnist_ray.errors import SettingError
from fmnist_ray.networks import seed_networks
from fmnist_ray.networks.ensemble import ensemble_network
from fmnist_ray.networks.network import Network
from fmnist_ray.networks.residual import residual_network


@dataclass(frozen=True, slots=True)
class Architecture:
    """A network that can be built by name."""

    build: Callable[..., Network]
    """Takes `num_labels`, `channels`, `size` and the network's own arguments."""
    origin: str
    """Where it comes from, in one sentence."""
    size: int = 28
    """Pixels per side that it was made for; most take others too."""
    channels: int = 1
    """1 for grey, 3 for RGB."""


_SEED = "published"

ARCHITECTURES: dict[str, Architecture] = {
    "keras_cnn3": Architecture(seed_networks.keras_cnn3, f"{_SEED}: features of the CNN + SVM study, 83.28 %"),
    "conv1_k3": Architecture(partial(seed_networks.conv1, kernel=3), f"{_SEED}: one 3x3 convolution"),
    "conv1_k4": Architecture(partial(seed_networks.conv1, kernel=4), f"{_SEED}: one 4x4 convolution"),
    "cnn3_128": Architecture(seed_networks.cnn3_128, f"{_SEED}: without dropout, over-fits near 90 %"),
    "cnn3_128_dropout": Architecture(seed_networks.cnn3_128_dropout, f"{_SEED}: 92.58 %; dropout places reconstructed"),
    "cnn_dropout_1": Architecture(
        partial(seed_networks.lenet_dropout, dropout=0.25), f"{_SEED}: LeNet-5 with dropout, 91.38 % validation"
    ),
    "cnn_dropout_2": Architecture(
        seed_networks.cnn_dropout_2, f"{_SEED}: reconstruction; 33,114 parameters where the report says 32,340"
    ),
    "cnn_dropout_3": Architecture(
        partial(seed_networks.lenet_dropout, dropout=0.1), f"{_SEED}: LeNet-5 with lower dropout"
    ),
    "cnn_simple": Architecture(
        seed_networks.cnn_simple, f"{_SEED}: reconstruction; 110,986 parameters where the report says 110,968"
    ),
    "ann": Architecture(seed_networks.ann, f"{_SEED}: dense network, 88.03 %"),
    "bn_cnn": Architecture(seed_networks.bn_cnn, f"{_SEED}: batch normalisation and augmentation, 89.29 %"),
    "basic_cnn": Architecture(
        partial(seed_networks.cnn3_128, dropout=0.5), f"{_SEED}: bn_cnn without normalisation, 84 % early"
    ),
    "basic_cnn_2": Architecture(seed_networks.basic_cnn_2, f"{_SEED}: its variant with two convolutions"),
    "resnet_small": Architecture(
        partial(residual_network, widths=(16, 32, 64), blocks=(1, 1, 1), stem=16),
        f"{_SEED}: small residual network, 91 %",
    ),
    "fashion_resnet": Architecture(
        partial(residual_network, widths=(32, 80), blocks=(2, 2), stem=32, stem_stride=2, flip_average=True),
        "Our default: residual at 14 x 14 and 7 x 7 pixels, the mean over an image and its mirror image",
    ),
    "wide_resnet": Architecture(
        partial(residual_network, widths=(64, 128, 256), blocks=(6, 6, 6), stem=16),
        "After WRN-40-4 (arXiv 1605.07146): for a GPU, and to teach smaller networks",
    ),
}


def _backbone(**args: Any) -> Network:
    from fmnist_ray.networks.backbones import backbone_network  # torchvision takes seconds to import

    return backbone_network(**args)


_BACKBONE_SIZES = {
    "resnet18": 224,
    "mobilenet_v3_small": 224,
    "efficientnet_b0": 224,
    "vgg16": 224,
    "densenet121": 224,
    "inception_v3": 299,
}
ARCHITECTURES |= {
    name: Architecture(partial(_backbone, backbone=name), "torchvision, for transfer to photos", size, channels=3)
    for name, size in _BACKBONE_SIZES.items()
}


def _ensemble(**args: Any) -> Network:
    return ensemble_network(build=build_network, **args)


ENSEMBLE = "ensemble"
"""The architecture that `train --ensemble` writes."""
ARCHITECTURES[ENSEMBLE] = Architecture(_ensemble, "Mean of `members` networks of architecture `member`, one per seed")


def find_architecture(name: str) -> Architecture:
    """The architecture of that name; `SettingError` names the nearest for an unknown one."""
    if name not in ARCHITECTURES:
        near = difflib.get_close_matches(name, ARCHITECTURES, n=3, cutoff=0.4) or sorted(ARCHITECTURES)
        raise SettingError(f"There is no architecture {name!r}; the nearest are {', '.join(near)}.")
    return ARCHITECTURES[name]


def build_network(name: str, *, num_labels: int, channels: int, size: int, **args: Any) -> Network:
    """The network `name` with fresh weights, for `num_labels` classes and images [channels, size, size].

    Raises `SettingError` for an unknown name, for arguments it does not have, and for images it can't take.
    """
    architecture = find_architecture(name)
    try:
        return architecture.build(num_labels=num_labels, channels=channels, size=size, **args)
    except TypeError as error:
        raise SettingError(f"Architecture {name} can't take the arguments {args}: {error}.") from error
    except RuntimeError as error:
        raise SettingError(f"Architecture {name} can't take images of {size} x {size} pixels: {error}.") from error
