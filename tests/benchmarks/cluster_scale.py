"""How a run scales: rows/s with one and two real workers, and what the driver costs with up to 200 simulated ones.

    python tests/benchmarks/cluster_scale.py --rows 120000 --out tests/benchmarks/results/cluster_scale.json

A simulated worker sleeps instead of computing. It is an actor handle like any other to the driver, but many share a
process, since two cores can't hold 200 of them. What is measured is the driver's own loop (`distributed/executor.py`):
its processor time per shard, and with it the number of workers that would keep one core of it busy, for shards of the
sleeping time. Starting processes and reading receipts are not in it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from run_figures import machine_facts, run_figures

from fmnist_ray.datasets.shipped import sample_catalogue_path

SLEEP_S = 1.0
SHARDS_PER_WORKER = 5
SIMULATED_WORKERS = (1, 10, 50, 100, 200)
PROCESSES = 4


def real_run(catalogue: Path, workers: int, folder: Path) -> dict[str, Any]:
    """One whole command on an embedded Ray."""
    command = ["classify", str(catalogue), "--out", str(folder / f"out-{workers}"), "--workers", str(workers), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "fmnist_ray", *command], capture_output=True, text=True, check=True, timeout=900
    )
    summary = json.loads(done.stdout)
    figures = run_figures(Path(summary["out_uri"]))
    return {
        "workers": workers,
        "rows": summary["num_rows"],
        "elapsed_s": summary["elapsed_s"],
        "rows_per_s_with_start": summary["rows_per_s"],
        **figures,
    }


def simulated_runs() -> list[dict[str, Any]]:
    """The driver's loop with sleeping workers."""
    import ray

    from fmnist_ray.distributed import executor
    from fmnist_ray.distributed.session import connect  # sets Ray's environment before Ray is imported
    from fmnist_ray.flows.shard import ShardOutcome, WorkerSettings

    class Sleeper:
        async def start(self) -> None:
            return None

        async def run(self, shard_id: str) -> ShardOutcome:
            import asyncio

            await asyncio.sleep(SLEEP_S)
            return ShardOutcome(shard=shard_id, num_rows=1)

    class SimulatedPool(executor._Pool):
        """Hands out the same few processes again and again."""

        hosts: Any = None

        def add_worker(self) -> None:
            actor = next(self.hosts)
            self._busy[actor.start.remote()] = actor, None

    settings = WorkerSettings(out_uri="", plan_id="", catalogue_uri="", bundle_uri="")
    found = []
    with connect():
        hosts = [ray.remote(num_cpus=0, max_concurrency=100)(Sleeper).remote() for _ in range(PROCESSES)]
        ray.get([host.start.remote() for host in hosts])
        for workers in SIMULATED_WORKERS:
            pool = SimulatedPool(settings, 0.0)
            pool.hosts = itertools.cycle(hosts)
            shards = deque(f"{number:06}" for number in range(workers * SHARDS_PER_WORKER))
            num_shards = len(shards)
            started, cpu_started = time.perf_counter(), time.process_time()
            for _ in range(workers):
                pool.add_worker()
            assert sum(1 for _ in pool.outcomes(shards)) == num_shards
            elapsed_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu_started
            found.append(
                {
                    "workers": workers,
                    "shards": num_shards,
                    "elapsed_s": round(elapsed_s, 3),
                    "efficiency": round(SHARDS_PER_WORKER * SLEEP_S / elapsed_s, 3),
                    "driver_cpu_ms_per_shard": round(1e3 * cpu_s / num_shards, 3),
                    "workers_per_driver_core": round(SLEEP_S * num_shards / cpu_s),
                }
            )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=120_000)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()

    found: dict[str, Any] = {"command": f"python {' '.join(sys.argv)}", "machine": machine_facts()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sample = pq.read_table(sample_catalogue_path())
        table = pa.concat_tables([sample] * (arguments.rows // len(sample)))
        pq.write_table(table.drop_columns(["product_id"]), folder / "catalogue.parquet", row_group_size=2_000)
        found["real"] = [real_run(folder / "catalogue.parquet", workers, folder) for workers in (1, 2)]
    one, two = (run["workers_rows_per_s"] for run in found["real"])
    found["efficiency_of_two"] = round(two / (2 * one), 3)
    found["simulated"] = simulated_runs()
    found["sleep_s"] = SLEEP_S
    arguments.out.write_text(json.dumps(found, indent=1) + "\n")
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
