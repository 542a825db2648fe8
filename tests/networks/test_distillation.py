"""Learning a better network's answers: the loss by its formula, and a gain where labels are wrong."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from fmnist_ray.config.train import TrainSettings
from fmnist_ray.networks.architectures import build_network
from fmnist_ray.networks.data import LabelledImages
from fmnist_ray.networks.distillation import Teacher
from fmnist_ray.networks.job import TrainingJob, train_here
from fmnist_ray.networks.training import EpochMetrics

SETTINGS = TrainSettings(architecture="ann", epochs=6, batch_size=32, learning_rate=3e-3, precision="f32")


def bars(count: int, seed: int, *, wrong: float = 0.0) -> LabelledImages:
    """Ten classes: a bright row at one of ten heights; `wrong` is the share of labels drawn anew."""
    generator = np.random.default_rng(seed)
    labels = (np.arange(count) % 10).astype(np.int64)
    pixels = generator.integers(0, 160, (count, 1, 28, 28), dtype=np.uint8)
    pixels[np.arange(count), 0, 4 + 2 * labels] += 60
    labels = np.where(generator.random(count) < wrong, generator.integers(0, 10, count), labels)
    return LabelledImages(pixels=pixels, labels=labels)


def test_the_loss_is_its_formula_and_gives_the_teacher_no_gradient() -> None:
    torch.manual_seed(0)
    network = build_network("ann", num_labels=10, channels=1, size=28)
    pixels = torch.randint(0, 256, (7, 1, 28, 28), dtype=torch.uint8)
    logits = torch.randn(7, 10, requires_grad=True)
    loss = Teacher(network, device="cpu", half=False).loss(pixels, logits, torch.tensor(0.5))

    answers = network(pixels)[0].detach().numpy()
    taught, own = log_softmax(answers / 4, axis=1), log_softmax(logits.detach().numpy() / 4, axis=1)
    divergence = (np.exp(taught) * (taught - own)).sum(axis=1).mean()
    assert loss.item() == pytest.approx(0.1 * 0.5 + 0.9 * 16 * divergence, rel=1e-5)

    torch.autograd.backward(loss)
    assert all(weight.grad is None for weight in network.parameters())
    equal = Teacher(network, device="cpu", half=False).loss(pixels, torch.tensor(answers), torch.tensor(0.5))
    assert equal.item() == pytest.approx(0.05, abs=1e-6)


def test_a_teacher_helps_where_half_of_the_labels_are_wrong() -> None:
    held = bars(500, 2)
    whole = TrainingJob(settings=SETTINGS, num_labels=10, train=bars(4000, 0), validation=held)
    teacher = whole.finished_network(train_here(whole, lambda metrics: None))
    reached = []
    for network in (None, teacher):
        seen: list[EpochMetrics] = []
        settings = dataclasses.replace(SETTINGS, teacher=network and "the whole one")
        noisy = dataclasses.replace(whole, settings=settings, train=bars(600, 1, wrong=0.5), teacher=network)
        train_here(noisy, seen.append)
        reached.append(seen[-1].validation_accuracy)
    alone, taught = reached
    assert taught > alone + 0.1
