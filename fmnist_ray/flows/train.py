"""Train a network and write it as a bundle."""

from __future__ import annotations

import importlib.metadata
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmnist_ray.bundle.card import model_card
from fmnist_ray.bundle.format import CARD, GOLDEN, GRAPH, MANIFEST, WEIGHTS, BundleSpec, write_bundle
from fmnist_ray.bundle.golden import write_golden
from fmnist_ray.config.images import Preparation
from fmnist_ray.config.train import TrainSettings
from fmnist_ray.datasets.fashion_mnist import load_split
from fmnist_ray.decisions.calibration import fit_temperature
from fmnist_ray.errors import NotFoundError, OutputTakenError
from fmnist_ray.images.encode import encode_png
from fmnist_ray.labels import FASHION_MNIST
from fmnist_ray.networks.checkpoint import TrainState
from fmnist_ray.networks.export import export_onnx, export_weights
from fmnist_ray.networks.job import LabelledImages, Report, TrainingJob, score
from fmnist_ray.networks.network import Network
from fmnist_ray.store import Store, open_store

NUM_GOLDEN = 300

Execute = Callable[[TrainingJob, Report], TrainState]
"""Runs the job somewhere and returns its final state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOutcome:
    """What a training gave."""

    bundle_uri: str
    bundle_digest: str
    architecture: str
    num_parameters: int
    epochs: int
    """Epochs trained; fewer than asked for when training stopped early."""
    validation_accuracy: float
    test_accuracy: float
    temperature: float
    elapsed_s: float


def train(
    settings: TrainSettings,
    *,
    out_uri: str,
    command: str,
    execute: Execute,
    report: Report,
    recipe: str | None = None,
    replace: bool = False,
) -> TrainOutcome:
    """Train on Fashion-MNIST, choose and calibrate on a validation split, score the test images once, write a bundle.

    `command` is noted in the model card. Raises `OutputTakenError` when `out_uri` holds a bundle and `replace` is off.
    """
    started = time.perf_counter()
    out = open_store(out_uri)
    _check_free(out, replace=replace)
    job = _fashion_mnist_job(settings)
    state = execute(job, report)
    network = job.finished_network(state)
    logits = score(network, job.validation.pixels)
    temperature = fit_temperature(logits, job.validation.labels)
    test = _images(*load_split("test"))
    metrics = {
        "validation_accuracy": _accuracy(logits, job.validation.labels),
        "num_validation": len(logits),
        "test_accuracy": _accuracy(score(network, test.pixels), test.labels),
        "num_test": len(test.labels),
        "num_parameters": sum(weight.numel() for weight in network.parameters()),
    }
    elapsed_s = time.perf_counter() - started
    spec = BundleSpec(
        labels=FASHION_MNIST,
        architecture=settings.architecture,
        architecture_args=settings.architecture_args,
        preparation=Preparation(),
        temperature=temperature,
        provenance=_provenance(settings, state, command=command, recipe=recipe),
        metrics=metrics,
    )
    digest = _write(out, spec, network, job.validation, logits)
    return TrainOutcome(
        bundle_uri=out.uri,
        bundle_digest=digest,
        architecture=settings.architecture,
        num_parameters=int(metrics["num_parameters"]),
        epochs=len(state.record["history"]),
        validation_accuracy=metrics["validation_accuracy"],
        test_accuracy=metrics["test_accuracy"],
        temperature=temperature,
        elapsed_s=elapsed_s,
    )


def stratified_split(labels: NDArray[np.int64], share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions for training and for validation, ascending: `share` of each class, at least one, is for validation."""
    generator = np.random.default_rng(seed)
    held: list[NDArray[np.int64]] = []
    for label in np.unique(labels):
        positions = generator.permutation(np.flatnonzero(labels == label))
        held.append(positions[: max(1, round(share * len(positions)))])
    validation = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(labels)), validation), validation


def _check_free(out: Store, *, replace: bool) -> None:
    try:
        out.info(MANIFEST)
    except NotFoundError:
        return
    if not replace:
        raise OutputTakenError(f"{out.uri} holds a bundle already: name another place, or add --replace.")


def _fashion_mnist_job(settings: TrainSettings) -> TrainingJob:
    images = _images(*load_split("train"))
    train, validation = stratified_split(images.labels, settings.validation_share, settings.seed)
    return TrainingJob(
        settings=settings,
        num_labels=len(FASHION_MNIST),
        train=_take(images, train),
        validation=_take(images, validation),
    )


def _images(pixels: NDArray[np.uint8], labels: NDArray[np.uint8]) -> LabelledImages:
    return LabelledImages(pixels=pixels[:, None], labels=labels.astype(np.int64))


def _take(images: LabelledImages, positions: NDArray[np.int64]) -> LabelledImages:
    return LabelledImages(pixels=images.pixels[positions], labels=images.labels[positions])


def _accuracy(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    return float((logits.argmax(axis=1) == labels).mean())


def _provenance(settings: TrainSettings, state: TrainState, *, command: str, recipe: str | None) -> dict[str, Any]:
    last = state.record["history"][-1]
    return {
        "command": command,
        "recipe": recipe or "none",
        "data": "Fashion-MNIST, training images",
        "epochs": last["epoch"],
        "kept_epoch": state.record["best"][0] if state.record["best"] else last["epoch"],
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in ("fmnist-ray", "torch", "ray")},
        "settings": settings.to_dict(),
    }


def _write(
    out: Store, spec: BundleSpec, network: Network, validation: LabelledImages, logits: NDArray[np.float32]
) -> str:
    """Write all files, the manifest last. The first validation images, a mix of all classes, are the golden ones."""
    files = {
        GRAPH: export_onnx(network, size=spec.preparation.size),
        WEIGHTS: export_weights(network),
        GOLDEN: write_golden([encode_png(image[0]) for image in validation.pixels[:NUM_GOLDEN]], logits[:NUM_GOLDEN]),
        CARD: model_card(spec),
    }
    return write_bundle(out, spec, files)
