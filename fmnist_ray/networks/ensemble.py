"""Several networks of one kind that answer as one: the mean of their logits, their features side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from fmnist_ray.networks.network import Network


class Ensemble(Network):
    """The mean over `members`, each with its own normalisation."""

    def __init__(self, members: list[Network], *, channels: int) -> None:
        super().__init__(nn.Identity(), nn.Identity(), channels=channels)
        self.members = nn.ModuleList(members)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        answers = [member(pixels) for member in self.members]
        logits, features = zip(*answers, strict=True)
        return torch.stack(logits).mean(dim=0), torch.cat(features, dim=1)


def ensemble_network(
    *,
    build: Callable[..., Network],
    num_labels: int,
    channels: int,
    size: int,
    member: str = "bn_cnn",
    members: int = 3,
    **args: Any,
) -> Network:
    """`members` networks of architecture `member`; `args` are theirs."""
    built = [build(member, num_labels=num_labels, channels=channels, size=size, **args) for _ in range(members)]
    return Ensemble(built, channels=channels)
