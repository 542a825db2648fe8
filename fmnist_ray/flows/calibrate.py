"""Calibrate a bundle anew: held-out rows, confidences, the weight of its heads, from labelled images it never saw."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmnist_ray.bundle.card import model_card
from fmnist_ray.bundle.decisions import MOST_HELDOUT, heldout_files
from fmnist_ray.bundle.format import (
    CARD,
    GRAPH,
    HELDOUT,
    SPEC,
    Bundle,
    BundleSpec,
    check_free,
    read_bundle,
    write_bundle,
)
from fmnist_ray.bundle.runtimes import OpenVinoRuntime, Scores
from fmnist_ray.catalogue.plan import Shard
from fmnist_ray.catalogue.reader import inspect_inputs, list_inputs, read_rows
from fmnist_ray.config.calibrate import CalibrateSettings
from fmnist_ray.config.classify import ColumnNames
from fmnist_ray.config.images import ImageLimits
from fmnist_ray.config.train import TrainSettings
from fmnist_ray.decisions.calibration import expected_calibration_error, fit_temperature
from fmnist_ray.decisions.heads import decide_heads, fit_curves, fit_rule
from fmnist_ray.errors import BundleError, CatalogueError
from fmnist_ray.flows.training_data import load_training_data
from fmnist_ray.images.prepare import prepare_batch
from fmnist_ray.labels import known_label_ids, label_index
from fmnist_ray.networks.data import LabelledImages
from fmnist_ray.store import open_store


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrateOutcome:
    """What a calibration gave."""

    bundle_uri: str
    bundle_digest: str
    num_heldout: int
    decides: str
    """The head that answers."""
    metrics: dict[str, Any]
    """Accuracy and calibration error of that head on held-out rows and, without a catalogue, on test rows."""


def calibrate(settings: CalibrateSettings, *, command: str) -> CalibrateOutcome:
    """Write the bundle with held-out rows and a calibration that was fitted on them.

    Raises `OutputTakenError` when `out_uri` holds a bundle and `replace` is off, `BundleError` where nobody knows what
    the bundle was trained on and no catalogue is given.
    """
    out = open_store(settings.out_uri)
    check_free(out, replace=settings.replace)
    bundle = read_bundle(settings.bundle)
    heldout, test = held_out_images(settings, bundle)
    scorer = OpenVinoRuntime(bundle.files[GRAPH], precision="f32", num_threads=os.cpu_count() or 1)
    scores = scorer.score(heldout.pixels)
    spec = calibrated_spec(bundle.spec, scores, heldout.labels)
    metrics = head_metrics(spec, "heldout", scores, heldout.labels)
    if test is not None:
        metrics |= head_metrics(spec, "test", scorer.score(test.pixels), test.labels)
    facts = {"command": command, "data": settings.catalogue_uri or "validation images of the training"}
    spec = dataclasses.replace(
        spec,
        provenance={**spec.provenance, "calibration": facts},
        metrics={**spec.metrics, **metrics},
    )
    files = {name: data for name, data in bundle.files.items() if name != SPEC}
    files |= {
        CARD: model_card(spec, {*bundle.files, HELDOUT}),
        **heldout_files(scores, heldout.pixels, heldout.labels),
    }
    return CalibrateOutcome(
        bundle_uri=out.uri,
        bundle_digest=write_bundle(out, spec, files),
        num_heldout=len(heldout.labels),
        decides=spec.heads.decides if spec.heads else "cnn",
        metrics=metrics,
    )


def calibrated_spec(spec: BundleSpec, scores: Scores, labels: NDArray[np.int64]) -> BundleSpec:
    """The description with a calibration, and a rule for two heads, fitted on the scores of held-out rows."""
    temperature, rule = fit_temperature(scores.logits, labels), None
    if spec.heads is not None:
        assert scores.svm is not None
        rule = fit_rule(scores.logits, scores.svm, labels, temperature=temperature, pairwise=spec.heads.pairwise)
    curves = fit_curves(scores.logits, scores.svm, labels, temperature=temperature, rule=rule)
    return dataclasses.replace(spec, temperature=temperature, heads=rule, curves=curves)


def head_metrics(spec: BundleSpec, part: str, scores: Scores, labels: NDArray[np.int64]) -> dict[str, Any]:
    """Accuracy and calibration error of the deciding head on labelled images, by names that start with `part`."""
    found = decide_heads(
        scores.logits,
        scores.svm,
        temperature=spec.temperature,
        rule=spec.heads,
        head=spec.heads.decides if spec.heads else "cnn",
        curves=spec.curves,
    ).answers
    right = found.label_ids == labels
    return {
        f"{part}_accuracy": float(right.mean()),
        f"{part}_calibration_error": expected_calibration_error(found.confidences, right),
        f"num_{part}": len(labels),
    }


def held_out_images(settings: CalibrateSettings, bundle: Bundle) -> tuple[LabelledImages, LabelledImages | None]:
    """Held-out images, and test images where the bundle's own training has some. `BundleError` where nobody knows what
    it was trained on, and no catalogue is named."""
    if settings.catalogue_uri is not None:
        return _read(settings.catalogue_uri, settings.columns, bundle.spec), None
    if "settings" not in bundle.spec.provenance:
        raise BundleError(
            f"Bundle {bundle.uri} does not say what it was trained on: name labelled photos that it never saw with "
            "--catalogue."
        )
    data = load_training_data(TrainSettings.from_dict(bundle.spec.provenance["settings"]))
    if data.labels != bundle.spec.labels:
        raise CatalogueError(
            f"The data that bundle {bundle.uri} was trained on has other classes now: name labelled photos that it "
            "never saw with --catalogue."
        )
    return data.validation, data.test


def _read(uri: str, names: ColumnNames, spec: BundleSpec) -> LabelledImages:
    """Labelled, usable rows of a catalogue; of more than a bundle carries, as many at random."""
    store, infos = list_inputs(uri)
    inputs, columns = inspect_inputs(store, infos, names)
    num_rows = sum(file.num_rows for file in inputs)
    chosen = np.zeros(num_rows, bool)
    chosen[np.random.default_rng(0).permutation(num_rows)[:MOST_HELDOUT]] = True
    index = label_index(spec.labels)
    pixels, labels = [], []
    start = 0
    for number, file in enumerate(inputs):
        for batch in read_rows(store, file, Shard(id="", file=number, start=0, stop=file.num_rows), columns):
            cells = batch.labels if batch.labels is not None else [None] * len(batch)
            truth = np.array(known_label_ids(cells, index), np.int64)
            wanted = np.flatnonzero(chosen[start : start + len(batch)] & (truth >= 0))
            start += len(batch)
            prepared = prepare_batch([batch.images[row] for row in wanted], spec.preparation, ImageLimits())
            pixels.append(prepared.pixels)
            labels.append(truth[wanted][prepared.positions])
    if not sum(map(len, labels)):
        raise CatalogueError(
            f"No row of {uri} has a usable image and one of the bundle's labels: name the column with --label-column."
        )
    return LabelledImages(pixels=np.concatenate(pixels), labels=np.concatenate(labels))
