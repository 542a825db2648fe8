"""Pruning: channels within residual blocks that matter least are taken out, and what is left is a narrower network.

The channels between a block's two convolutions are its own: what it takes and gives keeps its width, so nothing else
changes (Li et al., arXiv 1608.08710). Dense arithmetic gains by it, which it does not by single weights of 0.
"""

from __future__ import annotations

from torch import Tensor

from fmnist_ray.errors import SettingError
from fmnist_ray.networks.network import Network
from fmnist_ray.networks.residual import PreactBlock

_STEP = 8
"""Channels are kept in multiples of so many, which processors multiply at once."""


def prune_blocks(network: Network, share: float) -> tuple[list[int], dict[str, Tensor]]:
    """The inner channels that each block keeps, when `share` of them goes, and the weights of the narrower network.

    Those go that reach the block's sum with the smallest weights: the scale of the norm before the second convolution,
    times the sum of that convolution's weights for the channel. `SettingError` for a network without such blocks.
    """
    blocks = [(name, module) for name, module in network.named_modules() if isinstance(module, PreactBlock)]
    if not blocks:
        raise SettingError("This network has no residual blocks, and only their inner channels can be pruned.")
    weights: dict[str, Tensor] = dict(network.state_dict())
    widths = []
    for name, block in blocks:
        width = block.conv1.out_channels
        kept = min(width, max(_STEP, _STEP * round(width * (1 - share) / _STEP)))
        importance = block.norm2.weight.abs() * block.conv2.weight.abs().sum(dim=(0, 2, 3))
        chosen = importance.topk(kept).indices.sort().values
        for weight in ("conv1.weight", "norm2.weight", "norm2.bias", "norm2.running_mean", "norm2.running_var"):
            weights[f"{name}.{weight}"] = weights[f"{name}.{weight}"][chosen]
        weights[f"{name}.conv2.weight"] = weights[f"{name}.conv2.weight"][:, chosen]
        widths.append(kept)
    return widths, {name: weight.detach().clone() for name, weight in weights.items()}
