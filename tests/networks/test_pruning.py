"""Pruned networks: what is left answers as before where what went said nothing."""

from __future__ import annotations

import pytest
import torch

from fmnist_ray.errors import SettingError
from fmnist_ray.networks.architectures import build_network
from fmnist_ray.networks.network import Network
from fmnist_ray.networks.profile import profile
from fmnist_ray.networks.pruning import prune_blocks


def small(**args: object) -> Network:
    return build_network("resnet_small", num_labels=10, channels=1, size=28, **args).eval()


def test_channels_without_effect_go_first() -> None:
    torch.manual_seed(0)
    network = small()
    with torch.no_grad():
        for block in (network.body[1], network.body[2], network.body[3]):
            gone = torch.randperm(block.conv1.out_channels)[::2][: block.conv1.out_channels // 2]
            block.conv2.weight[:, gone] = 0
            block.norm2.running_mean.uniform_(-1, 1)
            block.norm2.weight.uniform_(0.5, 1.5)
    widths, weights = prune_blocks(network, 0.5)
    assert widths == [8, 16, 32]
    narrower = small(inner=widths)
    narrower.load_state_dict(weights)
    images = torch.randint(0, 256, (4, 1, 28, 28))
    with torch.no_grad():
        for found, expected in zip(narrower(images), network(images), strict=True):
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    cost, before = (sum(layer.multiply_adds for layer in profile(each, size=28)) for each in (narrower, network))
    assert 0.5 < cost / before < 0.57


def test_channels_stay_in_multiples_and_never_none() -> None:
    assert prune_blocks(small(), 0.99)[0] == [8, 8, 8]
    assert prune_blocks(small(), 0.3)[0] == [8, 24, 48], "of 16, 32 and 64"
    assert prune_blocks(small(), 0.01)[0] == [16, 32, 64]
    twice = small(inner=[8, 24, 48])
    assert prune_blocks(twice, 0.5)[0] == [8, 16, 24]
    with pytest.raises(SettingError, match="has no residual blocks"):
        prune_blocks(build_network("ann", num_labels=10, channels=1, size=28), 0.5)
