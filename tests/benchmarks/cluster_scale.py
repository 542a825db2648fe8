"""How a run scales: rows/s with one and two real workers, and what the driver costs with up to 200 simulated ones.

    python tests/benchmarks/cluster_scale.py --rows 60000 --out tests/benchmarks/results/cluster_scale.json

A simulated worker sleeps instead of computing. It is an actor handle like any other to the driver, but many share a
process, since two cores can't hold 200 of them. What is measured is the driver's own loop (`distributed/executor.py`):
its processor time per shard while workers sleep for a second, and, with workers that do not sleep at all, how many
shards a second it gives out at most. A shard of 10,000 rows takes a worker seconds, so that rate times those seconds is
the number of workers that one driver keeps busy. Starting processes and reading receipts are not in it.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from run_figures import machine_facts, run_figures
from speed_inputs import write_images

from fmnist_ray.distributed import executor  # sets Ray's environment before Ray is imported
from fmnist_ray.distributed.session import connect
from fmnist_ray.flows.shard import ShardOutcome, WorkerSettings

SLEEP_S = 1.0
SHARDS_PER_WORKER = 5
SHARDS_AT_THE_LIMIT = 4_000
REPEATS = 3
SIMULATED_WORKERS = (1, 10, 50, 100, 200)
PROCESSES = 4


def real_run(catalogue: Path, workers: int, out: Path) -> dict[str, Any]:
    """One whole command on an embedded Ray."""
    load_before = os.getloadavg()[0]
    command = ["classify", str(catalogue), "--out", str(out), "--workers", str(workers), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "fmnist_ray", *command], capture_output=True, text=True, check=True, timeout=900
    )
    summary = json.loads(done.stdout)
    figures = run_figures(Path(summary["out_uri"]))
    return {
        "workers": workers,
        "load_before": round(load_before, 2),
        "rows": summary["num_rows"],
        "elapsed_s": summary["elapsed_s"],
        "rows_per_s_with_start": summary["rows_per_s"],
        **figures,
    }


def simulated_runs() -> list[dict[str, Any]]:
    """The driver's loop with workers that sleep, and with workers that do nothing."""
    import ray

    class Sleeper:
        async def start(self) -> None:
            return None

        async def run(self, shard_id: str) -> ShardOutcome:
            await asyncio.sleep(float(shard_id.partition("-")[0]))
            return ShardOutcome(shard=shard_id, num_rows=1)

    found = []
    with connect():
        hosts = [ray.remote(num_cpus=0, max_concurrency=100)(Sleeper).remote() for _ in range(PROCESSES)]
        ray.get([host.start.remote() for host in hosts])
        for workers in SIMULATED_WORKERS:
            asleep = drive(hosts, workers, workers * SHARDS_PER_WORKER, SLEEP_S)
            at_once = drive(hosts, workers, SHARDS_AT_THE_LIMIT, 0.0)
            found.append(
                {
                    "workers": workers,
                    "shards": asleep["shards"],
                    "elapsed_s": asleep["elapsed_s"],
                    "efficiency": round(SHARDS_PER_WORKER * SLEEP_S / asleep["elapsed_s"], 3),
                    "driver_cpu_ms_per_shard": round(1e3 * asleep["cpu_s"] / asleep["shards"], 3),
                    "most_shards_per_s": round(at_once["shards"] / at_once["elapsed_s"]),
                }
            )
    return found


def drive(hosts: Sequence[Any], workers: int, num_shards: int, sleep_s: float) -> dict[str, Any]:
    """Seconds and processor seconds that the driver takes for the shards."""

    class SimulatedPool(executor._Pool):
        """Hands out the same few processes again and again."""

        hosts_in_turn = itertools.cycle(hosts)

        def add_worker(self) -> None:
            actor = next(self.hosts_in_turn)
            self._busy[actor.start.remote()] = actor, None

    pool = SimulatedPool(WorkerSettings(out_uri="", plan_id="", catalogue_uri="", bundle_uri=""), 0.0)
    shards = deque(f"{sleep_s}-{number:06}" for number in range(num_shards))
    started, cpu_started = time.perf_counter(), time.process_time()
    for _ in range(workers):
        pool.add_worker()
    if sum(1 for _ in pool.outcomes(shards)) != num_shards:
        raise RuntimeError("Not every shard had an outcome.")
    elapsed_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu_started
    return {"shards": num_shards, "elapsed_s": round(elapsed_s, 3), "cpu_s": cpu_s}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()

    found: dict[str, Any] = {"command": f"python {' '.join(sys.argv)}", "machine": machine_facts()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_images(folder / "catalogue", arguments.rows)  # all different: what repeats in a shard is not classified
        found["real"] = [
            real_run(folder / "catalogue", workers, folder / f"out-{workers}-{repeat}")
            for repeat in range(REPEATS)
            for workers in (1, 2)
        ]
    one, two = (
        statistics.median(run["workers_rows_per_s"] for run in found["real"] if run["workers"] == workers)
        for workers in (1, 2)
    )
    found["median_rows_per_s"] = {"1": round(one), "2": round(two)}
    found["efficiency_of_two"] = round(two / (2 * one), 3)
    found["simulated"] = simulated_runs()
    found["sleep_s"] = SLEEP_S
    arguments.out.write_text(json.dumps(found, indent=1) + "\n")
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
