"""`cluster` and `submit` without a cluster, and options that make no sense: a sentence, at once, and an exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment["FMNIST_RAY_CLUSTER_DIR"] = str(folder / "record")
    return subprocess.run(
        [sys.executable, "-m", "fmnist_ray", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--nodes", "0"], "error: --nodes is 0; allowed are 1 to 100."),
        (["--cpus", "0"], "error: --cpus is 0; it must be at least 1."),
        (["--gpus", "-1"], "error: --gpus is -1; it must be at least 0."),
        (["--memory-gb", "nan"], "error: --memory-gb is nan; allowed are 0.1 to 1000000."),
        (["--dashboard-port", "65536"], "error: --dashboard-port is 65536; allowed are 0 to 65535."),
    ],
)
def test_a_cluster_of_nonsense_is_not_started(tmp_path: Path, options: list[str], sentence: str) -> None:
    done = run(tmp_path, "cluster", "up", *options)
    assert (done.returncode, done.stderr.strip()) == (2, sentence)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command",
    [
        ["cluster", "status", "--address", "127.0.0.1:1"],
        ["submit", "--address", "127.0.0.1:1", "data", "fetch"],
        ["submit", "--address", "http://127.0.0.1:1", "data", "fetch"],
    ],
)
def test_nobody_there_is_said_at_once(tmp_path: Path, command: list[str]) -> None:
    done = run(tmp_path, *command)
    assert done.returncode == 1
    assert done.stderr.startswith("error: No ")
    assert f"answers at {command[command.index('--address') + 1]}" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_without_any_cluster_submit_says_how_to_start_one_and_down_has_nothing_to_do(tmp_path: Path) -> None:
    done = run(tmp_path, "submit", "data", "fetch")
    assert done.returncode == 1
    assert "start one with fmnist-ray cluster up" in done.stderr
    done = run(tmp_path, "cluster", "down")
    assert (done.returncode, done.stdout.strip()) == (0, "No cluster runs here.")
