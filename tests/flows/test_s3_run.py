"""A run whose catalogue, bundle and results are on S3, under the permissions that README asks for and no more."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from s3_server import S3Server

from fmnist_ray import load_bundle, open_results
from fmnist_ray.bundle.format import read_bundle
from fmnist_ray.config.catalogue import BuildSettings
from fmnist_ray.config.classify import ClassifySettings
from fmnist_ray.errors import AccessDeniedError, ChangedError
from fmnist_ray.flows.build import build_catalogue
from fmnist_ray.flows.classify import classify
from fmnist_ray.flows.status import run_status
from fmnist_ray.flows.verify import verify_run
from fmnist_ray.store import open_store

Use = Callable[..., None]


@pytest.fixture
def places(bucket: str, pngs: list[bytes], tiny_bundle: Path) -> dict[str, str]:
    """A catalogue that was built from a prefix of images, and a bundle."""
    photos = open_store(f"{bucket}/photos")
    for number, png in enumerate(pngs):
        photos.put(f"{number:03d}.png", png)
    build_catalogue(BuildSettings(source_uri=photos.uri, out_uri=f"{bucket}/in/catalogue", rows_per_file=40))
    bundle = open_store(f"{bucket}/models/tiny")
    for name in tiny_bundle.iterdir():
        bundle.put(name.name, name.read_bytes())
    return {"catalogue_uri": f"{bucket}/in/catalogue", "bundle": bundle.uri, "out_uri": f"{bucket}/out/night"}


def policies(bucket: str, *, writes: str = "s3:PutObject") -> list[dict[str, Any]]:
    """Read the input and the model, write the output, list; delete nothing."""
    arn = f"arn:aws:s3:::{bucket.removeprefix('s3://')}"
    return [
        {"Action": "s3:GetObject", "Resource": [f"{arn}/in/*", f"{arn}/models/*", f"{arn}/out/*"]},
        {"Action": writes, "Resource": f"{arn}/out/*"},
        {"Action": "s3:ListBucket", "Resource": arn},
    ]


def test_a_run_needs_no_more_than_it_is_said_to(
    places: dict[str, str], bucket: str, ministack: S3Server, use_s3: Use, in_process: Any, pngs: list[bytes]
) -> None:
    use_s3(ministack, **ministack.new_user(*policies(bucket)))
    summary = classify(ClassifySettings(**places, shard_rows=16), lambda: nullcontext(in_process()))
    assert (summary.num_rows, summary.num_predictions, summary.num_shards) == (60, 60, 5)
    results = open_results(places["out_uri"])
    assert results.predictions().column("product_id").to_pylist() == [f"{number:03d}.png" for number in range(60)]
    direct = load_bundle(places["bundle"]).classify(pngs)
    assert results.predictions().column("confidence").to_pylist() == direct.column("confidence").to_pylist()
    assert results.files("predictions")[0].startswith(f"{bucket}/out/night/data/")
    assert results.report()["num_predictions"] == 60
    assert verify_run(places["out_uri"]).num_rows == 60
    assert run_status(places["out_uri"]).committed
    again = classify(ClassifySettings(**places), lambda: nullcontext(in_process()))
    assert again.num_shards_resumed == 5


def test_a_permission_that_is_missing_stops_the_run_before_any_work(
    places: dict[str, str], bucket: str, ministack: S3Server, use_s3: Use, in_process: Any
) -> None:
    use_s3(ministack, **ministack.new_user(*policies(bucket, writes="s3:PutObjectTagging")))
    with pytest.raises(AccessDeniedError, match=r"No permission to write .*_PLAN.json: grant s3:PutObject"):
        classify(ClassifySettings(**places), lambda: nullcontext(in_process()))


def test_credentials_that_fail_on_the_way_keep_what_is_done(
    places: dict[str, str], bucket: str, ministack: S3Server, use_s3: Use, in_process: Any
) -> None:
    class Revoked(in_process):  # type: ignore[misc]
        def run(self, settings: Any, shard_ids: Any) -> Any:
            for number, outcome in enumerate(super().run(settings, shard_ids)):
                yield outcome
                if number == 1:
                    use_s3(ministack, AWS_ACCESS_KEY_ID="AKIAREVOKED000000000")

    settings = ClassifySettings(**places, shard_rows=16)
    with pytest.raises(AccessDeniedError, match="refused"):
        classify(settings, lambda: nullcontext(Revoked()))
    use_s3(ministack)
    assert run_status(places["out_uri"]).num_shards_done == 2
    assert classify(settings, lambda: nullcontext(in_process())).num_shards_resumed == 2


def test_an_input_that_is_replaced_on_the_way_stops_the_run(
    places: dict[str, str], in_process: Any, pngs: list[bytes]
) -> None:
    class Replaced(in_process):  # type: ignore[misc]
        def run(self, settings: Any, shard_ids: Any) -> Any:
            for outcome in super().run(settings, shard_ids):
                yield outcome
                open_store(places["catalogue_uri"]).put("part-00001.parquet", b"other")

    with pytest.raises(ChangedError, match=r"part-00001.parquet was replaced or removed .* plan anew"):
        classify(ClassifySettings(**places, shard_rows=16), lambda: nullcontext(Replaced()))


def test_a_bundle_on_s3_is_the_same_bundle(places: dict[str, str], tiny_bundle: Path) -> None:
    assert read_bundle(places["bundle"]).digest == read_bundle(str(tiny_bundle)).digest
