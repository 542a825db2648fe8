"""What a network is made of and what it costs, counted on one forward pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fmnist_ray.networks.network import Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer of a network."""

    name: str
    """Where it is, with dots: the prefix of its weights."""
    kind: str
    output: tuple[int, ...]
    """Shape of what it gives for one image."""
    num_parameters: int
    multiply_adds: int
    """For one image; a layer that sees the image and its mirror image counts twice."""


def profile(network: Network, *, size: int) -> list[Layer]:
    """The layers in the order of the forward pass. Multiply-adds are those of convolutions and dense layers."""
    layers: dict[str, Layer] = {}

    def count(name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            before = layers[name].multiply_adds if name in layers else 0
            layers[name] = Layer(
                name=name,
                kind=type(module).__name__,
                output=tuple(output.shape[1:]),
                num_parameters=sum(weight.numel() for weight in module.parameters()),
                multiply_adds=before + _multiply_adds(module, output),
            )

        return hook

    leaves = [(name, module) for name, module in network.named_modules() if not list(module.children())]
    handles = [module.register_forward_hook(count(name)) for name, module in leaves]
    was_training = network.training
    network.eval()
    with torch.no_grad():
        network(torch.zeros(1, network.channels, size, size, dtype=torch.uint8))
    network.train(was_training)
    for handle in handles:
        handle.remove()
    return list(layers.values())


def _multiply_adds(module: nn.Module, output: Tensor) -> int:
    if isinstance(module, nn.Conv2d):
        return output.numel() * module.weight[0].numel()
    if isinstance(module, nn.Linear):
        return module.weight.numel()
    return 0
