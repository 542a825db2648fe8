"""Where a network looks: Grad-CAM, gradients of the input, filters and activations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fmnist_ray.errors import SettingError
from fmnist_ray.networks.ensemble import Ensemble
from fmnist_ray.networks.network import Network

Maps = NDArray[np.float32]


def grad_cam(network: Network, pixels: NDArray[np.uint8], label_ids: NDArray[np.int64]) -> Maps:
    """Where the evidence for a label lies, [n, size, size] in 0..1, for `pixels` [n, channels, size, size].

    Selvaraju et al., Grad-CAM, arXiv 1610.02391: channels of the last rectified layer that has places, weighted
    by the mean gradient of the label's logit, and only what speaks for it: an image without any such place has a map of
    zeros. An ensemble's map is the mean over its members. `SettingError` for a network without convolutions.
    """
    if isinstance(network, Ensemble):
        members = [grad_cam(member, pixels, label_ids) for member in network.members]  # type: ignore[arg-type]
        return _scaled(np.mean(members, axis=0))
    _convolutions(network)
    images = torch.from_numpy(np.ascontiguousarray(pixels)).float()
    with _looking(network), _outputs_of(*_leaves(network)) as outputs, torch.enable_grad():
        logits, _ = network(images)
        output = _last_map(outputs)
        (gradient,) = torch.autograd.grad(_logits_of(logits, label_ids).sum(), output)
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    maps = torch.relu((weights * output).sum(dim=1, keepdim=True))
    fitted = nn.functional.interpolate(maps, size=pixels.shape[-2:], mode="bilinear", align_corners=False)
    return _scaled(fitted[:, 0].detach().numpy())


def gradient_map(network: Network, pixels: NDArray[np.uint8], label_ids: NDArray[np.int64]) -> Maps:
    """How much each pixel moves the label's logit, [n, size, size] in 0..1 (Simonyan et al., arXiv 1312.6034)."""
    images = torch.from_numpy(np.ascontiguousarray(pixels)).float().requires_grad_()
    with _looking(network), torch.enable_grad():
        logits, _ = network(images)
        (gradient,) = torch.autograd.grad(_logits_of(logits, label_ids).sum(), images)
    return _scaled(gradient.abs().amax(dim=1).numpy())


def first_filters(network: Network) -> NDArray[np.float32]:
    """The first convolution's filters, [filters, channels, height, width], each scaled to 0..1 with 0.5 for zero."""
    weight = _convolutions(network)[0].weight.detach().numpy()
    largest = np.abs(weight).max(axis=(1, 2, 3), keepdims=True)
    scaled: NDArray[np.float32] = 0.5 + 0.5 * weight / np.maximum(largest, 1e-12)
    return scaled


def first_activations(network: Network, pixels: NDArray[np.uint8]) -> Maps:
    """What the first convolution makes of one image [channels, size, size]: [filters, height, width], each in 0..1."""
    with _looking(network), _outputs_of(_convolutions(network)[0]) as outputs, torch.no_grad():
        network(torch.from_numpy(np.ascontiguousarray(pixels[None])).float())
    return _scaled(torch.relu(outputs[0][0]).numpy())


def _convolutions(network: Network) -> list[nn.Conv2d]:
    """In the order in which they were built, which is the order of the forward pass."""
    found = [module for module in network.modules() if isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1)]
    if not found:
        raise SettingError("This network has no convolution to look into: use --method occlusion.")
    return found


def _leaves(network: Network) -> list[nn.Module]:
    return [module for module in network.body.modules() if not any(module.children())]


def _last_map(outputs: list[Tensor]) -> Tensor:
    """The last output with several places and no negative values: normalisation moves the zero that says "absent"."""
    maps = [output for output in outputs if output.ndim == 4 and output.shape[-1] > 1 and output.requires_grad]
    return [output for output in maps if output.min() >= 0 or output is maps[0]][-1]


def _logits_of(logits: Tensor, label_ids: NDArray[np.int64]) -> Tensor:
    return logits.gather(1, torch.from_numpy(label_ids.astype(np.int64))[:, None])


@contextmanager
def _looking(network: Network) -> Iterator[None]:
    """Evaluation mode, and one pass only: an image's mirror image would have another map."""
    training, flip_average = network.training, network.flip_average
    network.eval()
    network.flip_average = False
    try:
        yield
    finally:
        network.flip_average = flip_average
        network.train(training)


@contextmanager
def _outputs_of(*layers: nn.Module) -> Iterator[list[Tensor]]:
    """Outputs of the layers, in the order in which they are computed."""
    outputs: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        outputs.append(output)

    handles = [layer.register_forward_hook(keep) for layer in layers]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def _scaled(maps: NDArray[np.float32]) -> Maps:
    """Each map divided by its largest value."""
    scaled: Maps = maps / np.maximum(maps.max(axis=(1, 2), keepdims=True), 1e-12)
    return scaled.astype(np.float32)
