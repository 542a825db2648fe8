"""One contract, run over every store."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fmnist_ray.errors import AccessDeniedError, ChangedError, NotFoundError, SettingError, TooLargeError
from fmnist_ray.store import RangeFile, Store, open_store, split_uri
from fmnist_ray.store.local import STAGING_PREFIX, LocalStore
from fmnist_ray.store.memory import MemoryStore


@pytest.fixture(params=["memory", "local", "ministack", "moto"])
def store(request: pytest.FixtureRequest, tmp_path: Path, use_s3: Callable[..., None]) -> Store:
    if request.param == "memory":
        return MemoryStore()
    if request.param == "local":
        return LocalStore(tmp_path / "root")
    server = request.getfixturevalue(request.param)
    use_s3(server)
    return open_store(f"s3://{server.new_bucket()}/some/root/")


def test_a_put_is_read_back_and_replaced_by_the_next(store: Store) -> None:
    store.put("a/b", b"first")
    first = store.info("a/b")
    assert store.get("a/b") == b"first"
    assert first.size_bytes == 5
    store.put("a/b", b"second")
    assert store.get("a/b") == b"second"
    assert store.info("a/b").etag != first.etag


def test_put_if_absent_keeps_what_is_there(store: Store) -> None:
    assert store.put_if_absent("key", b"winner")
    assert not store.put_if_absent("key", b"loser")
    assert store.get("key") == b"winner"


def test_of_sixteen_racers_one_wins(store: Store) -> None:
    wins: list[int] = []
    gate = threading.Barrier(16)

    def race(number: int) -> None:
        gate.wait()
        if store.put_if_absent("prize", b"%d" % number):
            wins.append(number)

    threads = [threading.Thread(target=race, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wins) == 1
    assert store.get("prize") == b"%d" % wins[0]


def test_what_is_not_there_is_not_found(store: Store) -> None:
    store.put("folder/file", b"")
    for key in ("nothing", "folder", "folder/file/below"):
        with pytest.raises(NotFoundError):
            store.get(key)
        with pytest.raises(NotFoundError):
            store.info(key)
    store.delete("nothing")


def test_whoever_names_no_object_finds_none(store: Store) -> None:
    store.put("folder/file", b"")
    for key in ("", "folder/"):
        with pytest.raises(NotFoundError):
            store.info(key)


def test_keys_and_content_may_be_anything(store: Store) -> None:
    for key in ("a b/ü%20+&?#.parquet", "x=1/y=é", "empty"):
        data = b"" if key == "empty" else key.encode() * 100_000
        store.put(key, data)
        assert store.get(key) == data
        assert store.info(key).size_bytes == len(data)
    assert len(list(store.list())) == 3


def test_an_object_that_is_too_large_is_not_read(store: Store) -> None:
    store.put("x", b"12345")
    assert store.get("x", max_bytes=5) == b"12345"
    with pytest.raises(TooLargeError, match="5 bytes, more than the 4 allowed"):
        store.get("x", max_bytes=4)
    assert store.get("x") == b"12345"


def test_list_is_by_prefix_and_sorted(store: Store) -> None:
    for key in ("b/2", "b/10", "a", "bc", "b.x"):
        store.put(key, key.encode())
    assert [info.key for info in store.list()] == ["a", "b.x", "b/10", "b/2", "bc"]
    assert [info.key for info in store.list("b/")] == ["b/10", "b/2"]
    assert [info.key for info in store.list("b/1")] == ["b/10"]
    assert list(store.list("none/")) == []
    store.delete("b/2")
    assert [info.size_bytes for info in store.list("b")] == [3, 4, 2]


def test_a_range_is_of_the_pinned_version_only(store: Store) -> None:
    store.put("key", b"0123456789")
    etag = store.info("key").etag
    assert store.read_range("key", 3, 4, etag=etag) == b"3456"
    assert store.read_range("key", 8, 99, etag=etag) == b"89"
    store.put("key", b"abcdefghijk")
    with pytest.raises(ChangedError, match="replaced"):
        store.read_range("key", 0, 1, etag=etag)


def test_a_range_file_serves_parquet_and_notices_a_change(store: Store) -> None:
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.table({"x": list(range(1000)), "y": ["text"] * 1000}), buffer)
    store.put("t.parquet", buffer.getvalue().to_pybytes())
    file = pq.ParquetFile(RangeFile(store, store.info("t.parquet")))
    assert file.read(["x"]).column("x").to_pylist() == list(range(1000))
    store.put("t.parquet", b"something else")
    with pytest.raises(ChangedError):
        file.read(["y"])


def test_a_range_file_reads_as_every_file_does(store: Store) -> None:
    store.put("key", b"0123456789")
    file = RangeFile(store, store.info("key"))
    assert (file.read(3), file.read(0), file.tell(), file.read(), file.read(5)) == (b"012", b"", 3, b"3456789", b"")
    assert (file.seek(-4, io.SEEK_END), file.read(99)) == (6, b"6789")
    buffer = bytearray(b"....")
    assert (file.seek(8), file.readinto(buffer), bytes(buffer)) == (8, 2, b"89..")


def test_local_leaves_no_staging_file_and_hides_one_of_a_crash(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("x", b"1")
    store.put_if_absent("x", b"2")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    (tmp_path / f"{STAGING_PREFIX}dead").write_bytes(b"half")
    assert [info.key for info in store.list()] == ["x"]


@pytest.mark.skipif(not Path("/sys").is_dir(), reason="needs a place where even root may not write")
def test_local_names_a_missing_permission() -> None:
    with pytest.raises(AccessDeniedError, match="No permission to write"):
        LocalStore("/sys").put("fmnist-ray/x", b"")


def test_local_refuses_a_place_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SettingError, match="name another place"):
        LocalStore(tmp_path / "file").put("x", b"")


def test_places(tmp_path: Path) -> None:
    assert open_store(str(tmp_path)).uri == open_store(tmp_path.as_uri()).uri == str(tmp_path)
    assert open_store("~/x").uri == os.path.expanduser("~/x")
    assert split_uri("/a/b/c.parquet") == ("/a/b", "c.parquet")
    assert split_uri("c.parquet") == (".", "c.parquet")
    assert split_uri("file:///c/") == ("file://", "c")
    assert open_store("s3://some.bucket/a//").uri == "s3://some.bucket/a"
    assert split_uri("s3://bucket/a/b.parquet") == ("s3://bucket/a", "b.parquet")
    assert split_uri("s3://bucket/a/") == ("s3://bucket", "a")
    assert split_uri("s3://bucket/") == ("s3://bucket", "")
    for wrong in ("s3://", "s3://A_B/x", "s3:///x"):
        with pytest.raises(SettingError, match="no S3 bucket"):
            open_store(wrong)
    with pytest.raises(SettingError, match="ftp://"):
        open_store("ftp://host/x")
