"""Exactly-once on S3 while everything fails: `python tests/support/s3_chaos.py --seeds 30 --out FILE.json`.

For every seed two drivers start the same run, each with two worker processes, on an S3 server behind a proxy that
breaks a share of all requests. Workers are killed and paused, drivers are killed, and the same command is given again
until it commits. A reader polls all the time. Then every row must be there once, with the answer of an undisturbed run.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from fault_proxy import FaultProxy, at_random
from process_pool import ProcessPool
from s3_server import S3Server, run_ministack

from fmnist_ray import open_results
from fmnist_ray.bundle.format import bundle_uri
from fmnist_ray.catalogue.build import write_catalogue
from fmnist_ray.config.classify import ClassifySettings
from fmnist_ray.datasets.shipped import sample_catalogue_path
from fmnist_ray.errors import FmnistRayError, IncompleteError
from fmnist_ray.flows.classify import classify
from fmnist_ray.flows.verify import verify_run
from fmnist_ray.store import open_store
from fmnist_ray.store.s3 import close_client

NUM_FILES, ROWS, SHARD_ROWS = 4, 150, 25
NUM_ROWS = NUM_FILES * ROWS
NAMED_FILE = f"part-{NUM_FILES:05d}.parquet"
"""Its rows name their images; the other files hold them."""
FAULT_SHARE = 0.08
MAX_DISTURBANCES = 8
BUDGET_S = 180
_WORKER = "spawn_main"


@dataclasses.dataclass
class SeedResult:
    """What one seed came to."""

    seed: int
    worker_kills: int = 0
    worker_pauses: int = 0
    driver_kills: int = 0
    commands: int = 0
    """Drivers that were started until the run was committed and both first ones had ended."""
    requests: int = 0
    faults: dict[str, int] = dataclasses.field(default_factory=dict)
    attempts: int = 0
    """Shards that were written, of `shards`."""
    shards: int = 0
    looks: int = 0
    """Of the reader."""
    partial_reads: int = 0
    rows_lost: int = 0
    rows_doubled: int = 0
    rows_wrong: int = 0
    """With another answer or reason than in an undisturbed run."""
    seconds: float = 0.0

    @property
    def exact(self) -> bool:
        return not (self.partial_reads or self.rows_lost or self.rows_doubled or self.rows_wrong)


def settings(root: str, out: str) -> ClassifySettings:
    """The run that is disturbed."""
    return ClassifySettings(
        catalogue_uri=f"{root}/catalogue",
        out_uri=f"{root}/{out}",
        bundle=f"{root}/bundle",
        image_prefixes=(f"{root}/photos",),
        shard_rows=SHARD_ROWS,
    )


def fill(root: str) -> dict[tuple[str, int], tuple[Any, ...]]:
    """Write catalogue, photos and bundle below `root`, and return the rows of an undisturbed run."""
    cells = pq.read_table(sample_catalogue_path()).column("image").to_pylist()[:NUM_ROWS]
    for number in range(7, NUM_ROWS - ROWS, 90):
        cells[number] = (b"", b"<html>", cells[number][:200])[number % 3]
    held, named = cells[:-ROWS], cells[-ROWS:]
    ids = pa.array([f"p{number}" for number in range(len(held))])
    batch = pa.RecordBatch.from_pydict({"product_id": ids, "image": pa.array(held, pa.binary())})
    store = open_store(root)
    write_catalogue(iter([batch]), open_store(f"{root}/catalogue"), rows_per_file=ROWS, replace=False)
    for number, image in enumerate(named):
        if number % 50 != 20:
            store.put(f"photos/{number}.png", image)
    buffer = io.BytesIO()
    names = [f"{root}/photos/{number}.png" for number in range(ROWS)]
    pq.write_table(pa.table({"product_id": names, "image": names}), buffer, write_page_checksum=True)
    store.put(f"catalogue/{NAMED_FILE}", buffer.getvalue())
    bundle = open_store(bundle_uri("default"))
    for info in bundle.list():
        store.put(f"bundle/{info.key}", bundle.get(info.key))
    classify(settings(root, "undisturbed"), lambda: nullcontext(ProcessPool()))
    return {key: values[0] for key, values in rows(f"{root}/undisturbed").items()}


def rows(out_uri: str) -> dict[tuple[str, int], list[tuple[Any, ...]]]:
    """All answers by row: more than one where a row is doubled."""
    results = open_results(out_uri)
    found: dict[tuple[str, int], list[tuple[Any, ...]]] = {}
    for table, names in ((results.predictions(), ("label", "confidence")), (results.rejects(), ("reason", "detail"))):
        for row in table.to_pylist():
            found.setdefault((row["input_file"], row["input_row"]), []).append(tuple(row[name] for name in names))
    return found


class Reader(threading.Thread):
    """Polls the results as a consumer does, and counts what is neither nothing nor the whole."""

    def __init__(self, out_uri: str) -> None:
        super().__init__(daemon=True)
        self._out_uri = out_uri
        self._stopped = threading.Event()
        self.looks = self.partial = 0

    def run(self) -> None:
        while not self._stopped.wait(0.2):
            self.looks += 1
            with contextlib.suppress(IncompleteError):
                self.partial += sum(map(len, rows(self._out_uri).values())) != NUM_ROWS

    def stop(self) -> None:
        self._stopped.set()
        self.join(30)


def run_seed(seed: int, server: S3Server, root: str, expected: dict[tuple[str, int], tuple[Any, ...]]) -> SeedResult:
    """Disturb one run, let it end, and compare."""
    result, out = SeedResult(seed), f"seed-{seed}"
    started = time.monotonic()
    reader = Reader(f"{root}/{out}")
    reader.start()
    proxy = FaultProxy(server.endpoint, at_random(seed, FAULT_SHARE))
    try:
        _disturb(random.Random(seed), proxy.endpoint, root, out, result)
    finally:
        proxy.close()
        reader.stop()
    found = rows(f"{root}/{out}")
    verify_run(f"{root}/{out}")
    keys = [info.key for info in open_store(f"{root}/{out}").list()]
    result.requests, result.faults = proxy.num_requests, dict(sorted(proxy.made.items()))
    result.shards = sum(key.startswith("receipts/") for key in keys)
    result.attempts = len({key.rpartition("/")[2].split(".")[0] for key in keys if key.startswith("data/")})
    result.looks, result.partial_reads = reader.looks, reader.partial
    result.rows_lost = len(expected.keys() - found.keys())
    result.rows_doubled = sum(len(answers) - 1 for answers in found.values())
    result.rows_wrong = sum(answers[0] != expected.get(key) for key, answers in found.items())
    result.seconds = round(time.monotonic() - started, 1)
    return result


def _disturb(chance: random.Random, endpoint: str, root: str, out: str, result: SeedResult) -> None:
    """Two drivers at once, with trouble; then the same command again until all is well."""
    deadline = time.monotonic() + BUDGET_S
    drivers = [_driver(endpoint, root, out), _driver(endpoint, root, out)]
    result.commands = 2
    left = MAX_DISTURBANCES
    codes: list[int] = []
    while drivers:
        assert time.monotonic() < deadline, f"seed {result.seed} takes too long"
        time.sleep(0.05)
        for driver in [driver for driver in drivers if driver.poll() is not None]:
            drivers.remove(driver)
            codes.append(driver.wait())
        if drivers and left and _strike(chance, chance.choice(drivers), result):
            left -= 1
            time.sleep(chance.uniform(0.0, 0.5))
        if not drivers and 0 not in codes:
            drivers.append(_driver(endpoint, root, out))
            result.commands += 1
    assert set(codes) <= {0, -signal.SIGKILL, 2, 4}, codes


def _strike(chance: random.Random, driver: psutil.Popen, result: SeedResult) -> bool:
    """Kill or pause a worker, or kill the driver; false where there was nobody to strike."""
    action = chance.choice(["kill", "kill", "pause", "pause", "driver"])
    with contextlib.suppress(psutil.NoSuchProcess):
        workers = [child for child in driver.children() if _WORKER in " ".join(child.cmdline())]
        if not workers:
            return False
        if action == "driver":
            driver.kill()
            result.driver_kills += 1
        elif action == "kill":
            chance.choice(workers).kill()
            result.worker_kills += 1
        else:
            worker = chance.choice(workers)
            worker.suspend()
            threading.Timer(chance.uniform(0.3, 2.0), _resume, (worker,)).start()
            result.worker_pauses += 1
    return True


def _resume(worker: psutil.Process) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        worker.resume()


def _driver(endpoint: str, root: str, out: str) -> psutil.Popen:
    environment = {**os.environ, "AWS_ENDPOINT_URL": endpoint, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--drive", root, out]
    return psutil.Popen(command, env=environment, stdout=subprocess.DEVNULL)


def _drive(root: str, out: str) -> int:
    """What a driver process does."""
    try:
        classify(settings(root, out), lambda: nullcontext(ProcessPool()))
    except FmnistRayError as error:
        return error.exit_code
    return 0


@contextlib.contextmanager
def arena() -> Iterator[tuple[S3Server, str, dict[tuple[str, int], tuple[Any, ...]]]]:
    """A server with all that a run needs, and the rows of an undisturbed one."""
    with tempfile.TemporaryDirectory() as folder, run_ministack(Path(folder)) as server:
        before = dict(os.environ)
        close_client()
        os.environ.update(server.environment)
        try:
            root = f"s3://{server.new_bucket()}/shop"
            yield server, root, fill(root)
        finally:
            os.environ.clear()
            os.environ.update(before)
            close_client()


def run_seeds(
    seeds: Iterable[int], server: S3Server, root: str, expected: dict[tuple[str, int], tuple[Any, ...]]
) -> list[SeedResult]:
    """Two seeds at a time: much of each is waiting."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda seed: run_seed(seed, server, root, expected), seeds))


