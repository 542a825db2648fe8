"""What a finished run says about itself, and about the machine it ran on."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fmnist_ray.catalogue.results import open_results

_VERSIONS = ("fmnist-ray", "ray", "torch", "openvino", "pyarrow", "pillow", "numpy")


def machine_facts() -> dict[str, Any]:
    """What the figures depend on besides the code."""
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in _VERSIONS},
    }


def run_figures(out: Path) -> dict[str, Any]:
    """Speed of a committed run apart from its start: rows per second once workers are up, and milliseconds per image
    of one worker by step, as the report has them."""
    results = open_results(str(out))
    steps = results.report()["time"]["steps"]
    return {
        "workers_rows_per_s": _workers_rows_per_s(out / "receipts" / results.commit.plan_id),
        "ms_per_image": {step["step"].removesuffix("_s"): step["ms_per_row"] for step in steps},
    }


def share_of_same_labels(out: Path, plain_out: Path) -> float:
    """Share of the rows that have the same label in a committed run and in what the baseline wrote. Raises
    `RuntimeError` unless both have the same rows."""
    ours = open_results(str(out)).predictions().select(["product_id", "label_id"]).sort_by("product_id")
    theirs = pq.read_table(plain_out, columns=["product_id", "label_id"]).sort_by("product_id")
    if not ours.column("product_id").equals(theirs.column("product_id")):
        raise RuntimeError(f"The baseline wrote {len(theirs)} rows, the run {len(ours)}, and not the same ones.")
    label_ids: list[NDArray[np.int64]] = [table.column("label_id").to_numpy() for table in (ours, theirs)]
    return float((label_ids[0] == label_ids[1]).mean())


def _workers_rows_per_s(receipts: Path) -> float:
    """Rows of all shards but the first quarter, by the seconds from the receipt that ends that quarter to the last."""
    shards = sorted(
        ((path.stat().st_mtime, json.loads(path.read_bytes())) for path in receipts.glob("*.json")),
        key=lambda shard: shard[0],
    )
    num_first = -(-len(shards) // 4)
    seconds = shards[-1][0] - shards[num_first - 1][0]
    num_rows = sum(receipt["num_predictions"] + receipt["num_rejects"] for _, receipt in shards[num_first:])
    return float(num_rows / seconds)


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
