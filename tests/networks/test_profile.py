"""Counting: parameters and multiply-adds."""

from __future__ import annotations

from fmnist_ray.networks.architectures import build_network
from fmnist_ray.networks.profile import profile


def test_counts_of_a_small_network_by_hand() -> None:
    layers = profile(build_network("conv1_k3", num_labels=10, channels=1, size=28), size=28)
    convolution, dense = layers[0], layers[-1]
    assert (convolution.kind, convolution.output, convolution.num_parameters) == ("Conv2d", (32, 26, 26), 320)
    assert convolution.multiply_adds == 26 * 26 * 32 * 9
    assert (dense.name, dense.output, dense.multiply_adds) == ("head.1", (10,), 1280)
    assert sum(layer.num_parameters for layer in layers) == 693_962


def test_the_default_network_keeps_within_its_budget() -> None:
    layers = profile(build_network("fashion_resnet", num_labels=10, channels=1, size=28), size=28)
    assert sum(layer.num_parameters for layer in layers) <= 300_000
    assert sum(layer.multiply_adds for layer in layers) <= 40_000_000
    once = profile(build_network("fashion_resnet", num_labels=10, channels=1, size=28, flip_average=False), size=28)
    assert sum(layer.multiply_adds for layer in layers) == 2 * sum(layer.multiply_adds for layer in once)
