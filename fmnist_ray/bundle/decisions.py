"""The held-out rows that a bundle carries, and the decision rule that follows from them."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from fmnist_ray.bundle.format import HELDOUT, NOVELTY, Bundle
from fmnist_ray.bundle.runtimes import Scores
from fmnist_ray.config.classify import HeadName
from fmnist_ray.config.decisions import Promises
from fmnist_ray.decisions.heldout import HeldOut
from fmnist_ray.decisions.novelty import NoveltyModel, fit_novelty
from fmnist_ray.decisions.rule import DecisionRule, derive_rule
from fmnist_ray.errors import BundleError
from fmnist_ray.heads.svm import SvmHead
from fmnist_ray.images.quality import photo_measures

MOST_HELDOUT = 10_000
"""Rows that a bundle carries; a precision of 0.999 can be proven with them."""


def read_heldout(bundle: Bundle) -> tuple[HeldOut, NoveltyModel] | None:
    """The held-out rows, and the statistics that their novelty is measured with; None for a bundle without them.
    `BundleError` where they are not of this bundle's shape."""
    if HELDOUT not in bundle.files or NOVELTY not in bundle.files:
        return None
    heldout = HeldOut.from_bytes(bundle.files[HELDOUT])
    num_labels = len(bundle.spec.labels)
    if heldout.logits.shape[1:] != (num_labels,) or not len(heldout.logits):
        raise BundleError(
            f"Bundle {bundle.uri}: its {HELDOUT} has logits of shape {heldout.logits.shape} for {num_labels} labels."
        )
    if bundle.spec.heads is not None and heldout.svm_scores is None:
        raise BundleError(f"Bundle {bundle.uri}: its {HELDOUT} has no scores of its SVM: run fmnist-ray calibrate.")
    return heldout, NoveltyModel.from_bytes(bundle.files[NOVELTY])


def heldout_files(scores: Scores, pixels: NDArray[np.uint8], label_ids: NDArray[np.integer]) -> dict[str, bytes]:
    """The files of a bundle that say all of held-out images which decisions need: their scores, their model input
    uint8 [N, channels, size, size], their true label ids [N]. Of more than `MOST_HELDOUT` rows, as many at random."""
    novelty, distances = fit_novelty(scores.features, label_ids)
    heldout = HeldOut(
        label_ids=np.asarray(label_ids, np.int16),
        logits=scores.logits,
        svm_scores=scores.svm,
        features=scores.features.astype(np.float16),
        novelty=distances,
        quality=photo_measures(pixels),
    )
    if len(label_ids) > MOST_HELDOUT:
        heldout = heldout.take(np.sort(np.random.default_rng(0).permutation(len(label_ids))[:MOST_HELDOUT]))
    return {HELDOUT: heldout.to_bytes(), NOVELTY: novelty.to_bytes()}


def with_svm_scores(files: dict[str, bytes], head: SvmHead) -> dict[str, bytes]:
    """A bundle's files with the scores of an SVM in its held-out rows, if it carries any."""
    if HELDOUT not in files:
        return files
    heldout = HeldOut.from_bytes(files[HELDOUT])
    scored = dataclasses.replace(heldout, svm_scores=head.scores(heldout.features).astype(np.float32))
    return {**files, HELDOUT: scored.to_bytes()}


def decision_rule(bundle: Bundle, promises: Promises, head: HeadName) -> DecisionRule | None:
    """The rule for what is promised, with `head` deciding; None for a bundle without held-out rows, which knows neither
    label sets nor alarms.

    Raises `BundleError` where a precision is promised without any, `RefusedError` where they are too few to prove it.
    """
    found = read_heldout(bundle)
    if found is None:
        if promises.min_precision is not None:
            raise BundleError(
                f"Bundle {bundle.uri} carries no held-out rows, so no precision can be promised: write one that does "
                "with fmnist-ray calibrate."
            )
        return None
    heldout, novelty = found
    spec = bundle.spec
    return derive_rule(
        heldout,
        novelty,
        promises,
        labels=spec.labels,
        temperature=spec.temperature,
        heads=spec.heads,
        head=head,
        curves=spec.curves,
    )


def proven_thresholds(bundle: Bundle, promises: Promises, head: HeadName) -> list[float] | None:
    """The confidence by label from which on a row is accepted, None where no precision is promised; as `decision_rule`
    raises."""
    rule = decision_rule(bundle, promises, head)
    return None if rule is None or rule.thresholds is None else rule.thresholds.tolist()
