"""The reports of a large night: `python tests/benchmarks/nightly_report.py --rows 1000000 --out FILE.json`.

Two nights of so many rows, made of real small ones: the shipped sample, and the sample with 3 % blank photos and 1 %
wrong categories, are classified by the shipped bundle; their tables are written over and over as those of shards of
10,000 rows, and their statistics are added up as often. Then the commands that report are timed.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from timed_process import timed_process

from fmnist_ray.catalogue.commit import COMMIT
from fmnist_ray.catalogue.nights import Night, publish_night
from fmnist_ray.catalogue.receipts import DataFile
from fmnist_ray.catalogue.results import open_results
from fmnist_ray.catalogue.writer import encode_table
from fmnist_ray.config.classify import ClassifySettings
from fmnist_ray.config.decisions import Promises
from fmnist_ray.datasets.shipped import sample_catalogue_path
from fmnist_ray.flows.classify import classify
from fmnist_ray.flows.shard import ShardOutcome, ShardWorker, WorkerSettings
from fmnist_ray.images.encode import encode_png
from fmnist_ray.labels import FASHION_MNIST
from fmnist_ray.reports.statistics import RunStatistics
from fmnist_ray.store import open_store

SHARD_ROWS = 10_000
DATES = ("2026-11-20", "2026-11-21")
_BLANK = encode_png(np.full((28, 28), 250, np.uint8))


class InThisProcess:
    """Classifies without Ray: what it costs is not the question here."""

    facts: dict[str, Any] = {"num_workers": 1, "runtime": "cpu"}

    def run(self, settings: WorkerSettings, shard_ids: Sequence[str]) -> Iterator[ShardOutcome]:
        worker = ShardWorker(settings)
        return (worker.run(shard_id) for shard_id in shard_ids)


def write_catalogue(path: Path, *, blank: int, swapped: int) -> None:
    """The shipped sample as it is, or with some rows spoilt."""
    table = pq.read_table(sample_catalogue_path())
    images, labels = table["image"].to_pylist(), table["label"].to_pylist()
    images[:blank] = [_BLANK] * blank
    for row in range(blank, blank + swapped):
        labels[row] = (labels[row] + 3) % 10
    names = [FASHION_MNIST[label] for label in labels]
    columns = {"product_id": table["product_id"], "image": pa.array(images, pa.binary()), "label": names}
    pq.write_table(pa.table(columns), path)


def write_night(root: Path, date: str, catalogue: Path, num_rows: int) -> None:
    """Classify the catalogue, and let its run be that of as many rows as asked."""
    out = root / date
    settings = ClassifySettings(
        catalogue_uri=str(catalogue), out_uri=str(out), promises=Promises(min_precision=0.99), max_rejects=1
    )
    summary = classify(settings, lambda: nullcontext(InThisProcess()))
    store, commit = open_store(str(out)), open_results(str(out)).commit
    repeats, num_shards = num_rows // summary.num_rows, num_rows // SHARD_ROWS
    files = []
    for name in ("predictions", "samples", "contradictions"):
        table = open_results(str(out)).table(name)
        if name != "samples":  # of which a shard has as many, whatever its rows
            table = pa.concat_tables([table] * (SHARD_ROWS // summary.num_rows))
        data = encode_table(table)
        digest = hashlib.sha256(data).hexdigest()
        for shard in range(num_shards):
            key = f"data/{commit.plan_id}/{shard:05}.{name}.parquet"
            store.put(key, data)
            files.append(DataFile(key=key, table=name, num_rows=len(table), size_bytes=len(data), sha256=digest))
    total = RunStatistics.empty(len(FASHION_MNIST))
    for _ in range(repeats):
        total.merge(RunStatistics.from_dict(commit.statistics))
    large = dataclasses.replace(
        commit,
        num_rows=commit.num_rows * repeats,
        num_predictions=commit.num_predictions * repeats,
        num_rejects=commit.num_rejects * repeats,
        files=tuple(files),
        statistics=total.to_dict(),
    )
    store.put(COMMIT, large.to_json())
    counts = {name: getattr(large, name) for name in ("num_rows", "num_predictions", "num_rejects")}
    night = Night(date=date, plan_id=large.plan_id, bundle_digest=summary.bundle_digest, published_at="now", **counts)
    publish_night(open_store(str(root)), night)


def timed(work: Path, *arguments: str) -> dict[str, Any]:
    """A command as a user runs it, and what it cost."""
    found = timed_process(
        [sys.executable, "-m", "fmnist_ray", *arguments, "--json"], worker="_ShardActor", folder=work, timeout_s=300
    )
    return {
        "command": " ".join(["fmnist-ray", *(part.replace(str(work), "WORK") for part in arguments)]),
        "elapsed_s": round(found.elapsed_s, 1),
        "peak_mib": round(found.peak_command_bytes / 2**20),
        "load_before": round(found.load_before, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--work", type=Path, help="An existing folder to work in. Default: the system's.")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.work) as folder:
        work = Path(folder)
        for date, spoilt in zip(DATES, (0, 1), strict=True):
            catalogue = work / f"{date}.parquet"
            write_catalogue(catalogue, blank=30 * spoilt, swapped=10 * spoilt)
            write_night(work / "nights", date, catalogue, arguments.rows)
        last, before = (str(work / "nights" / date) for date in reversed(DATES))
        again = ("nightly", str(work / f"{DATES[1]}.parquet"), "--root", str(work / "nights"), "--date", DATES[1])
        content = {
            "command": "tests/benchmarks/nightly_report.py",
            "machine": f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}",
            "rows": arguments.rows,
            "report": timed(work, "report", last),
            "drift": timed(work, "drift", last, "--against", before),
            "nightly_of_a_night_that_is_done": timed(work, *again, "--min-precision", "0.99", "--full"),
            "page_bytes": {path.name: path.stat().st_size for path in Path(last).glob("*/*/*.html")},
        }
    text = json.dumps(content, indent=1) + "\n"
    arguments.out.write_text(text) if arguments.out else sys.stdout.write(text)


if __name__ == "__main__":
    main()
