"""What the SVM stage costs and gives, measured part by part on Fashion-MNIST.

    uv run python tests/benchmarks/svm_stage.py PART... --work FOLDER [--bundle default]

- extraction: `features` against `classify`, whole commands on 60,000 rows, in turns.
- kinds: seconds of a fit on 60,000 rows, accuracy, and how close the joined graph is to scikit-learn's decision
  function and predictions, on the 10,000 test images.
- grid: a search on Ray against GridSearchCV with one job and with two, on the same two cores.
- inference: rows/s of the graph without and with a head, in turns.
- stream: Nystroem on 600,000 rows, the training images under ten augmentations.
- seed: a CNN of the published reports, trained here, and SVMs on its features.

Each part writes its figures to `results/svm_stage.json` beside this script, with the machine, its load before and
the time: run it on a machine that does nothing else. The folder of `--work` keeps catalogues and features from one call
to the next.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from run_figures import machine_facts
from speed_inputs import write_images

from fmnist_ray.bundle.format import GRAPH, read_bundle
from fmnist_ray.bundle.head_graph import join_head, without_head
from fmnist_ray.bundle.runtimes import OpenVinoRuntime, Scores
from fmnist_ray.catalogue.build import catalogue_batch, write_catalogue
from fmnist_ray.config.svm import KINDS, Kind, SvmSearch, SvmSettings
from fmnist_ray.config.tune import Choice
from fmnist_ray.datasets.fashion_mnist import load_split
from fmnist_ray.decisions.pairwise import pairwise_labels
from fmnist_ray.heads.estimators import build_svm, fit_svm, svm_head
from fmnist_ray.heads.search import LabelledFeatures
from fmnist_ray.images.encode import encode_png
from fmnist_ray.store import open_store
from fmnist_ray.store.memory import MemoryStore

RESULTS = Path(__file__).resolve().parent / "results" / "svm_stage.json"
SEED_CNN = "keras_cnn3"
Figures = dict[str, Any]


def command(*arguments: str) -> tuple[Figures, float, int]:
    """A fmnist-ray command: its JSON object, its seconds from start to end, the peak of its own process in bytes."""
    line = [str(Path(sys.executable).parent / "fmnist-ray"), *arguments, "--json"]
    with tempfile.TemporaryFile("w+") as out:
        started = time.perf_counter()
        process = subprocess.Popen(line, stdout=out)
        _, status, usage = os.wait4(process.pid, 0)
        elapsed_s = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        printed = out.read()
    if process.returncode:
        raise RuntimeError(f"{line} ended with {process.returncode}: {printed}")
    found: Figures = json.loads(printed)
    return found, elapsed_s, usage.ru_maxrss << 10


def scores(bundle: str, split: str, graph: bytes | None = None) -> tuple[Scores, np.ndarray]:
    """Scores of all images of a split, and their labels."""
    pixels, labels = load_split(split)  # type: ignore[arg-type]
    runtime = OpenVinoRuntime(graph or read_bundle(bundle).files[GRAPH], precision="f32", num_threads=2)
    return runtime.score(pixels[:, None]), labels.astype(np.int64)


def extraction(bundle: str, work: Path) -> Figures:
    """Rows/s of both commands on 60,000 rows, in turns."""
    catalogue = work / "catalogue"
    if not catalogue.exists():
        write_images(catalogue, 60_000)
    seconds: dict[str, list[float]] = {"classify": [], "features": []}
    for repeat in range(3):
        for name, elapsed in seconds.items():
            out = work / f"out-{name}-{time.time_ns()}"
            elapsed.append(command(name, str(catalogue), "--bundle", bundle, "--out", str(out))[1])
            if not repeat:
                elapsed.clear()  # the first of each warms up
    medians = {name: statistics.median(elapsed) for name, elapsed in seconds.items()}
    return {"n_rows": 60_000, "seconds": seconds, "rows_per_s_ratio": medians["classify"] / medians["features"]}


def kinds(bundle: str, work: Path) -> Figures:
    """Every kind on all 60,000 rows: fit, accuracy on the 10,000 test images, parity of the graph."""
    (train, labels), (test, truth) = scores(bundle, "train"), scores(bundle, "test")
    found: Figures = {"n_train": len(labels), "n_test": len(truth)}
    found["cnn_test_accuracy"] = float((test.logits.argmax(axis=1) == truth).mean())
    for kind in KINDS:
        started = time.perf_counter()
        fitted = fit_svm(SvmSettings(kind=kind), train.features, labels)
        fit_s = time.perf_counter() - started
        head = svm_head(fitted)
        graph, _ = scores(bundle, "test", join_head(read_bundle(bundle).files[GRAPH], head))
        predicted = fitted.predict(test.features)
        if kind == "rbf":
            fitted[-1].set_params(decision_function_shape="ovo", break_ties=False)
        assert graph.svm is not None
        answers = pairwise_labels(graph.svm, 10) if kind == "rbf" else graph.svm.argmax(axis=1)
        found[kind] = {
            "fit_s": fit_s,
            "test_accuracy": float((predicted == truth).mean()),
            "num_centres": len(head.centres),
            "largest_difference_of_decision_function": float(
                np.abs(graph.svm - fitted.decision_function(test.features)).max()
            ),
            "num_other_predictions": int((answers != predicted).sum()),
        }
    return found


def grid(bundle: str, work: Path) -> Figures:
    """3 C x 2 kernels x 5 folds on 10,000 rows: Ray tasks on a local cluster of two CPUs that is up, and GridSearchCV
    with one job and with two, in turns; medians of the ratios.

    The first search on a cluster also pays for scikit-learn's import in each worker, as GridSearchCV's own process has
    long done when it starts: `speedup` is of the turns after it, `speedup_of_the_first` of first searches, each on a
    cluster of its own. What the start of a cluster costs, where none is up, is in `starts_of_ray_s`. Two jobs say what
    two processes can win on this machine.
    """
    train, labels = scores(bundle, "train")
    rows = LabelledFeatures(features=train.features[:10_000], labels=labels[:10_000])
    clusters = [_grid_turns(rows, count) for count in (1, 1, 6)]
    first, turns = [found[0] for _, found in clusters], [turn for _, found in clusters for turn in found[1:]]
    every = [*first, *turns]
    return {
        "starts_of_ray_s": [start_s for start_s, _ in clusters],
        "first_turns": first,
        "turns": turns,
        "speedup": _median_ratio(turns, "search_s"),
        "speedup_of_the_first": _median_ratio(first, "search_s"),
        "speedup_of_two_jobs": _median_ratio(turns, "grid_search_cv_two_jobs_s"),
        "choices_agree": all(turn["choices_agree"] for turn in every),
        "largest_difference_of_mean_accuracy": max(turn["difference_of_accuracy"] for turn in every),
    }


GRID_KINDS: tuple[Kind, ...] = ("linear", "rbf")
GRID_C = (0.1, 1.0, 10.0)
SETTLE_S = 10
"""What Ray's own processes go on taking, on both cores, after it says that it runs. A cluster that is up is past it."""


