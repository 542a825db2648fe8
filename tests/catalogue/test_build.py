"""Building catalogues: every image becomes a row, in order, in files of bounded size, and bad sources are named."""

from __future__ import annotations

import gzip
import io
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fmnist_ray.catalogue import build
from fmnist_ray.catalogue.build import UNFINISHED, catalogue_batch, write_catalogue
from fmnist_ray.catalogue.build_pixels import id_prefix
from fmnist_ray.config.catalogue import BuildSettings
from fmnist_ray.errors import CatalogueError, RefusedError, SettingError, StoreError
from fmnist_ray.flows.build import BuiltCatalogue, build_catalogue
from fmnist_ray.store.memory import MemoryStore

RANDOM = np.random.default_rng(0)


def idx(magic: tuple[int, ...], array: np.ndarray) -> bytes:
    return bytes(magic) + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(np.uint8).tobytes()


def idx_images(array: np.ndarray) -> bytes:
    return idx((0, 0, 8, 3), array)


def idx_labels(array: np.ndarray) -> bytes:
    return idx((0, 0, 8, 1), array)


def pixels_of(table: pa.Table) -> np.ndarray:
    return np.stack([np.asarray(Image.open(io.BytesIO(cell))) for cell in table["image"].to_pylist()])


def encoded(kind: str, color: int) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (8, 6), (color, 10, 10)).save(data, kind)
    return data.getvalue()


def run(source: Path | str, out: Path, **settings: object) -> BuiltCatalogue:
    return build_catalogue(BuildSettings(source_uri=str(source), out_uri=str(out), **settings))  # type: ignore[arg-type]


# idx


@pytest.mark.parametrize("packed", [True, False])
def test_idx_images_with_labels_beside_them(tmp_path: Path, packed: bool) -> None:
    images = RANDOM.integers(0, 256, (2_345, 5, 4), dtype=np.uint8)
    labels = RANDOM.integers(0, 10, 2_345, dtype=np.uint8)
    ending, pack = (".gz", gzip.compress) if packed else ("", bytes)
    (tmp_path / f"shop-images-idx3-ubyte{ending}").write_bytes(pack(idx_images(images)))
    (tmp_path / f"shop-labels-idx1-ubyte{ending}").write_bytes(pack(idx_labels(labels)))

    built = run(tmp_path / f"shop-images-idx3-ubyte{ending}", tmp_path / "out", rows_per_file=1_100)

    assert (built.format, built.num_rows, built.num_files, built.labelled) == ("idx", 2_345, 3, True)
    files = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in files] == ["part-00000.parquet", "part-00001.parquet", "part-00002.parquet"]
    assert [pq.read_metadata(path).num_rows for path in files] == [1_100, 1_100, 145]
    assert built.size_bytes == sum(path.stat().st_size for path in files)
    table = pq.read_table(tmp_path / "out")
    assert table.schema.types == [pa.string(), pa.binary(), pa.int8()]
    assert table["product_id"].to_pylist() == [f"shop-{row:06d}" for row in range(2_345)]
    assert table["label"].to_pylist() == labels.tolist()
    np.testing.assert_array_equal(pixels_of(table), images)


def test_idx_images_without_labels_or_with_named_ones(tmp_path: Path) -> None:
    images = RANDOM.integers(0, 256, (3, 28, 28), dtype=np.uint8)
    (tmp_path / "pictures.idx").write_bytes(idx_images(images))
    (tmp_path / "classes").write_bytes(idx_labels(np.array([3, 1, 2])))
    assert not run(tmp_path / "pictures.idx", tmp_path / "a").labelled
    assert run(tmp_path / "pictures.idx", tmp_path / "b", labels_uri=str(tmp_path / "classes")).labelled
    assert pq.read_table(tmp_path / "a").schema.names == ["product_id", "image"]
    assert pq.read_table(tmp_path / "b")["label"].to_pylist() == [3, 1, 2]
    assert pq.read_table(tmp_path / "b")["product_id"][2].as_py() == "pictures-000002"


IMAGES = idx_images(np.zeros((5, 4, 4)))
BAD_IDX = {
    "wrong magic": (b"\x00\x00\x08\x01" + IMAGES[4:], "starts with the bytes 00 00 08 01, not 00 00 08 03"),
    "empty": (b"", "starts with the bytes , not"),
    "within header": (IMAGES[:9], "ends within its header"),
    "early": (IMAGES[:-1], "ends before the number of items"),
    "late": (IMAGES + b"x", "goes on after the number of items"),
    "cut gzip": (gzip.compress(IMAGES)[:-5], "not a whole gzip file"),
    "no images": (idx_images(np.zeros((0, 4, 4))), "holds no images"),
    "no pixels": (idx_images(np.zeros((4, 0, 4))), "0 x 4 pixels"),
    "absurd": (IMAGES[:4] + b"\xff" * 12, "4294967295 x 4294967295 pixels"),
}


