"""Catalogues that name their images: what is fetched, what is refused, and what an outage does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fault_proxy import FaultProxy
from s3_server import S3Server

from fmnist_ray import load_bundle, open_results
from fmnist_ray.catalogue.fetch import ImageFetcher
from fmnist_ray.catalogue.reader import RowBatch
from fmnist_ray.config.classify import ClassifySettings, ColumnNames
from fmnist_ray.errors import AccessDeniedError, IncompleteError
from fmnist_ray.flows.check import check_catalogue
from fmnist_ray.flows.classify import RunSummary, classify
from fmnist_ray.store import open_store
from fmnist_ray.store.memory import MemoryStore

Use = Callable[..., None]


@pytest.fixture
def run(tiny_bundle: Path, tmp_path: Path, in_process: Any) -> Callable[..., RunSummary]:
    def start(catalogue_uri: str, **options: Any) -> RunSummary:
        settings = {"out_uri": str(tmp_path / "out"), "bundle": str(tiny_bundle), "shard_rows": 25, **options}
        return classify(ClassifySettings(catalogue_uri=catalogue_uri, **settings), lambda: nullcontext(in_process()))

    return start


def reasons(out: Path) -> dict[int, str]:
    rejects = open_results(str(out)).rejects()
    return dict(zip(rejects.column("input_row").to_pylist(), rejects.column("reason").to_pylist(), strict=True))


def test_named_images_get_the_answers_of_held_ones(
    run: Callable[..., RunSummary], catalogue: Any, pngs: list[bytes], tmp_path: Path, tiny_bundle: Path
) -> None:
    names = [f"photos/{number}.png" for number in range(60)]
    folder = catalogue({"image": names})
    (folder / "photos").mkdir()
    for name, png in zip(names, pngs, strict=True):
        (folder / name).write_bytes(png)
    assert run(str(folder)).num_predictions == 60
    predictions = open_results(str(tmp_path / "out")).predictions()
    assert predictions.column("input_row").to_pylist() == list(range(60))
    direct = load_bundle(str(tiny_bundle)).classify(pngs)
    assert predictions.column("confidence").to_pylist() == direct.column("confidence").to_pylist()
    assert check_catalogue(str(folder), ColumnNames()).sample_rejects == []


def test_only_allowed_places_are_read(
    run: Callable[..., RunSummary], catalogue: Any, pngs: list[bytes], tmp_path: Path
) -> None:
    folder = catalogue({"image": ["a"]})
    other, secret = tmp_path / "other", tmp_path / "other-secret"
    for place in (folder, other, secret):
        place.mkdir(exist_ok=True)
        (place / "x.png").write_bytes(pngs[0])
    (folder / "big.png").write_bytes(b"\x89PNG" * 6_000_000)
    expected = {
        "x.png": None,
        "./x.png": None,
        f"{other}/x.png": None,
        "missing.png": "not_found",
        f"{other}/{'n' * 300}.png": "not_found",
        "n/" * 600: "not_found",
        "big.png": "too_large",
        "": "empty",
        "../other/x.png": "not_allowed",
        f"{other}/../other-secret/x.png": "not_allowed",
        f"{secret}/x.png": "not_allowed",
        f"file://{other}/x.png": "not_allowed",
        "/etc/passwd": "not_allowed",
        "x.png\x00": "not_allowed",
        "s3://bucket/x.png": "not_allowed",
        "http://169.254.169.254/latest/meta-data/": "not_allowed",
        "http://2130706433/": "not_allowed",
        "ftp://host/x.png": "not_allowed",
        "photos": "not_found",
    }
    (folder / "photos").mkdir()
    table = pa.table({"image": pa.array([*expected, None]).dictionary_encode()})
    pq.write_table(table, folder / "part-0.parquet")
    run(str(folder), image_prefixes=(str(folder), str(other)))
    found = reasons(tmp_path / "out")
    assert {name: found.get(row) for row, name in enumerate(expected)} == expected
    assert found[len(expected)] == "empty"


class Slow(MemoryStore):
    """Counts how many calls are under way at once, and how much they brought."""

    def __init__(self) -> None:
        super().__init__("memory://")
        self.now = self.most = self.total = 0
        self._lock = threading.Lock()

    def get(self, key: str, *, max_bytes: int | None = None) -> bytes:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self.total += 1
        threading.Event().wait(0.002)
        with self._lock:
            self.now -= 1
        return b"x" * (5 << 20)


def test_fetching_is_concurrent_and_bounded() -> None:
    fetcher = ImageFetcher("/photos", (), max_bytes=6 << 20)
    store = Slow()
    store.uri = "/photos"
    fetcher._sources = [store]
    count = 200
    batch = RowBatch(
        first_row=1000, images=["n"] * count, ids=pa.array(list(map(str, range(count)))), labels=None, kept=[]
    )
    rows: list[str] = []
    for number, part in enumerate(fetcher.fetched(iter([batch]))):
        assert part.first_row == 1000 + len(rows)
        assert sum(map(len, part.images)) <= (64 + 5) << 20
        assert store.total <= len(rows) + len(part) + 32
        rows += part.ids.to_pylist()
        assert number < 20
    assert rows == batch.ids.to_pylist()
    assert 8 <= store.most <= 16


@pytest.fixture
def shop(bucket: str, pngs: list[bytes]) -> str:
    """A catalogue on S3 of 60 rows, six of whose images are missing."""
    store = open_store(bucket)
    for number, png in enumerate(pngs):
        if number % 10 != 3:
            store.put(f"photos/{number}.png", png)
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.table({"image": [f"{bucket}/photos/{number}.png" for number in range(60)]}), buffer)
    store.put("catalogue/part.parquet", bytes(buffer.getvalue()))
    return bucket


def test_missing_objects_are_rejects_and_the_rest_is_classified(
    run: Callable[..., RunSummary], shop: str, tmp_path: Path
) -> None:
    summary = run(f"{shop}/catalogue", image_prefixes=(f"{shop}/photos/",))
    assert summary.rejects_by_reason == {"not_found": 6}
    assert reasons(tmp_path / "out") == dict.fromkeys(range(3, 60, 10), "not_found")


def test_a_denied_image_stops_the_run(
    run: Callable[..., RunSummary], shop: str, ministack: S3Server, use_s3: Use, tmp_path: Path
) -> None:
    arn = f"arn:aws:s3:::{shop.removeprefix('s3://')}"
    reads_catalogue = {"Action": "s3:GetObject", "Resource": f"{arn}/catalogue/*"}
    use_s3(ministack, **ministack.new_user(reads_catalogue, {"Action": "s3:ListBucket", "Resource": arn}))
    with pytest.raises(AccessDeniedError, match=r"No permission to read s3://.*/photos/\d+.png: grant s3:GetObject"):
        run(f"{shop}/catalogue", image_prefixes=(f"{shop}/photos",))
    assert not (tmp_path / "out" / "receipts").exists()


@pytest.fixture
def outage(shop: str, ministack: S3Server, use_s3: Use, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """Images can't be had until `choose` is changed."""
    monkeypatch.setattr("fmnist_ray.store.retry.with_retries.__kwdefaults__", {"budget_s": 0.3})
    monkeypatch.setattr("fmnist_ray.store.s3.S3Store.__init__.__kwdefaults__", {"retry_for_s": 0.3})
    proxy = FaultProxy(ministack.endpoint, lambda method, path: "503" if "/photos/" in path else None)
    use_s3(ministack, AWS_ENDPOINT_URL=proxy.endpoint)
    yield proxy
    proxy.close()


def test_an_outage_rejects_no_row(
    run: Callable[..., RunSummary], shop: str, outage: FaultProxy, tmp_path: Path
) -> None:
    with pytest.raises(IncompleteError, match="the store answered 503"):
        run(f"{shop}/catalogue", image_prefixes=(f"{shop}/photos",))
    outage.choose = lambda method, path: None
    assert run(f"{shop}/catalogue", image_prefixes=(f"{shop}/photos",)).rejects_by_reason == {"not_found": 6}
