"""The night after: what is unchanged is carried over, what changed is classified, and both together are the whole."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fmnist_ray
from fmnist_ray.bundle.classifier import Classifier
from fmnist_ray.bundle.format import BundleSpec, read_bundle, write_bundle
from fmnist_ray.config.classify import ClassifySettings
from fmnist_ray.errors import IncompleteError, SettingError
from fmnist_ray.flows.classify import RunSummary, classify
from fmnist_ray.flows.gc import collect_garbage
from fmnist_ray.flows.retry import RetrySettings, retry
from fmnist_ray.flows.verify import verify_run
from fmnist_ray.images.encode import encode_png
from fmnist_ray.store import open_store

Night = Callable[..., RunSummary]


@pytest.fixture
def night(tiny_bundle: Path, tmp_path: Path, in_process: Any) -> Night:
    def run(name: str, executor: Any = None, **options: Any) -> RunSummary:
        chosen = {
            "catalogue_uri": str(tmp_path / "catalogue"),
            "out_uri": str(tmp_path / name),
            "bundle": str(tiny_bundle),
            "shard_rows": 16,
            **options,
        }
        return classify(ClassifySettings(**chosen), lambda: nullcontext(executor or in_process()))

    return run


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many cells that hold an image each call of the classifier was given."""
    seen: list[int] = []
    answer = Classifier.answer

    def counted(self: Classifier, cells: Any) -> Any:
        seen.append(sum(isinstance(cell, bytes) for cell in cells))
        return answer(self, cells)

    monkeypatch.setattr(Classifier, "answer", counted)
    return seen


def answers(out: Path) -> dict[str, tuple[Any, ...]]:
    names = ("label", "label_id", "confidence", "bundle_digest", "image_digest")
    table = fmnist_ray.open_results(str(out)).predictions()
    assert table.column("input_row").to_pylist() == sorted(table.column("input_row").to_pylist())
    return {row["product_id"]: tuple(row[name] for name in names) for row in table.to_pylist()}


def test_unchanged_images_are_carried_wherever_their_rows_went(
    night: Night, catalogue: Any, pngs: list[bytes], decoded: list[int], tmp_path: Path
) -> None:
    ids = [f"p{number}" for number in range(60)]
    folder = catalogue({"product_id": ids, "image": pngs})
    assert night("first").num_carried == 0
    assert sum(decoded) == 60
    new = [encode_png(pixels) for pixels in np.random.default_rng(9).integers(0, 256, (3, 28, 28), dtype=np.uint8)]
    images = [new[0], b"<html>", *pngs[:20], new[1], *pngs[20:59], new[2], pngs[0]]
    names = ["n0", "bad", *ids[:20], "n1", *ids[20:59], "n2", "again"]
    pq.write_table(pa.table({"product_id": names, "image": images}), folder / "part-0.parquet")
    decoded.clear()
    second = night("second", since_uri=str(tmp_path / "first"))
    assert (second.num_rows, second.num_carried, second.num_rejects) == (64, 60, 1)
    assert sum(decoded) == 4
    assert verify_run(str(tmp_path / "second")).num_rows == 64
    afresh = night("afresh")
    assert afresh.num_carried == 0
    assert answers(tmp_path / "second") == answers(tmp_path / "afresh")
    table = fmnist_ray.open_results(str(tmp_path / "second")).predictions()
    status = dict(zip(table.column("product_id").to_pylist(), table.column("status").to_pylist(), strict=True))
    assert {name for name, found in status.items() if found == "classified"} == {"n0", "n1", "n2"}
    assert second.plan_id != afresh.plan_id
    report = fmnist_ray.open_results(str(tmp_path / "second")).report()
    assert (report["num_carried"], report["num_predictions"]) == (60, 63)
    decoded.clear()
    assert night("third", since_uri=str(tmp_path / "second")).num_carried == 63
    assert sum(decoded) == 1
    assert night("third", since_uri=str(tmp_path / "second")).num_shards_resumed == second.num_shards


def test_carried_rows_count_in_accuracy_and_keep_their_columns(
    night: Night, catalogue: Any, pngs: list[bytes], tmp_path: Path
) -> None:
    catalogue({"image": pngs, "label": ["Bag"] * 60})
    first = night("first")
    second = night("second", since_uri=str(tmp_path / "first"))
    assert second.num_carried == 60
    assert second.accuracy == first.accuracy


