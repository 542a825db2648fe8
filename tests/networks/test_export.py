"""Exported networks: the graph answers as the network does, and weights come back."""

from __future__ import annotations

import pytest
import safetensors.torch
import torch

from fmnist_ray.bundle.runtimes import OpenVinoRuntime
from fmnist_ray.networks.architectures import build_network
from fmnist_ray.networks.export import export_onnx, export_weights
from fmnist_ray.networks.inference import predict


@pytest.mark.parametrize(("name", "channels", "size"), [("bn_cnn", 1, 28), ("fashion_resnet", 3, 36)])
def test_the_graph_answers_as_the_network_for_any_number_of_images(
    name: str, channels: int, size: int, capsys: pytest.CaptureFixture[str]
) -> None:
    network = build_network(name, num_labels=5, channels=channels, size=size)
    network.set_normalisation(torch.full((channels,), 0.3), torch.full((channels,), 0.2))
    scorer = OpenVinoRuntime(export_onnx(network, size=size), precision="f32", num_threads=1)
    pixels = torch.randint(0, 256, (19, channels, size, size), dtype=torch.uint8)
    scores = scorer.score(pixels.numpy())
    logits, features = predict(network, pixels)
    torch.testing.assert_close(torch.tensor(scores.logits), logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(torch.tensor(scores.features), features, atol=1e-4, rtol=1e-4)
    assert capsys.readouterr().out == ""


def test_weights_come_back_with_the_normalisation() -> None:
    network = build_network("bn_cnn", num_labels=10, channels=1, size=28)
    network.set_normalisation(torch.tensor([0.3]), torch.tensor([0.2]))
    other = build_network("bn_cnn", num_labels=10, channels=1, size=28)
    other.load_state_dict(safetensors.torch.load(export_weights(network)))
    pixels = torch.randint(0, 256, (3, 1, 28, 28), dtype=torch.uint8)
    assert torch.equal(predict(network, pixels)[0], predict(other, pixels)[0])
