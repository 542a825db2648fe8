"""Residual networks for small images, pre-activation form (He et al., arXiv 1603.05027)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from fmnist_ray.networks.network import Network


class PreactBlock(nn.Module):
    """Two 3x3 convolutions, each after norm and ReLU, around a shortcut; `inner` channels are between them."""

    def __init__(self, inputs: int, outputs: int, stride: int, inner: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, inner, 3, stride=stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, outputs, 3, padding=1, bias=False)
        self.shortcut: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            pool: list[nn.Module] = [nn.AvgPool2d(stride, ceil_mode=True)] if stride > 1 else []
            self.shortcut = nn.Sequential(*pool, nn.Conv2d(inputs, outputs, 1, bias=False))

    def forward(self, images: Tensor) -> Tensor:
        active = nn.functional.relu(self.norm1(images))
        kept = images if self.shortcut is None else self.shortcut(active)
        changed = self.conv1(active)
        changed = self.conv2(nn.functional.relu(self.norm2(changed)))
        total: Tensor = kept + changed
        return total


def residual_network(
    *,
    num_labels: int,
    channels: int,
    size: int,
    widths: Sequence[int],
    blocks: Sequence[int],
    stem: int,
    stem_stride: int = 1,
    dropout: float = 0.0,
    flip_average: bool = False,
    inner: Sequence[int] = (),
) -> Network:
    """A stem, stages of `blocks[i]` blocks of `widths[i]` channels, global average pooling.

    Each stage but the first halves the side. Works for any `size` that leaves a pixel after the last stage. `inner` are
    the channels within each block, one number for each of all; without it as many as the block gives.
    """
    within = iter(inner or [width for width, count in zip(widths, blocks, strict=True) for _ in range(count)])
    layers: list[nn.Module] = [nn.Conv2d(channels, stem, 3, stride=stem_stride, padding=1, bias=False)]
    inputs = stem
    for stage, (width, count) in enumerate(zip(widths, blocks, strict=True)):
        for number in range(count):
            layers.append(PreactBlock(inputs, width, 2 if stage > 0 and number == 0 else 1, next(within)))
            inputs = width
    layers += [nn.BatchNorm2d(inputs), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    head = nn.Sequential(nn.Dropout(dropout), nn.Linear(inputs, num_labels))
    network = Network(nn.Sequential(*layers), head, channels=channels, flip_average=flip_average)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network
