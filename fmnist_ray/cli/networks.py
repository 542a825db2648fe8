"""The parts of `train` that show networks instead of training one."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from fmnist_ray.cli.classical import CLASSICAL_MODELS
from fmnist_ray.cli.console import Output

if TYPE_CHECKING:
    from fmnist_ray.networks.architectures import Architecture
    from fmnist_ray.networks.profile import Layer


def show_networks(name: str | None, output: Output) -> None:
    """The layers of the network `name`, or every named network where there is no name."""
    if name is None:
        _list_architectures(output)
        output.note(f"Classical models on pixels: {', '.join(CLASSICAL_MODELS)}.")
    else:
        _describe_architecture(name, output)


def _list_architectures(output: Output) -> None:
    """Every named network with its size, for ten classes."""
    from fmnist_ray.networks.architectures import ARCHITECTURES

    found: list[dict[str, Any]] = []
    for name, architecture in ARCHITECTURES.items():
        layers = _layers(name)
        found.append(
            {
                "name": name,
                "num_parameters": sum(layer.num_parameters for layer in layers),
                "multiply_adds": sum(layer.multiply_adds for layer in layers),
                "input": _input(architecture),
                "origin": architecture.origin,
            }
        )
    rows = [
        (
            entry["name"],
            f"{entry['num_parameters']:,}",
            f"{entry['multiply_adds'] / 1e6:,.1f} M",
            entry["input"],
            entry["origin"],
        )
        for entry in found
    ]
    output.table("Architectures", ("name", "parameters", "multiply-adds", "input", "origin"), rows)
    output.result({"architectures": found})


def _describe_architecture(name: str, output: Output) -> None:
    """The layer table of one network."""
    from fmnist_ray.networks.architectures import find_architecture

    architecture = find_architecture(name)
    layers = _layers(name)
    rows = [
        (
            layer.name,
            layer.kind,
            " x ".join(map(str, layer.output)),
            f"{layer.num_parameters:,}",
            f"{layer.multiply_adds:,}",
        )
        for layer in layers
    ]
    output.table(
        f"{name}, for {_input(architecture)}", ("layer", "kind", "output", "parameters", "multiply-adds"), rows
    )
    output.result(
        {
            "name": name,
            "num_parameters": sum(layer.num_parameters for layer in layers),
            "multiply_adds": sum(layer.multiply_adds for layer in layers),
            "layers": [dataclasses.asdict(layer) for layer in layers],
        }
    )


def _layers(name: str) -> list[Layer]:
    from fmnist_ray.networks.architectures import build_network, find_architecture
    from fmnist_ray.networks.profile import profile

    architecture = find_architecture(name)
    size = architecture.size
    return profile(build_network(name, num_labels=10, channels=architecture.channels, size=size), size=size)


def _input(architecture: Architecture) -> str:
    colour = "grey" if architecture.channels == 1 else "RGB"
    return f"{architecture.size} x {architecture.size} {colour}"
