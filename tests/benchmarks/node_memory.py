"""How much memory the nodes of a cluster need: the largest sum over a node's processes, by job and node.

    python tests/benchmarks/node_memory.py --out tests/benchmarks/results/node_memory.json

A local cluster of a head and one worker node runs each job by `fmnist-ray submit`, so drivers are on the head. Memory
is proportional set size: pages that processes share count once. What a job needs in pods is a node's sum, and for each
further worker process of the pod that of one worker.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from run_figures import machine_facts

from fmnist_ray.distributed.local_record import PLACE_VARIABLE, LocalCluster

INTERVAL_S = 1.0
JOBS = {
    "classify": ["classify", "catalogue", "--out", "results"],
    "nightly": ["nightly", "catalogue", "--root", "nights"],
    "fit-svm": ["fit-svm", "--catalogue", "catalogue", "--out", "two-heads"],
    "train": ["train", "--recipe", "bn-cnn", "--epochs", "1", "--out", "bundle"],
}


def measured(folder: Path, cpus: int) -> dict[str, Any]:
    """MiB by job and node, with the largest single process of each; `idle` is before any job."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment[PLACE_VARIABLE] = str(folder / "record")
    run = [sys.executable, "-m", "fmnist_ray"]
    quiet: dict[str, Any] = {
        "cwd": folder,
        "env": environment,
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
    }
    subprocess.run([*run, "catalogue", "build", "fashion-mnist-test", "--out", "catalogue"], check=True, **quiet)
    subprocess.run([*run, "cluster", "up", "--nodes", "1", "--cpus", str(cpus)], check=True, **quiet)
    try:
        values = json.loads((folder / "record" / "cluster.json").read_text())
        cluster = LocalCluster(**{**values, "sessions": tuple(values["sessions"])})
        time.sleep(5)
        found = {"idle": peaks(cluster, None)}
        for name, command in JOBS.items():
            job = subprocess.Popen([*run, "submit", *command], **quiet)
            found[name] = peaks(cluster, job)
            if job.returncode:
                raise RuntimeError(f"{name} ended with exit code {job.returncode}.")
        return found
    finally:
        subprocess.run([*run, "cluster", "down"], check=True, **quiet)


def peaks(cluster: LocalCluster, job: subprocess.Popen[bytes] | None) -> dict[str, Any]:
    """While the job runs, or once: by node the largest sum and the largest process, in MiB."""
    peak = {node: {"sum_mib": 0, "largest_process_mib": 0, "largest_process": ""} for node in ("head", "worker")}
    while True:
        sizes: dict[str, list[tuple[int, str]]] = {"head": [], "worker": []}
        for process in cluster.processes():
            with contextlib.suppress(psutil.Error, ProcessLookupError):
                node = "worker" if _session(process, cluster) == cluster.sessions[1] else "head"
                sizes[node].append((process.memory_full_info().pss >> 20, " ".join(process.cmdline())[:60]))
        for node, found in sizes.items():
            entry, (largest, title) = peak[node], max(found, default=(0, ""))
            entry["sum_mib"] = max(int(entry["sum_mib"]), sum(size for size, _ in found))
            if largest > int(entry["largest_process_mib"]):
                entry.update(largest_process_mib=largest, largest_process=title)
        if job is None or job.poll() is not None:
            return peak
        time.sleep(INTERVAL_S)


def _session(process: psutil.Process, cluster: LocalCluster) -> int:
    """The node's session; a job, which has one of its own, counts to the node of the parent that started it."""
    for member in (process, *process.parents()):
        with contextlib.suppress(ProcessLookupError):
            if (session := os.getsid(member.pid)) in cluster.sessions:
                return session
    return cluster.sessions[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measured(Path(folder), arguments.cpus)
    results = {"command": " ".join(sys.argv), "machine": machine_facts(), "cpus": arguments.cpus, "peaks": found}
    arguments.out.write_text(json.dumps(results, indent=1) + "\n")
    sys.stdout.write(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
