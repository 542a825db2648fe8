"""The reports of a large night: `python tests/benchmarks/nightly_report.py --rows 1000000 --work DIR --out FILE.json`.

Two nights of the shipped sample over and over, with labels, of which some contradict their photos. One image in fifty
is new each night, so that there is something to classify; the others are carried over, which the reports don't notice.
Then the commands that only report are timed: `report`, `drift`, and `nightly` of a night that is done.
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
from fmnist_ray.labels import FASHION_MNIST
from fmnist_ray.store import open_store

NEW_EVERY = 50
SWAPPED_EVERY = 97
DATES = ("2026-11-19", "2026-11-20", "2026-11-21")
"""The first is a small night of the sample itself, whose answers are carried over."""


def batches(num_rows: int, night: int) -> Iterator[pa.RecordBatch]:
    """The rows of a night."""
    table = pq.read_table(sample_catalogue_path())
    cells, labels = table["image"].to_pylist(), [FASHION_MNIST[label] for label in table["label"].to_pylist()]
    pixels = [decode_image(cell, ImageLimits(), min_side=28) for cell in cells]
    for start in range(0, num_rows, len(cells)):
        rows = np.arange(start, min(start + len(cells), num_rows))
        images, names = [cells[row % len(cells)] for row in rows], [labels[row % len(cells)] for row in rows]
        for row in rows[rows % NEW_EVERY == night % NEW_EVERY] if night else ():
            changed = pixels[row % len(cells)].copy()
            changed[0, :4] = np.frombuffer(np.uint32(night * num_rows + row).tobytes(), np.uint8)
            images[row - start] = encode_png(changed)
        for row in rows[rows % SWAPPED_EVERY == 0]:
            names[row - start] = FASHION_MNIST[(FASHION_MNIST.index(names[row - start]) + 3) % 10]
        columns = {
            "product_id": [f"p{row:09d}" for row in rows],
            "image": pa.array(images, pa.binary()),
            "label": names,
        }
        yield pa.RecordBatch.from_pydict(columns)


def timed(work: Path, *arguments: str) -> dict[str, Any]:
    """A command as a user runs it, and what it cost."""
    command = [sys.executable, "-m", "fmnist_ray", *arguments, "--json"]
    found = timed_process(command, worker="_ShardActor", folder=work, timeout_s=900)
    return {
        "command": " ".join(["fmnist-ray", *(part.replace(str(work), "WORK") for part in arguments)]),
        "elapsed_s": round(found.elapsed_s, 1),
        "peak_mib": round(found.peak_command_bytes / 2**20),
        "load_before": round(found.load_before, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    work = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    root = str(work / "nights")
    catalogue, options = str(work / "catalogue"), ("--root", root, "--min-precision", "0.99")
    for night, date in enumerate(DATES):
        num_rows = arguments.rows if night else 1_000
        write_catalogue(batches(num_rows, night), open_store(catalogue), rows_per_file=50_000, replace=True)
        timed(work, "nightly", catalogue, *options, "--date", date)
    last, before = f"{root}/{DATES[2]}", f"{root}/{DATES[1]}"
    measured = [
        timed(work, "report", last),
        timed(work, "drift", last, "--against", before),
        timed(work, "nightly", catalogue, *options, "--date", DATES[2]),
    ]
    pages = {path.name: path.stat().st_size for path in Path(last).glob("*/*/*.html")}
    content = {
        "machine": f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}",
        "rows": arguments.rows,
        "measured": measured,
        "page_bytes": pages,
    }
    text = json.dumps(content, indent=1) + "\n"
    arguments.out.write_text(text) if arguments.out else sys.stdout.write(text)


if __name__ == "__main__":
    main()