@pytest.mark.parametrize(("data", "message"), BAD_IDX.values(), ids=BAD_IDX.keys())
def test_bad_idx_files_are_named_and_leave_nothing(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "images").write_bytes(data)
    with pytest.raises(CatalogueError, match=message):
        run(tmp_path / "images", tmp_path / "out", format="idx")
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("labels", "message"),
    [([1, 2], "has 5 images, .* has 2 labels"), ([0, 1, 2, 3, 200], "label id of 200; the highest allowed is 127")],
)
def test_labels_that_do_not_fit(tmp_path: Path, labels: list[int], message: str) -> None:
    (tmp_path / "images").write_bytes(IMAGES)
    (tmp_path / "labels").write_bytes(idx_labels(np.array(labels)))
    with pytest.raises(CatalogueError, match=message):
        run(tmp_path / "images", tmp_path / "out")


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_build_or_are_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("idx")
    (folder / "images").write_bytes(IMAGES[:4] + data)
    try:
        built = run(folder / "images", folder / "out", format="idx")
    except CatalogueError:
        return
    assert built.num_rows == struct.unpack(">I", data[:4])[0]


def test_the_names_of_files_become_prefixes_of_ids() -> None:
    assert id_prefix("t10k-images-idx3-ubyte.gz") == "t10k"
    assert id_prefix("fashion-mnist_test.csv.gz") == "fashion-mnist_test"
    assert id_prefix("images-idx3-ubyte") == "image"


# Kaggle CSV


def csv_of(labels: np.ndarray | None, images: np.ndarray, first_pixel: int = 1) -> bytes:
    names = [f"pixel{number + first_pixel}" for number in range(784)]
    rows = images.reshape(-1, 784)
    if labels is not None:
        names, rows = ["label", *names], np.column_stack([labels, rows])
    lines = [",".join(names), *(",".join(map(str, row)) for row in rows)]
    return ("\n".join(lines) + "\n").encode()


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("labelled", [True, False])
def test_kaggle_csv(tmp_path: Path, packed: bool, labelled: bool) -> None:
    images = RANDOM.integers(0, 256, (1_500, 28, 28), dtype=np.uint8)
    labels = RANDOM.integers(0, 10, 1_500) if labelled else None
    data = csv_of(labels, images)
    path = tmp_path / ("shop.csv.gz" if packed else "shop.csv")
    path.write_bytes(gzip.compress(data, compresslevel=1) if packed else data)

    built = run(path, tmp_path / "out")

    assert (built.format, built.num_rows, built.labelled) == ("kaggle-csv", 1_500, labelled)
    table = pq.read_table(tmp_path / "out")
    assert table["product_id"].to_pylist() == [f"shop-{row:06d}" for row in range(1_500)]
    np.testing.assert_array_equal(pixels_of(table), images)
    if labels is not None:
        assert table["label"].to_pylist() == labels.tolist()
        assert table.schema.field("label").type == pa.int8()


def test_kaggle_csv_of_a_spreadsheet(tmp_path: Path) -> None:
    """With a byte order mark, Windows line ends, quoted names, and the label last."""
    images = RANDOM.integers(0, 256, (4, 28, 28), dtype=np.uint8)
    names = [*(f'"pixel{number}"' for number in range(784)), '"Label"']
    rows = [",".join(map(str, [*image.ravel(), 7])) for image in images]
    (tmp_path / "shop.csv").write_bytes(("\ufeff" + "\r\n".join([",".join(names), *rows]) + "\r\n").encode())
    run(tmp_path / "shop.csv", tmp_path / "out")
    table = pq.read_table(tmp_path / "out")
    assert table["label"].to_pylist() == [7] * 4
    np.testing.assert_array_equal(pixels_of(table), images)


