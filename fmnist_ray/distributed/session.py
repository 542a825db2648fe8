"""Joining a Ray cluster, or starting one for the length of a command."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import ray

from fmnist_ray.distributed.local_record import find_cluster
from fmnist_ray.errors import ClusterError

_OBJECT_STORE_BYTES = 200 << 20
"""Shards travel as names and come back as outcomes; the object store of an embedded Ray can be small."""
_FOLDER_PLACE = Path("/tmp")
"""Not TMPDIR, which may be long: the sockets in Ray's folder must have names under 108 bytes."""
_FOLDER_PREFIX = "fmnist-ray-"
_LOOK_LESS = {
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # an actor that asks whether a node is about to be taken away
    "REPORTER_UPDATE_INTERVAL_MS": "60000",  # of figures of the machine, for a dashboard that isn't there
}
"""The environment of a Ray inside a command: its helpers share the cores with the work."""
_ANSWER_TIMEOUT_S = 10


@contextlib.contextmanager
def connect(address: str | None = None, *, num_cpus: int | None = None) -> Iterator[None]:
    """A Ray to work on: the cluster at `address` or RAY_ADDRESS, else the local cluster if it runs, else one of
    `num_cpus` CPUs (default: this machine's) inside this command, which ends with it and leaves no file. Inside another
    `connect`, that one's Ray is used.

    Raises `ClusterError` when there is no cluster at the address, or none can be started.
    """
    if ray.is_initialized():
        yield
        return
    address = find_address(address)
    with _joined(address) if address else _embedded(num_cpus or os.cpu_count() or 1):
        yield


def find_address(address: str | None = None) -> str | None:
    """Where a command works: `address`, else RAY_ADDRESS, else the local cluster; None where there is none of them."""
    address = address or os.environ.get("RAY_ADDRESS")
    if address is None and (cluster := find_cluster()) is not None:
        return cluster.address
    return address


def check_listener(address: str) -> None:
    """`ClusterError` where `address` is host:port and nobody listens there: Ray would try for a minute to find out."""
    host, colon, port = address.rpartition(":")
    if not (colon and port.isdecimal()) or "://" in address:
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _ANSWER_TIMEOUT_S).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(
            f"No Ray cluster answers at {address} ({_first_line(error)}): start it, or leave out --address."
        ) from error


@contextlib.contextmanager
def _joined(address: str) -> Iterator[None]:
    check_listener(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ClusterError(
            f"No Ray cluster answers at {address} ({_first_line(error)}): start it, or leave out --address."
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _embedded(num_cpus: int) -> Iterator[None]:
    os.environ.pop("RAY_metrics_report_interval_ms", None)  # nobody looks at the processes that are started here
    with own_folder() as folder, _looking_less():
        try:
            _start(num_cpus, folder)
            _kill_monitor()
            yield
        finally:
            ray.shutdown()


def _start(num_cpus: int, folder: str) -> None:
    try:
        ray.init(
            address="local",
            num_cpus=num_cpus,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=_OBJECT_STORE_BYTES,
            _temp_dir=folder,
        )
    except Exception as error:  # Ray raises a bare Exception when its processes are late
        raise ClusterError(f"Ray could not be started on this machine ({_first_line(error)}).") from error


@contextlib.contextmanager
def own_folder() -> Iterator[str]:
    """A folder of this command, which a later command removes where this one is killed."""
    _remove_left_behind()
    folder = tempfile.mkdtemp(prefix=f"{_FOLDER_PREFIX}{os.getpid()}-", dir=_FOLDER_PLACE)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _looking_less() -> Iterator[None]:
    """With those of `_LOOK_LESS` in the environment that the user has not set."""
    added = {name: value for name, value in _LOOK_LESS.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def _kill_monitor() -> None:
    """End the autoscaler's monitor, which has nothing to scale, and would at the end not heed the SIGTERM with which
    `ray.shutdown` would wait a second for it."""
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if any("autoscaler" in part and part.endswith("monitor.py") for part in child.cmdline()):
                child.kill()


def _remove_left_behind() -> None:
    """Remove the folders of commands that were killed and could not do it themselves."""
    for folder in _FOLDER_PLACE.glob(f"{_FOLDER_PREFIX}*-*"):
        pid = folder.name.removeprefix(_FOLDER_PREFIX).split("-")[0]
        if pid.isdecimal() and folder.stat().st_uid == os.getuid():
            try:
                os.kill(int(pid), 0)
            except ProcessLookupError:
                shutil.rmtree(folder, ignore_errors=True)
            except PermissionError:
                continue


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0].rstrip(". ")
