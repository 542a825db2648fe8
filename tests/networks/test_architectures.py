"""Networks by name: the sizes that the reports give, and what every network promises."""

from __future__ import annotations

import pytest
import torch
import torchvision.models as zoo

from fmnist_ray.errors import SettingError
from fmnist_ray.networks.architectures import ARCHITECTURES, build_network
from fmnist_ray.networks.backbones import load_pretrained

COUNTS = {
    "keras_cnn3": 93_322,
    "conv1_k3": 693_962,
    "conv1_k4": 591_786,
    "cnn3_128": 241_546,
    "cnn3_128_dropout": 241_546,
    "cnn_dropout_1": 44_426,
    "cnn_dropout_2": 33_114,
    "cnn_dropout_3": 44_426,
    "cnn_simple": 110_986,
    "ann": 101_770,
    "bn_cnn": 241_994,
    "basic_cnn": 241_546,
    "basic_cnn_2": 225_034,
}


@pytest.mark.parametrize(("name", "count"), COUNTS.items())
def test_the_parameters_are_as_many_as_published(name: str, count: int) -> None:
    network = build_network(name, num_labels=10, channels=1, size=28)
    assert sum(weight.numel() for weight in network.parameters()) == count


def test_keras_counts_the_running_statistics_of_bn_cnn_too() -> None:
    network = build_network("bn_cnn", num_labels=10, channels=1, size=28)
    running = sum(value.numel() for name, value in network.named_buffers() if "running" in name)
    assert sum(weight.numel() for weight in network.parameters()) + running == 242_442


OWN = sorted(name for name, architecture in ARCHITECTURES.items() if architecture.size == 28)
BACKBONES = sorted(set(ARCHITECTURES) - set(OWN))


@pytest.mark.parametrize("name", OWN)
def test_every_network_takes_other_labels_sizes_and_colours(name: str) -> None:
    network = build_network(name, num_labels=7, channels=3, size=40).eval()
    with torch.no_grad():
        logits, features = network(torch.zeros(2, 3, 40, 40, dtype=torch.uint8))
    assert logits.shape == (2, 7)
    assert features.shape[0] == 2
    assert features.isfinite().all()


@pytest.mark.parametrize("name", [name for name in BACKBONES if name != "vgg16"])  # 134 million weights
def test_backbones_take_grey_photos_of_other_sizes(name: str) -> None:
    network = build_network(name, num_labels=7, channels=1, size=96).eval()
    with torch.no_grad():
        logits, features = network(torch.zeros(2, 1, 96, 96, dtype=torch.uint8))
    assert logits.shape == (2, 7)
    assert features.ndim == 2


def test_a_photo_too_small_for_a_backbone_is_refused() -> None:
    with pytest.raises(SettingError, match="densenet121 can't take images of 28 x 28"):
        build_network("densenet121", num_labels=7, channels=3, size=28)


def test_pretrained_weights_exist_for_backbones_only() -> None:
    network = build_network("bn_cnn", num_labels=10, channels=1, size=28)
    with pytest.raises(SettingError, match="only, not for bn_cnn"):
        load_pretrained(network, "bn_cnn")


def test_pretrained_weights_are_taken_from_torchvisions_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    network = build_network("mobilenet_v3_small", num_labels=3, channels=3, size=64)
    given = zoo.mobilenet_v3_small().state_dict()
    monkeypatch.setattr(zoo.MobileNet_V3_Small_Weights.IMAGENET1K_V1, "get_state_dict", lambda **options: given)
    load_pretrained(network, "mobilenet_v3_small")
    body = network.body.network
    assert torch.equal(body.features[0][0].weight, given["features.0.0.weight"])


@pytest.mark.parametrize("name", OWN)
def test_the_same_seed_gives_the_same_weights(name: str) -> None:
    weights = []
    for _ in range(2):
        torch.manual_seed(3)
        network = build_network(name, num_labels=10, channels=1, size=28)
        weights.append(torch.cat([weight.flatten() for weight in network.parameters()]))
    assert torch.equal(*weights)


def test_flip_average_answers_alike_for_an_image_and_its_mirror_image() -> None:
    network = build_network("fashion_resnet", num_labels=10, channels=1, size=28).eval()
    pixels = torch.randint(0, 256, (3, 1, 28, 28), dtype=torch.uint8)
    with torch.no_grad():
        (logits, features), (mirrored, _) = network(pixels), network(pixels.flip(-1))
    torch.testing.assert_close(logits, mirrored)
    torch.testing.assert_close(logits, network.head(features))


def test_normalisation_is_part_of_the_network() -> None:
    network = build_network("ann", num_labels=10, channels=1, size=28).eval()
    pixels = torch.randint(0, 256, (4, 1, 28, 28), dtype=torch.uint8)
    network.set_normalisation(torch.tensor([0.25]), torch.tensor([0.5]))
    expected = network.body((pixels.float() / 255 - 0.25) / 0.5)
    torch.testing.assert_close(network(pixels)[1], expected)


@pytest.mark.parametrize(
    ("name", "args", "size", "message"),
    [
        ("bn_cn", {}, 28, "the nearest are bn_cnn"),
        ("qqqq", {}, 28, "ann, basic_cnn"),
        ("bn_cnn", {"depth": 3}, 28, "can't take the arguments"),
        ("bn_cnn", {}, 8, "can't take images of 8 x 8"),
    ],
)
def test_what_cannot_be_built_is_refused_in_a_sentence(
    name: str, args: dict[str, int], size: int, message: str
) -> None:
    with pytest.raises(SettingError, match=message):
        build_network(name, num_labels=10, channels=1, size=size, **args)
