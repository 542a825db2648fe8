"""Train a network and write it as a bundle."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmnist_ray import __version__
from fmnist_ray.bundle.card import model_card
from fmnist_ray.bundle.decisions import heldout_files
from fmnist_ray.bundle.format import (
    CARD,
    GOLDEN,
    GRAPH,
    HELDOUT,
    HISTORY,
    WEIGHTS,
    BundleSpec,
    check_free,
    write_bundle,
)
from fmnist_ray.bundle.golden import write_golden
from fmnist_ray.bundle.runtimes import OpenVinoRuntime, Scores
from fmnist_ray.config.classify import HeadName
from fmnist_ray.config.train import TrainSettings
from fmnist_ray.decisions.calibration import Curve, expected_calibration_error, fit_temperature
from fmnist_ray.decisions.decide import decide
from fmnist_ray.decisions.heads import fit_curves
from fmnist_ray.errors import NotFoundError, SettingError
from fmnist_ray.flows.teacher import Teachers
from fmnist_ray.flows.training_data import TrainingData, load_training_data
from fmnist_ray.images.encode import encode_png
from fmnist_ray.networks.checkpoint import TrainState
from fmnist_ray.networks.data import LabelledImages
from fmnist_ray.networks.export import export_onnx, export_weights
from fmnist_ray.networks.job import Report, TrainingJob, bundle_architecture, join_networks
from fmnist_ray.networks.network import Network
from fmnist_ray.networks.recipes import find_recipe
from fmnist_ray.reports.learning import learning_history
from fmnist_ray.store import open_store, split_uri

NUM_GOLDEN = 300
"""The first validation images, a mix of all classes."""

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
    """Epochs trained, over all networks of an ensemble; fewer than asked for when training stopped early."""
    validation_accuracy: float
    test_accuracy: float
    temperature: float
    elapsed_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What a training goes on from that is not in its settings."""

    weights: dict[str, Any]
    """By their names in the network."""
    facts: dict[str, Any]
    """Of the provenance: where they are from."""


def train(
    settings: TrainSettings,
    *,
    out_uri: str,
    command: str,
    execute: Execute,
    report: Report,
    recipe: str | None = None,
    replace: bool = False,
    start: Start | None = None,
) -> TrainOutcome:
    """Train, choose and calibrate on a validation split, score the test images once, write a bundle.

    `command` is noted in the model card. Raises `OutputTakenError` when `out_uri` holds a bundle and `replace` is off.
    """
    started = time.perf_counter()
    out = open_store(out_uri)
    check_free(out, replace=replace)
    teachers = Teachers()
    settings = teachers.settle(settings)
    data = load_training_data(settings)
    network, states = _trained(settings, data, execute, report, start, teachers.network(settings, data))
    architecture, architecture_args = bundle_architecture(settings)
    graph = export_onnx(network, size=data.preparation.size)
    answers = HeldOutAnswers.of(graph, data.validation, data.test)
    num_parameters = sum(weight.numel() for weight in network.parameters())
    spec = BundleSpec(
        labels=data.labels,
        architecture=architecture,
        architecture_args=architecture_args,
        preparation=data.preparation,
        temperature=answers.temperature,
        curves=answers.curves,
        provenance={
            **data.description,
            **_provenance(settings, states, command=command, recipe=recipe),
            **(start.facts if start else {}),
        },
        metrics={**answers.metrics, "num_parameters": num_parameters},
    )
    images = [_png(image) for image in data.validation.pixels[:NUM_GOLDEN]]
    files = {
        GRAPH: graph,
        WEIGHTS: export_weights(network),
        GOLDEN: write_golden(images, answers.validation.logits[:NUM_GOLDEN]),
        HISTORY: learning_history([state.record["history"] for state in states], _kept_epochs(states)),
        CARD: model_card(spec, (HELDOUT, HISTORY)),
        **heldout_files(answers.validation, data.validation.pixels, data.validation.labels),
    }
    return TrainOutcome(
        bundle_uri=out.uri,
        bundle_digest=write_bundle(out, spec, files),
        architecture=architecture,
        num_parameters=num_parameters,
        epochs=sum(len(state.record["history"]) for state in states),
        validation_accuracy=answers.metrics["validation_accuracy"],
        test_accuracy=answers.metrics["test_accuracy"],
        temperature=answers.temperature,
        elapsed_s=time.perf_counter() - started,
    )


