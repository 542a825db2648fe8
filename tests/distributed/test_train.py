"""Training on Ray Train: workers share batches, progress reaches the caller, the same name goes on."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from fmnist_ray.config.serve import is_loopback
from fmnist_ray.config.train import TrainingSource, TrainSettings
from fmnist_ray.datasets.shipped import sample_catalogue_path
from fmnist_ray.distributed.ports import listening_ports
from fmnist_ray.distributed.process_group import INTERFACE_VARIABLE, choose_interface, interface_of
from fmnist_ray.distributed.session import connect
from fmnist_ray.distributed.train import TrainingPlace, train_on_ray
from fmnist_ray.errors import ClusterError, DivergedError
from fmnist_ray.flows.training_data import load_training_data
from fmnist_ray.networks.data import LabelledImages
from fmnist_ray.networks.job import TrainingJob, train_here
from fmnist_ray.networks.training import EpochMetrics

pytestmark = pytest.mark.filterwarnings(r"ignore:.*:Warning:ray\..*")  # Ray warns of its own deprecations

SETTINGS = TrainSettings(architecture="keras_cnn3", epochs=2, batch_size=32, learning_rate=3e-3, precision="f32")


def bars(count: int, seed: int) -> LabelledImages:
    """Two classes: a noisy bar at the left or at the right."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, count)
    pixels = generator.integers(0, 120, (count, 1, 28, 28), dtype=np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        image[0, :, 4 + 14 * label : 10 + 14 * label] += 90
    return LabelledImages(pixels=pixels, labels=labels)


def ignore(metrics: EpochMetrics) -> None:
    pass


def job(settings: TrainSettings = SETTINGS) -> TrainingJob:
    return TrainingJob(settings=settings, num_labels=2, train=bars(160, 0), validation=bars(41, 1))


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[set[tuple[str, int]]]:
    """The ports that were open before it, such as those of servers of other tests."""
    open_before = set(listening_ports())
    with connect(num_cpus=2):
        yield open_before


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_ray_of_this_command_listens_on_loopback_alone(cluster: set[tuple[str, int]]) -> None:
    found = {host for host, _ in set(listening_ports()) - cluster}
    assert "127.0.0.1" in found
    assert all(is_loopback(host) for host in found), found


def test_gloo_is_told_the_interface_of_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(INTERFACE_VARIABLE, raising=False)
    choose_interface()
    assert os.environ[INTERFACE_VARIABLE] == interface_of("127.0.0.1")
    monkeypatch.setenv(INTERFACE_VARIABLE, "of the user")
    choose_interface()
    assert os.environ[INTERFACE_VARIABLE] == "of the user"
    assert interface_of("203.0.113.7") is None


@pytest.mark.long
def test_two_workers_train_what_one_trains_and_the_same_place_goes_on(tmp_path: Path) -> None:
    place = TrainingPlace(storage_uri=str(tmp_path), workers=2)
    teacher = job(dataclasses.replace(SETTINGS, seed=1)).fresh_network()
    taught = dataclasses.replace(SETTINGS, batch_size=33, teacher="another seed")
    uneven = dataclasses.replace(job(SETTINGS), settings=taught, teacher=teacher)
    seen: list[EpochMetrics] = []
    state = train_on_ray(uneven, place, seen.append)
    assert [metrics.epoch for metrics in seen] == [1, 2]
    assert len(list(tmp_path.glob("*/checkpoint_*/state.safetensors"))) == 2

    alone = train_here(uneven, lambda metrics: None)
    for name, tensor in state.tensors.items():
        torch.testing.assert_close(tensor, alone.tensors[name], atol=1e-4, rtol=1e-3)
    for together, single in zip(state.record["history"], alone.record["history"], strict=True):
        assert together["loss"] == pytest.approx(single["loss"], rel=1e-3)
        assert together["validation_accuracy"] == single["validation_accuracy"]

    again = train_on_ray(uneven, dataclasses.replace(place, workers=1), seen.append)
    assert len(seen) == 2
    assert all(torch.equal(again.tensors[name], state.tensors[name]) for name in state.tensors)


def test_errors_of_the_training_reach_the_caller_without_retries(tmp_path: Path) -> None:
    settings = dataclasses.replace(SETTINGS, optimiser="sgd", learning_rate=99.0, warmup=0.5)
    with pytest.raises(DivergedError, match="lower learning_rate"):
        train_on_ray(job(settings), TrainingPlace(storage_uri=str(tmp_path)), lambda metrics: None)


@pytest.mark.parametrize(("workers", "gpu", "what"), [(3, False, "CPU each"), (1, True, "GPU each")])
def test_a_cluster_that_is_too_small_is_named_at_once(tmp_path: Path, workers: int, gpu: bool, what: str) -> None:
    place = TrainingPlace(storage_uri=str(tmp_path), workers=workers, gpu=gpu)
    with pytest.raises(ClusterError, match=what):
        train_on_ray(job(), place, lambda metrics: None)


def test_images_that_are_streamed_train_like_those_in_memory(tmp_path: Path) -> None:
    source = TrainingSource(catalogue_uri=str(sample_catalogue_path()))
    settings = dataclasses.replace(SETTINGS, source=source, epochs=3)
    place = TrainingPlace(storage_uri=str(tmp_path))
    accuracies = {}
    for stream in ("always", "never"):
        chosen = dataclasses.replace(settings, source=dataclasses.replace(source, stream=stream))
        data = load_training_data(chosen)
        streamed = TrainingJob(settings=chosen, num_labels=10, train=data.train, validation=data.validation)
        on_ray = stream == "always"
        state = train_on_ray(streamed, place, ignore) if on_ray else train_here(streamed, ignore)
        history = state.record["history"]
        accuracies[stream] = history[-1]["validation_accuracy"]
    assert history[-1]["epoch"] == 3
    assert accuracies["never"] > 0.5
    assert accuracies["always"] == pytest.approx(accuracies["never"], abs=0.12)
