"""Epochs reach the process that asked for a training, in their order, and one that can't be shown ends no training."""

from __future__ import annotations

import dataclasses
import os
import threading

import pytest

from fmnist_ray.distributed.progress import passing_on
from fmnist_ray.distributed.session import own_folder
from fmnist_ray.networks.training import EpochMetrics


def epoch(number: int) -> EpochMetrics:
    return EpochMetrics(
        epoch=number,
        num_epochs=50,
        loss=1 / number,
        validation_loss=0.5,
        validation_accuracy=0.75,
        images_per_s=100.0,
        left_s=7.0,
    )


def test_every_epoch_of_the_first_worker_has_arrived_at_the_end() -> None:
    epochs = [epoch(number) for number in range(1, 51)]
    seen: list[EpochMetrics] = []
    with passing_on(seen.append) as writer:
        for metrics in epochs:
            writer.after_report(None, [dataclasses.asdict(metrics), {"of": "another worker"}], None)
    assert seen == epochs
    assert not [thread for thread in threading.enumerate() if "_follow" in thread.name]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_report_that_fails_or_has_ended_stops_no_training(caplog: pytest.LogCaptureFixture) -> None:
    def fail(metrics: EpochMetrics) -> None:
        raise ValueError("the terminal has gone")

    with passing_on(fail) as writer:
        for number in range(1, 4):
            writer.after_report(None, [dataclasses.asdict(epoch(number))], None)
    writer.after_report(None, [dataclasses.asdict(epoch(4))], None)
    assert "can't be shown" in caplog.text


def test_a_folder_is_named_by_its_process_and_removed() -> None:
    with own_folder() as folder:
        assert os.stat(folder).st_mode & 0o77 == 0
        assert f"-{os.getpid()}-" in folder
    assert not os.path.exists(folder)