def _trained(
    settings: TrainSettings,
    data: TrainingData,
    execute: Execute,
    report: Report,
    start: Start | None,
    teacher: Network | None,
) -> tuple[Network, list[TrainState]]:
    """The finished network, an ensemble where one was asked for, and the final state of each of its runs."""
    jobs = [
        TrainingJob(
            settings=member,
            num_labels=len(data.labels),
            train=data.train,
            validation=data.validation,
            initial=start.weights if start else None,
            teacher=teacher,
        )
        for member in settings.members()
    ]
    states = [execute(job, report) for job in jobs]
    networks = [job.finished_network(state) for job, state in zip(jobs, states, strict=True)]
    size = data.preparation.size
    return join_networks(networks, settings, num_labels=len(data.labels), size=size), states


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutAnswers:
    """What an exported graph says of validation and test images, once the first have calibrated it."""

    validation: Scores
    """Of the validation images"""
    temperature: float
    curves: dict[HeadName, Curve]
    metrics: dict[str, Any]

    @classmethod
    def of(cls, graph: bytes, validation: LabelledImages, test: LabelledImages) -> HeldOutAnswers:
        """The answers of the graph, on all of the processor's threads."""
        scorer = OpenVinoRuntime(graph, precision="f32", num_threads=os.cpu_count() or 1)
        scores = scorer.score(validation.pixels)
        temperature = fit_temperature(scores.logits, validation.labels)
        curves = fit_curves(scores.logits, None, validation.labels, temperature=temperature, rule=None)
        metrics: dict[str, Any] = {}
        for part, logits, labels in (
            ("validation", scores.logits, validation.labels),
            ("test", scorer.score(test.pixels).logits, test.labels),
        ):
            answers = decide(logits, temperature, curves["cnn"])
            right = answers.label_ids == labels
            metrics |= {
                f"{part}_accuracy": float(right.mean()),
                f"{part}_calibration_error": expected_calibration_error(answers.confidences, right),
                f"num_{part}": len(labels),
            }
        return cls(validation=scores, temperature=temperature, curves=curves, metrics=metrics)


def find_settings(recipe: str) -> TrainSettings:
    """The settings of a named recipe, or of a JSON file such as `tune` writes: a path or URI that ends in .json."""
    if not recipe.endswith(".json"):
        return find_recipe(recipe)
    folder, name = split_uri(recipe)
    try:
        return TrainSettings.from_dict(json.loads(open_store(folder).get(name)))
    except NotFoundError as error:
        raise SettingError(f"There is no recipe file {recipe}.") from error
    except ValueError as error:
        raise SettingError(f"{recipe} is no recipe: {error}.") from error


def _png(image: NDArray[np.uint8]) -> bytes:
    """A model input [channels, size, size] as an image file that is prepared to this very input."""
    return encode_png(image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0)))


def _kept_epochs(states: list[TrainState]) -> list[int]:
    """Of each network, the epoch whose weights were kept."""
    records = (state.record for state in states)
    return [record["best"][0] if record["best"] else len(record["history"]) for record in records]


def _provenance(
    settings: TrainSettings, states: list[TrainState], *, command: str, recipe: str | None
) -> dict[str, Any]:
    records = [state.record for state in states]
    return {
        "command": command,
        "recipe": recipe or "none",
        "epochs": ", ".join(str(len(record["history"])) for record in records),
        "kept_epoch": ", ".join(map(str, _kept_epochs(states))),
        "python": platform.python_version(),
        "fmnist-ray": __version__,
        **{name: importlib.metadata.version(name) for name in ("torch", "ray")},
        "settings": settings.to_dict(),
    }