GOOD = csv_of(np.arange(600) % 10, np.zeros((600, 28, 28), np.uint8)).splitlines()
BAD_CSV = {
    "short line": ([*GOOD[:500], b"1,2,3", *GOOD[500:]], "line 501: 3 columns, where the header has 785"),
    "long line": ([*GOOD[:500], GOOD[1] + b",0"], "line 501: 786 columns, where the header has 785"),
    "too large": ([*GOOD[:5], GOOD[1][:-1] + b"256"], "line 6, column 785: '256' is not a whole number of 0 to 255"),
    "no value": ([*GOOD[:5], GOOD[1][:-1]], "line 6, column 785: '' is not a whole number of 0 to 255"),
    "text": ([*GOOD[:5], b"Coat" + GOOD[1][1:]], "line 6, column 1: 'Coat' is not a whole number"),
    "other columns": ([b"a,b,c", b"1,2,3"], "line 1: 3 columns besides label; .* has 784"),
    "no header": ([b",".join([b"0"] * 784)], "line 1: numbers, not names"),
    "empty": ([], "line 1: 0 columns"),
    "header only": (GOOD[:1], "holds no images"),
}


@pytest.mark.parametrize(("lines", "message"), BAD_CSV.values(), ids=BAD_CSV.keys())
def test_bad_csv_files_are_named_with_the_line_and_leave_nothing(
    tmp_path: Path, lines: list[bytes], message: str
) -> None:
    (tmp_path / "shop.csv").write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(CatalogueError, match=message):
        run(tmp_path / "shop.csv", tmp_path / "out", rows_per_file=100)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


# folders


def test_a_folder_with_a_sub_folder_per_class(tmp_path: Path) -> None:
    photos = {"Coat/b.jpg": encoded("JPEG", 1), "Coat/a.PNG": encoded("PNG", 2), "Bag/ü x.webp": encoded("WEBP", 3)}
    others = {"Bag/notes.txt": b"n", ".hidden/a.png": b"x", "Coat/._a.png": b"x", "README": b"r"}
    for name, data in {**photos, **others}.items():
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    built = run(tmp_path / "photos", tmp_path / "out")

    assert (built.format, built.num_rows, built.labelled, built.num_others) == ("folder", 3, True, 4)
    table = pq.read_table(tmp_path / "out").to_pydict()
    assert table["product_id"] == ["Bag/ü x.webp", "Coat/a.PNG", "Coat/b.jpg"]
    assert table["label"] == ["Bag", "Coat", "Coat"]
    assert table["image"] == [photos[name] for name in table["product_id"]]


@pytest.mark.parametrize("name", ["deep/er/a.png", "a.png"])
def test_a_folder_of_another_depth_has_no_labels(tmp_path: Path, name: str) -> None:
    for path in (tmp_path / "photos" / "Coat" / "b.gif", tmp_path / "photos" / name):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not really")
    built = run(tmp_path / "photos", tmp_path / "out")
    assert not built.labelled
    assert set(pq.read_table(tmp_path / "out")["product_id"].to_pylist()) == {"Coat/b.gif", name}


@pytest.mark.parametrize("present", [True, False])
def test_a_folder_without_images(tmp_path: Path, present: bool) -> None:
    if present:
        (tmp_path / "photos").mkdir()
        (tmp_path / "photos" / "a.txt").touch()
    with pytest.raises(CatalogueError, match="photos holds no image files"):
        run(tmp_path / "photos", tmp_path / "out")


def test_a_file_that_is_nothing_known(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK")
    with pytest.raises(CatalogueError, match=r"a.zip is neither a file of idx images nor a \.csv"):
        run(tmp_path / "a.zip", tmp_path / "out")
    with pytest.raises(CatalogueError, match="There is no file"):
        run(tmp_path / "missing", tmp_path / "out", format="idx")
    with pytest.raises(SettingError, match="--labels goes with idx images"):
        run(tmp_path, tmp_path / "out", labels_uri="x")


# writing


def batches(
    num_rows: int, *, size: int = 10, step: int = 7, consumed: list[int] | None = None
) -> Iterator[pa.RecordBatch]:
    for start in range(0, num_rows, step):
        ids = [str(row) for row in range(start, min(start + step, num_rows))]
        if consumed is not None:
            consumed.append(len(ids))
        yield catalogue_batch(ids, [bytes(size)] * len(ids), None)


def written_ids(store: MemoryStore) -> list[list[str]]:
    files = [pq.read_table(io.BytesIO(store.get(info.key))) for info in store.list()]
    return [file["product_id"].to_pylist() for file in files]


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 70), st.integers(1, 9))
def test_every_row_is_written_once_and_in_order(num_rows: int, rows_per_file: int, step: int) -> None:
    store = MemoryStore()
    written = write_catalogue(batches(num_rows, step=step), store, rows_per_file=rows_per_file, replace=False)
    files = written_ids(store)
    assert [product_id for file in files for product_id in file] == [str(row) for row in range(num_rows)]
    assert all(len(file) == rows_per_file for file in files[:-1])
    assert (written.num_rows, written.num_files) == (num_rows, len(files))


