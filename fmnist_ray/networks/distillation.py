"""Distillation: a small network learns the answers of a better one besides the labels.

Answers are compared at a temperature, whose square makes up for the smaller gradients (Hinton et al., arXiv
1503.02531). The better network answers each image as it was changed for this step, so that both look at the same (Beyer
et al., arXiv 2106.05237). Temperature and share are usual values, not tuned here.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fmnist_ray.networks.network import Network

_TEMPERATURE = 4.0
"""Divides both networks' logits, so that the wrong classes' shares, which the labels don't tell, count."""
_SHARE = 0.9
"""Of the answers in the loss; the rest is the labels'."""


class Teacher:
    """A finished network whose answers are learned."""

    def __init__(self, network: Network, *, device: str, half: bool) -> None:
        """`half`: it answers in bf16, as the network that learns from it does."""
        self._network = network.to(device).to(memory_format=torch.channels_last).eval()
        self._half = half

    def loss(self, pixels: Tensor, logits: Tensor, of_labels: Tensor) -> Tensor:
        """The loss of a step: that `of_labels`, and how far `logits` [N, labels] are from the answers to `pixels`."""
        with torch.no_grad(), torch.autocast(pixels.device.type, torch.bfloat16, enabled=self._half):
            answers, _ = self._network(pixels)
        distance = torch.nn.functional.kl_div(
            torch.log_softmax(logits / _TEMPERATURE, dim=1),
            torch.log_softmax(answers.float() / _TEMPERATURE, dim=1),
            reduction="batchmean",
            log_target=True,
        )
        return (1 - _SHARE) * of_labels + _SHARE * _TEMPERATURE**2 * distance
