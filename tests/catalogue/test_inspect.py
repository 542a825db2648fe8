"""Checking a catalogue says what a run would see, exactly, and refuses what a run would refuse."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fmnist_ray.catalogue import inspect, sampling
from fmnist_ray.catalogue.identities import IdentityCounter
from fmnist_ray.catalogue.inspect import CatalogueFacts, inspect_catalogue
from fmnist_ray.config.classify import ColumnNames
from fmnist_ray.errors import CatalogueError


def png(shade: int = 0) -> bytes:
    data = io.BytesIO()
    Image.new("L", (28, 28), shade % 256).save(data, "PNG")
    return data.getvalue()


def put(path: Path, columns: dict[str, Any], **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, **options)


def check(path: Path, **names: Any) -> CatalogueFacts:
    return inspect_catalogue(str(path), ColumnNames(**names))


def test_a_good_catalogue(tmp_path: Path) -> None:
    for part in range(3):
        ids = [f"{part}-{row}" for row in range(200)]
        labels = pa.array([row % 4 for row in range(200)], pa.int8())
        put(
            tmp_path / f"{part}.parquet",
            {"product_id": ids, "image": [png(row) for row in range(200)], "label": labels, "title": ids},
            row_group_size=80,
        )
    facts = check(tmp_path)
    assert (facts.num_rows, facts.num_files, facts.num_row_groups, facts.max_row_group_rows) == (600, 3, 9, 80)
    assert facts.size_bytes == sum(path.stat().st_size for path in tmp_path.iterdir())
    assert facts.columns == {"product_id": "string", "image": "binary", "label": "int8", "title": "string"}
    assert (facts.id_column, facts.image_column, facts.label_column) == ("product_id", "image", "label")
    assert (facts.num_null_ids, facts.num_repeated_ids, facts.repeated_ids) == (0, 0, [])
    assert facts.rows_by_label == {"0": 150, "1": 150, "2": 150, "3": 150}
    assert facts.num_sampled == 100
    assert facts.mean_image_bytes == pytest.approx(len(png(1)), abs=5)
    assert facts.sample_rejects == []
    assert facts.warnings == []


def test_ids_that_are_null_or_repeated_over_files(tmp_path: Path) -> None:
    put(tmp_path / "a.parquet", {"product_id": ["x", "y", None, "z"], "image": [png()] * 4})
    put(tmp_path / "b.parquet", {"product_id": ["x", "w", "z", "x"], "image": [png()] * 4})
    facts = check(tmp_path)
    assert (facts.num_null_ids, facts.num_repeated_ids) == (1, 5)
    assert facts.repeated_ids == ["x", "z"]
    assert facts.warnings == [
        "1 rows have no id: they will be known by file and row number only.",
        "5 rows share their id with another row (x, z): each is classified.",
    ]


def test_numbers_as_ids_and_other_column_names(tmp_path: Path) -> None:
    put(tmp_path / "a.parquet", {"sku": [7, 7, 8], "photo": [png()] * 3, "class": ["Bag", None, "Coat"]})
    facts = check(tmp_path / "a.parquet", id="sku", image="photo", label="class")
    assert (facts.num_repeated_ids, facts.repeated_ids) == (2, ["7"])
    assert (facts.rows_by_label, facts.num_null_labels) == ({"Bag": 1, "Coat": 1}, 1)
    assert facts.warnings[-1] == "1 rows have no label: the accuracy leaves them out."


def test_no_ids_and_no_labels(tmp_path: Path) -> None:
    put(tmp_path / "a.parquet", {"image": [png()] * 3})
    facts = check(tmp_path)
    assert (facts.id_column, facts.label_column, facts.num_sampled) == (None, None, 3)
    assert facts.rows_by_label == {}
    assert facts.warnings == ["There is no id column: rows will be known by file and row number only."]


def test_no_rows(tmp_path: Path) -> None:
    put(tmp_path / "a.parquet", {"product_id": pa.array([], pa.string()), "image": pa.array([], pa.binary())})
    facts = check(tmp_path)
    assert (facts.num_rows, facts.num_sampled, facts.mean_image_bytes) == (0, 0, 0)
    assert facts.warnings == ["The catalogue has no rows."]


def test_a_label_column_that_is_no_class(tmp_path: Path) -> None:
    put(tmp_path / "a.parquet", {"image": [png()] * 1_500, "label": [f"title {row}" for row in range(1_500)]})
    facts = check(tmp_path)
    assert facts.rows_by_label == {}
    assert facts.warnings[-1] == "Column 'label' has more than 1,000 different values: is it the class?"


def test_a_very_large_row_group_is_pointed_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspect, "_LARGE_GROUP_ROWS", 100)
    put(tmp_path / "a.parquet", {"product_id": [str(row) for row in range(101)], "image": [png()] * 101})
    assert check(tmp_path).warnings == [
        "A row group has 101 rows: shards inside of it read it from its start. Write row groups of 100 rows at most."
    ]


def test_rejects_of_the_sample_are_named(tmp_path: Path) -> None:
    images: list[bytes | None] = [png()] * 50
    images[10], images[20], images[30] = None, b"GIF89a", png()[:-20]
    put(tmp_path / "a.parquet", {"product_id": [str(row) for row in range(50)], "image": images})
    facts = check(tmp_path)
    rejects = [(reject.input_file, reject.input_row, reject.reason) for reject in facts.sample_rejects]
    assert rejects == [
        ("a.parquet", 10, "empty"),
        ("a.parquet", 20, "unsupported_format"),
        ("a.parquet", 30, "truncated"),
    ]
    assert facts.warnings == [
        "3 of 50 sampled images would be rejected: empty 1, unsupported_format 1, truncated 1.",
    ]


@pytest.mark.parametrize("num_rows", [1, 99, 100, 101, 2_000])
@pytest.mark.parametrize("group_rows", [3, 7, 1_000])
@pytest.mark.parametrize("large", [False, True])
def test_the_sample_comes_from_all_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_rows: int, group_rows: int, large: bool
) -> None:
    """Every fifth of the rows is in it, and no row twice; of large row groups only the start is read."""
    if large:
        monkeypatch.setattr(sampling, "_SEEK_BYTES", 1)
    names = [str(row).encode() for row in range(num_rows)]
    half = num_rows // 2
    put(tmp_path / "a.parquet", {"image": pa.array(names[:half], pa.binary())}, row_group_size=group_rows)
    put(tmp_path / "b.parquet", {"image": pa.array(names[half:], pa.binary())}, row_group_size=group_rows)
    facts = check(tmp_path)
    rows = [half * (reject.input_file == "b.parquet") + reject.input_row for reject in facts.sample_rejects]
    assert len(rows) == len(set(rows)) == facts.num_sampled <= 100
    for row, reject in zip(rows, facts.sample_rejects, strict=True):
        assert f"b'{row}'" in reject.detail
    if group_rows < 100 and num_rows > 50:
        assert {row * 5 // num_rows for row in rows} == set(range(5))
    if not large:
        assert facts.num_sampled >= 0.8 * min(num_rows, 100)


def test_what_a_run_would_refuse(tmp_path: Path) -> None:
    put(tmp_path / "good" / "a.parquet", {"product_id": ["1"], "image": [png()], "size": [1]})
    with pytest.raises(CatalogueError, match="no column 'photo'; it has product_id, image, size"):
        check(tmp_path / "good", image="photo")
    with pytest.raises(CatalogueError, match="'size' .* holds int64; it must hold encoded image bytes"):
        check(tmp_path / "good", image="size")
    with pytest.raises(CatalogueError, match="No catalogue at"):
        check(tmp_path / "nothing")


def test_a_corrupt_file_is_named(tmp_path: Path) -> None:
    for part in range(3):
        ids = [f"{part}-{row}" for row in range(3_000)]
        put(tmp_path / f"{part}.parquet", {"product_id": ids, "image": [png()] * 3_000}, compression="zstd")
    path = tmp_path / "1.parquet"
    good = path.read_bytes()
    path.write_bytes(good[:-100])
    with pytest.raises(CatalogueError, match=r"1\.parquet is not a readable Parquet file"):
        check(tmp_path)
    path.write_bytes(good[:4] + b"\xff" * 4_000 + good[4_004:])
    with pytest.raises(CatalogueError, match=r"1\.parquet can't be read"):
        check(tmp_path)


@settings(deadline=None)
@given(st.lists(st.none() | st.text(max_size=2), max_size=60))
def test_repeated_ids_are_counted_exactly(ids: list[str | None]) -> None:
    counter = IdentityCounter()
    for start in range(0, len(ids), 7):
        counter.add(ids[start : start + 7])
    counts = Counter(product_id for product_id in ids if product_id is not None)
    repeated, digests = counter.repeated()
    assert counter.num_nulls == ids.count(None)
    assert repeated == sum(count for count in counts.values() if count > 1)
    assert len(digests) == min(3, sum(count > 1 for count in counts.values()))