def _median_ratio(turns: list[Figures], name: str) -> float:
    return float(statistics.median(turn["grid_search_cv_s"] / turn[name] for turn in turns))


def _grid_turns(rows: LabelledFeatures, count: int) -> tuple[float, list[Figures]]:
    """Seconds that a cluster takes to start, and turns on it."""
    from fmnist_ray.distributed.session import connect

    turns = []
    started = time.perf_counter()
    with connect(num_cpus=2):
        start_s = time.perf_counter() - started
        time.sleep(SETTLE_S)
        for _ in range(count):
            alone_s, expected = _grid_search_cv(rows, n_jobs=1)
            search_s, found, choice = _search_on_ray(rows)
            together_s, _ = _grid_search_cv(rows, n_jobs=2)
            turns.append({
                "search_s": search_s,
                "grid_search_cv_s": alone_s,
                "grid_search_cv_two_jobs_s": together_s,
                "choice": choice,
                "choices_agree": bool(np.argmax(found) == np.argmax(expected)),
                "difference_of_accuracy": float(np.abs(np.array(found) - np.array(expected)).max()),
            })  # fmt: skip
    return start_s, turns


def _search_on_ray(rows: LabelledFeatures) -> tuple[float, list[float], Figures]:
    """Seconds, the mean accuracy of each setting, and the best."""
    from fmnist_ray.distributed.search import search_folds
    from fmnist_ray.flows.svm_search import search_settings

    search = SvmSearch(vary={"kind": Choice(values=GRID_KINDS), "c": Choice(values=GRID_C)}, folds=5)
    started = time.perf_counter()
    found = search_settings(
        SvmSettings(), search, rows, store=MemoryStore(), execute=search_folds, on_progress=lambda *_: None
    )
    search_s = time.perf_counter() - started
    accuracies = {(one.settings.kind, one.settings.c): one.accuracy for one in found}
    return search_s, [accuracies[kind, c] for kind in GRID_KINDS for c in GRID_C], found[0].varied


def _grid_search_cv(rows: LabelledFeatures, *, n_jobs: int) -> tuple[float, list[float]]:
    """Seconds, and the mean accuracy of each setting."""
    from sklearn.model_selection import GridSearchCV, StratifiedKFold

    steps = [build_svm(SvmSettings(kind=kind), width=rows.features.shape[1]) for kind in GRID_KINDS]
    started = time.perf_counter()
    grid = GridSearchCV(
        steps[0],
        [{"svm": [step["svm"]], "svm__C": list(GRID_C)} for step in steps],
        cv=StratifiedKFold(5, shuffle=True, random_state=0),
        refit=False,
        n_jobs=n_jobs,
    ).fit(rows.features, rows.labels)
    return time.perf_counter() - started, grid.cv_results_["mean_test_score"].tolist()


