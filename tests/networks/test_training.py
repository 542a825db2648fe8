"""The training loop: it learns, it can be interrupted, and it says when it fails."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fmnist_ray.config.augmentation import Augmentation
from fmnist_ray.config.train import TrainSettings
from fmnist_ray.errors import DivergedError, SettingError
from fmnist_ray.networks.batches import epoch_rows
from fmnist_ray.networks.checkpoint import TrainState, final_weights
from fmnist_ray.networks.data import LabelledImages
from fmnist_ray.networks.inference import predict
from fmnist_ray.networks.job import TrainingJob, train_here
from fmnist_ray.networks.optimisation import rate_factor
from fmnist_ray.networks.training import EpochMetrics, World

SETTINGS = TrainSettings(
    architecture="keras_cnn3",
    epochs=4,
    batch_size=32,
    learning_rate=3e-3,
    schedule="cosine",
    warmup=0.1,
    ema=0.9,
    augmentation=Augmentation(shift=0.04, erasing=0.2),
    precision="f32",
    seed=5,
)


def squares(count: int, seed: int) -> LabelledImages:
    """Three classes: a noisy square at the left, in the middle, or at the right."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, count)
    pixels = generator.integers(0, 120, (count, 1, 28, 28), dtype=np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        image[0, 8:18, 2 + 8 * label : 10 + 8 * label] += 90
    return LabelledImages(pixels=pixels, labels=labels)


def job(settings: TrainSettings = SETTINGS) -> TrainingJob:
    return TrainingJob(settings=settings, num_labels=3, train=squares(256, 0), validation=squares(90, 1))


def ignore(metrics: EpochMetrics) -> None:
    pass


@pytest.mark.parametrize("optimiser", ["sgd", "adam", "adamw", "adadelta"])
def test_it_learns(optimiser: str) -> None:
    rate = {"sgd": 0.05, "adadelta": 1.0}.get(optimiser, 3e-3)
    settings = dataclasses.replace(SETTINGS, optimiser=optimiser, learning_rate=rate, class_weights=True)
    seen: list[EpochMetrics] = []
    state = train_here(job(settings), seen.append)
    assert [metrics.epoch for metrics in seen] == [1, 2, 3, 4]
    assert seen[-1].validation_accuracy > 0.95
    assert seen[-1].left_s == 0
    logits, _ = predict(job(settings).finished_network(state), torch.tensor(squares(90, 1).pixels))
    assert (logits.argmax(1).numpy() == squares(90, 1).labels).mean() == pytest.approx(seen[-1].validation_accuracy)


def test_the_first_loss_is_that_of_guessing() -> None:
    seen: list[EpochMetrics] = []
    train_here(job(dataclasses.replace(SETTINGS, epochs=1, learning_rate=1e-7)), seen.append)
    assert seen[0].loss == pytest.approx(math.log(3), abs=0.1)


@pytest.mark.parametrize("mixing", [Augmentation(mixup=0.2), Augmentation(cutmix=1.0)])
def test_it_learns_from_mixed_images(mixing: Augmentation) -> None:
    seen: list[EpochMetrics] = []
    train_here(job(dataclasses.replace(SETTINGS, augmentation=mixing)), seen.append)
    assert seen[-1].validation_accuracy > 0.9


def test_a_resumed_run_ends_with_the_very_weights_of_an_undisturbed_one() -> None:
    settings = dataclasses.replace(SETTINGS, select="validation_accuracy")
    saved: list[bytes] = []
    whole = job(settings).start(World()).run(lambda _, state: saved.append(state().to_bytes()))
    second = job(settings).start(World())
    second.restore(TrainState.from_bytes(saved[1]))
    resumed = second.run(lambda metrics, _: None)
    assert resumed.tensors.keys() == whole.tensors.keys()
    assert all(torch.equal(resumed.tensors[name], whole.tensors[name]) for name in whole.tensors)
    assert [entry["loss"] for entry in resumed.record["history"]] == [e["loss"] for e in whole.record["history"]]


def test_a_finished_run_goes_on_with_more_cycles() -> None:
    longer = dataclasses.replace(SETTINGS, epochs=2 * SETTINGS.epochs, cycles=2)
    state = job(SETTINGS).start(World()).run(lambda metrics, _: None)
    second = job(longer).start(World())
    second.restore(state)
    resumed = second.run(lambda metrics, _: None)
    straight = job(longer).start(World()).run(lambda metrics, _: None)
    assert all(torch.equal(resumed.tensors[name], straight.tensors[name]) for name in straight.tensors)
    with pytest.raises(SettingError, match=f"has {longer.epochs} epochs, this run is to have {SETTINGS.epochs}"):
        job(SETTINGS).start(World()).restore(resumed)


def test_a_batch_with_fewer_images_than_workers_is_refused() -> None:
    with pytest.raises(SettingError, match="A batch of 32 images can't be shared by 33 workers"):
        job().start(World(rank=0, size=33))


@given(counts=st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(any), seed=st.integers(0, 9))
def test_sampling_makes_classes_equally_frequent(counts: list[int], seed: int) -> None:
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    present = [count for count in counts if count]
    for sampling, wanted in (("over", max(present)), ("under", min(present))):
        rows = epoch_rows(labels, sampling, torch.Generator().manual_seed(seed))
        drawn = torch.bincount(labels[rows], minlength=len(counts)).tolist()
        assert drawn == [wanted if count else 0 for count in counts]
        repeats = torch.bincount(rows, minlength=len(labels))
        for label, count in enumerate(counts):
            assert not count or repeats[labels == label].max() <= -(-wanted // count)
    rows = epoch_rows(labels, "all", torch.Generator().manual_seed(seed))
    assert sorted(rows.tolist()) == list(range(len(labels)))


def test_oversampling_makes_epochs_longer_and_undersampling_shorter() -> None:
    images = squares(100, 0)
    images.labels[:] = [0] * 50 + [1] * 40 + [2] * 10
    batches = {}
    for sampling in ("all", "over", "under"):
        settings = dataclasses.replace(SETTINGS, sampling=sampling, batch_size=10, epochs=1)
        run = dataclasses.replace(job(settings), train=images).start(World())
        run.run(lambda metrics, _: None)
        batches[sampling] = run.batches.num_batches
    assert batches == {"all": 10, "over": 15, "under": 3}


def test_a_checkpoint_of_other_settings_is_refused() -> None:
    state = job(dataclasses.replace(SETTINGS, epochs=1)).start(World()).run(lambda metrics, _: None)
    with pytest.raises(SettingError, match="architecture keras_cnn3 and settings"):
        job().start(World()).restore(state)
    with pytest.raises(SettingError, match="not a training checkpoint"):
        TrainState.from_bytes(b"no checkpoint at all")


def test_a_loss_that_is_no_number_stops_training_and_keeps_the_checkpoint_before() -> None:
    settings = dataclasses.replace(SETTINGS, optimiser="sgd", learning_rate=99.0, schedule="constant", warmup=0.5)
    saved: list[TrainState] = []
    with pytest.raises(DivergedError, match=r"The loss is (nan|inf) in epoch \d: lower learning_rate"):
        job(settings).start(World()).run(lambda _, state: saved.append(state()))
    assert all(math.isfinite(entry["loss"]) for state in saved for entry in state.record["history"])


def test_patience_stops_and_the_best_epoch_is_kept() -> None:
    settings = dataclasses.replace(
        SETTINGS, epochs=30, learning_rate=5e-3, select="validation_accuracy", patience=2, schedule="constant"
    )
    state = train_here(job(settings), ignore)
    history, (best, accuracy) = state.record["history"], state.record["best"]
    assert len(history) == best + 2 < 30
    assert accuracy == max(entry["validation_accuracy"] for entry in history)
    assert torch.equal(final_weights(state)["mean"], state.tensors["best.mean"])


def test_class_weights_are_inverse_to_frequency() -> None:
    images = squares(100, 0)
    images.labels[:] = [0] * 50 + [1] * 40 + [2] * 10
    uneven = dataclasses.replace(job(dataclasses.replace(SETTINGS, class_weights=True)), train=images)
    assert uneven.start(World()).loss.weight.tolist() == pytest.approx([100 / 150, 100 / 120, 100 / 30])


def test_bf16_learns_as_well() -> None:
    seen: list[EpochMetrics] = []
    train_here(job(dataclasses.replace(SETTINGS, precision="bf16")), seen.append)
    assert seen[-1].validation_accuracy > 0.95


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [("constant", [0.25, 1, 1, 1]), ("one_cycle", [0.25, 1, 0.5, 0.0125]), ("cosine", [0.25, 1, 0.5, 0.000386])],
)
def test_schedules(schedule: str, expected: list[float]) -> None:
    settings = dataclasses.replace(SETTINGS, schedule=schedule, warmup=0.2)
    factors = [rate_factor(settings, step, 100) for step in (4, 20, 60, 99)]
    assert factors == pytest.approx([5 / 21, *expected[1:]], rel=0.01)


def test_a_schedule_in_cycles_repeats_itself() -> None:
    once = dataclasses.replace(SETTINGS, epochs=4)
    twice = dataclasses.replace(SETTINGS, epochs=8, cycles=2)
    factors = [rate_factor(once, step, 100) for step in range(100)]
    assert [rate_factor(twice, step, 200) for step in range(200)] == 2 * factors
    with pytest.raises(SettingError, match="8 epochs can't be divided into 3 cycles"):
        dataclasses.replace(SETTINGS, epochs=8, cycles=3)
