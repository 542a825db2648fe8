"""A cluster of several nodes on this machine: started, found again by other commands, and ended.

Its nodes are separate raylets, each in a session (in the sense of setsid) of its own. A record in a folder that only
this user can read says where the cluster is and which token it asks for. Ending it ends the processes of those
sessions and what they started, and no other Ray of this machine, which `ray stop` would. Ray is not imported here: the
token must be known before.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from fmnist_ray.config.cluster import ClusterSettings
from fmnist_ray.errors import ClusterError

PLACE_VARIABLE = "FMNIST_RAY_CLUSTER_DIR"
"""Names the folder of the record, for a second cluster on the machine; unset, it is one per user below /tmp."""
_RECORD = "cluster.json"
_OBJECT_STORE_BYTES = 200 << 20
"""Of each node: shards travel as names, and the raylets share one /dev/shm."""
_START_TIMEOUT_S = 300
_DASHBOARD_TIMEOUT_S = 240
"""Ray's own 60 s are too short for a machine that is busy."""
_END_TIMEOUT_S = 10
_FIRST_SERVICE_PORT = 20_000
"""Below are the ports that Ray gives to workers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalCluster:
    """The record of a cluster that `start_cluster` started."""

    address: str
    """For `ray.init`, as host:port."""
    dashboard_url: str
    token: str
    ray_folder: str
    """Sockets and logs of its nodes; no two clusters have had the same."""
    sessions: tuple[int, ...]
    """Of the head, then of the worker nodes."""

    def processes(self) -> list[psutil.Process]:
        """Everything of the cluster that runs: its sessions, and the sessions that their processes opened for jobs.

        Numbers of sessions are used again after their end, so one counts only while a process in it names our folder.
        """
        members: dict[int, list[psutil.Process]] = {session: [] for session in self.sessions}
        for process in psutil.process_iter():
            with contextlib.suppress(ProcessLookupError, psutil.Error):
                session = os.getsid(process.pid)
                if session in members:
                    members[session].append(process)
        ours = {process for found in members.values() if self._names_folder(found) for process in found}
        for process in list(ours):
            with contextlib.suppress(psutil.NoSuchProcess):
                ours.update(process.children(recursive=True))
        return [process for process in ours if _runs(process)]

    def _names_folder(self, processes: list[psutil.Process]) -> bool:
        for process in processes:
            with contextlib.suppress(psutil.Error):
                if any(self.ray_folder in argument for argument in process.cmdline()):
                    return True
        return False


def find_cluster() -> LocalCluster | None:
    """The running cluster of this user, or None. A record whose processes are gone counts as none."""
    cluster = recorded_cluster()
    return cluster if cluster is not None and cluster.sessions and cluster.processes() else None


def start_cluster(settings: ClusterSettings) -> LocalCluster:
    """Start a head and its worker nodes. `ClusterError` when one runs already, or a node doesn't start; then none of it
    is left."""
    if (left := recorded_cluster()) is not None:
        if left.processes():
            raise ClusterError("A local cluster runs already: use it, or end it with fmnist-ray cluster down.")
        end_cluster(left)
    gcs_port, client_port = _free_port(), _free_port()
    cluster = LocalCluster(
        address=f"{_node_address(0)}:{gcs_port}",
        dashboard_url=f"http://127.0.0.1:{settings.dashboard_port or _free_port()}",
        token=_token(),
        ray_folder=tempfile.mkdtemp(prefix="fmnist-ray-c-", dir="/tmp"),
        sessions=(),
    )
    head = [
        "--head", f"--port={gcs_port}", f"--ray-client-server-port={client_port}", "--num-cpus=0", "--num-gpus=0",
        "--dashboard-host=127.0.0.1", f"--dashboard-port={cluster.dashboard_url.rpartition(':')[2]}",
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
    for end in (psutil.Process.terminate, psutil.Process.kill):
        deadline = time.monotonic() + _END_TIMEOUT_S
        told: set[psutil.Process] = set()
        while time.monotonic() < deadline:
            known.update(cluster.processes())  # what is being ended may still start something
            running = {process for process in known if _runs(process)}
            if not running:
                break
            for process in running - told:
                with contextlib.suppress(psutil.NoSuchProcess):
                    end(process)
            told |= running
            time.sleep(0.1)
    shutil.rmtree(cluster.ray_folder, ignore_errors=True)
    (_place() / _RECORD).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        _place().rmdir()
    return len(known)


def _runs(process: psutil.Process) -> bool:
    """Whether it is still the same process, and more than an entry that nobody has collected."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _start_node(cluster: LocalCluster, number: int, options: list[str], *, gpus: str) -> LocalCluster:
    """Start one node and wait until it is up. The record with its session is written first, so that `down` finds it."""
    environment = {
        **os.environ,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": cluster.token,
        "CUDA_VISIBLE_DEVICES": gpus,
        "RAY_DASHBOARD_STARTUP_TIMEOUT_S": str(_DASHBOARD_TIMEOUT_S),
    }
    environment.pop("RAY_ADDRESS", None)
    command = [
        sys.executable, "-m", "ray.scripts.scripts", "start", *options,
        f"--node-ip-address={_node_address(number)}", f"--node-name={f'worker-{number}' if number else 'head'}",
        "--dashboard-agent-listen-port=0", f"--object-store-memory={_OBJECT_STORE_BYTES}", "--disable-usage-stats",
        "--log-style=record", "--log-color=false",
    ]  # fmt: skip
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        cluster = dataclasses.replace(cluster, sessions=(*cluster.sessions, process.pid))
        _write_record(cluster)
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


def _node_address(number: int) -> str:
    """A loopback address of its own for each node where the system has more than one; Ray takes 127.0.0.1 for the
    machine's outer address."""
    return f"127.0.0.{number + 2}" if sys.platform == "linux" else "127.0.0.1"


def _token() -> str:
    """The user's own token, or the one that `distributed/__init__.py` made up."""
    if token := os.environ.get("RAY_AUTH_TOKEN"):
        return token
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ClusterError(f"The token file {path} can't be read ({error.strerror}).") from error


def _place() -> Path:
    return Path(os.environ.get(PLACE_VARIABLE) or f"/tmp/fmnist-ray-cluster-{os.getuid()}")


def recorded_cluster() -> LocalCluster | None:
    """The record, if it is this user's own: its token and address are trusted."""
    path = _place() / _RECORD
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return None
    with os.fdopen(descriptor, encoding="utf-8") as file:
        status = os.fstat(file.fileno())
        if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o077:
            return None
        try:
            values = json.load(file)
            return LocalCluster(**{**values, "sessions": tuple(values["sessions"])})
        except (ValueError, TypeError, KeyError):
            return None


def _write_record(cluster: LocalCluster) -> None:
    place = _place()
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    if place.lstat().st_uid != os.getuid():
        raise ClusterError(f"{place} belongs to someone else: name another folder in {PLACE_VARIABLE}.")
    descriptor, staged = tempfile.mkstemp(dir=place)  # readable by this user only
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(dataclasses.asdict(cluster), file)
    os.replace(staged, place / _RECORD)


def _free_port() -> int:
    """A port that nobody listens on, above those that Ray gives to workers."""
    while True:
        with socket.socket() as probe:
            probe.bind(("", 0))
            port: int = probe.getsockname()[1]
        if port >= _FIRST_SERVICE_PORT:
            return port
