"""From labelled photos to decisions: calibrate, promise, decide the same everywhere, and say what it costs."""

from __future__ import annotations

import dataclasses
import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fmnist_ray
from fmnist_ray.bundle.decisions import read_heldout
from fmnist_ray.bundle.format import SVM, read_bundle
from fmnist_ray.config.calibrate import CalibrateSettings
from fmnist_ray.config.classify import ClassifySettings, ColumnNames
from fmnist_ray.config.decisions import Promises
from fmnist_ray.config.svm import FitSettings, SvmSettings
from fmnist_ray.errors import BundleError, CatalogueError, InputError, OutputTakenError, RefusedError, SettingError
from fmnist_ray.flows.calibrate import calibrate
from fmnist_ray.flows.classify import classify
from fmnist_ray.flows.features import extract_features
from fmnist_ray.flows.fit_svm import fit_svm
from fmnist_ray.flows.review_import import import_review
from fmnist_ray.flows.review_queue import AUDIT_ROWS
from fmnist_ray.heads.search import run_here
from fmnist_ray.heads.svm import SvmHead
from fmnist_ray.images.encode import encode_png
from fmnist_ray.labels import FASHION_MNIST
from fmnist_ray.schema import DECISION_COLUMNS

PROMISES = Promises(min_precision=0.9, coverage=0.9)


