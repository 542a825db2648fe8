"""Maps of where a network looks: they depend on what it learnt, and what they call hot matters."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from fmnist_ray.bundle.classifier import Classifier, load_bundle
from fmnist_ray.bundle.format import WEIGHTS, read_bundle
from fmnist_ray.bundle.runtimes import load_network
from fmnist_ray.config.images import ImageLimits, Preparation
from fmnist_ray.datasets.shipped import sample_catalogue_path
from fmnist_ray.errors import SettingError
from fmnist_ray.images.occlusion import covered_square, occlusion_map
from fmnist_ray.images.prepare import prepare_batch
from fmnist_ray.networks.architectures import build_network
from fmnist_ray.networks.network import Network
from fmnist_ray.networks.saliency import first_activations, first_filters, grad_cam, gradient_map

SQUARE = 8


@pytest.fixture(scope="module")
def network() -> Network:
    bundle = read_bundle("default")
    return load_network(bundle.spec, bundle.files[WEIGHTS])


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return load_bundle("default", runtime="cpu")


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    cells = pq.read_table(sample_catalogue_path())["image"].slice(0, 40).to_pylist()
    return prepare_batch(cells, Preparation(), ImageLimits()).pixels


@pytest.fixture(scope="module")
def label_ids(classifier: Classifier, pixels: np.ndarray) -> np.ndarray:
    return classifier.assess(pixels).label_ids.astype(np.int64)


def fresh(name: str, **args: object) -> Network:
    torch.manual_seed(0)
    return build_network(name, num_labels=10, channels=1, size=28, **args).eval()


@pytest.mark.parametrize("method", [grad_cam, gradient_map])
def test_a_network_that_learnt_nothing_has_other_maps(
    method: object, network: Network, pixels: np.ndarray, label_ids: np.ndarray
) -> None:
    """Adebayo et al., Sanity Checks for Saliency Maps, arXiv 1810.03292."""
    assert callable(method)
    maps = method(network, pixels, label_ids)
    assert maps.shape == (40, 28, 28)
    assert maps.min() >= 0
    highest = maps.max(axis=(1, 2))
    assert np.isclose(highest, 1).sum() >= 38  # in one or two, no place speaks for the label
    assert (np.isclose(highest, 1) | (highest == 0)).all()
    random = method(fresh("bn_cnn"), pixels, label_ids)
    likeness = [
        np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(maps, random, strict=True) if a.any() and b.any()
    ]
    assert len(likeness) > 20
    assert np.mean(likeness) < 0.6
    other = method(network, pixels, (label_ids + 1) % 10)
    assert np.abs(maps - other).mean() > 0.02


def extreme(values: np.ndarray, *, hottest: bool) -> tuple[int, int]:
    """Top left corner of the hottest or coldest square that lies on the product."""
    sums = np.lib.stride_tricks.sliding_window_view(values, (SQUARE, SQUARE)).sum(axis=(2, 3))
    place = sums.argmax() if hottest else sums.argmin()
    top, left = np.unravel_index(place, sums.shape)
    return int(top), int(left)


@pytest.mark.parametrize("method", ["grad-cam", "occlusion"])
def test_covering_what_is_hot_costs_more_than_covering_what_is_cold(
    method: str, network: Network, classifier: Classifier, pixels: np.ndarray, label_ids: np.ndarray
) -> None:
    if method == "grad-cam":
        maps = grad_cam(network, pixels, label_ids)
    else:
        maps = np.stack(
            [
                occlusion_map(lambda images, label=label: classifier.assess(images).probabilities[:, label], image)
                for image, label in zip(pixels, label_ids, strict=True)
            ]
        )
    before = classifier.assess(pixels).probabilities[np.arange(len(pixels)), label_ids]
    falls = {}
    for hottest in (True, False):
        corners = [extreme(values, hottest=hottest) for values in maps]
        covered = np.stack(
            [covered_square(image, *corner, SQUARE) for image, corner in zip(pixels, corners, strict=True)]
        )
        falls[hottest] = before - classifier.assess(covered).probabilities[np.arange(len(pixels)), label_ids]
    assert falls[True].mean() > falls[False].mean() + 0.05
    assert falls[True].mean() > 2 * falls[False].mean()


@pytest.mark.parametrize("name", ["keras_cnn3", "resnet_small", "fashion_resnet"])
def test_every_kind_of_network_has_maps(name: str, pixels: np.ndarray, label_ids: np.ndarray) -> None:
    network = fresh(name)
    assert np.isfinite(grad_cam(network, pixels, label_ids)).all()
    filters, activations = first_filters(network), first_activations(network, pixels[0])
    assert len(filters) == len(activations)
    assert 0 <= filters.min() <= filters.max() <= 1
    assert not network.training


def test_an_ensemble_has_the_mean_of_its_members(pixels: np.ndarray, label_ids: np.ndarray) -> None:
    ensemble = fresh("ensemble", member="cnn_dropout_1", members=2)
    maps = grad_cam(ensemble, pixels, label_ids)
    members = [grad_cam(member, pixels, label_ids) for member in ensemble.members]  # type: ignore[arg-type,union-attr]
    mean = np.mean(members, axis=0)
    np.testing.assert_allclose(maps, mean / np.maximum(mean.max(axis=(1, 2), keepdims=True), 1e-12), atol=1e-5)


def test_a_dense_network_has_no_place_to_look_at(pixels: np.ndarray, label_ids: np.ndarray) -> None:
    with pytest.raises(SettingError, match="--method occlusion"):
        grad_cam(fresh("ann"), pixels, label_ids)


def test_occlusion_finds_the_only_pixel_that_counts() -> None:
    image = np.zeros((1, 28, 28), np.uint8)
    image[0, 20, 6] = 255
    found = occlusion_map(lambda images: images[:, 0, 20, 6] / np.float32(255), image)
    assert np.unravel_index(found.argmax(), found.shape) == (20, 6)
    assert found[5, 20] == 0
