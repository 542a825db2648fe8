"""A training that is killed, in a worker or as a whole, ends as an undisturbed one does. By name only: minutes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from fmnist_ray.bundle.format import read_bundle
from fmnist_ray.config.train import TrainingSource, TrainSettings
from fmnist_ray.datasets.shipped import sample_catalogue_path
from fmnist_ray.distributed.session import connect
from fmnist_ray.distributed.train import TrainingPlace, train_on_ray
from fmnist_ray.flows.training_data import load_training_data
from fmnist_ray.networks.job import TrainingJob, train_here
from fmnist_ray.networks.training import EpochMetrics

pytestmark = [pytest.mark.long, pytest.mark.timeout(2400), pytest.mark.filterwarnings(r"ignore:.*:Warning:ray\..*")]

SETTINGS = TrainSettings(
    architecture="keras_cnn3",
    epochs=6,
    batch_size=32,
    source=TrainingSource(catalogue_uri=str(sample_catalogue_path())),
)


def test_a_killed_worker_resumes_from_the_last_checkpoint(tmp_path: Path) -> None:
    data = load_training_data(SETTINGS)
    job = TrainingJob(settings=SETTINGS, num_labels=len(data.labels), train=data.train, validation=data.validation)
    killed: list[int] = []
    seen: list[int] = []

    def kill_once(metrics: EpochMetrics) -> None:
        seen.append(metrics.epoch)
        if metrics.epoch == 3 and not killed:
            own = psutil.Process().children(recursive=True)
            killed.extend(process.pid for process in own if process.name().startswith("ray::RayTrainW"))
            os.kill(killed[0], signal.SIGKILL)

    with connect(num_cpus=2):
        state = train_on_ray(job, TrainingPlace(storage_uri=str(tmp_path)), kill_once)
    assert killed
    assert seen[:3] == [1, 2, 3]
    assert seen[-1] == 6
    undisturbed = train_here(job, lambda metrics: None)
    together = zip(state.record["history"], undisturbed.record["history"], strict=True)
    for entry, expected in together:
        assert entry["validation_accuracy"] == pytest.approx(expected["validation_accuracy"], abs=0.03)


def test_a_killed_driver_goes_on_by_the_same_command(tmp_path: Path) -> None:
    changes = [f"epochs={SETTINGS.epochs}", f"batch_size={SETTINGS.batch_size}"]
    command = [sys.executable, "-m", "fmnist_ray", "train", "--arch", SETTINGS.architecture, "--json"]
    command += [part for change in changes for part in ("--set", change)]
    command += ["--data", str(SETTINGS.source.catalogue_uri), "--out"]
    first = subprocess.Popen([*command, str(tmp_path / "killed")], stderr=subprocess.PIPE, text=True)
    assert first.stderr is not None
    for line in first.stderr:
        if line.startswith("epoch 4/6"):
            first.send_signal(signal.SIGKILL)
            break
    first.stderr.close()
    assert first.wait(timeout=60) == -signal.SIGKILL
    assert not (tmp_path / "killed").exists()

    second = subprocess.run([*command, str(tmp_path / "killed")], capture_output=True, text=True, timeout=800)
    assert second.returncode == 0, second.stderr
    epochs = [line.split()[1] for line in second.stderr.splitlines() if line.startswith("epoch ")]
    assert epochs[-1] == "6/6"
    assert epochs[0] in ("5/6", "6/6")  # an epoch is told of when its checkpoint is stored
    undisturbed = subprocess.run([*command, str(tmp_path / "whole")], capture_output=True, text=True, timeout=800)
    outcomes = [json.loads(run.stdout) for run in (second, undisturbed)]
    assert outcomes[0]["epochs"] == outcomes[1]["epochs"] == 6
    assert outcomes[0]["test_accuracy"] == pytest.approx(outcomes[1]["test_accuracy"], abs=0.03)
    assert read_bundle(str(tmp_path / "killed")).digest == outcomes[0]["bundle_digest"]
