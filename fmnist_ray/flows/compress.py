"""Compress a bundle: the same network in 8 bits, calibrated anew, as a bundle like any other."""

from __future__ import annotations

import dataclasses
import os
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmnist_ray.bundle.card import model_card
from fmnist_ray.bundle.decisions import heldout_files
from fmnist_ray.bundle.format import (
    CARD,
    GOLDEN,
    GRAPH,
    HELDOUT,
    SPEC,
    WEIGHTS,
    Bundle,
    BundleSpec,
    check_free,
    read_bundle,
    write_bundle,
)
from fmnist_ray.bundle.golden import golden_images, write_golden
from fmnist_ray.bundle.quantise import quantised
from fmnist_ray.bundle.runtimes import OpenVinoRuntime
from fmnist_ray.config.calibrate import CalibrateSettings
from fmnist_ray.config.images import ImageLimits
from fmnist_ray.flows.calibrate import calibrated_spec, head_metrics, held_out_images
from fmnist_ray.images.prepare import prepare_batch
from fmnist_ray.networks.data import LabelledImages
from fmnist_ray.store import open_store

_RANGE_IMAGES = 1_000
_TIMED_IMAGES = 512
_TIMED_ROUNDS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A bundle before or after."""

    graph_bytes: int
    bundle_bytes: int
    rows_per_s: float
    """Of the network alone, per second of a core."""
    accuracy: float
    calibration_error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressOutcome:
    """What a compression gave."""

    bundle_uri: str
    bundle_digest: str
    judged_on: str
    """Of accuracy and calibration error: `test` images of the bundle's training, or `heldout` ones, which calibrated
    it, where only a catalogue is given."""
    num_judged: int
    before: Measured
    after: Measured


def compress(settings: CalibrateSettings, *, command: str) -> CompressOutcome:
    """Write the bundle with its network in 8 bits. Held-out images give the ranges of its activations, its calibration
    and what its decisions follow from, as `calibrate` takes them.

    It answers on CPUs only and holds no weights for torch: 32-bit ones would answer otherwise. Raises as
    `calibrate.calibrate`, and `SettingError` without the extra.
    """
    out = open_store(settings.out_uri)
    check_free(out, replace=settings.replace)
    bundle = read_bundle(settings.bundle)
    heldout, test = held_out_images(settings, bundle)
    chosen = np.random.default_rng(0).permutation(len(heldout.labels))[:_RANGE_IMAGES]
    graph = quantised(bundle.files[GRAPH], heldout.pixels[chosen])
    after = _runtime(graph)
    scores = after.score(heldout.pixels)
    part, judged = ("heldout", heldout) if test is None else ("test", test)
    spec = calibrated_spec(bundle.spec, scores, heldout.labels)
    metrics = head_metrics(spec, "heldout", scores, heldout.labels) | _metrics(spec, part, after, judged)
    images = golden_images(bundle)
    expected = after.score(prepare_batch(images, spec.preparation, ImageLimits()).pixels)
    facts = {"command": command, "network": "8 bits, per channel", "from_digest": bundle.digest}
    spec = dataclasses.replace(
        spec, provenance={**spec.provenance, "compressed": facts}, metrics={**spec.metrics, **metrics}
    )
    files = {name: data for name, data in bundle.files.items() if name not in (SPEC, WEIGHTS)}
    files |= {
        GRAPH: graph,
        GOLDEN: write_golden(images, expected.logits, expected.svm),
        CARD: model_card(spec, {*files, HELDOUT}),
        **heldout_files(scores, heldout.pixels, heldout.labels),
    }
    write_bundle(out, spec, files)
    return compared(bundle, read_bundle(out.uri), part, judged)


def compared(before: Bundle, after: Bundle, judged_on: str, judged: LabelledImages) -> CompressOutcome:
    """What became of a bundle: both on the same images, their speeds by turns."""
    runtimes = [_runtime(bundle.files[GRAPH]) for bundle in (before, after)]
    speeds = _rows_per_s(runtimes, judged.pixels)
    return CompressOutcome(
        bundle_uri=after.uri,
        bundle_digest=after.digest,
        judged_on=judged_on,
        num_judged=len(judged.labels),
        before=_measured(before, speeds[0], _metrics(before.spec, judged_on, runtimes[0], judged), judged_on),
        after=_measured(after, speeds[1], _metrics(after.spec, judged_on, runtimes[1], judged), judged_on),
    )


def _runtime(graph: bytes) -> OpenVinoRuntime:
    return OpenVinoRuntime(graph, precision="f32", num_threads=os.cpu_count() or 1)


def _metrics(spec: BundleSpec, part: str, runtime: OpenVinoRuntime, images: LabelledImages) -> dict[str, Any]:
    return head_metrics(spec, part, runtime.score(images.pixels), images.labels)


def _rows_per_s(runtimes: list[OpenVinoRuntime], pixels: NDArray[np.uint8]) -> list[float]:
    """By turns, the best of each."""
    pixels = pixels[:_TIMED_IMAGES]
    best = [float("inf")] * len(runtimes)
    for _ in range(_TIMED_ROUNDS):
        for number, runtime in enumerate(runtimes):
            started = time.process_time()
            runtime.score(pixels)
            best[number] = min(best[number], time.process_time() - started)
    return [len(pixels) / seconds for seconds in best]


def _measured(bundle: Bundle, rows_per_s: float, metrics: dict[str, Any], part: str) -> Measured:
    return Measured(
        graph_bytes=len(bundle.files[GRAPH]),
        bundle_bytes=sum(map(len, bundle.files.values())),
        rows_per_s=rows_per_s,
        accuracy=metrics[f"{part}_accuracy"],
        calibration_error=metrics[f"{part}_calibration_error"],
    )
