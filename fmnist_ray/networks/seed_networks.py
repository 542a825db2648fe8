"""The networks that published Fashion-MNIST reports describe, layer by layer, so that their figures can be checked."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import nn

from fmnist_ray.networks.network import Network, flat_width, keras_initialise


def _conv(inputs: int, outputs: int, kernel: int = 3) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, kernel), nn.ReLU()]


def _assemble(
    layers: list[nn.Module],
    dense: Sequence[int],
    *,
    num_labels: int,
    channels: int,
    size: int,
    dropout: float = 0.0,
    he: bool = False,
) -> Network:
    """Convolutions, flatten, dense layers with ReLU, dropout before the last dense layer."""
    body = nn.Sequential(*layers, nn.Flatten())
    width = flat_width(body, channels=channels, size=size)
    for outputs in dense:
        body.extend([nn.Linear(width, outputs), nn.ReLU()])
        width = outputs
    head = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, num_labels))
    network = Network(body, head, channels=channels)
    keras_initialise(network)
    if he:
        keras_initialise(body, he=True)
    return network


def keras_cnn3(*, num_labels: int, channels: int, size: int) -> Network:
    """Conv32, pool, Conv64, pool, Conv64, Dense64."""
    pool = nn.MaxPool2d(2)
    layers = [*_conv(channels, 32), pool, *_conv(32, 64), pool, *_conv(64, 64)]
    return _assemble(layers, [64], num_labels=num_labels, channels=channels, size=size)


def conv1(*, num_labels: int, channels: int, size: int, kernel: int) -> Network:
    """One convolution of 32 channels, pool, Dense128."""
    layers = [*_conv(channels, 32, kernel), nn.MaxPool2d(2)]
    return _assemble(layers, [128], num_labels=num_labels, channels=channels, size=size)


def cnn3_128(*, num_labels: int, channels: int, size: int, dropout: float = 0.0) -> Network:
    """Conv32, pool, Conv64, pool, Conv128, Dense128; `dropout` before the last layer."""
    pool = nn.MaxPool2d(2)
    layers = [*_conv(channels, 32), pool, *_conv(32, 64), pool, *_conv(64, 128)]
    return _assemble(layers, [128], num_labels=num_labels, channels=channels, size=size, dropout=dropout)


def cnn3_128_dropout(
    *, num_labels: int, channels: int, size: int, pool_dropout: float = 0.25, dropout: float = 0.4
) -> Network:
    """`cnn3_128` with He weights before the last layer, and dropout after each pool and after the last convolution."""
    pool, drop = nn.MaxPool2d(2), nn.Dropout(pool_dropout)
    layers = [*_conv(channels, 32), pool, drop, *_conv(32, 64), pool, drop, *_conv(64, 128), nn.Dropout(dropout)]
    return _assemble(layers, [128], num_labels=num_labels, channels=channels, size=size, he=True)


def lenet_dropout(*, num_labels: int, channels: int, size: int, dropout: float) -> Network:
    """LeNet-5 (6, 16, 120, 84; valid 5x5) with dropout after each pool."""
    pool, drop = nn.MaxPool2d(2), nn.Dropout(dropout)
    layers = [*_conv(channels, 6, 5), pool, drop, *_conv(6, 16, 5), pool, drop]
    return _assemble(layers, [120, 84], num_labels=num_labels, channels=channels, size=size)


def cnn_dropout_2(*, num_labels: int, channels: int, size: int, dropout: float = 0.25) -> Network:
    """Two convolutions before each pool: 16, 16, pool, 32, 32, pool, Dense32, with dropout after each pool."""
    pool, drop = nn.MaxPool2d(2), nn.Dropout(dropout)
    layers = [*_conv(channels, 16), *_conv(16, 16), pool, drop, *_conv(16, 32), *_conv(32, 32), pool, drop]
    return _assemble(layers, [32], num_labels=num_labels, channels=channels, size=size)


def cnn_simple(*, num_labels: int, channels: int, size: int) -> Network:
    """Conv32, Conv64, pool, one dense layer."""
    layers = [*_conv(channels, 32), *_conv(32, 64), nn.MaxPool2d(2)]
    return _assemble(layers, [], num_labels=num_labels, channels=channels, size=size)


def ann(*, num_labels: int, channels: int, size: int, hidden: int = 128) -> Network:
    """One hidden dense layer on the pixels."""
    return _assemble([], [hidden], num_labels=num_labels, channels=channels, size=size)


def bn_cnn(*, num_labels: int, channels: int, size: int, dropout: float = 0.5) -> Network:
    """Conv32, BN, pool, Conv64, BN, pool, Conv128, BN, Dense128, dropout; ReLU comes before BN, as in the report."""
    norm = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01)  # what Keras writes as epsilon=0.001, momentum=0.99
    pool = nn.MaxPool2d(2)
    layers = [*_conv(channels, 32), norm(32), pool, *_conv(32, 64), norm(64), pool, *_conv(64, 128), norm(128)]
    return _assemble(layers, [128], num_labels=num_labels, channels=channels, size=size, dropout=dropout)


def basic_cnn_2(*, num_labels: int, channels: int, size: int, dropout: float = 0.5) -> Network:
    """Conv32, pool, Conv64, pool, Dense128, dropout."""
    pool = nn.MaxPool2d(2)
    layers = [*_conv(channels, 32), pool, *_conv(32, 64), pool]
    return _assemble(layers, [128], num_labels=num_labels, channels=channels, size=size, dropout=dropout)
