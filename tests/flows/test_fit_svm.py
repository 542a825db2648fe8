"""From a catalogue to a bundle with two heads, without Ray: what comes out, what is read again, and what is refused."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fmnist_ray
from fmnist_ray.bundle.format import CARD, SVM, read_bundle, write_bundle
from fmnist_ray.catalogue.feature_rows import open_features
from fmnist_ray.config.classify import ClassifySettings
from fmnist_ray.config.images import ImageLimits
from fmnist_ray.config.svm import KINDS, FitSettings, Kind, SvmSearch, SvmSettings
from fmnist_ray.config.train import TrainingSource, TrainSettings
from fmnist_ray.config.tune import Choice, Range
from fmnist_ray.errors import (
    BundleError,
    CatalogueError,
    IncompleteError,
    InputError,
    OutputTakenError,
    ParityError,
    SettingError,
)
from fmnist_ray.flows.classify import classify
from fmnist_ray.flows.features import extract_features
from fmnist_ray.flows.fit_svm import FitOutcome, check_graph, fit_svm
from fmnist_ray.flows.svm_data import split_table
from fmnist_ray.flows.training_data import load_training_data
from fmnist_ray.heads.search import FoldTask, LabelledFeatures, run_here
from fmnist_ray.images.encode import encode_png
from fmnist_ray.images.prepare import prepare_batch
from fmnist_ray.labels import FASHION_MNIST
from fmnist_ray.networks.data import LabelledImages
from fmnist_ray.store import open_store

Extract = Callable[[ClassifySettings], object]
Fit = Callable[..., FitOutcome]


@pytest.fixture(scope="module")
def photos() -> dict[str, list[Any]]:
    """600 noisy images whose class is the brightest of ten places, in order of class: the worst for a stream."""
    generator = np.random.default_rng(0)
    labels = np.sort(np.arange(600) % 10)
    images = generator.integers(0, 120, (600, 28, 28), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        row, column = divmod(int(label), 5)
        image[row * 12 : row * 12 + 8, column * 5 : column * 5 + 5] += 60
    return {"image": [encode_png(image) for image in images], "label": [FASHION_MNIST[label] for label in labels]}


@pytest.fixture
def extract(in_process: Any) -> Extract:
    return lambda settings: extract_features(settings, lambda: nullcontext(in_process()))


@pytest.fixture
def fit(tiny_bundle: Path, tmp_path: Path, extract: Extract) -> Fit:
    """fit_svm with the tiny bundle into `two`; keyword arguments are fields of FitSettings, and `search_with`."""

    def start(search_with: Any = run_here, **options: Any) -> FitOutcome:
        chosen: dict[str, Any] = {
            "bundle": str(tiny_bundle), "out_uri": str(tmp_path / "two"), "work_uri": str(tmp_path / "work"), **options
        }  # fmt: skip
        return fit_svm(FitSettings(**chosen), command="fnmist-ray fit-svm", extract=extract, search=search_with)

    return start


@pytest.mark.parametrize("kind", KINDS)
def test_a_bundle_answers_with_both_heads(
    kind: Kind, fit: Fit, catalogue: Any, photos: dict[str, list[Any]], tmp_path: Path, in_process: Any
) -> None:
    folder = catalogue(photos, row_group_size=100)
    outcome = fit(catalogue_uri=str(folder), svm=SvmSettings(kind=kind, components=100))
    assert outcome.metrics["svm_test_accuracy"] > 0.9 > 0.5 > outcome.metrics["cnn_test_accuracy"]
    assert outcome.num_train == 600 - 90 - 50
    look = json.loads((tmp_path / "work" / "svm.json").read_text())
    assert look["num_rows"] == sum(look["margins"]["num_rows"]) == 460
    assert 0 < look["num_support_vectors"] == sum(entry["num_support_vectors"] for entry in look["classes"])
    assert (tmp_path / "work" / "svm.html").read_text().count("data:image/png") > 10
    if kind == "rbf":
        assert look["num_support_vectors"] == pytest.approx(outcome.num_centres, rel=0.02)  # the solver's tolerance
    bundle = read_bundle(str(tmp_path / "two"))
    assert SVM in bundle.files
    assert b"## SVM" in bundle.files[CARD]
    assert bundle.spec.heads is not None
    assert bundle.spec.heads.decides == outcome.decides != "cnn"
    out = tmp_path / "out"
    settings = ClassifySettings(catalogue_uri=str(folder), out_uri=str(out), bundle=str(tmp_path / "two"))
    summary = classify(settings, lambda: nullcontext(in_process()))
    assert summary.accuracy is not None
    assert summary.accuracy > 0.9
    results = fmnist_ray.open_results(str(out))
    rows = results.predictions().to_pylist()
    assert results.report()["heads"]["groups"][1]["num_predictions"] == sum(not row["agree"] for row in rows)
    assert b">Two heads<" in (out / "report" / summary.plan_id / "report.html").read_bytes()
    assert all(row["agree"] == (row["cnn_label"] == row["svm_label"]) for row in rows)
    direct = fmnist_ray.load_bundle(str(tmp_path / "two")).classify(photos["image"][:50]).to_pylist()
    for name in ("label", "confidence", "cnn_label", "cnn_confidence", "svm_label", "svm_confidence", "agree"):
        assert [row[name] for row in direct] == [row[name] for row in rows[:50]], name
    by_cnn = classify(dataclasses.replace(settings, head="cnn", replace=True), lambda: nullcontext(in_process()))
    assert by_cnn.plan_id != summary.plan_id
    rows = fmnist_ray.open_results(str(out)).predictions().to_pylist()
    assert all((row["label"], row["confidence"]) == (row["cnn_label"], row["cnn_confidence"]) for row in rows)


def test_a_bundle_without_an_svm_keeps_working_and_can_not_be_asked_for_one(
    tiny_bundle: Path, catalogue: Any, pngs: list[bytes], tmp_path: Path, in_process: Any
) -> None:
    settings = ClassifySettings(
        catalogue_uri=str(catalogue({"image": pngs})), out_uri=str(tmp_path / "out"), bundle=str(tiny_bundle)
    )
    classify(settings, lambda: nullcontext(in_process()))
    rows = fmnist_ray.open_results(str(tmp_path / "out")).predictions().to_pylist()
    assert {(row["svm_label"], row["svm_confidence"], row["agree"]) for row in rows} == {(None, None, None)}
    assert all(row["cnn_label"] == row["label"] for row in rows)
    with pytest.raises(BundleError, match="has no SVM head: add one with fmnist-ray fit-svm"):
        classify(dataclasses.replace(settings, head="svm"), lambda: nullcontext(in_process()))


def test_a_second_fit_reads_the_features_and_a_search_goes_on_where_it_was(
    fit: Fit, catalogue: Any, photos: dict[str, list[Any]], tmp_path: Path
) -> None:
    folder = catalogue(photos)
    fit(catalogue_uri=str(folder), svm=SvmSettings(kind="linear"))
    tables = sorted((tmp_path / "work" / "features" / "data").rglob("*.parquet"))
    times = [path.stat().st_mtime_ns for path in tables]
    ran: list[int] = []

    def interrupted(rows: LabelledFeatures, tasks: Sequence[FoldTask]) -> Iterator[tuple[int, float]]:
        for number, accuracy in run_here(rows, tasks):
            if len(ran) == 5:
                raise KeyboardInterrupt
            ran.append(number)
            yield number, accuracy

    search = SvmSearch(vary={"c": Choice(values=(0.001, 1.0)), "kind": Choice(values=("linear", "rbf"))}, folds=3)
    options = {"features_uri": str(tmp_path / "work" / "features"), "search": search, "replace": True}
    with pytest.raises(KeyboardInterrupt):
        fit(interrupted, **options)
    left: list[int] = []

    def rest(rows: LabelledFeatures, tasks: Sequence[FoldTask]) -> Iterator[tuple[int, float]]:
        left.append(len(tasks))
        return run_here(rows, tasks)

    outcome = fit(rest, **options)
    assert left == [12 - 5]
    assert [path.stat().st_mtime_ns for path in tables] == times
    assert len(outcome.searched) == 4
    assert outcome.settings == outcome.searched[0].settings
    assert outcome.searched[0].accuracy > outcome.searched[-1].accuracy
    drawn = SvmSearch(vary={"c": Range(low=1e-3, high=1.0)}, trials=3, folds=2, rows=100)
    found = fit(**{**options, "search": drawn}, svm=SvmSettings(kind="linear")).searched
    assert len({setting.varied["c"] for setting in found}) == 3


def test_what_can_not_be_fitted_is_refused_with_a_sentence(
    fit: Fit, catalogue: Any, photos: dict[str, list[Any]], tiny_bundle: Path, tmp_path: Path, extract: Extract
) -> None:
    def table(name: str, columns: dict[str, list[Any]], **options: Any) -> str:
        folder = tmp_path / f"{name}-rows"
        folder.mkdir()
        pq.write_table(pa.table(columns), folder / "part.parquet")
        given = {"catalogue_uri": str(folder), "out_uri": str(tmp_path / name), "bundle": str(tiny_bundle), **options}
        extract(ClassifySettings(table="features", **given))
        return str(tmp_path / name)

    kept = [number for number, label in enumerate(photos["label"]) if label != "Bag"][:500]
    rare = {name: [values[number] for number in [*kept, 480]] for name, values in photos.items()}
    assert photos["label"][480] == "Bag"
    with pytest.raises(InputError, match=r"Class 'Bag' has 1 row in .*; an SVM of 10 classes needs at least 3"):
        fit(features_uri=table("rare", rare))
    with pytest.raises(InputError, match="No row of .* has one of the bundle's labels"):
        fit(features_uri=table("unlabelled", {"image": photos["image"][:20]}))
    same = {"image": [photos["image"][0]] * 600, "label": photos["label"]}
    for kind in KINDS:
        with pytest.raises(InputError, match="have the same features"):
            fit(features_uri=(tmp_path / "same").as_posix() if kind != KINDS[0] else table("same", same),
                svm=SvmSettings(kind=kind))  # fmt: skip
    with pytest.raises(SettingError, match="holds the layer pooled"):
        fit(features_uri=table("layer", photos, layer="pooled", runtime="cpu"))
    with pytest.raises(IncompleteError, match="No committed run"):
        fit(features_uri=str(tmp_path / "nowhere"))
    with pytest.raises(SettingError, match="leave out --features or --catalogue"):
        fit(features_uri="a", catalogue_uri="b")
    with pytest.raises(SettingError, match="no setting 'nu'; it has kind, c, gamma"):
        fit(features_uri=table("good", photos), search=SvmSearch(vary={"nu": Choice(values=(1,))}))


def test_a_changed_table_and_another_bundles_table_are_refused(
    fit: Fit, catalogue: Any, photos: dict[str, list[Any]], tiny_bundle: Path, tmp_path: Path, in_process: Any
) -> None:
    folder = catalogue(photos)
    fit(catalogue_uri=str(folder), svm=SvmSettings(kind="linear"))
    features = tmp_path / "work" / "features"
    with pytest.raises(OutputTakenError, match="holds a bundle already"):
        fit(features_uri=str(features))
    bundle = read_bundle(str(tiny_bundle))
    spec = dataclasses.replace(bundle.spec, temperature=2.0)
    other = {name: data for name, data in bundle.files.items() if name != "bundle.json"}
    write_bundle(open_store(str(tmp_path / "other")), spec, other)
    with pytest.raises(ParityError, match=r"holds features of bundle .*, not of"):
        fit(features_uri=str(features), bundle=str(tmp_path / "other"), replace=True)
    predictions = ClassifySettings(catalogue_uri=str(folder), out_uri=str(tmp_path / "p"), bundle=str(tiny_bundle))
    classify(predictions, lambda: nullcontext(in_process()))
    with pytest.raises(SettingError, match="holds predictions, no features"):
        fit(features_uri=str(tmp_path / "p"), replace=True)
    path = next((features / "data").rglob("*.features.parquet"))
    table = pq.ParquetFile(path).read()
    values = np.array(table.column("features").to_pylist(), np.float32)
    values[3, 7] = np.nan
    column = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), 49)
    pq.write_table(table.set_column(table.column_names.index("features"), "features", column), path)
    with pytest.raises(CatalogueError, match=r"1 of \d+ rows of .* no numbers"):
        fit(features_uri=str(features), replace=True)
    path.write_bytes(b"not Parquet")
    with pytest.raises(CatalogueError, match="can't be read as Parquet"):
        fit(features_uri=str(features), replace=True)


def test_rows_are_split_as_in_the_networks_training_rejects_and_groups_included(
    fit: Fit, catalogue: Any, photos: dict[str, list[Any]], tiny_bundle: Path, tmp_path: Path
) -> None:
    """A bundle trained on a catalogue, with some images that can't be used."""
    bundle = read_bundle(str(tiny_bundle))
    source = {"catalogue_uri": "c", "label_column": "category", "group_column": "sender"}
    spec = dataclasses.replace(
        bundle.spec, labels=tuple(sorted(FASHION_MNIST)), provenance={"settings": {"source": source}}
    )
    files = {name: data for name, data in bundle.files.items() if name not in ("bundle.json", CARD)}
    write_bundle(open_store(str(tmp_path / "mine")), spec, files)
    images = [b"broken" if number % 50 == 7 else image for number, image in enumerate(photos["image"])]
    rows = {"image": images, "category": photos["label"], "sender": [n // 4 for n in range(600)]}
    fit(catalogue_uri=str(catalogue(rows)), bundle=str(tmp_path / "mine"), svm=SvmSettings(kind="linear"))
    mine = read_bundle(str(tmp_path / "mine"))
    table = open_features(str(tmp_path / "work" / "features"), bundle_digest=mine.digest)
    parts = split_table(table, mine, folds=0, test_apart=False)
    trained = load_training_data(TrainSettings(source=TrainingSource(
        catalogue_uri=str(tmp_path / "catalogue"), label_column="category", group_column="sender"
    )))  # fmt: skip
    assert len(parts.labels) == 588
    numbers = table.catalogue_rows()
    found = [numbers[part] for part in (parts.train, parts.validation, parts.test)]
    assert [len(part) for part in found] == [
        len(part.labels) for part in (trained.train, trained.validation, trained.test)
    ]
    assert set((found[0] // 4).tolist()).isdisjoint(np.concatenate(found[1:]) // 4)
    assert isinstance(trained.train, LabelledImages)
    pixels = prepare_batch([images[row] for row in found[0]], spec.preparation, ImageLimits()).pixels
    np.testing.assert_array_equal(pixels, trained.train.pixels)


def test_a_graph_that_says_otherwise_than_the_svm_is_not_written() -> None:
    scores = np.array([[4.0, -3.0], [0.0, 1.0]])
    check_graph(scores + 0.03, scores)
    with pytest.raises(ParityError, match=r"differ by 0\.06 .* \(allowed: 0\.04\)"):
        check_graph(scores + 0.06, scores)
