"""Ensembles: the mean of their members, rebuilt by name."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from fmnist_ray.config.train import TrainSettings
from fmnist_ray.errors import SettingError
from fmnist_ray.networks.architectures import build_network
from fmnist_ray.networks.inference import predict
from fmnist_ray.networks.job import bundle_architecture, join_networks

SETTINGS = TrainSettings(architecture="cnn_dropout_1", ensemble=3)


def test_it_answers_with_the_mean_of_its_members() -> None:
    members = [build_network("cnn_dropout_1", num_labels=4, channels=1, size=28) for _ in range(3)]
    members[1].set_normalisation(torch.tensor([0.3]), torch.tensor([0.2]))
    joined = join_networks(members, SETTINGS, num_labels=4, size=28)
    pixels = torch.randint(0, 256, (5, 1, 28, 28), dtype=torch.uint8)
    logits, features = predict(joined, pixels)
    answers = [predict(member, pixels) for member in members]
    torch.testing.assert_close(logits, torch.stack([answer[0] for answer in answers]).mean(dim=0))
    torch.testing.assert_close(features, torch.cat([answer[1] for answer in answers], dim=1))

    name, args = bundle_architecture(SETTINGS)
    rebuilt = build_network(name, num_labels=4, channels=1, size=28, **args)
    rebuilt.load_state_dict(joined.state_dict())
    torch.testing.assert_close(predict(rebuilt, pixels)[0], logits)


def test_its_members_differ_and_the_first_is_the_network_trained_alone() -> None:
    runs = SETTINGS.members()
    assert runs[0] == dataclasses.replace(SETTINGS, ensemble=1)
    assert len({run.training_seed for run in runs}) == 3
    assert len({run.digest() for run in runs}) == 3
    assert {run.seed for run in runs} == {SETTINGS.seed}


def test_an_ensemble_of_none_is_refused() -> None:
    with pytest.raises(SettingError, match="at least 1"):
        dataclasses.replace(SETTINGS, ensemble=0)
