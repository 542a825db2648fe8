"""A catalogue team's own classes: trained, promised, reviewed, and trained again on what people decided."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fmnist_ray
from fmnist_ray.bundle.format import read_bundle
from fmnist_ray.config.calibrate import CalibrateSettings
from fmnist_ray.config.classify import ClassifySettings, ColumnNames
from fmnist_ray.config.decisions import Promises
from fmnist_ray.config.train import TrainingSource, TrainSettings
from fmnist_ray.errors import RefusedError
from fmnist_ray.flows.calibrate import calibrate
from fmnist_ray.flows.classify import classify
from fmnist_ray.flows.review_import import import_review
from fmnist_ray.flows.train import TrainOutcome, train
from fmnist_ray.images.encode import encode_png
from fmnist_ray.networks.job import train_here

CLASSES = ("Belt", "Glove", "Hat", "Scarf")


def photos(folder: Path, num_rows: int, seed: int, *, column: str | None) -> tuple[str, list[str | None]]:
    """A catalogue of noisy images with a bright stripe, whose height tells the class; every fourth is hard to see, and
    one in fifty shows something else. Also the truth, which only a named column holds."""
    generator = np.random.default_rng(seed)
    numbers = generator.integers(0, len(CLASSES), num_rows)
    pixels = generator.integers(0, 60, (num_rows, 28, 28), dtype=np.uint8)
    pixels[np.arange(num_rows), 5 + 5 * numbers] += np.where(np.arange(num_rows) % 4, 150, 15).astype(np.uint8)[:, None]
    pixels[::50] = generator.integers(0, 256, pixels[::50].shape, dtype=np.uint8)
    truth = [CLASSES[number] if row % 50 else None for row, number in enumerate(numbers)]
    table = {"image": [encode_png(image) for image in pixels], **({column: truth} if column else {})}
    folder.mkdir()
    pq.write_table(pa.table(table), folder / "part.parquet")
    return str(folder), truth


def trained(out: Path, catalogue: str, column: str) -> TrainOutcome:
    source = TrainingSource(catalogue_uri=catalogue, label_column=column)
    settings = TrainSettings(architecture="ann", epochs=4, batch_size=50, validation_share=0.3, source=source)
    return train(settings, out_uri=str(out), command="train", execute=train_here, report=lambda metrics: None)


def test_own_classes_get_every_decision_and_learn_from_review(tmp_path: Path, in_process: Any) -> None:
    catalogue, _ = photos(tmp_path / "labelled", 2_000, 0, column="category")
    first = trained(tmp_path / "first", catalogue, "category")
    bundle = read_bundle(first.bundle_uri)
    assert bundle.spec.labels == CLASSES
    assert bundle.spec.provenance["num_unlabelled"] == 40

    held, _ = photos(tmp_path / "held", 1_500, 1, column="category")
    again = CalibrateSettings(
        bundle=first.bundle_uri,
        out_uri=str(tmp_path / "calibrated"),
        catalogue_uri=held,
        columns=ColumnNames(label="category"),
    )
    assert calibrate(again, command="calibrate").num_heldout == 1_470

    tonight, truth = photos(tmp_path / "tonight", 1_000, 2, column=None)
    promises = Promises(min_precision=0.95, per_class=True)
    run = ClassifySettings(
        catalogue_uri=tonight, out_uri=str(tmp_path / "out"), bundle=str(tmp_path / "calibrated"), promises=promises
    )
    summary = classify(run, lambda: nullcontext(in_process()))
    rows = fmnist_ray.open_results(str(tmp_path / "out")).predictions().sort_by("input_row").to_pylist()
    accepted = [row for row in rows if row["decision"] == "accept"]
    assert min(summary.decisions.values()) > 0
    for label in CLASSES:
        of_class = [truth[row["input_row"]] == label for row in accepted if row["label"] == label]
        assert len(of_class) > 100
        assert np.mean(of_class) > 0.93
    known = [row for row in rows if truth[row["input_row"]] is not None]
    assert np.mean([truth[row["input_row"]] in row["label_set"] for row in known]) == pytest.approx(0.95, abs=0.03)
    assert np.mean([row["decision_reason"] == "novel" for row in rows[::50]]) > 0.9

    assert summary.review_uri is not None
    queue = pq.read_table(Path(summary.review_uri).with_suffix(".parquet")).to_pylist()
    lines = [f"{row['input_file']},{row['input_row']},{truth[row['input_row']] or 'none'}" for row in queue]
    (tmp_path / "decided.csv").write_text("\n".join(["input_file,input_row,reviewed_label", *lines]))
    review = import_review(str(tmp_path / "out"), str(tmp_path / "decided.csv"))
    assert review.num_reviewed == len(queue)

    second = trained(tmp_path / "second", review.reviewed_uri, "label")
    bundle = read_bundle(second.bundle_uri)
    assert bundle.spec.labels == CLASSES
    assert bundle.spec.provenance["num_unlabelled"] == sum(truth[row["input_row"]] is None for row in queue) > 0
    fresh = CalibrateSettings(
        bundle=first.bundle_uri, out_uri=str(tmp_path / "fresh"), catalogue_uri=review.audited_uri
    )
    num_none = sum(row["audit"] and truth[row["input_row"]] is None for row in queue)
    assert calibrate(fresh, command="calibrate").num_heldout == 300 - num_none
    with pytest.raises(RefusedError, match=r"about [\d,]+ like them would be needed"):
        fmnist_ray.load_bundle(str(tmp_path / "fresh"), runtime="cpu", promises=Promises(min_precision=0.99))
