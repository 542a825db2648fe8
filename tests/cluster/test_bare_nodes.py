"""A cluster whose nodes have Ray and nothing of ours: package and packages travel with the job."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import ray

from fmnist_ray import open_results
from fmnist_ray.datasets.shipped import sample_catalogue_path
from fmnist_ray.distributed.local_record import LocalCluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bare_head() -> Iterator[tuple[str, dict[str, str]]]:
    """URL of the job server of a head in a virtual environment with Ray alone, and what a client's environment is."""
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("needs uv")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fr-", dir="/tmp")))
        python, version = folder / "venv/bin/python", f"{sys.version_info.major}.{sys.version_info.minor}"
        subprocess.run([uv, "venv", "-q", "--seed", "-p", version, str(folder / "venv")], check=True)
        subprocess.run([uv, "pip", "install", "-q", "-p", str(python), f"ray[default]=={ray.__version__}"], check=True)
        mine = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "PYTHON"))}
        lacks = subprocess.run([python, "-Pc", "import fmnist_ray"], env=mine, capture_output=True, check=False)
        assert b"ModuleNotFoundError" in lacks.stderr
        tokens = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(16), "RAY_USAGE_STATS_ENABLED": "0"}
        gcs, dashboard, client = (free_port() for _ in range(3))
        command = [
            str(python), "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--port={gcs}", "--num-cpus=2",
            f"--dashboard-port={dashboard}", "--dashboard-host=127.0.0.1", f"--ray-client-server-port={client}",
            "--dashboard-agent-listen-port=0", "--object-store-memory=150000000", f"--temp-dir={folder}",
        ]  # fmt: skip
        process = subprocess.Popen(
            command, env={**mine, **tokens, "PATH": f"{python.parent}:{mine['PATH']}", "TMPDIR": str(folder)},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        stack.callback(end, process, str(folder))
        deadline = time.monotonic() + 120
        while not listens(dashboard):
            assert time.monotonic() < deadline, "the head does not answer"
            time.sleep(0.3)
        yield f"http://127.0.0.1:{dashboard}", {**mine, **tokens}


def end(process: subprocess.Popen[bytes], folder: str) -> None:
    cluster = LocalCluster(address="", dashboard_url="", token="", ray_folder=folder, sessions=(process.pid,))
    while running := cluster.processes():
        for member in running:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        time.sleep(0.1)
    process.wait()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_a_job_brings_the_package_and_what_it_needs(bare_head: tuple[str, dict[str, str]], tmp_path: Path) -> None:
    url, environment = bare_head
    options = ["--address", url, "--ship-package", "--requirements", str(ROOT / "docker/constraints-cpu.txt")]
    done = subprocess.run(
        [sys.executable, "-m", "fmnist_ray", "submit", *options, "classify", str(sample_catalogue_path())]
        + ["--out", str(tmp_path / "out"), "--json"],
        env=environment, capture_output=True, text=True, timeout=800, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["num_rows"] == 1_000
    assert len(open_results(str(tmp_path / "out")).predictions()) == 1_000
