"""A cluster of several nodes on this machine: started and ended.

Its nodes are separate raylets on loopback, each in a session (in the sense of setsid) of its own. Ending it ends the
processes of those sessions and what they started, and no other Ray of this machine, which `ray stop` would.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from fmnist_ray.config.cluster import ClusterSettings
from fmnist_ray.distributed.local_record import (
    LocalCluster,
    one_at_a_time,
    recorded_cluster,
    remove_record,
    runs,
    write_record,
)
from fmnist_ray.errors import ClusterError

_OBJECT_STORE_BYTES = 200 << 20
"""Of each node: shards travel as names, and the raylets share one /dev/shm."""
_START_TIMEOUT_S = 300
_DASHBOARD_TIMEOUT_S = 240
"""Ray's own 60 s are too short for a machine that is busy."""
_END_TIMEOUT_S = 3
"""For ending by itself. Ray gives a job as long; its GCS, which has nothing to save, takes longer than anyone waits."""
_KILL_TIMEOUT_S = 10
_ADDRESS = "127.0.0.1"
"""Of every node: only then does nothing of Ray listen on another one."""
_FIRST_SERVICE_PORT = 20_000
"""Below are the ports that Ray gives to workers."""


def start_cluster(settings: ClusterSettings) -> LocalCluster:
    """Start a head and its worker nodes. `ClusterError` when one runs already, or a node doesn't start; then none of it
    is left."""
    if (left := recorded_cluster()) is not None and not left.processes():
        end_cluster(left)
    with one_at_a_time():
        if recorded_cluster() is not None:
            raise ClusterError("A local cluster runs already: use it, or end it with fmnist-ray cluster down.")
        return _start(settings)


def _start(settings: ClusterSettings) -> LocalCluster:
    gcs_port, client_port = _free_port(), _free_port()
    cluster = LocalCluster(
        address=f"{_ADDRESS}:{gcs_port}",
        dashboard_url=f"http://{_ADDRESS}:{settings.dashboard_port or _free_port()}",
        token=_token(),
        ray_folder=tempfile.mkdtemp(prefix="fmnist-ray-c-", dir="/tmp"),
        sessions=(),
    )
    head = [
        "--head", f"--port={gcs_port}", f"--ray-client-server-port={client_port}", "--num-cpus=0", "--num-gpus=0",
        f"--dashboard-host={_ADDRESS}", f"--dashboard-port={cluster.dashboard_url.rpartition(':')[2]}",
        f"--temp-dir={cluster.ray_folder}",
    ]  # fmt: skip
    try:
        cluster = _start_node(cluster, 0, head, gpus="")
        for number in range(settings.nodes):
            gpus = ",".join(str(number * settings.gpus + gpu) for gpu in range(settings.gpus))
            cluster = _start_node(cluster, number + 1, _worker_options(cluster, settings), gpus=gpus)
    except BaseException:  # also on Ctrl-C nothing stays
        end_cluster(recorded_cluster() or cluster)
        raise
    return cluster


def end_cluster(cluster: LocalCluster) -> int:
    """End all processes of the cluster and remove its files; the number of processes that were ended."""
    known: set[psutil.Process] = set()
    for end, timeout_s in ((psutil.Process.terminate, _END_TIMEOUT_S), (psutil.Process.kill, _KILL_TIMEOUT_S)):
        deadline = time.monotonic() + timeout_s
        told: set[psutil.Process] = set()
        while time.monotonic() < deadline:
            known.update(cluster.processes())  # what is being ended may still start something
            running = {process for process in known if runs(process)}
            if not running:
                break
            for process in running - told:
                with contextlib.suppress(psutil.NoSuchProcess):
                    end(process)
            told |= running
            time.sleep(0.1)
    shutil.rmtree(cluster.ray_folder, ignore_errors=True)
    remove_record()
    return len(known)


def _start_node(cluster: LocalCluster, number: int, options: list[str], *, gpus: str) -> LocalCluster:
    """Start one node and wait until it is up. The record with its session is written first, so that `down` finds it."""
    environment = {
        **os.environ,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": cluster.token,
        "CUDA_VISIBLE_DEVICES": gpus,
        "TMPDIR": cluster.ray_folder,
        "RAY_DASHBOARD_STARTUP_TIMEOUT_S": str(_DASHBOARD_TIMEOUT_S),
    }
    environment.pop("RAY_ADDRESS", None)
    command = [
        sys.executable, "-m", "fmnist_ray.distributed.start_node", "start", *options,
        f"--node-ip-address={_ADDRESS}", f"--node-name={f'worker-{number}' if number else 'head'}",
        "--dashboard-agent-listen-port=0", f"--object-store-memory={_OBJECT_STORE_BYTES}", "--disable-usage-stats",
        "--log-style=record", "--log-color=false",
    ]  # fmt: skip
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        cluster = dataclasses.replace(cluster, sessions=(*cluster.sessions, process.pid))
        write_record(cluster)
        try:
            code = process.wait(_START_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        if code:
            log.seek(0)
            said = [line for line in log.read().decode(errors="replace").splitlines() if "Error" in line]
            raise ClusterError(f"Node {number} of the cluster did not start ({said[-1] if said else f'exit {code}'}).")
    return cluster


def _worker_options(cluster: LocalCluster, settings: ClusterSettings) -> list[str]:
    options = [
        f"--address={cluster.address}",
        f"--num-cpus={settings.cpus_per_node}",
        f"--num-gpus={settings.gpus}",
    ]
    if settings.memory_gb is not None:
        options.append(f"--memory={int(settings.memory_gb * 1e9)}")
    return options


def _token() -> str:
    """The user's own token, or the one that `distributed/__init__.py` made up."""
    if token := os.environ.get("RAY_AUTH_TOKEN"):
        return token
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ClusterError(f"The token file {path} can't be read ({error.strerror}).") from error


def _free_port() -> int:
    """A port that nobody listens on, above those that Ray gives to workers."""
    while True:
        with socket.socket() as probe:
            probe.bind((_ADDRESS, 0))
            port: int = probe.getsockname()[1]
        if port >= _FIRST_SERVICE_PORT:
            return port
