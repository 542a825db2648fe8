"""A network's answers to any number of images, and the arithmetic that gives them fastest."""

from __future__ import annotations

import torch
from torch import Tensor

from fmnist_ray.networks.network import Network

_BATCH = 500


@torch.no_grad()
def predict(network: Network, pixels: Tensor, *, precision_half: bool = False) -> tuple[Tensor, Tensor]:
    """Logits and features (float32) of any number of images, in evaluation mode."""
    was_training = network.training
    network.eval()
    answers = []
    with torch.autocast(pixels.device.type, torch.bfloat16, enabled=precision_half):
        for batch in torch.split(pixels, _BATCH):
            answers.append(network(batch))
    network.train(was_training)
    logits, features = (torch.cat(parts).float() for parts in zip(*answers, strict=True))
    return logits, features


def computes_in_bf16(device: str) -> bool:
    """Whether the processor has bf16 arithmetic: without it autocast is slower than float32."""
    if device != "cpu":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    found = torch.cpu.get_capabilities()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))