def photos(num_rows: int, seed: int, *, contrast: int = 35) -> dict[str, list[Any]]:
    """Noisy images whose class is the place, of ten, that is brighter by `contrast`."""
    generator = np.random.default_rng(seed)
    labels = np.arange(num_rows) % 10
    images = generator.integers(0, 120, (num_rows, 28, 28), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        row, column = divmod(int(label), 5)
        image[row * 12 : row * 12 + 8, column * 5 : column * 5 + 5] += contrast
    return {"image": [encode_png(image) for image in images], "label": [FASHION_MNIST[label] for label in labels]}


def mixed_photos(num_rows: int, seed: int) -> dict[str, list[Any]]:
    """A third of them faint."""
    faint = num_rows // 3
    parts = photos(num_rows - faint, seed), photos(faint, seed + 100, contrast=10)
    return {name: parts[0][name] + parts[1][name] for name in parts[0]}


def write(folder: Path, columns: dict[str, list[Any]]) -> str:
    folder.mkdir()
    pq.write_table(pa.table(columns), folder / "part.parquet", row_group_size=200)
    return str(folder)


@pytest.fixture(scope="module")
def calibrated(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory, in_process: Any) -> Path:
    """A bundle of two heads with 1,500 held-out rows, of which the SVM gets most right."""
    folder = tmp_path_factory.mktemp("decisions")
    settings = FitSettings(
        bundle=str(tiny_bundle),
        out_uri=str(folder / "two"),
        work_uri=str(folder / "work"),
        catalogue_uri=write(folder / "train", photos(600, 0)),
        svm=SvmSettings(kind="linear"),
    )
    fit_svm(
        settings,
        command="fmnist-ray fit-svm",
        extract=lambda extraction: extract_features(extraction, lambda: nullcontext(in_process())),
        search=run_here,
    )
    held = CalibrateSettings(
        bundle=str(folder / "two"),
        out_uri=str(folder / "calibrated"),
        catalogue_uri=write(folder / "held", mixed_photos(1_500, 1)),
    )
    outcome = calibrate(held, command="fmnist-ray calibrate")
    assert outcome.num_heldout == 1_500
    assert outcome.metrics["heldout_accuracy"] > 0.8
    assert outcome.metrics["heldout_calibration_error"] < 0.04
    with pytest.raises(OutputTakenError):
        calibrate(held, command="fmnist-ray calibrate")
    return folder / "calibrated"


def test_batch_and_python_decide_alike_and_the_promise_holds(calibrated: Path, tmp_path: Path, in_process: Any) -> None:
    rows = mixed_photos(1_000, 2)
    noise = np.random.default_rng(3).integers(0, 256, (20, 28, 28), dtype=np.uint8)
    blank = [encode_png(np.full((28, 28), 90 + number, np.uint8)) for number in range(10)]
    rows["image"] += [*map(encode_png, noise), *blank, b"broken"]
    rows["label"] += [None] * 31
    catalogue = write(tmp_path / "catalogue", rows)
    settings = ClassifySettings(
        catalogue_uri=catalogue, out_uri=str(tmp_path / "out"), bundle=str(calibrated), promises=PROMISES
    )
    summary = classify(settings, lambda: nullcontext(in_process()))
    results = fmnist_ray.open_results(str(tmp_path / "out"))
    found = results.predictions().to_pylist()
    direct = fmnist_ray.load_bundle(str(calibrated), runtime="cpu", num_threads=1, promises=PROMISES)
    expected = direct.classify(rows["image"]).to_pylist()
    shared = set(expected[0]) - {"product_id", "input_file", "reason", "detail"}
    assert len(found) == 1_030
    for row, same in zip(found, expected, strict=False):
        assert {name: row[name] for name in shared} == {name: same[name] for name in shared}
    assert expected[1_030]["decision"] is expected[1_030]["label_set"] is None
    accepted = [row for row in found[:1_000] if row["decision"] == "accept"]
    right = [row["label"] == rows["label"][row["input_row"]] for row in accepted]
    assert len(accepted) > 300
    assert np.mean(right) > 0.88
    assert {row["decision_reason"] for row in accepted} == {"confident"}
    assert {(row["decision"], row["photo_problem"]) for row in found[1_020:]} == {("decline", "blank")}
    assert sum(row["decision_reason"] == "novel" for row in found[1_000:1_020]) > 15
    holds = [truth in row["label_set"] for row, truth in zip(found, rows["label"][:1_000], strict=False)]
    assert np.mean(holds) == pytest.approx(0.9, abs=0.03)
    report = results.report()["decisions"]
    assert {entry["decision"]: entry["num_predictions"] for entry in report["decisions"]} == summary.decisions
    assert summary.decisions["accept"] == sum(row["decision"] == "accept" for row in found)
    assert report["decisions"][0]["precision"] == pytest.approx(np.mean(right))
    assert report["label_sets"]["coverage"] == pytest.approx(np.mean(holds))
    page = (tmp_path / "out" / "report" / summary.plan_id / "report.html").read_text()
    assert ">Decisions<" in page
    assert "To review" in page


def test_a_promise_is_part_of_the_plan(calibrated: Path, tmp_path: Path, in_process: Any) -> None:
    settings = ClassifySettings(
        catalogue_uri=write(tmp_path / "catalogue", photos(50, 2)),
        out_uri=str(tmp_path / "out"),
        bundle=str(calibrated),
    )
    plain = classify(settings, lambda: nullcontext(in_process()))
    rows = fmnist_ray.open_results(str(tmp_path / "out")).predictions().to_pylist()
    assert {(row["decision"], row["decision_reason"]) for row in rows} == {(None, None)}
    assert all(row["novelty"] > 0 and row["label_set"] is not None for row in rows)
    assert plain.decisions == {}
    with pytest.raises(OutputTakenError):
        classify(dataclasses.replace(settings, promises=PROMISES), lambda: nullcontext(in_process()))
    strict = dataclasses.replace(settings, promises=Promises(min_precision=0.9995))
    with pytest.raises(RefusedError, match=r"there are 1,\d+, and about [\d,]+ like them would be needed"):
        classify(strict, lambda: nullcontext(in_process()))


def test_carried_rows_keep_their_decisions_and_count(calibrated: Path, tmp_path: Path, in_process: Any) -> None:
    first, more = photos(300, 2), photos(340, 2)
    more["image"][300:] = photos(40, 7)["image"]
    blank = encode_png(np.full((28, 28), 90, np.uint8))
    for rows in (first, more):
        rows["image"].append(blank)
        rows["label"].append(None)
    settings = ClassifySettings(
        catalogue_uri=write(tmp_path / "first", first), out_uri=str(tmp_path / "one"), bundle=str(calibrated),
        promises=PROMISES,
    )  # fmt: skip
    classify(settings, lambda: nullcontext(in_process()))
    second = dataclasses.replace(
        settings,
        catalogue_uri=write(tmp_path / "second", more),
        out_uri=str(tmp_path / "two"),
        since_uri=settings.out_uri,
    )
    carried = classify(second, lambda: nullcontext(in_process()))
    afresh = dataclasses.replace(second, out_uri=str(tmp_path / "afresh"), since_uri=None)
    expected = classify(afresh, lambda: nullcontext(in_process()))
    assert (carried.num_carried, carried.num_predictions, expected.num_carried) == (301, 341, 0)
    assert carried.decisions == expected.decisions
    assert carried.decisions["accept"] > 0
    assert carried.decisions["decline"] > 0
    names = ["input_row", "label", "confidence", *DECISION_COLUMNS]
    found, same = (fmnist_ray.open_results(run.out_uri) for run in (second, afresh))
    assert found.predictions().select(names).equals(same.predictions().select(names))
    assert found.commit.statistics["decisions"] == same.commit.statistics["decisions"]
    loose = dataclasses.replace(second, out_uri=str(tmp_path / "loose"), promises=Promises(min_precision=0.85))
    assert classify(loose, lambda: nullcontext(in_process())).num_carried == 0


def test_the_queue_shows_images_that_the_catalogue_only_names(
    calibrated: Path, tmp_path: Path, in_process: Any
) -> None:
    images = photos(40, 2)["image"]
    catalogue = Path(write(tmp_path / "catalogue", {"image": [f"{number}.png" for number in range(40)]}))
    for number, image in enumerate(images):
        (catalogue / f"{number}.png").write_bytes(image)
    settings = ClassifySettings(
        catalogue_uri=str(catalogue), out_uri=str(tmp_path / "out"), bundle=str(calibrated), promises=PROMISES
    )
    summary = classify(settings, lambda: nullcontext(in_process()))
    assert summary.review_uri is not None
    assert Path(summary.review_uri).read_text().count("data:image/png") == 40
    csv = tmp_path / "decided.csv"
    csv.write_text("input_file,input_row,reviewed_label\npart.parquet,7,Bag\npart.parquet,3,none\n")
    outcome = import_review(str(tmp_path / "out"), str(csv))
    reviewed = pq.read_table(Path(outcome.reviewed_uri) / "reviewed.parquet")
    assert reviewed.column("image").to_pylist() == [images[3], images[7]]


def test_a_bundle_without_held_out_rows_works_and_says_what_it_lacks(
    tiny_bundle: Path, tmp_path: Path, pngs: list[bytes]
) -> None:
    row = fmnist_ray.load_bundle(str(tiny_bundle), runtime="cpu").classify(pngs[:1]).to_pylist()[0]
    assert row["label"] is not None
    assert [row[name] for name in ("decision", "label_set", "novelty", "photo_problem")] == [None] * 4
    with pytest.raises(BundleError, match="no held-out rows, .* fmnist-ray calibrate"):
        fmnist_ray.load_bundle(str(tiny_bundle), runtime="cpu", promises=PROMISES)
    with pytest.raises(BundleError, match="does not say what it was trained on"):
        calibrate(CalibrateSettings(bundle=str(tiny_bundle), out_uri=str(tmp_path / "a")), command="")
    unlabelled = write(tmp_path / "unlabelled", {"image": pngs[:5]})
    with pytest.raises(CatalogueError, match="name the column with --label-column"):
        calibrate(
            CalibrateSettings(bundle=str(tiny_bundle), out_uri=str(tmp_path / "a"), catalogue_uri=unlabelled),
            command="",
        )
    with pytest.raises(SettingError, match="name it with --catalogue"):
        CalibrateSettings(bundle="default", out_uri="b", columns=ColumnNames(label="x"))


def test_held_out_rows_know_the_scores_of_the_bundles_svm(calibrated: Path) -> None:
    bundle = read_bundle(str(calibrated))
    found = read_heldout(bundle)
    assert found is not None
    head = SvmHead.from_bytes(bundle.files[SVM])
    assert found[0].svm_scores is not None
    np.testing.assert_allclose(head.scores(found[0].features), found[0].svm_scores, atol=0.02)


def test_reviewed_rows_come_back_and_tell_how_good_a_run_is(calibrated: Path, tmp_path: Path, in_process: Any) -> None:
    rows = {**mixed_photos(1_000, 5), "product_id": [f"p{number}" for number in range(1_000)]}
    truth = rows.pop("label")
    settings = ClassifySettings(
        catalogue_uri=write(tmp_path / "catalogue", rows), out_uri=str(tmp_path / "out"), bundle=str(calibrated),
        promises=PROMISES,
    )  # fmt: skip
    summary = classify(settings, lambda: nullcontext(in_process()))
    assert summary.decisions["review"] > 50
    assert summary.review_uri is not None
    page = Path(summary.review_uri).read_text()
    assert page.count("data:image/png") == 120
    queue = pq.read_table(Path(summary.review_uri).with_suffix(".parquet")).to_pylist()
    predictions = fmnist_ray.open_results(str(tmp_path / "out")).predictions().to_pylist()
    audited = [row for row in queue if row["audit"]]
    assert len(audited) == AUDIT_ROWS
    assert {row["input_row"] for row in queue if not row["audit"]} <= {
        row["input_row"] for row in predictions if row["decision"] == "review"
    }
    assert len(queue) == AUDIT_ROWS + sum(
        row["decision"] == "review" and row["input_row"] not in {entry["input_row"] for entry in audited}
        for row in predictions
    )
    places = [(max(1, len(row["label_set"])), row["value"]) for row in queue[AUDIT_ROWS:]]
    assert places == sorted(places, reverse=True)
    assert len({size for size, _ in places}) > 2

    csv = tmp_path / "decided.csv"
    lines = [f"{row['input_file']},{row['input_row']},{truth[row['input_row']]}" for row in audited]
    csv.write_text("input_file,input_row,reviewed_label\n" + "\n".join(lines) + "\n")
    outcome = import_review(str(tmp_path / "out"), str(csv))
    accepted = [row for row in audited if row["decision"] == "accept"]
    right = np.mean([row["label"] == truth[row["input_row"]] for row in accepted])
    assert (outcome.num_reviewed, outcome.num_audited) == (AUDIT_ROWS, len(accepted))
    assert outcome.precision == pytest.approx(right)
    everything = [row for row in predictions if row["decision"] == "accept"]
    precision = np.mean([row["label"] == truth[row["input_row"]] for row in everything])
    assert outcome.precision_low is not None
    assert outcome.precision_high is not None
    assert outcome.precision_low < precision < outcome.precision_high
    assert fmnist_ray.open_results(str(tmp_path / "out")).report()["run"]["review"]["precision"] == outcome.precision

    last = queue[-1]
    spoilt = last["audit"] and last["decision"] == "accept" and last["label"] == truth[last["input_row"]]
    task = {"data": {"product_id": last["product_id"]}}
    choice = {"result": [{"value": {"choices": ["none"]}}]}
    studio = tmp_path / "studio.json"
    studio.write_text(json.dumps([{**task, "annotations": [choice]}, {**task, "annotations": []}]))
    again = import_review(str(tmp_path / "out"), str(studio))
    assert again.num_reviewed == AUDIT_ROWS + (not last["audit"])
    assert again.precision == pytest.approx(right - spoilt / len(accepted))
    reviewed = pq.read_table(Path(again.reviewed_uri) / "reviewed.parquet").to_pylist()
    assert [row["image"] for row in reviewed] == [rows["image"][row["input_row"]] for row in reviewed]
    assert sum(row["label"] is None for row in reviewed) == 1
    fresh = CalibrateSettings(bundle=str(calibrated), out_uri=str(tmp_path / "fresh"), catalogue_uri=again.audited_uri)
    assert calibrate(fresh, command="fmnist-ray calibrate").num_heldout == AUDIT_ROWS - last["audit"]

    for text, message in (
        ("product_id,reviewed_label\np1,Hat\n", "'Hat' is no class of this run|The queue has no row p1"),
        ("product_id,reviewed_label\nelsewhere,Bag\n", "The queue has no row elsewhere"),
        ("product_id,label\np1,Bag\n", "has no 'reviewed_label'"),
    ):
        csv.write_text(text)
        with pytest.raises(InputError, match=message):
            import_review(str(tmp_path / "out"), str(csv))
