"""Training data: splits that share nothing, and catalogues with classes of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmnist_ray.config.train import TrainingSource, TrainSettings
from fmnist_ray.errors import CatalogueError, SettingError
from fmnist_ray.flows.split import stratified_split
from fmnist_ray.flows.training_data import TrainingData, load_training_data
from fmnist_ray.images.encode import encode_png
from fmnist_ray.networks.data import LabelledImages, StreamedImages

TONES = {"Hat": 40, "Skirt": 120, "Shorts": 200}


@given(st.lists(st.integers(0, 4), min_size=10, max_size=200), st.floats(0.01, 0.5), st.integers(0, 99))
def test_a_split_holds_every_row_once_and_its_share_of_every_class(labels: list[int], share: float, seed: int) -> None:
    array = np.array(labels)
    kept, held = stratified_split(array, np.arange(len(array)), share, seed)
    assert sorted([*kept, *held]) == list(range(len(labels)))
    for label in set(labels):
        count = (array == label).sum()
        assert (array[held] == label).sum() == max(1, round(share * count))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), min_size=5, max_size=100), st.integers(0, 99))
def test_a_split_keeps_groups_together(rows: list[tuple[int, int]], seed: int) -> None:
    labels, groups = (np.array(column) for column in zip(*rows, strict=True))
    kept, held = stratified_split(labels, groups, 0.2, seed)
    assert sorted([*kept, *held]) == list(range(len(rows)))
    assert not set(groups[kept]) & set(groups[held])
    assert set(labels[held]) == set(labels)


def write(path: Path, *, count: int = 60, broken: int = 0, **columns: list[Any]) -> str:
    """A catalogue of plain colour images; `category` says which tone, `sender` repeats for three rows in a row."""
    names = list(TONES)
    cells = [encode_png(np.full((50, 40, 3), TONES[names[row % 3]], np.uint8)) for row in range(count)]
    cells[:broken] = [b"no image"] * broken
    table = {"image": cells, "category": [names[row % 3] for row in range(count)]}
    table["sender"] = [row // 3 for row in range(count)]
    pq.write_table(pa.table({**table, **columns}), path, row_group_size=17)
    return str(path)


def load(uri: str, **changes: Any) -> TrainingData:
    source = TrainingSource(
        **{
            "catalogue_uri": uri,
            "label_column": "category",
            "group_column": "sender",
            "size": 32,
            "channels": 3,
            **changes,
        }
    )
    return load_training_data(TrainSettings(source=source))


def test_a_catalogue_brings_its_own_classes(tmp_path: Path) -> None:
    data = load(write(tmp_path / "catalogue.parquet", broken=4))
    assert data.labels == ("Hat", "Shorts", "Skirt")
    assert (data.preparation.size, data.preparation.channels) == (32, 3)
    assert data.train.pixels.shape[1:] == (3, 32, 32)
    parts = (data.train, data.validation, data.test)
    assert sum(len(part.labels) for part in parts) == 56
    assert data.description["num_rejects"] == 4
    for part in parts:
        assert set(part.labels) == {0, 1, 2}
        assert (part.pixels[:, 0, 16, 16] == [TONES[data.labels[label]] for label in part.labels]).all()


def test_photos_are_trained_on_in_the_style_that_was_asked_for(tmp_path: Path) -> None:
    """A dark product on white, which fills half of the photo, becomes bright on black, as large as the square."""
    photo = np.full((100, 80, 3), 250, np.uint8)
    photo[25:75, 30:50] = (40, 30, 60)
    uri = write(tmp_path / "catalogue.parquet", image=[encode_png(photo)] * 60)
    plain, styled = (load(uri, channels=1, style=style) for style in ("plain", "fashion-mnist"))
    assert (plain.preparation.style, styled.preparation.style) == ("plain", "fashion-mnist")
    assert (plain.train.pixels[:, 0, 0] > 240).all()
    assert (styled.train.pixels[:, 0, 0, 0] == 0).all()
    assert (styled.train.pixels[:, 0, 0, 16] > 200).all()
    with pytest.raises(SettingError, match="style"):
        load(uri, style="fashion-mnist")


def test_numbers_are_names_too_and_rows_without_groups_are_split_exactly(tmp_path: Path) -> None:
    uri = write(tmp_path / "catalogue.parquet", broken=3, category=[7 + row % 2 for row in range(60)])
    data = load(uri, group_column=None)
    assert data.labels == ("7", "8")
    assert [len(part.labels) for part in (data.train, data.validation, data.test)] == [43, 6, 8]


def test_rows_without_a_label_are_left_out_and_counted(tmp_path: Path) -> None:
    """As `review import` leaves them: photos that show none of the classes."""
    data = load(write(tmp_path / "catalogue.parquet", broken=3, category=["Hat", None, "Shorts"] * 20))
    assert data.labels == ("Hat", "Shorts")
    assert data.description["num_unlabelled"] == 20
    parts = (data.train, data.validation, data.test)
    assert sum(len(part.labels) for part in parts) + data.description["num_rejects"] == 40
    for part in parts:
        assert (part.pixels[:, 0, 16, 16] == [TONES[data.labels[n]] for n in part.labels]).all()


@pytest.mark.parametrize(
    ("columns", "changes", "message"),
    [
        ({"category": [None] * 60}, {}, "has no label"),
        ({"category": ["Hat"] * 60}, {}, "one class only"),
        ({"category": ["Hat", "Cap"] * 29 + ["Hat", "Rare"]}, {}, "Class 'Rare' of column 'category' has 1 images"),
        ({"sender": [1] * 60}, {}, "too few groups of column 'sender'"),
        ({}, {"label_column": "kind"}, "no column 'kind'"),
        ({}, {"group_column": "shop"}, "no column 'shop'"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(
    tmp_path: Path, columns: dict[str, list[Any]], changes: dict[str, Any], message: str
) -> None:
    uri = write(tmp_path / "catalogue.parquet", **columns)
    with pytest.raises(CatalogueError, match=message):
        load(uri, **changes)


def test_a_size_that_images_cannot_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="4 pixels"):
        load(write(tmp_path / "catalogue.parquet"), size=4)


def test_a_stream_holds_the_same_images_out_and_reads_the_others_part_by_part(tmp_path: Path) -> None:
    uri = write(tmp_path / "catalogue.parquet", count=4_500, broken=4)
    held, streamed = load(uri), load(uri, stream="always")
    assert isinstance(held.train, LabelledImages)
    assert isinstance(streamed.train, StreamedImages)
    for name in ("validation", "test"):
        there, here = getattr(held, name), getattr(streamed, name)
        assert np.array_equal(there.labels, here.labels)
        assert np.array_equal(there.pixels, here.pixels)
    pieces = [piece for part in range(streamed.train.num_parts) for piece in streamed.train.load(part)]
    assert streamed.train.num_parts == 3
    assert sorted(np.concatenate([piece.labels for piece in pieces])) == sorted(held.train.labels)
    assert all(
        (piece.pixels[:, 0, 16, 16] == [TONES[streamed.labels[n]] for n in piece.labels]).all() for piece in pieces
    )
