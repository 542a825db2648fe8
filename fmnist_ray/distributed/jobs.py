"""Commands as jobs of a running cluster: submitted, followed, and answered with the exit code of the command itself."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray.exceptions import AuthenticationError, RayError
from ray.job_submission import JobDetails, JobStatus, JobSubmissionClient

import fmnist_ray
from fmnist_ray.distributed.local_record import find_cluster
from fmnist_ray.distributed.session import check_listener
from fmnist_ray.errors import ClusterError, InputError

COMMAND = "fmnist_ray_command"
"""Name in a job's metadata of the command line that it was submitted for."""
_END_OF_LOG = ", last available logs"
"""What follows in Ray's message is the log again."""
_POLL_S = 0.5
_REQUIREMENTS = "-r ${RAY_RUNTIME_ENV_CREATE_WORKING_DIR}/"
"""The file is named, not read: packages that are listed travel in an environment variable, and hashes outgrow that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """One command line, and what it needs around it."""

    arguments: tuple[str, ...]
    """After `fmnist-ray`."""
    job_id: str | None = None
    """The same id never runs twice at a time: it names the job that has it, unless that one failed. None: a new one."""
    working_dir: str | None = None
    """A folder that is copied to the cluster, where the command then runs. It is for what the command itself reads: on
    each node the files are new, so a catalogue would seem to be replaced while workers read it."""
    ship_package: bool = False
    """Copy this package to the cluster, for nodes that lack it or have another state of it."""
    requirements: str | None = None
    """A requirements file that every node installs with uv before it works on the job; one of `working_dir`, if that is
    given. Nodes have virtualenv, which comes with ray[default], and pip or uv."""
    environment: Mapping[str, str] | None = None
    """Environment variables of the job. The dashboard shows them: no secrets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOutcome:
    """How a job ended."""

    job_id: str
    status: str
    exit_code: int
    """Of the command; 1 where the job failed without one, 4 where it was stopped."""
    message: str


class Jobs:
    """The job server of a cluster; `ClusterError` where none answers."""

    def __init__(self, address: str | None = None) -> None:
        """`address` is the dashboard's URL or the cluster's host:port; None for RAY_ADDRESS, else the local cluster."""
        local = None if address or os.environ.get("RAY_ADDRESS") else find_cluster()
        address = address or os.environ.get("RAY_ADDRESS") or (local.dashboard_url if local else None)
        if address is None:
            raise ClusterError("No cluster runs here: start one with fmnist-ray cluster up, or name one by --address.")
        self._is_local = local is not None
        check_listener(address)
        logging.getLogger("ray.dashboard.modules.job.sdk").setLevel(logging.WARNING)  # tells of every closed connection
        with _answers(address), _without_ray_address():
            self._client = JobSubmissionClient(address)
        self._address = address

    @property
    def dashboard_url(self) -> str:
        """Where the job server listens."""
        url: str = self._client.get_address()
        return url

    def submit(self, request: JobRequest) -> str:
        """Start the command as a job and return the job's id. A job of that id which runs or is done stays as it is."""
        with _answers(self._address):
            if request.job_id is not None and (known := self._find(request.job_id)) is not None:
                if known.status not in (JobStatus.FAILED, JobStatus.STOPPED):
                    return request.job_id
                self._client.delete_job(request.job_id)
            with _runtime_env(request) as runtime_env:
                job_id: str = self._client.submit_job(
                    entrypoint=self._entrypoint(request.arguments, request.working_dir),
                    submission_id=request.job_id,
                    runtime_env=runtime_env,
                    metadata={COMMAND: shlex.join(request.arguments)},
                )
            return job_id

    def follow(self, job_id: str, on_lines: Callable[[str], None]) -> JobOutcome:
        """Pass the job's log on as it grows, and say how the job ended."""
        with _answers(self._address):
            asyncio.run(self._tail(job_id, on_lines))
            while not (job := self._client.get_job_info(job_id)).status.is_terminal():
                time.sleep(_POLL_S)
        code = job.driver_exit_code
        if job.status is JobStatus.SUCCEEDED:
            code = 0
        elif job.status is JobStatus.STOPPED:
            code = 4
        elif code is None or not 0 < code < 126:
            code = 1
        message = (job.message or "").partition(_END_OF_LOG)[0]
        return JobOutcome(job_id=job_id, status=str(job.status), exit_code=code, message=message)

    def list(self) -> list[JobDetails]:
        """All jobs that the cluster remembers, those that were submitted and those that joined."""
        with _answers(self._address):
            jobs: list[JobDetails] = self._client.list_jobs()
            return jobs

    def _find(self, job_id: str) -> JobDetails | None:
        return next((job for job in self._client.list_jobs() if job.submission_id == job_id), None)

    async def _tail(self, job_id: str, on_lines: Callable[[str], None]) -> None:
        async for lines in self._client.tail_job_logs(job_id):
            on_lines(lines)

    def _entrypoint(self, arguments: Sequence[str], working_dir: str | None) -> str:
        """The shell command of the job. On the local cluster paths mean what they mean here."""
        if not self._is_local:
            return shlex.join(["python", "-m", "fmnist_ray", *arguments])
        command = "exec " + shlex.join([sys.executable, "-m", "fmnist_ray", *arguments])
        return command if working_dir else f"cd {shlex.quote(os.getcwd())} && {command}"


@contextlib.contextmanager
def _runtime_env(request: JobRequest) -> Iterator[dict[str, Any]]:
    """What Ray prepares on each node; the folders that it names are there within the context."""
    environment: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as alone:
        if request.working_dir:
            environment["working_dir"] = request.working_dir
        if request.requirements:
            file = Path(request.requirements).resolve()
            folder = Path(request.working_dir or file.parent).resolve()
            if not file.is_file():
                raise InputError(f"There is no requirements file {request.requirements}.")
            if not file.is_relative_to(folder):
                raise InputError(
                    f"{file} is not in {folder}: with --working-dir, requirements are a file of that folder."
                )
            if not request.working_dir:
                environment["working_dir"] = alone
                shutil.copy(file, alone)
            environment["uv"] = [_REQUIREMENTS + file.relative_to(folder).as_posix()]
        if request.ship_package:
            environment["py_modules"] = [str(Path(fmnist_ray.__file__).parent)]
        if request.environment:
            environment["env_vars"] = dict(request.environment)
        yield environment


@contextlib.contextmanager
def _answers(address: str) -> Iterator[None]:
    """Turn what the client raises, which is of every kind, into the package's errors."""
    try:
        yield
    except AuthenticationError as error:
        raise ClusterError(
            f"The job server at {address} wants another token: set RAY_AUTH_TOKEN to that of the cluster."
        ) from error
    except RayError as error:
        raise ClusterError(f"No job server answers at {address} ({_first_line(error)}).") from error
    except OSError as error:  # of the builtin ConnectionError, and of requests' own
        raise ClusterError(f"No job server answers at {address}: start the cluster, or name another one.") from error
    except ValueError as error:
        raise InputError(f"The job can't be submitted: {_first_line(error)}.") from error
    except RuntimeError as error:
        raise ClusterError(f"The job server at {address} refused: {_first_line(error)}.") from error


@contextlib.contextmanager
def _without_ray_address() -> Iterator[None]:
    """Ray's client prefers this variable to the address that it is given."""
    hidden = os.environ.pop("RAY_ADDRESS", None)
    try:
        yield
    finally:
        if hidden is not None:
            os.environ["RAY_ADDRESS"] = hidden


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0].rstrip(". ")
