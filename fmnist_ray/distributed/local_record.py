"""The record of the local cluster: how other commands, and a later `down`, find what `cluster up` started.

It lies in a folder that only this user can read, and says where the cluster is and which token it asks for. Ray is not
imported here: the token must be known before.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from fmnist_ray.errors import ClusterError

PLACE_VARIABLE = "FMNIST_RAY_CLUSTER_DIR"
"""Names the folder of the record, for a second cluster on the machine; unset, it is one per user below /tmp."""
_RECORD = "cluster.json"
_STAGED = ".cluster-"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalCluster:
    """The record of a cluster that `start_cluster` started."""

    address: str
    """For `ray.init`, as host:port."""
    dashboard_url: str
    token: str
    ray_folder: str
    """Sockets, logs and temporary files of its nodes; no two clusters have had the same."""
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
        return [process for process in ours if runs(process)]

    def _names_folder(self, processes: list[psutil.Process]) -> bool:
        """By a command line, or, of a node that is only starting, by the environment."""
        for process in processes:
            with contextlib.suppress(psutil.Error):
                if any(self.ray_folder in text for text in (*process.cmdline(), *process.environ().values())):
                    return True
        return False


def runs(process: psutil.Process) -> bool:
    """Whether it is still the same process, and more than an entry that nobody has collected."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def find_cluster() -> LocalCluster | None:
    """The running cluster of this user, or None. A record whose processes are gone counts as none."""
    cluster = recorded_cluster()
    return cluster if cluster is not None and cluster.sessions and cluster.processes() else None


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


def write_record(cluster: LocalCluster) -> None:
    """Write or replace the record, whole, readable by this user only."""
    descriptor, staged = tempfile.mkstemp(prefix=_STAGED, dir=_place())
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(dataclasses.asdict(cluster), file)
    os.replace(staged, _place() / _RECORD)


def remove_record() -> None:
    """Remove the record, what a writer that was killed left beside it, and the folder if that is all it held."""
    for path in (_place() / _RECORD, *_place().glob(f"{_STAGED}*")):
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        _place().rmdir()


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Keep a second `up` from starting nodes that no record would name. The lock is on the folder of the record, and
    ends with the process. `ClusterError` where another one has it, or the folder is someone else's."""
    place = _place()
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    if place.lstat().st_uid != os.getuid():
        raise ClusterError(f"{place} belongs to someone else: name another folder in {PLACE_VARIABLE}.")
    folder = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise ClusterError("A local cluster is being started by another command: wait for it.") from error
    finally:
        os.close(folder)


def _place() -> Path:
    return Path(os.environ.get(PLACE_VARIABLE) or f"/tmp/fmnist-ray-cluster-{os.getuid()}")
