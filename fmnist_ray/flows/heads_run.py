"""One run of the hybrid study: train a network once, or load it, and fit every head on its features."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fmnist_ray.bundle.format import GRAPH, read_bundle
from fmnist_ray.bundle.runtimes import OpenVinoRuntime, Scores
from fmnist_ray.config.svm import SvmSettings
from fmnist_ray.config.train import TrainSettings
from fmnist_ray.datasets.fashion_mnist import load_split
from fmnist_ray.decisions.pairwise import pairwise_labels
from fmnist_ray.errors import SettingError
from fmnist_ray.flows.heads_study import ROWS, SHIPPED, HeadsRun, packed
from fmnist_ray.flows.split import split_rows, stratified_split
from fmnist_ray.images.corruptions import CORRUPTIONS, NUM_SEVERITIES, corrupt
from fmnist_ray.labels import FASHION_MNIST
from fmnist_ray.networks.data import LabelledImages
from fmnist_ray.reports.comparison import compare
from fmnist_ray.reports.heads_page import SVMS

_CORRUPTED_IMAGES = 2_000
"""Test images that are corrupted, drawn at random with a fixed seed."""
_BLOCK = 1_000
"""Rows that are compared with all support vectors at once."""

Labels = NDArray[np.int64]
Head = Callable[[Scores], Labels]
"""The label ids that a head gives."""


def heads_once(run: HeadsRun) -> dict[str, Any]:
    """Accuracy of each head on the test images, image by image against softmax; with all rows also on corrupted images.

    Time is the processor's, summed over cores: of the training, if there was one, and of all fits. SVMs are those of
    `fit-svm` with its defaults, fitted on the images that the network was trained on.
    """
    settings = run.settings
    started = time.process_time()
    images = _images("train")
    if run.network == SHIPPED:
        chosen, _, _ = split_rows(_shipped_settings(), images.labels, np.arange(len(images.labels)), test=False)
        train = images.take(chosen).take(_sample(images.labels[chosen], run))
        scorer, epochs = _scorer(read_bundle(SHIPPED).files[GRAPH]), None
    else:
        labelled = images.take(_sample(images.labels, run))
        kept, held, _ = split_rows(settings, labelled.labels, np.arange(len(labelled.labels)), test=False)
        train = labelled.take(kept)
        scorer, epochs = _trained(settings, train, labelled.take(held))
    scores = scorer.score(train.pixels)
    refitted = run.network == SHIPPED and run.num_rows < max(ROWS)
    heads: dict[str, Head] = {"softmax": _refitted(scores, train.labels) if refitted else _own}
    heads |= {kind: _svm(SvmSettings(kind=kind), scores, train.labels) for kind in SVMS}
    fit_s = time.process_time() - started
    test = _images("test")
    found = _judged(heads, scorer.score(test.pixels), test.labels)
    return {
        "test_accuracy": found["softmax"]["accuracy"],
        "fit_s": fit_s,
        "num_train": len(train.labels),
        "epochs": epochs,
        "width": scores.features.shape[1],
        "refitted": refitted,
        "heads": found,
        "corrupted": _corrupted(heads, scorer, test) if run.num_rows == max(ROWS) else None,
    }


def _images(split: Literal["train", "test"]) -> LabelledImages:
    pixels, labels = load_split(split)
    return LabelledImages(pixels=pixels[:, None], labels=labels.astype(np.int64))


def _sample(labels: Labels, run: HeadsRun) -> Labels:
    """Positions of the run's labelled rows, as many of each class as it has of all."""
    if run.num_rows >= len(labels):
        return np.arange(len(labels))
    if run.num_rows < 2 * len(FASHION_MNIST):
        raise SettingError(f"--subset is {run.num_rows}; {len(FASHION_MNIST)} classes need twice as many or more.")
    return stratified_split(labels, np.arange(len(labels)), run.num_rows / len(labels), run.seed)[1]


def _shipped_settings() -> TrainSettings:
    return TrainSettings.from_dict(read_bundle(SHIPPED).spec.provenance["settings"])


