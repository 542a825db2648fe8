"""A Ray cluster whose nodes can be lost: each in a network namespace with an address of its own where root may make
them, otherwise on loopback addresses of this machine. What is outside, like an S3 server, is reached at `outside`."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from fmnist_ray.distributed.local_record import LocalCluster

GCS_PORT, DASHBOARD_PORT, CLIENT_PORT, AGENT_PORT = 26379, 28265, 20001, 25365
_NET = "10.88.0"
_BRIDGE, _LINK, _NAMESPACE = "fmnistbr0", "fmnistve", "fmnist-"
_IDLE = ("ray::IDLE", "ray::DashboardAgent", "ray::RuntimeEnvAgent")


def can_make_namespaces() -> bool:
    """Whether this is Linux, with root and the `ip` command."""
    return sys.platform == "linux" and os.geteuid() == 0 and shutil.which("ip") is not None


@dataclass(frozen=True)
class Node:
    """A running node."""

    name: str
    address: str
    started: subprocess.Popen[bytes]
    """`ray start --block`, in a session of its own."""
    folder: str

    def processes(self) -> list[psutil.Process]:
        found = LocalCluster(
            address="", dashboard_url="", token="", ray_folder=self.folder, sessions=(self.started.pid,)
        ).processes()
        return sorted(found, key=lambda process: process.pid)

    def kill(self) -> None:
        """End all of it."""
        while running := self.processes():
            for process in running:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            time.sleep(0.05)
        self.started.wait()

    def listens_at(self) -> list[tuple[str, int]]:
        """Address and port of everything that listens in the node's own network; "*" is every address."""
        listed = _ip("netns", "exec", _namespace(self.address), "ss", "-Hltn")
        pairs = (line.split()[3].rpartition(":") for line in listed.splitlines())
        return [
            (host.strip("[]").removeprefix("::ffff:").replace("0.0.0.0", "*"), int(port)) for host, _, port in pairs
        ]

    def works(self) -> bool:
        """Whether a process of it has a task or an actor."""
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                title = " ".join(process.cmdline())
                if title.startswith("ray::") and not title.startswith(_IDLE):
                    return True
        return False


class RayNodes:
    """Starts and loses nodes. `environment` is what every process of the cluster sees besides Ray's own variables."""

    def __init__(self, folder: str, environment: Mapping[str, str]) -> None:
        self.token = secrets.token_hex(16)
        self.apart = can_make_namespaces()
        self.outside = f"{_NET}.1" if self.apart else "127.0.0.1"
        self.workers: list[Node] = []
        self._folder = folder
        self._environment = dict(environment)
        self._num_started = 0
        self.head: Node | None = None

    @property
    def dashboard(self) -> str:
        assert self.head is not None
        return f"http://{self.head.address}:{DASHBOARD_PORT}"

    def environment(self) -> dict[str, str]:
        """Of the nodes, and of who submits to them."""
        mine = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "AWS_"))}
        ray = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token, "RAY_USAGE_STATS_ENABLED": "0"}
        return {**mine, **ray, **self._environment, "TMPDIR": self._folder, "OMP_NUM_THREADS": "1"}

    def start_head(self) -> None:
        """Start the head, which does no work, and wait until its job server answers."""
        address = self._next_address()
        options = [
            "--head", f"--port={GCS_PORT}", f"--dashboard-host={address}", f"--dashboard-port={DASHBOARD_PORT}",
            f"--ray-client-server-port={CLIENT_PORT}", "--num-cpus=0", f"--temp-dir={self._folder}",
        ]  # fmt: skip
        self.head = self._start("head", address, options)
        request = urllib.request.Request(
            f"{self.dashboard}/api/version", headers={"Authorization": f"Bearer {self.token}"}
        )
        deadline = time.monotonic() + 120
        while True:
            with contextlib.suppress(OSError, urllib.error.URLError):
                urllib.request.urlopen(request, timeout=5).close()
                return
            assert time.monotonic() < deadline, "the head does not answer"
            time.sleep(0.3)

    def add_worker(self) -> Node:
        """Start a worker node with one CPU."""
        assert self.head is not None
        options = [f"--address={self.head.address}:{GCS_PORT}", "--num-cpus=1"]
        node = self._start(f"worker-{self._num_started}", self._next_address(), options)
        self.workers.append(node)
        return node

    def lose(self, node: Node, *, silently: bool = False) -> None:
        """The node is gone from one moment to the next; silently, where it has a network of its own: no connection is
        closed, and others find out by asking."""
        if silently and self.apart:
            _ip("link", "set", _link(node.address), "down")
        node.kill()
        self.workers.remove(node)

    def close(self) -> None:
        for node in [*self.workers, *([self.head] if self.head else [])]:
            node.kill()

    def _next_address(self) -> str:
        self._num_started += 1
        return f"{_NET}.{self._num_started + 1}" if self.apart else f"127.0.0.{self._num_started + 1}"

    def _start(self, name: str, address: str, options: list[str]) -> Node:
        within: list[str] = []
        if self.apart:
            within = ["ip", "netns", "exec", _namespace(address)]
            _make_namespace(address)
        command = [
            *within, sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *options,
            f"--node-ip-address={address}", f"--node-name={name}", f"--dashboard-agent-listen-port={AGENT_PORT}"
            if self.apart else "--dashboard-agent-listen-port=0", "--object-store-memory=150000000",
        ]  # fmt: skip
        with (Path(self._folder) / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                command, env=self.environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        return Node(name, address, process, self._folder)


@contextlib.contextmanager
def network() -> Iterator[None]:
    """The bridge between namespaces and this machine; with it go the namespaces."""
    if not can_make_namespaces():
        yield
        return
    _clear_network()
    _ip("link", "add", _BRIDGE, "type", "bridge")
    try:
        _ip("addr", "add", f"{_NET}.1/24", "dev", _BRIDGE)
        _ip("link", "set", _BRIDGE, "up")
        yield
    finally:
        _clear_network()


def _clear_network() -> None:
    """Also of a test that was killed. Links go first: those of a namespace outlive its name for a while."""
    for line in _ip("-o", "link", "show").splitlines():
        name = line.split()[1].rstrip(":").partition("@")[0]
        if name == _BRIDGE or name.startswith(_LINK):
            _ip("link", "del", name)
    for line in _ip("netns", "list").splitlines():
        name = line.split()[0]
        if name.startswith(_NAMESPACE):
            _ip("netns", "del", name)


@contextlib.contextmanager
def ray_folder() -> Iterator[str]:
    """A short path: the sockets in it must have names under 108 bytes."""
    folder = tempfile.mkdtemp(prefix="fr-", dir="/tmp")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _make_namespace(address: str) -> None:
    name, link = _namespace(address), _link(address)
    _ip("netns", "add", name)
    _ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
    _ip("link", "set", link, "master", _BRIDGE, "up")
    for command in (("addr", "add", f"{address}/24", "dev", "eth0"), ("link", "set", "eth0", "up"),
                    ("link", "set", "lo", "up")):  # fmt: skip
        _ip("-n", name, *command)


def _namespace(address: str) -> str:
    return f"{_NAMESPACE}{address.rpartition('.')[2]}"


def _link(address: str) -> str:
    return f"{_LINK}{address.rpartition('.')[2]}"


def _ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout
