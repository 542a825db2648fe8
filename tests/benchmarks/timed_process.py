"""One command as a process of its own: how long it took, and how much memory it and its Ray workers had at most."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_INTERVAL_S = 0.5
_FAREWELL_S = 20
_ENVIRONMENT = {
    "RAY_AUTH_MODE": "disabled",  # else Ray writes a token into the home folder
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # else each worker of a `uv run` is started through uv again
    "RAY_USAGE_STATS_ENABLED": "0",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedProcess:
    """A command that ended with exit code 0."""

    elapsed_s: float
    """From its start to its end, as a user would wait for it."""
    load_before: float
    """Load average of the last minute, before it started."""
    peak_worker_bytes: int
    """Largest resident set of one worker process. 0 where none was seen."""
    peak_command_bytes: int
    """Largest resident set of the command's own process."""


def timed_process(command: Sequence[str], *, worker: str, folder: Path, timeout_s: float) -> TimedProcess:
    """Run `command`, its output into files of `folder`.

    Its workers are the processes below it whose command line contains `worker`. Whatever it started has ended on
    return. Python's bytecode is kept in `folder` too: the first run of a command compiles all that it imports, and the
    others do not. Raises `RuntimeError` when it fails and `TimeoutError` when it takes longer than `timeout_s`, both
    with the end of its standard error.
    """
    environment = {**os.environ, **_ENVIRONMENT, "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
    for name in ("RAY_ADDRESS", "PYTHONDONTWRITEBYTECODE"):
        environment.pop(name, None)
    load_before = os.getloadavg()[0]
    family = _Family(worker)
    stdout, stderr = folder / "stdout.txt", folder / "stderr.txt"
    with stdout.open("wb") as out, stderr.open("wb") as err:
        started = time.perf_counter()
        process = psutil.Popen(list(command), stdout=out, stderr=err, env=environment)
        try:
            exit_code = None
            while exit_code is None:
                with contextlib.suppress(psutil.TimeoutExpired):
                    exit_code = process.wait(_INTERVAL_S)
                elapsed_s = time.perf_counter() - started
                if exit_code is None and elapsed_s > timeout_s:
                    raise TimeoutError(f"{command[0]} took over {timeout_s:.0f} s:\n{_tail(stderr)}")
                family.look(process)
        finally:
            family.end(process)
    if exit_code:
        raise RuntimeError(f"{command[0]} ended with exit code {exit_code}:\n{_tail(stderr)}")
    return TimedProcess(
        elapsed_s=elapsed_s,
        load_before=load_before,
        peak_worker_bytes=family.peak_worker_bytes,
        peak_command_bytes=family.peak_command_bytes,
    )


class _Family:
    """The processes below a command."""

    def __init__(self, worker: str) -> None:
        self.peak_worker_bytes = 0
        self.peak_command_bytes = 0
        self._worker = worker
        self._members: set[psutil.Process] = set()

    def look(self, process: psutil.Process) -> None:
        """Note who is there now, and the peak of each worker so far."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self._members.update(process.children(recursive=True))
            self.peak_command_bytes = max(self.peak_command_bytes, _peak_bytes(process))
        for member in self._members:
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied, FileNotFoundError):
                if self._worker in " ".join(member.cmdline()):
                    self.peak_worker_bytes = max(self.peak_worker_bytes, _peak_bytes(member))

    def end(self, process: psutil.Process) -> None:
        """Let everybody go home by themselves after the command's end; end those who do not."""
        if process.is_running():
            self.look(process)
            process.kill()
        _, left = psutil.wait_procs([process, *self._members], timeout=_FAREWELL_S)
        for member in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        psutil.wait_procs(left, timeout=_FAREWELL_S)


def _peak_bytes(process: psutil.Process) -> int:
    """Peak of the resident set: the kernel's own mark on Linux, which no interval misses; elsewhere its size now."""
    status = Path(f"/proc/{process.pid}/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
    size: int = process.memory_info().rss
    return size


def _tail(path: Path) -> str:
    return path.read_text(errors="replace")[-2000:]