def _scorer(graph: bytes) -> OpenVinoRuntime:
    return OpenVinoRuntime(graph, precision="f32", num_threads=os.cpu_count() or 1)


def _trained(settings: TrainSettings, train: LabelledImages, held: LabelledImages) -> tuple[OpenVinoRuntime, int]:
    """The network that `settings` make of these images, and its epochs."""
    from fmnist_ray.networks.export import export_onnx
    from fmnist_ray.networks.job import TrainingJob, train_here

    job = TrainingJob(settings=settings, num_labels=len(FASHION_MNIST), train=train, validation=held)
    state = train_here(job, lambda metrics: None)
    graph = export_onnx(job.finished_network(state), size=train.pixels.shape[-1])
    return _scorer(graph), len(state.record["history"])


def _own(scores: Scores) -> Labels:
    """The network's own head."""
    labels: Labels = scores.logits.argmax(axis=1)
    return labels


def _refitted(scores: Scores, labels: Labels) -> Head:
    """A softmax head fitted anew on standardised features: the network's own was fitted on all rows."""
    from fmnist_ray.heads.classical import build_classical

    mean, scale = scores.features.mean(axis=0), np.maximum(scores.features.std(axis=0), 1e-6)
    model: Any = build_classical("lr")
    model.fit((scores.features - mean) / scale, labels)
    return lambda seen: np.asarray(model.predict((seen.features - mean) / scale), np.int64)


def _svm(settings: SvmSettings, scores: Scores, labels: Labels) -> Head:
    """An SVM on the features, answering by its arrays, as a bundle does."""
    from fmnist_ray.heads.estimators import fit_svm, svm_head

    head = svm_head(fit_svm(settings, scores.features, labels))

    def answer(features: NDArray[np.float32]) -> Labels:
        decisions = head.scores(features)
        if settings.kind == "rbf":
            return pairwise_labels(decisions, len(FASHION_MNIST))
        best: Labels = decisions.argmax(axis=1)
        return best

    return lambda seen: np.concatenate(
        [answer(seen.features[start : start + _BLOCK]) for start in range(0, len(seen.features), _BLOCK)]
    )


def _judged(heads: Mapping[str, Head], scores: Scores, truth: Labels) -> dict[str, dict[str, Any]]:
    answers = {name: head(scores) for name, head in heads.items()}
    softmax = answers["softmax"]
    found: dict[str, dict[str, Any]] = {"softmax": {"accuracy": float((softmax == truth).mean())}}
    for name in SVMS:
        compared = compare(truth, answers[name], softmax)
        right = (answers[name] == truth).astype(np.float32) - (softmax == truth)
        found[name] = {
            "accuracy": float((answers[name] == truth).mean()),
            "p_value": compared.p_value,
            "differences": packed(right),
        }
    return found


def _corrupted(heads: Mapping[str, Head], scorer: OpenVinoRuntime, test: LabelledImages) -> dict[str, Any]:
    """Accuracy under every corruption; each counts the same, however many severities it has."""
    drawn = np.random.default_rng(0).permutation(len(test.labels))[:_CORRUPTED_IMAGES]
    images = test.take(np.sort(drawn))
    right = {name: np.zeros((len(CORRUPTIONS), len(images.labels)), np.float32) for name in heads}
    for number, (corruption, about) in enumerate(CORRUPTIONS.items()):
        severities = range(1, NUM_SEVERITIES + 1 if about.graded else 2)
        for severity in severities:
            scores = scorer.score(corrupt(images.pixels, corruption, severity))
            for name, head in heads.items():
                right[name][number] += (head(scores) == images.labels) / len(severities)
    found: dict[str, Any] = {"num_images": len(images.labels)}
    for name, share in right.items():
        found[name] = {
            "accuracy": float(share.mean()),
            "by_corruption": dict(zip(CORRUPTIONS, share.mean(axis=1).tolist(), strict=True)),
            **({} if name == "softmax" else {"differences": packed((share - right["softmax"]).mean(axis=0))}),
        }
    return found
