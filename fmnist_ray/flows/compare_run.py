"""One run of a comparison: train a model, and measure what it reaches and costs."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmnist_ray.bundle.runtimes import OpenVinoRuntime
from fmnist_ray.config.train import TrainSettings
from fmnist_ray.decisions.calibration import expected_calibration_error
from fmnist_ray.errors import SettingError
from fmnist_ray.flows.compare_rows import CompareRun
from fmnist_ray.flows.compare_training import train_or_load
from fmnist_ray.flows.heads_run import heads_once
from fmnist_ray.flows.heads_study import HeadsRun
from fmnist_ray.flows.split import stratified_split
from fmnist_ray.flows.train import HeldOutAnswers
from fmnist_ray.flows.training_data import TrainingData, load_training_data
from fmnist_ray.networks.data import LabelledImages

_TIMED_IMAGES = 2_000
_TIMED_ROUNDS = 3


def run_once(run: CompareRun | HeadsRun) -> dict[str, Any]:
    """The result of a run, as plain values: accuracy and calibration error of the test images, seconds, parameters.

    The test images choose nothing: the epoch that is kept and the temperature are those of the validation split. Time
    is the processor's, summed over cores, of which what else the machine does takes little; None for a network that was
    loaded.
    """
    if isinstance(run, HeadsRun):
        return heads_once(run)
    settings = run.row.settings(run.seed, run.epochs)
    data = _data(settings, run.subset)
    if run.row.kind == "network":
        return _network(run, settings, data)[0]
    if run.row.kind == "pixels":
        return _pixels(run, data)
    return _features(run, settings, data)


def _data(settings: TrainSettings, subset: int | None) -> TrainingData:
    data = load_training_data(settings)
    assert isinstance(data.train, LabelledImages)
    rows = len(data.train.labels)
    if subset is None or subset >= rows:
        return data
    if subset < 2 * len(data.labels):
        raise SettingError(f"--subset is {subset}; {len(data.labels)} classes need {2 * len(data.labels)} or more.")
    kept = stratified_split(data.train.labels, np.arange(rows), subset / rows, settings.seed)[1]
    return dataclasses.replace(data, train=data.train.take(kept))


def _network(run: CompareRun, settings: TrainSettings, data: TrainingData) -> tuple[dict[str, Any], OpenVinoRuntime]:
    from fmnist_ray.networks.export import export_onnx
    from fmnist_ray.networks.job import TrainingJob
    from fmnist_ray.networks.profile import profile

    job = TrainingJob(settings=settings, num_labels=len(data.labels), train=data.train, validation=data.validation)
    state, fit_s = train_or_load(job, subset=run.subset is not None)
    network = job.finished_network(state)
    size = data.preparation.size
    layers = profile(network, size=size)
    graph = export_onnx(network, size=size)
    answers = HeldOutAnswers.of(graph, data.validation, data.test)
    scorer = OpenVinoRuntime(graph, precision="f32", num_threads=os.cpu_count() or 1)
    result = {
        "test_accuracy": answers.metrics["test_accuracy"],
        "validation_accuracy": answers.metrics["validation_accuracy"],
        "calibration_error": answers.metrics["test_calibration_error"],
        "num_parameters": sum(layer.num_parameters for layer in layers),
        "multiply_adds": sum(layer.multiply_adds for layer in layers),
        "epochs": len(state.record["history"]),
        "fit_s": fit_s,
        "images_per_s": _images_per_s(lambda pixels: scorer.score(pixels).logits, data.test.pixels),
        "num_train": len(data.train.labels),
    }
    return result, scorer


def _pixels(run: CompareRun, data: TrainingData) -> dict[str, Any]:
    from fmnist_ray.heads.classical import classical_rows

    assert isinstance(data.train, LabelledImages)

    def rows(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return classical_rows(run.row.model, pixels)

    return _classical(run, rows(data.train.pixels), data, rows)


def _features(run: CompareRun, settings: TrainSettings, data: TrainingData) -> dict[str, Any]:
    """A classical model on the features of a network that is trained first, each column standardised."""
    assert isinstance(data.train, LabelledImages)
    trained, scorer = _network(run, settings, data)
    train = scorer.score(data.train.pixels).features
    mean, scale = train.mean(axis=0), np.maximum(train.std(axis=0), 1e-6)

    def rows(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        scaled: NDArray[np.float32] = (scorer.score(pixels).features - mean) / scale
        return scaled

    found = _classical(run, (train - mean) / scale, data, rows)
    same = {name: trained[name] for name in ("num_parameters", "multiply_adds", "epochs")}
    fit_s = None if trained["fit_s"] is None else trained["fit_s"] + found["fit_s"]
    return {**found, **same, "fit_s": fit_s, "network_accuracy": trained["test_accuracy"]}


def _classical(
    run: CompareRun,
    train: NDArray[np.float32],
    data: TrainingData,
    rows: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
) -> dict[str, Any]:
    from fmnist_ray.heads.classical import build_classical

    estimator: Any = build_classical(run.row.model, seed=run.seed, params=run.row.params)
    started = time.process_time()
    estimator.fit(train, data.train.labels)
    fit_s = time.process_time() - started
    predicted = estimator.predict(rows(data.test.pixels))
    error = None
    if hasattr(estimator, "predict_proba"):
        confidences = estimator.predict_proba(rows(data.test.pixels)).max(axis=1)
        error = expected_calibration_error(confidences, predicted == data.test.labels)
    return {
        "test_accuracy": float((predicted == data.test.labels).mean()),
        "validation_accuracy": float(
            (estimator.predict(rows(data.validation.pixels)) == data.validation.labels).mean()
        ),
        "calibration_error": error,
        "num_parameters": None,
        "multiply_adds": None,
        "epochs": None,
        "fit_s": fit_s,
        "images_per_s": _images_per_s(lambda pixels: estimator.predict(rows(pixels)), data.test.pixels),
        "num_train": len(train),
    }


def _images_per_s(answer: Callable[[NDArray[np.uint8]], Any], pixels: NDArray[np.uint8]) -> float:
    """Per second of a core, the best of some rounds."""
    pixels = pixels[:_TIMED_IMAGES]
    best = float("inf")
    for _ in range(_TIMED_ROUNDS):
        started = time.process_time()
        answer(pixels)
        best = min(best, time.process_time() - started)
    return len(pixels) / best
