"""A features run: the batch run with another table, so what is shown here is the table; the rest is classify's."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fmnist_ray
from fmnist_ray.config.classify import ClassifySettings, ColumnNames
from fmnist_ray.errors import OutputTakenError, SettingError
from fmnist_ray.flows.classify import classify
from fmnist_ray.flows.features import FeaturesOutcome, extract_features
from fmnist_ray.flows.verify import verify_run
from fmnist_ray.schema import FEATURES, sized_features


@pytest.fixture
def run(tiny_bundle: Path, tmp_path: Path, in_process: Any) -> Any:
    def start(catalogue: Path, executor: Any = None, **options: Any) -> FeaturesOutcome:
        chosen: dict[str, Any] = {
            "catalogue_uri": str(catalogue), "out_uri": str(tmp_path / "out"), "bundle": str(tiny_bundle),
            "table": "features", **options,
        }  # fmt: skip
        return extract_features(ClassifySettings(**chosen), lambda: nullcontext(executor or in_process()))

    return start


def test_every_row_has_its_features_its_own_label_and_its_logits(
    run: Any, catalogue: Any, pngs: list[bytes], tiny_bundle: Path, tmp_path: Path
) -> None:
    labels = ["Bag", "Coat", None, "no such class"]
    ids = ["a", "b", "c", "d", "broken"]
    folder = catalogue(
        {"product_id": ids, "image": [*pngs[:4], b"broken"], "label": [*labels, "Bag"], "price": [1] * 5}
    )
    outcome = run(folder, columns=ColumnNames(keep=("price",)))
    assert (outcome.summary.num_predictions, outcome.summary.num_rejects) == (4, 1)
    table = fmnist_ray.open_results(str(tmp_path / "out")).features()
    assert table.schema.equals(pa.schema([*sized_features(49, 10), pa.field("price", pa.int64())]))
    assert table.column("product_id").to_pylist() == ids[:4]
    assert table.column("label").to_pylist() == ["Bag", "Coat", None, None]
    answers = fmnist_ray.load_bundle(str(tiny_bundle)).answer(pngs[:4])
    np.testing.assert_array_equal(table.column("features").to_pylist(), answers.features)
    np.testing.assert_array_equal(table.column("logits").to_pylist(), answers.logits)
    assert pq.read_table(outcome.files[0]).num_rows == 4
    assert verify_run(str(tmp_path / "out")).num_rows == 5


def test_a_second_run_reads_and_a_classify_run_is_another_plan(
    run: Any, catalogue: Any, pngs: list[bytes], tiny_bundle: Path, tmp_path: Path, in_process: Any
) -> None:
    folder = catalogue({"image": pngs})
    first = run(folder, shard_rows=20)
    executor = in_process()
    assert run(folder, executor, shard_rows=20).files == first.files
    assert executor.rounds == []
    predictions = ClassifySettings(catalogue_uri=str(folder), out_uri=str(tmp_path / "out"), bundle=str(tiny_bundle))
    with pytest.raises(OutputTakenError):
        classify(predictions, lambda: nullcontext(executor))


def test_another_layer_is_written_by_its_name_and_an_unknown_one_is_refused_with_the_names(
    run: Any, catalogue: Any, pngs: list[bytes], tmp_path: Path
) -> None:
    folder = catalogue({"image": pngs[:5]})
    run(folder, layer="pooled", runtime="cpu")
    pooled = fmnist_ray.open_results(str(tmp_path / "out")).features()
    assert pooled.schema.field("features").type == pa.list_(pa.float32(), 49)
    with pytest.raises(
        SettingError, match=r"no layer 'conv9'; it has features, logits, pixels, pooled, scaled, values"
    ):
        run(folder, layer="conv9", runtime="cpu", replace=True)
    with pytest.raises(SettingError, match="--runtime cpu"):
        run(folder, layer="pooled")


def test_no_rows_give_an_empty_table(run: Any, catalogue: Any, tmp_path: Path) -> None:
    run(catalogue({"image": pa.array([], pa.binary())}))
    table = fmnist_ray.open_results(str(tmp_path / "out")).features()
    assert (table.num_rows, table.schema) == (0, FEATURES)
