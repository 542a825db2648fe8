"""How fast `fmnist-ray classify` is, beside the pipeline that Ray's documentation would have one write.

    uv run python tests/benchmarks/classify_speed.py [--rows 60000 300000] [--repeats 3] [--bundle default]

All classify the same catalogue of Fashion-MNIST's training images (PNG, 12 Parquet files) with the same network,
bn_cnn, in turns (A B C D A B C D): `classify`, the plain pipeline with Ray's defaults, that pipeline tuned, and
`classify --precision bf16`. Each run is a process of its own with a fresh output folder, and its seconds go from the
command to its end: the start of Ray and all else that a user waits for is in them. A bundle of another network is
measured as well, without a baseline, and a bn_cnn is trained for one epoch to compare. One run of each is made before
and not counted: every process of Ray imports much, and where Python may not keep bytecode most of a short run is spent
on compiling modules again. Run it on a machine that does nothing else; the load before each run is in the results.

The figures go to `results/classify_speed.json` beside this script; their medians are printed:

- seconds: the whole command; ratio: a baseline's by ours; same labels: the least share over the repeats.
- rows/s: rows by those seconds. more rows/s: of the rows beyond those of the size above, so without any start. workers
  rows/s: from the receipt that ends the first quarter of the shards to the last one, all workers together.
- worker MiB: the largest resident set of any worker. The last table has it for ten times the rows of the smallest
  size, where it must not be more.
- ms per image: of one worker, by step, as `report.json` has it. Workers go on side by side.

What the baseline is, and what was done for it: `plain_pipeline.py`.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import json
import shlex
import shutil
import signal
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import plain_pipeline
from run_figures import machine_facts, run_figures, share_of_same_labels
from speed_inputs import NUM_FILES, train_bn_cnn, write_images
from speed_tables import speed_tables
from timed_process import timed_process

from fmnist_ray.bundle.format import bundle_uri, read_bundle

RESULTS = Path(__file__).resolve().parent / "results" / "classify_speed.json"
NETWORK = "bn_cnn"
LEAST_SAME_LABELS = 0.999
MEMORY_FACTOR = 10
WARM_UP_ROWS = 1_000

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Where runs happen, and what they run."""

    folder: Path
    """Temporary; holds one catalogue, and the outputs of one repeat."""
    timeout_s: float
    bundle: str
    """URI of a bundle of `NETWORK`."""
    other_bundle: str | None
    """URI of the bundle of another network."""


def main() -> None:
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started ends, and its files go
    shipped = bundle_uri(arguments.bundle)
    architecture = read_bundle(shipped).spec.architecture
    with tempfile.TemporaryDirectory(prefix="fmnist-speed-") as name:
        bench = Bench(folder=Path(name), timeout_s=arguments.timeout, bundle=shipped, other_bundle=None)
        if architecture != NETWORK:
            _note(f"{arguments.bundle} is {architecture}; training a {NETWORK} to compare")
            trained = str(bench.folder / NETWORK)
            train_bn_cnn(trained)
            bench = dataclasses.replace(bench, bundle=trained, other_bundle=shipped)
        results = {
            "command": shlex.join(["tests/benchmarks/classify_speed.py", *sys.argv[1:]]),
            "date": datetime.now(UTC).date().isoformat(),
            "machine": machine_facts(),
            "num_files": NUM_FILES,
            "repeats": arguments.repeats,
            "network": NETWORK,
            "other_network": None if architecture == NETWORK else architecture,
            "baselines": plain_pipeline.SETTINGS,
            **measure(bench, sorted(arguments.rows), arguments.repeats),
        }
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    arguments.results.write_text(json.dumps(results, indent=1) + "\n")
    sys.stdout.write(speed_tables(results))


def measure(bench: Bench, sizes: Sequence[int], repeats: int) -> dict[str, Any]:
    """The figures of every size, in ascending order, and of one run with `MEMORY_FACTOR` times the smallest."""
    _note("warming up: not counted, compiles Python's modules")
    measure_size(bench, WARM_UP_ROWS, 1)
    measured = [measure_size(bench, num_rows, repeats) for num_rows in sizes]
    for before, after in itertools.pairwise(measured):
        for name, pipeline in after["pipelines"].items():
            more_s = pipeline["median_s"] - before["pipelines"][name]["median_s"]
            more_rows = after["num_rows"] - before["num_rows"]
            pipeline["more_rows_per_s"] = round(more_rows / more_s) if more_s > 0 else None
    many_rows = MEMORY_FACTOR * sizes[0]
    with _catalogue(bench, many_rows) as catalogue, _out(bench, "out") as out:
        large = classify(bench, catalogue, out, bench.bundle)
    small = measured[0]["pipelines"]["classify"]
    memory = [
        {"num_rows": num_rows, "peak_worker_bytes": figures["peak_worker_bytes"]}
        for num_rows, figures in ((sizes[0], small), (many_rows, large))
    ]
    return {"sizes": measured, "memory": memory}


