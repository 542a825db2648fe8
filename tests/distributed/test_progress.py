"""Epochs reach the process that asked for a training, in their order, and a lost listener ends no training."""

from __future__ import annotations

import dataclasses
import os
import threading

import pytest

from fmnist_ray.distributed.progress import passing_on
from fmnist_ray.distributed.session import own_folder, unless_set
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
    with passing_on(seen.append) as sender:
        for metrics in epochs:
            sender.after_report(None, [dataclasses.asdict(metrics), {"of": "another worker"}], None)
    assert seen == epochs
    assert not [thread for thread in threading.enumerate() if "_listen" in thread.name]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_report_that_fails_or_has_ended_stops_no_training(caplog: pytest.LogCaptureFixture) -> None:
    def fail(metrics: EpochMetrics) -> None:
        raise ValueError("the terminal has gone")

    with passing_on(fail) as sender:
        for number in range(1, 4):
            sender.after_report(None, [dataclasses.asdict(epoch(number))], None)
    sender.after_report(None, [dataclasses.asdict(epoch(4))], None)
    assert "could not be shown" in caplog.text


def test_a_folder_for_sockets_is_named_by_its_process_and_removed() -> None:
    with own_folder() as folder:
        assert os.stat(folder).st_mode & 0o77 == 0
        assert f"-{os.getpid()}-" in folder
        assert len(folder) < 60
    assert not os.path.exists(folder)


def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FMNIST_TEST_SET", "mine")
    monkeypatch.delenv("FMNIST_TEST_UNSET", raising=False)
    with unless_set({"FMNIST_TEST_SET": "ours", "FMNIST_TEST_UNSET": "ours"}):
        assert (os.environ["FMNIST_TEST_SET"], os.environ["FMNIST_TEST_UNSET"]) == ("mine", "ours")
    assert os.environ["FMNIST_TEST_SET"] == "mine"
    assert "FMNIST_TEST_UNSET" not in os.environ
