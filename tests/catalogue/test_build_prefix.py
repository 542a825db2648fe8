"""A folder, or a prefix, of image files as a catalogue: copied or named, streamed, in the order of the keys."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fmnist_ray.catalogue.build_folder import folder_batches, survey_folder
from fmnist_ray.catalogue.fetch import ImageFetcher
from fmnist_ray.catalogue.reader import list_inputs
from fmnist_ray.config.catalogue import BuildSettings
from fmnist_ray.errors import SettingError
from fmnist_ray.flows.build import BuiltCatalogue, build_catalogue
from fmnist_ray.store import ObjectInfo, open_store
from fmnist_ray.store.memory import MemoryStore


def run(source: Path | str, out: Path | str, **settings: object) -> BuiltCatalogue:
    return build_catalogue(BuildSettings(source_uri=str(source), out_uri=str(out), **settings))  # type: ignore[arg-type]


def test_a_folder_by_name_is_classified_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "photos" / "Bag").mkdir(parents=True)
    for number in range(3):
        (tmp_path / "photos" / "Bag" / f"{number}.png").write_bytes(b"image %d" % number)
    run(tmp_path / "photos", tmp_path / "out", by_name=True)
    table = pq.read_table(tmp_path / "out")
    assert table.schema.field("image").type == pa.string()
    fetcher = ImageFetcher(str(tmp_path / "out"), [str(tmp_path / "photos")], max_bytes=10_000)
    assert fetcher.fetch(table["image"].to_pylist()) == [b"image %d" % number for number in range(3)]
    with pytest.raises(SettingError, match="--by-name goes with a folder"):
        run("fashion-mnist-test", tmp_path / "other", by_name=True)


def test_a_prefix_of_image_objects_on_s3(bucket: str, tmp_path: Path) -> None:
    """More objects than a page of a listing has, in both ways."""
    photos = open_store(f"{bucket}/photos")
    names = [f"{number // 400}/{number:05d}.png" for number in range(1_003)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: photos.put(name, name.encode()), [*names, "notes.txt"]))
    for by_name, cells in ((False, [name.encode() for name in names]), (True, [f"{photos.uri}/{n}" for n in names])):
        built = run(photos.uri, f"{bucket}/catalogue-{by_name}", by_name=by_name, rows_per_file=500)
        assert (built.num_rows, built.num_files, built.num_others, built.labelled) == (1_003, 3, 1, True)
        store, inputs = list_inputs(built.catalogue_uri)
        tables = [pq.read_table(BytesIO(store.get(info.key))) for info in inputs]
        assert [cell for table in tables for cell in table["image"].to_pylist()] == cells
        assert [cell for table in tables for cell in table["product_id"].to_pylist()] == names


def test_a_prefix_is_streamed() -> None:
    """The listing is never more than a batch ahead of the rows."""
    num_listed = 0

    class Long(MemoryStore):
        def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
            nonlocal num_listed
            for num_listed in range(1, 5_001):
                yield ObjectInfo(key=f"{num_listed:09d}.jpg", size_bytes=50_000, etag="e", modified_s=0.0)

    survey = survey_folder(Long())
    num_rows = furthest = 0
    for batch in folder_batches(Long(), survey, by_name=True):
        furthest = max(furthest, num_listed - num_rows)
        num_rows += len(batch)
    assert num_rows == survey.num_images == 5_000
    assert furthest <= 300