def test_another_bundle_or_precision_carries_nothing(
    night: Night, catalogue: Any, pngs: list[bytes], tiny_bundle: Path, tmp_path: Path
) -> None:
    catalogue({"image": pngs})
    night("first")
    bundle = read_bundle(str(tiny_bundle))
    spec = BundleSpec.from_json(bundle.spec.to_json().replace(b'"temperature": 1.5', b'"temperature": 3.0'))
    files = {name: data for name, data in bundle.files.items() if name != "bundle.json"}
    write_bundle(open_store(str(tmp_path / "other")), spec, files)
    since = str(tmp_path / "first")
    assert night("second", since_uri=since, bundle=str(tmp_path / "other")).num_carried == 0
    assert night("third", since_uri=since, image_prefixes=(str(tmp_path),)).num_carried == 60


def test_a_night_needs_an_earlier_one_that_is_another(
    night: Night, catalogue: Any, pngs: list[bytes], tmp_path: Path
) -> None:
    catalogue({"image": pngs})
    with pytest.raises(IncompleteError, match="No committed run"):
        night("first", since_uri=str(tmp_path / "nothing"))
    night("first")
    with pytest.raises(SettingError, match="a place of its own"):
        night("first", since_uri=str(tmp_path / "first"), replace=True)


def test_retry_redoes_what_may_end_otherwise_and_keeps_the_rest(
    night: Night, catalogue: Any, pngs: list[bytes], in_process: Any, decoded: list[int], tmp_path: Path
) -> None:
    folder = catalogue({"image": [f"{number}.png" for number in range(60)]})
    for number, png in enumerate(pngs):
        if number not in (20, 21):
            (folder / f"{number}.png").write_bytes(b"<html>" if number == 22 else png)
    first = night("out")
    assert first.rejects_by_reason == {"not_found": 2, "unsupported_format": 1}
    executor = in_process()
    out = tmp_path / "out"
    (folder / "20.png").write_bytes(pngs[20])
    decoded.clear()
    second = retry(RetrySettings(out_uri=str(out)), lambda: nullcontext(executor))
    assert second is not None
    assert second.rejects_by_reason == {"not_found": 1, "unsupported_format": 1}
    assert [len(shards) for shards in executor.rounds] == [1]
    assert sum(decoded) == 2
    assert second.num_shards_resumed == second.num_shards - 1
    now = fmnist_ray.open_results(str(out))
    assert (now.commit.plan_id, now.commit.previous) == (second.plan_id, first.plan_id)
    assert now.predictions().column("input_row").to_pylist() == [row for row in range(60) if row not in (21, 22)]
    assert verify_run(str(out)).num_rows == verify_run(str(out), plan_id=first.plan_id).num_rows == 60
    (folder / "21.png").write_bytes(pngs[21])
    third = retry(RetrySettings(out_uri=str(out)), lambda: nullcontext(in_process()))
    assert third is not None
    assert third.rejects_by_reason == {"unsupported_format": 1}
    assert retry(RetrySettings(out_uri=str(out)), lambda: nullcontext(in_process())) is None


def test_gc_removes_what_nobody_names_and_nothing_else(
    night: Night, catalogue: Any, pngs: list[bytes], in_process: Any, tmp_path: Path
) -> None:
    catalogue({"image": pngs})
    out = tmp_path / "out"
    first = night("out")
    kept = {path for path in out.rglob("*") if path.is_file()}
    assert collect_garbage(str(out), grace_s=0, dry_run=False).num_objects == 0
    orphans = [
        out / "data" / first.plan_id / "00000-0000000000-0000000016-dead.predictions.parquet",
        out / "data" / "given-up" / "00000-0000000000-0000000016-dead.rejects.parquet",
        out / "receipts" / "given-up" / "00000-0000000000-0000000016.json",
        out / "plan" / "given-up.json",
        out / "report" / "given-up" / "report.html",
    ]
    for path in orphans:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"{}")
    assert collect_garbage(str(out), grace_s=3600, dry_run=False).num_objects == 0
    assert collect_garbage(str(out), grace_s=0, dry_run=True).num_objects == 5
    assert all(path.exists() for path in orphans)
    assert collect_garbage(str(out), grace_s=0, dry_run=False).num_objects == 5
    assert {path for path in out.rglob("*") if path.is_file()} == kept
    night("out", image_prefixes=(str(tmp_path),), replace=True)
    places = (str(tmp_path / "catalogue"), str(tmp_path))
    with pytest.raises(IncompleteError):
        night("out", in_process(lambda shard: shard.endswith("60")), image_prefixes=places, replace=True)
    assert collect_garbage(str(out), grace_s=0, dry_run=False).num_objects == 0
    assert verify_run(str(out), plan_id=first.plan_id).num_rows == 60
    with pytest.raises(SettingError, match="No run has begun"):
        collect_garbage(str(tmp_path / "nothing"), grace_s=0, dry_run=True)
