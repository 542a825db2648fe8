"""`ray job submit` against a head of its own: what the job does, and whether status and exit code tell the truth."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fmnist_ray import load_bundle, open_results
from fmnist_ray.datasets.shipped import sample_catalogue_path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Head:
    """A running head node."""

    dashboard: str
    environment: dict[str, str]

    def submit(self, *entrypoint: str) -> subprocess.CompletedProcess[str]:
        command = ["job", "submit", "--address", self.dashboard, "--", sys.executable, *entrypoint]
        return self.ray(*command)

    def ray(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "ray.scripts.scripts", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    """A head with a token, on ports of its own, in a process group of its own that ends with it."""
    dashboard, gcs = free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="fr-") as folder:
        environment = {
            **os.environ,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(16),
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        environment.pop("RAY_ADDRESS", None)
        options = [
            "--head", "--block", f"--port={gcs}", f"--dashboard-port={dashboard}", "--dashboard-host=127.0.0.1",
            f"--dashboard-agent-listen-port={free_port()}", f"--ray-client-server-port={free_port()}",
            "--num-cpus=4", "--object-store-memory=200000000", f"--temp-dir={folder}",
        ]  # fmt: skip
        process = subprocess.Popen(
            [sys.executable, "-m", "ray.scripts.scripts", "start", *options],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            started = Head(f"http://127.0.0.1:{dashboard}", environment)
            deadline = time.monotonic() + 120
            while started.ray("job", "list", "--address", started.dashboard).returncode:
                assert time.monotonic() < deadline, "the head does not answer"
                time.sleep(0.5)
            yield started
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)


def last_json(output: str) -> dict[str, object]:
    lines = [line for line in output.splitlines() if line.startswith("{")]
    value: dict[str, object] = json.loads(lines[-1])
    return value


def test_jobs_train_a_bundle_classify_with_it_and_give_it_a_second_head(head: Head, tmp_path: Path) -> None:
    sample, bundle, out = str(sample_catalogue_path()), str(tmp_path / "bundle"), str(tmp_path / "out")
    settings = ["--arch", "keras_cnn3", "--epochs", "1", "--workers", "2"]
    job = head.submit(str(ROOT / "jobs/train.py"), "--data", sample, *settings, "--out", bundle, "--json")
    assert job.returncode == 0, job.stdout + job.stderr
    assert "succeeded" in job.stdout + job.stderr
    digest = last_json(job.stdout)["bundle_digest"]

    job = head.submit(str(ROOT / "jobs/classify.py"), sample, "--bundle", bundle, "--out", out, "--json")
    assert job.returncode == 0, job.stdout + job.stderr
    assert "succeeded" in job.stdout + job.stderr
    summary = last_json(job.stdout)
    assert (summary["committed"], summary["num_rows"], summary["bundle_digest"]) == (True, 1_000, digest)
    assert len(open_results(out).predictions()) == 1_000

    features, two = str(tmp_path / "features"), str(tmp_path / "two")
    job = head.submit(str(ROOT / "jobs/features.py"), sample, "--bundle", bundle, "--out", features, "--json")
    assert job.returncode == 0, job.stdout + job.stderr
    assert last_json(job.stdout)["num_predictions"] == 1_000
    job = head.submit(
        str(ROOT / "jobs/fit_svm.py"), "--bundle", bundle, "--features", features, "--vary", "c=0.01,1",
        "--kind", "linear", "--folds", "2", "--out", two, "--json",
    )  # fmt: skip
    assert job.returncode == 0, job.stdout + job.stderr
    fitted = last_json(job.stdout)
    assert fitted["num_train"] == 770
    assert fitted["bundle_digest"] == load_bundle(two).digest


def test_a_failing_job_is_a_failed_job_with_the_same_sentence(head: Head, tmp_path: Path) -> None:
    job = head.submit(str(ROOT / "jobs/classify.py"), str(tmp_path / "none.parquet"), "--out", str(tmp_path / "out"))
    assert job.returncode != 0
    assert "failed" in (job.stdout + job.stderr).lower()
    assert f"error: No catalogue at {tmp_path / 'none.parquet'}" in job.stdout + job.stderr
