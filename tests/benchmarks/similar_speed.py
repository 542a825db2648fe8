"""How good and how fast `similar` is: class agreement on the test images, and a million rows of 128 features.

python tests/benchmarks/similar_speed.py --work /tmp/similar --json tests/benchmarks/results/similar_speed.json
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from run_figures import machine_facts

from fmnist_ray.bundle.classifier import load_bundle
from fmnist_ray.catalogue.commit import claim, commit_run
from fmnist_ray.catalogue.feature_rows import open_features
from fmnist_ray.catalogue.feature_search import search
from fmnist_ray.catalogue.plan import make_plan
from fmnist_ray.catalogue.reader import inspect_inputs, list_inputs
from fmnist_ray.catalogue.receipts import write_shard
from fmnist_ray.catalogue.writer import encode_table
from fmnist_ray.config.classify import ColumnNames
from fmnist_ray.config.images import ImageLimits
from fmnist_ray.datasets.fashion_mnist import load_split
from fmnist_ray.heads.nearest import Nearest
from fmnist_ray.images.encode import encode_png
from fmnist_ray.labels import FASHION_MNIST
from fmnist_ray.schema import sized_features
from fmnist_ray.store import open_store

WIDTH = 128
PER_FILE = 10_000


def precision_at_10() -> dict[str, Any]:
    """Share of the ten nearest test images, the image itself left out, that have its class."""
    pixels, labels = load_split("test")
    features = load_bundle("default", runtime="cpu").features(pixels[:, None])
    nearest = Nearest(features, 11)
    for start in range(0, len(features), 2_000):
        nearest.offer(nearest.similarities(features[start : start + 2_000]), start)
    squares = (features**2).sum(axis=1)
    distances = squares[:, None] + squares - 2 * features @ features.T
    np.fill_diagonal(distances, np.inf)
    others = nearest.rows != np.arange(len(features))[:, None]
    cosine = np.stack([row[keep][:10] for row, keep in zip(nearest.rows, others, strict=True)])
    euclidean = np.argpartition(distances, 10, axis=1)[:, :10]
    agree = {name: float((labels[rows] == labels[:, None]).mean()) for name, rows in (
        ("cosine", cosine), ("euclidean", euclidean)
    )}  # fmt: skip
    return {"num_images": len(labels), "width": features.shape[1], **agree}


def write_table(work: Path, num_rows: int) -> str:
    """A committed table of made-up features, as a features run writes it, and its catalogue."""
    generator = np.random.default_rng(0)
    png = encode_png(load_split("test")[0][0])
    folder = work / "catalogue"
    folder.mkdir(parents=True)
    for number in range(num_rows // PER_FILE):
        pq.write_table(pa.table({"image": [png] * PER_FILE}), folder / f"{number:04}.parquet", row_group_size=1_000)
    catalogue, infos = list_inputs(str(folder))
    inputs, columns = inspect_inputs(catalogue, infos, ColumnNames())
    limits = {field: getattr(ImageLimits(), field) for field in ("max_bytes", "max_pixels", "max_side")}
    promises = {"limits": limits, "image_prefixes": []}
    plan = make_plan(
        catalogue_uri=str(folder), inputs=inputs, columns=columns.to_dict(), promises=promises, shard_rows=PER_FILE
    )
    out = open_store(str(work / "features"))
    claim(out, plan, replace=False)
    schema = sized_features(WIDTH, len(FASHION_MNIST))
    receipts = {}
    for shard in plan.shards:
        lists = {
            name: pa.FixedSizeListArray.from_arrays(
                pa.array(generator.standard_normal(width * shard.num_rows, np.float32)), width
            )
            for name, width in (("features", WIDTH), ("logits", len(FASHION_MNIST)))
        }
        filled = {
            "input_file": [plan.inputs[shard.file].key] * shard.num_rows,
            "input_row": np.arange(shard.start, shard.stop),
            "bundle_digest": ["0" * 64] * shard.num_rows,
            **lists,
        }
        cells = [filled.get(field.name, pa.nulls(shard.num_rows, field.type)) for field in schema]
        table = pa.table(dict(zip(schema.names, cells, strict=True)), schema)
        tables = {"features": (encode_table(table), shard.num_rows)}
        receipts[shard.id] = write_shard(out, plan, shard, "benchmark", tables, {})
    facts = {"table": "features", "layer": None, "bundle_digest": "0" * 64, "labels": list(FASHION_MNIST)}
    commit_run(out, plan, receipts, statistics={}, facts={**facts, "bundle": "default"})
    return out.uri


def time_queries(uri: str, work: Path, repeats: int) -> dict[str, Any]:
    """Seconds of the search alone and of the whole command with its start and page; core-seconds of the search, and
    the load of the machine just before, without which the first two say little."""
    table = open_features(uri)
    query = table.take(np.array([table.num_rows // 2])).features
    searches, core_seconds, commands, loads = [], [], [], []
    for _ in range(repeats):
        loads.append(os.getloadavg()[0])
        started, of_cores = time.perf_counter(), time.process_time()
        found = search(table, query, 10)
        searches.append(time.perf_counter() - started)
        core_seconds.append(time.process_time() - of_cores)
        assert found.rows[0][0] == table.num_rows // 2
        command = [sys.executable, "-m", "fmnist_ray", "similar", str(table.num_rows // 2), "--features", uri]
        started = time.perf_counter()
        subprocess.run([*command, "--out", str(work / "page")], check=True, capture_output=True)
        commands.append(time.perf_counter() - started)
    size = sum(path.stat().st_size for path in Path(uri, "data").rglob("*.parquet"))
    return {
        "num_rows": table.num_rows,
        "width": WIDTH,
        "table_bytes": size,
        "search_s": searches,
        "search_core_s": core_seconds,
        "command_s": commands,
        "load_before": loads,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="an empty folder; takes 700 MB for a million rows")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    uri = str(options.work / "features")
    if not Path(uri).exists():
        write_table(options.work, options.rows)
    speed = time_queries(uri, options.work, options.repeats)
    facts = {"command": f"tests/benchmarks/similar_speed.py --rows {options.rows} --repeats {options.repeats}"}
    result = {
        **facts,
        "date": date.today().isoformat(),
        "machine": machine_facts(),
        "precision_at_10": precision_at_10(),
        "speed": speed,
    }
    text = json.dumps(result, indent=1)
    sys.stdout.write(text + "\n")
    if options.json:
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
