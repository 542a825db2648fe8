"""Two nights over many rows: `python tests/benchmarks/nights_scale.py --rows 1000000 --work DIR --out FILE.json`.

The first night classifies everything; before the second one a share of the images changes, and it has `--since`.
Rows are the shipped sample over and over, with ids of their own and one pixel changed, so that no two images are equal.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from timed_process import timed_process

from fmnist_ray.catalogue.build import write_catalogue
from fmnist_ray.config.images import ImageLimits
from fmnist_ray.datasets.shipped import sample_catalogue_path
from fmnist_ray.images.decode import decode_image
from fmnist_ray.images.encode import encode_png
from fmnist_ray.store import open_store

CHANGED_EVERY = 100
"""One image of so many is another one in the second night."""
BATCH = 1_000


def batches(num_rows: int, night: int) -> Iterator[pa.RecordBatch]:
    """The rows of a night."""
    cells = pq.read_table(sample_catalogue_path()).column("image").to_pylist()
    sample = [decode_image(cell, ImageLimits(), min_side=28) for cell in cells]
    for start in range(0, num_rows, BATCH):
        rows = range(start, min(start + BATCH, num_rows))
        images = []
        for row in rows:
            pixels = sample[row % len(sample)].copy()
            mark = row // len(sample) + (7_777_777 if night == 2 and row % CHANGED_EVERY == 0 else 0)
            pixels[0, :4] = np.frombuffer(np.uint32(mark).tobytes(), np.uint8)
            images.append(encode_png(pixels))
        ids = [f"p{row:09d}" for row in rows]
        yield pa.RecordBatch.from_pydict({"product_id": ids, "image": pa.array(images, pa.binary())})


def classify(work: Path, night: int, *options: str) -> dict[str, Any]:
    """One night as a user runs it, and what it cost."""
    out = work / f"night-{night}"
    command = [sys.executable, "-m", "fmnist_ray", "classify", str(work / "catalogue"), "--out", str(out), "--json"]
    timed = timed_process([*command, *options], worker="_ShardActor", folder=work, timeout_s=1_200)
    summary = json.loads((work / "stdout.txt").read_text())
    receipts = sorted(path.stat().st_mtime for path in out.glob("receipts/*/*.json"))
    shard_rows = summary["num_rows"] / summary["num_shards"]
    shards_s = receipts[-1] - receipts[0]
    return {
        "elapsed_s": round(timed.elapsed_s, 1),
        "rows_per_s": round(summary["num_rows"] / timed.elapsed_s),
        "rows_per_s_from_first_to_last_receipt": round((summary["num_rows"] - shard_rows) / shards_s),
        "first_to_last_receipt_s": round(shards_s, 1),
        "num_carried": summary["num_carried"],
        "num_predictions": summary["num_predictions"],
        "num_shards": summary["num_shards"],
        "num_objects": sum(1 for path in out.rglob("*") if path.is_file()),
        "peak_driver_mb": round(timed.peak_command_bytes / 1e6),
        "peak_worker_mb": round(timed.peak_worker_bytes / 1e6),
        "load_before": round(timed.load_before, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    store = open_store(str(arguments.work / "catalogue"))
    nights = []
    for night, options in ((1, ()), (2, ("--since", str(arguments.work / "night-1")))):
        write_catalogue(batches(arguments.rows, night), store, rows_per_file=50_000, replace=True)
        nights.append(classify(arguments.work, night, *options))
    content = {
        "machine": f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}",
        "rows": arguments.rows,
        "first_night": nights[0],
        "second_night": nights[1],
    }
    text = json.dumps(content, indent=1) + "\n"
    arguments.out.write_text(text) if arguments.out else sys.stdout.write(text)


if __name__ == "__main__":
    main()