def measure_size(bench: Bench, num_rows: int, repeats: int) -> dict[str, Any]:
    """All runs over one catalogue. Raises `RuntimeError` when the two pipelines do not give the same labels."""
    runs: dict[str, list[Figures]] = defaultdict(list)
    same_labels = 1.0
    with _catalogue(bench, num_rows) as catalogue:
        for _ in range(repeats):
            with _out(bench, "out") as out, _out(bench, "plain") as plain_out:
                runs["classify"].append(classify(bench, catalogue, out, bench.bundle))
                runs["plain"].append(run_plain(bench, catalogue, plain_out, "plain"))
                same_labels = min(same_labels, share_of_same_labels(out, plain_out))
            with _out(bench, "tuned") as tuned_out:
                runs["tuned"].append(run_plain(bench, catalogue, tuned_out, "tuned"))
            with _out(bench, "out") as out:
                runs["bf16"].append(classify(bench, catalogue, out, bench.bundle, "--precision", "bf16"))
            if bench.other_bundle is not None:
                with _out(bench, "out") as out:
                    runs["other"].append(classify(bench, catalogue, out, bench.other_bundle))
    if same_labels < LEAST_SAME_LABELS:
        raise RuntimeError(f"Only {same_labels:.2%} of the labels are the same: this compares different things.")
    pipelines = {name: _medians(num_rows, figures) for name, figures in runs.items()}
    return {
        "num_rows": num_rows,
        "ratios": {
            name: round(pipelines[name]["median_s"] / pipelines["classify"]["median_s"], 2)
            for name in ("plain", "tuned")
        },
        "ratio_of_bf16": round(pipelines["plain"]["median_s"] / pipelines["bf16"]["median_s"], 2),
        "same_labels": same_labels,
        "pipelines": pipelines,
    }


def classify(bench: Bench, catalogue: Path, out: Path, bundle: str, *options: str) -> Figures:
    """One run of the command under test."""
    program = Path(sys.executable).with_name("fmnist-ray")
    command = [str(program), "classify", str(catalogue), "--out", str(out), "--bundle", bundle, "--json", *options]
    figures = _timed(bench, "classify", command, worker="_ShardActor")
    return figures | run_figures(out)


def run_plain(bench: Bench, catalogue: Path, out: Path, settings: str) -> Figures:
    """One run of the baseline, plain or tuned."""
    with _out(bench, "ray") as session:
        script = plain_pipeline.__file__
        command = [sys.executable, script, str(catalogue), str(out), bench.bundle, "--temp-dir", str(session)]
        command += ["--settings", settings]
        return _timed(bench, settings, command, worker=plain_pipeline.TorchClassifier.__name__)


def _timed(bench: Bench, name: str, command: list[str], *, worker: str) -> Figures:
    timed = timed_process(command, worker=worker, folder=bench.folder, timeout_s=bench.timeout_s)
    _note(f"{name}: {timed.elapsed_s:.1f} s, load before {timed.load_before:.2f}")
    return {
        "elapsed_s": round(timed.elapsed_s, 2),
        "load_before": round(timed.load_before, 2),
        "peak_worker_bytes": timed.peak_worker_bytes,
    }


def _medians(num_rows: int, runs: list[Figures]) -> Figures:
    """One line of the table, and the runs behind it."""
    median_s = statistics.median(run["elapsed_s"] for run in runs)
    figures: Figures = {
        "median_s": median_s,
        "rows_per_s": round(num_rows / median_s),
        "peak_worker_bytes": max(run["peak_worker_bytes"] for run in runs),
    }
    if "ms_per_image" in runs[0]:
        figures["workers_rows_per_s"] = round(statistics.median(run["workers_rows_per_s"] for run in runs))
        figures["ms_per_image"] = {
            step: round(statistics.median(run["ms_per_image"][step] for run in runs), 5)
            for step in runs[0]["ms_per_image"]
        }
    return figures | {"runs": [{name: run[name] for name in ("elapsed_s", "load_before")} for run in runs]}


@contextlib.contextmanager
def _catalogue(bench: Bench, num_rows: int) -> Iterator[Path]:
    _note(f"writing {num_rows:,} rows")
    with _out(bench, "catalogue") as folder:
        write_images(folder, num_rows)
        yield folder


@contextlib.contextmanager
def _out(bench: Bench, name: str) -> Iterator[Path]:
    """A place of this name that is not there, before and after."""
    place = bench.folder / name
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time fmnist-ray classify beside a plain pipeline on Ray Data.")
    parser.add_argument("--rows", type=int, nargs="+", default=[60_000, 300_000], help="sizes of the catalogue")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each pipeline and size")
    parser.add_argument("--bundle", default="default", help="name or path of the bundle")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the figures go")
    parser.add_argument("--timeout", type=float, default=1800, help="seconds after which a run is ended")
    return parser.parse_args()


def _note(text: str) -> None:
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    main()
