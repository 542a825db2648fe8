"""Golden rows: images with the answers that the bundle gave when it was written. Whoever opens a bundle scores them
first, through decoding and preparation, and does not go on with a different answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fmnist_ray.bundle.format import GOLDEN, Bundle
from fmnist_ray.bundle.runtimes import Scorer
from fmnist_ray.config.classify import Precision, Runtime
from fmnist_ray.config.images import ImageLimits
from fmnist_ray.errors import BundleError, ParityError
from fmnist_ray.images.prepare import prepare_batch

_SCHEMA = pa.schema(
    [
        pa.field("image", pa.binary(), nullable=False),
        pa.field("label_id", pa.int16(), nullable=False),
        pa.field("logits", pa.list_(pa.float32()), nullable=False),
        pa.field("svm_scores", pa.list_(pa.float32())),
    ]
)
_CLEAR_MARGIN = 1e-2
"""Distance of the two highest logits above which the label must be the same, where logits must differ by less."""


@dataclass(frozen=True, slots=True)
class GoldenResult:
    """How close the answers to the golden rows came."""

    num_rows: int
    num_other_labels: int
    """Rows with a clear margin and another label than expected."""
    max_logit_difference: float
    """Largest absolute difference of a logit."""
    tolerance: float
    """Largest difference that is allowed."""


def write_golden(images: Sequence[bytes], logits: np.ndarray, svm_scores: np.ndarray | None = None) -> bytes:
    """The content of `golden.parquet`: encoded images, their `logits` [N, labels] and, of a bundle with an SVM, its
    scores [N, scores], as the f32 CPU runtime gave them for the prepared images."""
    columns = {
        "image": list(images),
        "label_id": logits.argmax(axis=1),
        "logits": list(logits.astype(np.float32)),
        "svm_scores": [None] * len(images) if svm_scores is None else list(svm_scores.astype(np.float32)),
    }
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns, _SCHEMA), sink)
    encoded: bytes = sink.getvalue().to_pybytes()
    return encoded


def golden_tolerance(logits: np.ndarray, runtime: Runtime, precision: Precision) -> float:
    """Largest difference of a logit that another processor, kernel or precision may cause.

    In bf16 it grows with the logits themselves, having 8 bits for each: for a plain CNN with logits up to 15 the
    largest difference over 10,000 images was 0.04, a fifth of what is allowed. On GPUs the kernels are others.
    """
    if (runtime, precision) == ("cpu", "f32"):
        return 1e-3
    return 2e-2 * max(1.0, float(np.abs(logits).max()))


def svm_tolerance(scores: np.ndarray, runtime: Runtime, precision: Precision) -> float:
    """Largest difference of an SVM's score that another processor, kernel or precision may cause, by the largest score.

    A kernel's score sums over thousands of rows: in f32 an exact one with 8,892 support vectors was off by 0.009 on
    10,000 images; in bf16 Nystroem's was off by 0.042 of its largest score on 3,000.
    """
    share = 1e-3 if (runtime, precision) == ("cpu", "f32") else 0.1
    return share * max(1.0, float(np.abs(scores).max()))


def check_golden(bundle: Bundle, scorer: Scorer, *, runtime: Runtime, precision: Precision) -> GoldenResult:
    """Score the bundle's golden rows, from their bytes on, with both heads where there are two.

    Raises `ParityError` with the figures where an answer differs by more than `golden_tolerance`, and `BundleError`
    where the bundle has no golden rows.
    """
    images, expected_ids, expected, expected_svm = _read_golden(bundle)
    prepared = prepare_batch(images, bundle.spec.preparation, ImageLimits())
    if prepared.rejects:
        reject = prepared.rejects[0]
        raise ParityError(f"Bundle {bundle.uri}: its golden row {reject.position} is rejected here, {reject.detail}.")
    scores = scorer.score(prepared.pixels)
    logits = scores.logits
    if logits.shape != expected.shape:
        raise ParityError(f"Bundle {bundle.uri} answers with {logits.shape[1]} scores; expected {expected.shape[1]}.")
    tolerance = golden_tolerance(expected, runtime, precision)
    runners_up, best = np.sort(expected, axis=1)[:, -2:].T
    differs = (logits.argmax(axis=1) != expected_ids) & (best - runners_up > max(_CLEAR_MARGIN, tolerance))
    result = GoldenResult(len(images), int(differs.sum()), float(np.abs(logits - expected).max()), tolerance)
    if result.num_other_labels or not result.max_logit_difference <= tolerance:
        raise ParityError(
            f"Bundle {bundle.uri} does not answer here as it did where it was made: of {result.num_rows} golden rows "
            f"{result.num_other_labels} get another label, and logits differ by up to "
            f"{result.max_logit_difference:.2g} (allowed: {tolerance:.2g}). Copy the bundle anew, or train it anew."
        )
    if expected_svm is not None:
        _check_svm(bundle, scores.svm, expected_svm, svm_tolerance(expected_svm, runtime, precision))
    return result


def golden_images(bundle: Bundle) -> list[bytes]:
    """The encoded images of the bundle's golden rows."""
    return _read_golden(bundle)[0]


def _check_svm(bundle: Bundle, found: np.ndarray | None, expected: np.ndarray, tolerance: float) -> None:
    """`ParityError` unless the SVM's scores are the expected ones."""
    if found is None or found.shape != expected.shape:
        raise ParityError(f"Bundle {bundle.uri}: its golden rows have scores of an SVM that answers otherwise here.")
    difference = float(np.abs(found - expected).max())
    if not difference <= tolerance:
        raise ParityError(
            f"Bundle {bundle.uri} does not answer here as it did where it was made: the scores of its SVM differ by up "
            f"to {difference:.2g} (allowed: {tolerance:.2g}). Copy the bundle anew, or fit its SVM anew."
        )


def _read_golden(bundle: Bundle) -> tuple[list[bytes], np.ndarray, np.ndarray, np.ndarray | None]:
    """Images, label ids [N], logits [N, labels], and SVM scores [N, scores] of a bundle that has an SVM."""
    if GOLDEN not in bundle.files:
        raise BundleError(f"Bundle {bundle.uri} has no {GOLDEN}: without it nobody can tell whether it still works.")
    try:
        table = pq.ParquetFile(pa.BufferReader(bundle.files[GOLDEN])).read()
        logits = np.array(table["logits"].to_pylist(), np.float32).reshape(len(table), len(bundle.spec.labels))
        images: list[bytes] = table["image"].to_pylist()
        label_ids = table["label_id"].to_numpy()
        svm = np.array(table["svm_scores"].to_pylist(), np.float32) if bundle.spec.heads else None
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise BundleError(f"Bundle {bundle.uri}: its {GOLDEN} is no table of golden rows: {error}.") from error
    if not images:
        raise BundleError(f"Bundle {bundle.uri}: its {GOLDEN} has no rows.")
    return images, label_ids, logits, svm
