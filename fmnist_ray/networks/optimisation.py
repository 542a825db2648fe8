"""Optimisers and learning-rate schedules by name."""

from __future__ import annotations

import math

import torch
from torch import nn

from fmnist_ray.config.train import TrainSettings


def make_optimiser(network: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    """The optimiser of `settings`; weight decay acts on tensors of two or more dimensions only."""
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    groups = [
        {"params": [weight for weight in weights if weight.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [weight for weight in weights if weight.ndim <= 1], "weight_decay": 0.0},
    ]
    rate = settings.learning_rate
    if settings.optimiser == "sgd":
        nesterov = settings.momentum > 0
        return torch.optim.SGD(groups, lr=rate, momentum=settings.momentum, nesterov=nesterov)
    if settings.optimiser == "adadelta":
        return torch.optim.Adadelta(groups, lr=rate, rho=0.95, eps=1e-7)  # Keras' constants
    if settings.optimiser == "adam":
        return torch.optim.Adam(groups, lr=rate, eps=1e-7)
    return torch.optim.AdamW(groups, lr=rate)


def rate_factor(settings: TrainSettings, step: int, num_steps: int) -> float:
    """The learning rate at `step` of `num_steps`, as a share of its peak."""
    num_steps //= settings.cycles
    step %= num_steps
    warm = settings.warmup * num_steps
    if step < warm:
        return (step + 1) / (math.ceil(warm) + 1)
    left = (num_steps - step) / max(num_steps - warm, 1.0)
    if settings.schedule == "cosine":
        return 0.5 * (1 - math.cos(math.pi * left))
    if settings.schedule == "one_cycle":
        return left
    return 1.0
