"""The parts of `train` that show networks instead of training one."""

from __future__ import annotations

import dataclasses
from typing import Any

from fmnist_ray.cli.console import Output


def list_architectures(output: Output) -> None:
    """Every named network with its size, at 28 x 28 pixels grey and ten classes."""
    from fmnist_ray.networks.architectures import ARCHITECTURES, build_network
    from fmnist_ray.networks.profile import profile

    found: list[dict[str, Any]] = []
    for name, architecture in ARCHITECTURES.items():
        layers = profile(build_network(name, num_labels=10, channels=1, size=28), size=28)
        found.append(
            {
                "name": name,
                "num_parameters": sum(layer.num_parameters for layer in layers),
                "multiply_adds": sum(layer.multiply_adds for layer in layers),
                "input": "28 x 28 grey",
                "origin": architecture.origin,
            }
        )
    rows = [
        (entry["name"], f"{entry['num_parameters']:,}", f"{entry['multiply_adds'] / 1e6:.1f} M", entry["origin"])
        for entry in found
    ]
    output.table("Architectures, for 28 x 28 pixels grey", ("name", "parameters", "multiply-adds", "origin"), rows)
    output.result({"architectures": found})


def describe_architecture(name: str, output: Output) -> None:
    """The layer table of one network."""
    from fmnist_ray.networks.architectures import build_network
    from fmnist_ray.networks.profile import profile

    layers = profile(build_network(name, num_labels=10, channels=1, size=28), size=28)
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
    output.table(f"{name}, for 28 x 28 pixels grey", ("layer", "kind", "output", "parameters", "multiply-adds"), rows)
    output.result(
        {
            "name": name,
            "num_parameters": sum(layer.num_parameters for layer in layers),
            "multiply_adds": sum(layer.multiply_adds for layer in layers),
            "layers": [dataclasses.asdict(layer) for layer in layers],
        }
    )
