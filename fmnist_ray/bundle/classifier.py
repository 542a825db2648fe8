"""The classifier: a bundle that has proven itself, from encoded images to answers. Shard workers, the endpoint and the
Python interface all answer through `Classifier.answer`."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

from fmnist_ray.bundle.decisions import decision_rule
from fmnist_ray.bundle.format import GRAPH, SVM, WEIGHTS, Bundle, BundleSpec, read_bundle
from fmnist_ray.bundle.golden import GoldenResult, check_golden
from fmnist_ray.bundle.runtimes import OpenVinoRuntime, Scorer, Scores, TorchRuntime, choose_runtime
from fmnist_ray.config.classify import HeadName, Precision, Runtime
from fmnist_ray.config.decisions import Promises
from fmnist_ray.config.images import ImageLimits
from fmnist_ray.decisions.columns import answer_columns
from fmnist_ray.decisions.decide import Answers
from fmnist_ray.decisions.heads import HeadAnswers, decide_heads
from fmnist_ray.decisions.rule import DecisionRule, Judgements
from fmnist_ray.errors import BundleError
from fmnist_ray.images.digest import image_digests
from fmnist_ray.images.prepare import Reject, prepare_batch
from fmnist_ray.images.quality import photo_measures
from fmnist_ray.labels import Labels
from fmnist_ray.schema import PREDICTIONS, REJECTS, Status

CLASSIFIED = pa.schema(
    [
        *(field.with_nullable(True) for field in PREDICTIONS),
        *(REJECTS.field(name).with_nullable(True) for name in ("reason", "detail")),
    ]
)
"""Columns of `Classifier.classify`: those of predictions, and those of rejects that say why there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellAnswers:
    """Answers to the good cells, and a reason for each of the others: every cell is in exactly one of the two."""

    positions: np.ndarray
    """int64 [n]: index of each answer into the cells, ascending"""
    answers: Answers
    """What counts: label, confidence and probabilities"""
    cnn: Answers
    """What the network's own head says"""
    svm: Answers | None
    """What the SVM says; None for a bundle without one"""
    judgements: Judgements | None
    """What is to be done with each; None for a bundle without held-out rows"""
    logits: np.ndarray
    """float32 [n, labels]"""
    features: np.ndarray
    """float32 [n, width]: the network's layer before the logits, or the one that was asked for"""
    pixels: np.ndarray
    """uint8 [n, channels, size, size]: the model input"""
    rejects: list[Reject]
    """In the order of the cells."""
    prepare_s: float
    score_s: float
    decide_s: float

    @property
    def label_ids(self) -> np.ndarray:
        """int16 [n]"""
        return self.answers.label_ids

    @property
    def confidences(self) -> np.ndarray:
        """float32 [n]: calibrated probability that the label is right, 0..1"""
        return self.answers.confidences


class Classifier:
    """A bundle whose golden rows were answered as expected. Made by `open_classifier` or `load_bundle`."""

    def __init__(
        self,
        bundle: Bundle,
        scorer: Scorer,
        golden: GoldenResult,
        limits: ImageLimits,
        *,
        head: HeadName,
        promises: Promises,
        rule: DecisionRule | None,
    ) -> None:
        self.spec: BundleSpec = bundle.spec
        self.digest: str = bundle.digest
        self.golden = golden
        self.limits = limits
        self.head: HeadName = head
        self.promises = promises
        self.rule = rule
        self._scorer = scorer

    @property
    def labels(self) -> Labels:
        """Class names by label id."""
        return self.spec.labels

    def answer(self, cells: Sequence[object]) -> CellAnswers:
        """Answer a column of encoded images. Cells that are no usable image are rejects; nothing in a cell raises."""
        started = time.perf_counter()
        batch = prepare_batch(cells, self.spec.preparation, self.limits)
        prepared = time.perf_counter()
        scores = self._scorer.score(batch.pixels)
        scored = time.perf_counter()
        found = self._decide(scores)
        judgements = None
        if self.rule is not None:
            judgements = self.rule.judge(found.answers, scores.features, photo_measures(batch.pixels))
        return CellAnswers(
            positions=batch.positions,
            answers=found.answers,
            cnn=found.cnn,
            svm=found.svm,
            judgements=judgements,
            logits=scores.logits,
            features=scores.features,
            pixels=batch.pixels,
            rejects=batch.rejects,
            prepare_s=prepared - started,
            score_s=scored - prepared,
            decide_s=time.perf_counter() - scored,
        )

    def assess(self, pixels: np.ndarray) -> Answers:
        """What counts, as `answer` gives it, for model input uint8 [n, channels, size, size]."""
        return self._decide(self._scorer.score(pixels)).answers

    def features(self, pixels: np.ndarray) -> np.ndarray:
        """The layer before the logits, float32 [n, width], for model input uint8 [n, channels, size, size]."""
        return self._scorer.score(pixels).features

    def classify(self, images: Sequence[bytes]) -> pa.Table:
        """One row per image, in order, with the columns of `CLASSIFIED`. `input_row` is the position in `images`; a
        rejected image has a reason and a detail, and null for label, confidence and status."""
        answers = self.answer(images)
        answered = _places(answers.positions, len(images))
        rejected = _places([reject.position for reject in answers.rejects], len(images))
        columns = {
            "product_id": pa.nulls(len(images), pa.string()),
            "input_file": pa.nulls(len(images), pa.string()),
            "input_row": np.arange(len(images)),
            "image_digest": image_digests(images),
            **{name: column.take(answered) for name, column in answer_columns(self.labels, answers).items()},
            "status": pa.array([Status.CLASSIFIED] * len(answers.positions), pa.string()).take(answered),
            "bundle_digest": [self.digest] * len(images),
            "reason": pa.array([reject.reason for reject in answers.rejects], pa.string()).take(rejected),
            "detail": pa.array([reject.detail for reject in answers.rejects], pa.string()).take(rejected),
        }
        return pa.table(columns, CLASSIFIED)

    def _decide(self, scores: Scores) -> HeadAnswers:
        spec = self.spec
        return decide_heads(
            scores.logits, scores.svm, temperature=spec.temperature, rule=spec.heads, head=self.head, curves=spec.curves
        )


