"""What every network of the package is: pixels in, logits and features out."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Network(nn.Module):
    """A body that turns a normalised image into features, and a head that turns features into logits.

    The normalisation is part of the network, so training, export and every runtime share one forward pass.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, body: nn.Module, head: nn.Module, *, channels: int, flip_average: bool = False) -> None:
        super().__init__()
        self.body = body
        self.head = head
        self.channels = channels
        self.flip_average = flip_average
        """Outside training, answer with the mean over the image and its mirror image: twice the work."""
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))

    def set_normalisation(self, mean: Tensor, std: Tensor) -> None:
        """Centre and scale of each channel, on the 0..1 scale; they are saved with the weights."""
        self.mean.copy_(mean)
        self.std.copy_(std)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [N, labels] and features [N, width] of `pixels` [N, channels, size, size] in 0..255."""
        shape = (1, -1, 1, 1)
        images = (pixels.float() / 255 - self.mean.view(shape)) / self.std.view(shape)
        features = self.body(images)
        logits = self.head(features)
        if self.flip_average and not self.training:
            mirrored = self.body(images.flip(-1))
            return (logits + self.head(mirrored)) / 2, (features + mirrored) / 2
        return logits, features


def flat_width(layers: nn.Module, *, channels: int, size: int) -> int:
    """Number of values per image that `layers` give."""
    training = layers.training
    layers.eval()
    with torch.no_grad():
        width: int = layers(torch.zeros(1, channels, size, size)).flatten(1).shape[1]
    layers.train(training)
    return width


def keras_initialise(layers: nn.Module, *, he: bool = False) -> None:
    """Initial weights as Keras sets them: Glorot uniform (or He normal, truncated), and zero biases."""
    for module in layers.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            if he:
                fan_in = nn.init._calculate_correct_fan(module.weight, "fan_in")
                std = (2 / fan_in) ** 0.5 / 0.87962566103423978  # the deviation left after truncation at two sigma
                nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
            else:
                nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