def inference(bundle: str, work: Path) -> Figures:
    """Rows/s of one thread, the graphs in turns."""
    (train, labels), bare = scores(bundle, "train"), without_head(read_bundle(bundle).files[GRAPH])
    graphs = {"cnn": bare}
    for kind in KINDS:
        fitted = fit_svm(SvmSettings(kind=kind), train.features[:20_000], labels[:20_000])
        graphs[kind] = join_head(bare, svm_head(fitted))
    runtimes = {name: OpenVinoRuntime(graph, precision="f32", num_threads=1) for name, graph in graphs.items()}
    pixels = load_split("test")[0][:, None]
    rates: dict[str, list[float]] = {name: [] for name in runtimes}
    for repeat in range(6):
        for name, runtime in runtimes.items():
            started = time.perf_counter()
            runtime.score(pixels)
            if repeat:
                rates[name].append(len(pixels) / (time.perf_counter() - started))
    medians = {name: statistics.median(rate) for name, rate in rates.items()}
    return {
        "n_rows": len(pixels),
        "rows_per_s": medians,
        "cost": {name: medians["cnn"] / rate for name, rate in medians.items()},
        "rbf_fitted_on": 20_000,
    }


def stream(bundle: str, work: Path) -> Figures:
    """Features of 600,000 rows by the features command, then fit-svm on them; the peak is of fit-svm alone."""
    catalogue, features = work / "augmented", work / "augmented-features"
    if not catalogue.exists():
        write_catalogue(_augmented(), open_store(str(catalogue)), rows_per_file=50_000, replace=False)
    extracted, extraction_s, _ = command("features", str(catalogue), "--bundle", bundle, "--out", str(features))
    fitted, fit_s, peak = command(
        "fit-svm", "--bundle", bundle, "--features", str(features), "--out", str(work / "streamed"), "--replace"
    )
    return {
        "n_rows": extracted["num_rows"],
        "features_s": extraction_s,
        "fit_svm_s": fit_s,
        "num_train": fitted["num_train"],
        "peak_mib": peak / (1 << 20),
        "metrics": fitted["metrics"],
    }


def _augmented() -> Iterator[pa.RecordBatch]:
    """The training images under ten augmentations, as the recipe of bn_cnn has them."""
    import torch

    from fmnist_ray.config.augmentation import Augmentation
    from fmnist_ray.networks.augmentation import augment

    pixels, labels = load_split("train")
    settings = Augmentation(shift=0.1, flip=True, rotation=10.0, zoom=0.1)
    for copy in range(10):
        generator = torch.Generator().manual_seed(copy)
        for start in range(0, len(pixels), 5_000):
            images = torch.from_numpy(pixels[start : start + 5_000][:, None].copy())
            changed = augment(images, torch.rand(len(images), generator=generator) < 0.5, settings, generator)
            cells = [encode_png(image) for image in changed[:, 0].round().clamp(0, 255).to(torch.uint8).numpy()]
            ids = [f"{copy}-{row:05d}" for row in range(start, start + len(cells))]
            yield catalogue_batch(ids, cells, pa.array(labels[start : start + len(cells)].astype(np.int8)))


def seed(bundle: str, work: Path) -> Figures:
    """A seed CNN, and an SVM of each kind on its features."""
    network = str(work / SEED_CNN)
    trained, train_s, _ = command("train", "--arch", SEED_CNN, "--epochs", "10", "--batch-size", "64", "--out", network,
                               "--replace")  # fmt: skip
    found: Figures = {"architecture": SEED_CNN, "train_s": train_s, "cnn_test_accuracy": trained["test_accuracy"]}
    for kind in KINDS:
        fitted, _, _ = command("fit-svm", "--bundle", network, "--kind", kind, "--out", f"{network}-{kind}", "--work",
                            f"{network}-work", "--replace")  # fmt: skip
        found[kind] = fitted["metrics"] | {"decides": fitted["decides"]}
    return found


PARTS: dict[str, Callable[[str, Path], Figures]] = {
    part.__name__: part for part in (extraction, kinds, grid, inference, stream, seed)
}


def main() -> None:
    """Measure the parts that are named, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--bundle", default="default")
    parser.add_argument("--work", type=Path, required=True)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    for name in options.parts:
        load_before = os.getloadavg()[0]
        figures = PARTS[name](options.bundle, options.work)
        results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        results[name] = {
            **figures,
            "bundle": read_bundle(options.bundle).digest[:12],
            "load_before": load_before,
            "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine_facts(),
        }
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        sys.stdout.write(f"{name} {json.dumps(figures, indent=1)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