def _places(positions: Sequence[int] | np.ndarray, num_rows: int) -> pa.Array:
    """For each of `num_rows` rows, which of `positions` is its own; null where none is."""
    places = np.full(num_rows, -1)
    places[np.asarray(positions, np.int64)] = np.arange(len(positions))
    return pa.array(places, mask=places < 0)


def open_classifier(
    bundle: Bundle,
    *,
    runtime: Runtime = "cpu",
    precision: Precision = "f32",
    num_threads: int = 1,
    limits: ImageLimits | None = None,
    head: HeadName | None = None,
    layer: str | None = None,
    promises: Promises | None = None,
) -> Classifier:
    """A classifier for `bundle`, once its golden rows are answered as expected; `ParityError` where they are not.

    `head` decides in place of the one that the bundle names; its decisions keep `promises`, by default those that need
    no precision. `layer` names the tensor of the graph that `features` hold, and turns decisions off, since novelty is
    of the usual features; the CPU runtime knows the names.
    """
    needed = [GRAPH] if runtime == "cpu" else [WEIGHTS, *([SVM] if bundle.spec.heads else [])]
    if missing := [name for name in needed if name not in bundle.files]:
        raise BundleError(f"Bundle {bundle.uri} has no {missing[0]}, which the {runtime} runtime needs.")
    scorer: Scorer
    if runtime == "cpu":
        scorer = OpenVinoRuntime(bundle.files[GRAPH], precision=precision, num_threads=num_threads, layer=layer)
    else:
        scorer = TorchRuntime(
            bundle.spec,
            bundle.files[WEIGHTS],
            svm=bundle.files[SVM] if bundle.spec.heads else None,
            precision=precision,
            device="cuda",
        )
    golden = check_golden(bundle, scorer, runtime=runtime, precision=precision)
    head = deciding_head(bundle, head)
    promises = promises or Promises()
    rule = decision_rule(bundle, promises, head) if layer is None else None
    return Classifier(bundle, scorer, golden, limits or ImageLimits(), head=head, promises=promises, rule=rule)


def deciding_head(bundle: Bundle, head: HeadName | None) -> HeadName:
    """Who decides: `head`, or the one that the bundle names; `BundleError` where it has no SVM to ask."""
    if bundle.spec.heads is None and head in ("svm", "both"):
        raise BundleError(f"Bundle {bundle.uri} has no SVM head: add one with fmnist-ray fit-svm, or use --head cnn.")
    return head or (bundle.spec.heads.decides if bundle.spec.heads else "cnn")


def load_bundle(
    name_or_uri: str = "default",
    *,
    runtime: Runtime | Literal["auto"] = "auto",
    precision: Precision = "f32",
    num_threads: int | None = None,
    limits: ImageLimits | None = None,
    head: HeadName | None = None,
    promises: Promises | None = None,
) -> Classifier:
    """A classifier from a shipped bundle's name, a path or a URI, on all of the processor's threads unless told
    otherwise. `head` decides in place of the one that the bundle names, and keeps `promises`.

    Raises `BundleError` where there is no bundle, `ParityError` where it is not what it was, `RefusedError` where it
    can't keep the promises.
    """
    return open_classifier(
        read_bundle(name_or_uri),
        runtime=choose_runtime() if runtime == "auto" else runtime,
        precision=precision,
        num_threads=num_threads or os.cpu_count() or 1,
        limits=limits,
        head=head,
        promises=promises,
    )
