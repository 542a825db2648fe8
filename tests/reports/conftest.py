"""Small runs to report on, made without a model."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from fmnist_ray.labels import FASHION_MNIST, Labels
from fmnist_ray.reports.run_page import RunFacts, RunReport, run_report
from fmnist_ray.reports.statistics import RunStatistics
from fmnist_ray.schema import SAMPLES, Reason

HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(2)> '{{ 7 * 7 }} \u202e gnp.\0 عربي "

FACTS = RunFacts(
    plan_id="plan-8c1f",
    catalogue_uri="/catalogues/autumn",
    out_uri="s3://shop/nights/2026-11-21",
    bundle_uri="default",
    bundle_digest="ab" * 32,
    architecture="bn_cnn",
    precision="f32",
    runtime="cpu",
    committed_at="2026-11-21T03:14:07+00:00",
    elapsed_s=9.34,
    rows_per_s=1070.663,
    num_shards=12,
    num_files=4,
    num_workers=2,
    program_version="0.1.0",
)


def png(generator: np.random.Generator, side: int) -> bytes:
    encoded = io.BytesIO()
    Image.fromarray(generator.integers(0, 256, (side, side), np.uint8)).save(encoded, "PNG")
    return encoded.getvalue()


def make_report(
    *,
    num_predictions: int = 1_234,
    rejects: Sequence[str] = (Reason.TRUNCATED,) * 7 + (Reason.EMPTY,) * 4,
    labelled: bool = True,
    labels: Labels = FASHION_MNIST,
    text: str = "",
    side: int = 28,
    num_pictured: int = 400,
    facts: RunFacts = FACTS,
) -> RunReport:
    """The report of a made-up run; `text` is put into every string that comes from a catalogue."""
    generator = np.random.default_rng(0)
    statistics = RunStatistics.empty(len(labels))
    true = generator.integers(0, len(labels), num_predictions)
    confidence = generator.beta(5, 1, num_predictions)
    other = (true + generator.integers(1, len(labels), num_predictions)) % len(labels)
    predicted = np.where(generator.random(num_predictions) < confidence, true, other)
    statistics.add_predictions(predicted, confidence, true if labelled else None)
    statistics.add_images(generator.integers(0, 256, (num_predictions, 4), np.uint8))
    statistics.add_rejects(rejects)
    statistics.bytes_read, statistics.num_null_ids = 456_789, 3
    if num_predictions:
        for step, seconds in {"read_s": 0.311, "prepare_s": 1.7, "score_s": 0.9042, "write_s": 0.0301}.items():
            statistics.add_seconds(step, seconds)
    rows: list[dict[str, Any]] = [
        {
            "product_id": None if row == 5 else f"{text}p-{row}",
            "label_id": predicted[row],
            "confidence": confidence[row],
            "true_label_id": true[row] if labelled else None,
            "thumbnail": png(generator, side),
        }
        for row in range(min(num_predictions, num_pictured))
    ]
    rows += [
        {"product_id": f"{text}r-{row}", "reason": str(reason), "detail": f"{text}why {row}"}
        for row, reason in enumerate(rejects)
    ]
    for row, values in enumerate(rows):
        values.update(input_file=f"{text}part-{row % 4}.parquet", input_row=row, order=int(generator.integers(2**63)))
    return run_report(facts, statistics, pa.Table.from_pylist(rows, SAMPLES), labels)


@pytest.fixture(scope="session")
def report_of() -> Callable[..., RunReport]:
    return make_report


@pytest.fixture(scope="session")
def hostile() -> str:
    return HOSTILE


@pytest.fixture(scope="session")
def facts() -> RunFacts:
    return FACTS