def summary(results: list[SeedResult]) -> dict[str, Any]:
    """The figures of all seeds together."""
    total: dict[str, Any] = {"seeds": len(results), "rows_per_seed": NUM_ROWS, "exact": sum(r.exact for r in results)}
    for field in dataclasses.fields(SeedResult):
        if field.name not in ("seed", "faults"):
            total[field.name] = round(sum(getattr(result, field.name) for result in results), 1)
    total["faults"] = dict(sorted(sum((Counter(result.faults) for result in results), Counter[str]()).items()))
    return total


def table(content: dict[str, Any]) -> str:
    """The figures as README has them."""
    figures = content["summary"]
    faults = sum(figures["faults"].values())
    rows = {
        "seeds, of 600 rows each": figures["seeds"],
        "workers killed, paused": f"{figures['worker_kills']}, {figures['worker_pauses']}",
        "drivers killed": figures["driver_kills"],
        "requests broken, of all": f"{faults:,} of {figures['requests']:,}",
        "shards written, needed": f"{figures['attempts']:,}, {figures['shards']:,}",
        "looks of a reader, that saw a part": f"{figures['looks']:,}, {figures['partial_reads']}",
        "rows lost, doubled, with another answer": ", ".join(
            str(figures[name]) for name in ("rows_lost", "rows_doubled", "rows_wrong")
        ),
    }
    lines = [f"| {name} | {value} |" for name, value in rows.items()]
    return "\n".join(["| on S3, while everything fails | |", "|---|---|", *lines]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--drive", nargs=2)
    parser.add_argument("--table", type=Path, help="print README's table for such a FILE.json, and run nothing")
    arguments = parser.parse_args()
    if arguments.table:
        sys.stdout.write(table(json.loads(arguments.table.read_text())))
        return
    if arguments.drive:
        sys.exit(_drive(*arguments.drive))
    with arena() as (server, root, expected):
        results = run_seeds(range(arguments.first, arguments.first + arguments.seeds), server, root, expected)
    content = {
        "machine": f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}",
        "summary": summary(results),
        "seeds": [dataclasses.asdict(result) for result in results],
    }
    text = json.dumps(content, indent=1) + "\n"
    arguments.out.write_text(text) if arguments.out else sys.stdout.write(text)


if __name__ == "__main__":
    main()