def test_large_images_make_smaller_files_and_row_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "_GROUP_BYTES", 40_000)
    monkeypatch.setattr(build, "_FILE_BYTES", 100_000)
    store = MemoryStore()
    write_catalogue(batches(300, size=1_000), store, rows_per_file=250, replace=False)
    metadata = [pq.read_metadata(io.BytesIO(store.get(info.key))) for info in store.list()]
    assert [file.num_rows for file in metadata] == [105, 105, 90]
    assert all(file.row_group(0).num_rows == 39 for file in metadata)


def test_row_groups_have_five_thousand_rows_at_most() -> None:
    store = MemoryStore()
    write_catalogue(batches(12_000, size=1, step=1_000), store, rows_per_file=20_000, replace=False)
    metadata = pq.read_metadata(io.BytesIO(store.get("part-00000.parquet")))
    assert [metadata.row_group(number).num_rows for number in range(3)] == [5_000, 5_000, 2_000]


def test_only_one_file_of_rows_is_held() -> None:
    consumed: list[int] = []

    class Watching(MemoryStore):
        def put(self, key: str, data: bytes) -> None:
            held.append(sum(consumed))
            consumed.clear()
            super().put(key, data)

    held: list[int] = []
    write_catalogue(batches(1_000, consumed=consumed), Watching(), rows_per_file=100, replace=False)
    assert max(held) <= 100 + 7


def test_the_same_rows_make_the_same_bytes() -> None:
    first, second = MemoryStore(), MemoryStore()
    write_catalogue(batches(100, step=7), first, rows_per_file=30, replace=False)
    write_catalogue(batches(100, step=3), second, rows_per_file=30, replace=False)
    assert [first.get(info.key) for info in first.list()] == [second.get(info.key) for info in second.list()]


def test_a_place_with_parquet_files_is_refused_or_replaced() -> None:
    store = MemoryStore()
    write_catalogue(batches(50), store, rows_per_file=10, replace=False)
    store.put("notes.txt", b"mine")
    with pytest.raises(RefusedError, match="already holds 5 Parquet files, such as part-00000.parquet: .*--replace"):
        write_catalogue(batches(8), store, rows_per_file=10, replace=False)
    with pytest.raises(CatalogueError, match="holds no images"):
        write_catalogue(batches(0), store, rows_per_file=10, replace=True)
    assert len(list(store.list())) == 6
    write_catalogue(batches(8), store, rows_per_file=10, replace=True)
    assert [info.key for info in store.list()] == ["notes.txt", "part-00000.parquet"]


class DyingStore(MemoryStore):
    """Ends the process, as far as the caller can tell, at a chosen write."""

    def __init__(self, puts: int) -> None:
        super().__init__()
        self.puts = puts

    def put(self, key: str, data: bytes) -> None:
        self.puts -= 1
        if self.puts < 0:
            raise StoreError("gone")
        super().put(key, data)

    def delete(self, key: str) -> None:
        if self.puts < 0:
            raise StoreError("gone")
        super().delete(key)


@pytest.mark.parametrize("puts", range(6))
def test_a_killed_build_is_marked_and_the_next_one_takes_its_place(puts: int) -> None:
    store = DyingStore(puts)
    with pytest.raises(StoreError):
        write_catalogue(batches(50), store, rows_per_file=10, replace=False)
    there = {info.key for info in store.list()}
    assert not there or UNFINISHED in there
    store.puts = 100
    write_catalogue(batches(20), store, rows_per_file=10, replace=False)
    assert [info.key for info in store.list()] == ["part-00000.parquet", "part-00001.parquet"]


def test_rows_per_file_is_checked() -> None:
    with pytest.raises(SettingError, match="--rows-per-file is 0; it must be at least 1"):
        BuildSettings(source_uri="a", out_uri="b", rows_per_file=0)


# the data set by name


def test_fashion_mnist_by_name(fashion_mnist: Path, tmp_path: Path) -> None:
    built = run("fashion-mnist-test", tmp_path, rows_per_file=4_000)
    assert (built.num_rows, built.num_files, built.labelled) == (10_000, 3, True)
    assert 4_500_000 < built.size_bytes < 6_000_000
    table = pq.read_table(tmp_path)
    assert table["product_id"][9_999].as_py() == "t10k-009999"
    assert table["label"].to_pylist()[:8] == [9, 2, 1, 1, 6, 1, 4, 6]
    pixels = pixels_of(table)
    assert pixels.shape == (10_000, 28, 28)
    assert int(pixels.sum(dtype=np.int64)) == 573_469_082
