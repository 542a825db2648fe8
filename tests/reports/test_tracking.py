"""Trackers: what TensorBoard will read, and what is said where a tracker is not there."""

from __future__ import annotations

import importlib.util
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event

from fmnist_ray.errors import SettingError
from fmnist_ray.reports.tracking import open_tracker
from fmnist_ray.store import open_store


def events(path: Path) -> Iterator[Event]:
    """The events of a TFRecord file: length, checksum, event, checksum."""
    data = path.read_bytes()
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        yield Event.FromString(data[12 : 12 + length])
        data = data[16 + length :]


def test_tensorboard_gets_every_epoch_and_goes_on_after_an_interruption(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    for epochs in ([1, 2], [3]):
        with open_tracker("tensorboard", name="run", settings={"epochs": 3}, store=store) as track:
            for epoch in epochs:
                track({"loss/training": 1 / epoch}, epoch)
    files = sorted((tmp_path / "tensorboard" / "run").iterdir())
    points = {
        event.step: value.simple_value
        for path in files
        for event in events(path)
        for value in event.summary.value
        if value.tag == "loss/training"
    }
    assert len(files) == 2
    assert points == {1: 1.0, 2: 0.5, 3: pytest.approx(1 / 3)}


def test_an_unknown_tracker_is_named_with_those_that_exist(tmp_path: Path) -> None:
    with (
        pytest.raises(SettingError, match="no tracker 'tensorbord'; allowed are tensorboard, mlflow, wandb, none"),
        open_tracker("tensorbord", name="run", settings={}, store=open_store(str(tmp_path))),
    ):
        pass


@pytest.mark.parametrize("tracker", ["mlflow", "wandb"])
def test_a_tracker_that_is_not_installed_says_how_to_get_it(tracker: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(tracker):
        pytest.skip(f"{tracker} is installed")
    with (
        pytest.raises(SettingError, match=f"uv sync --extra {tracker}"),
        open_tracker(tracker, name="run", settings={}, store=open_store(str(tmp_path))),
    ):
        pass
