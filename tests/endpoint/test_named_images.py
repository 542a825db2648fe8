"""Images that requests name: on S3, below allowed places only, each with an answer or a reason of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fmnist_ray.client import Client
from fmnist_ray.config.images import ImageLimits
from fmnist_ray.config.serve import RequestLimits
from fmnist_ray.errors import InputError, WorldError
from fmnist_ray.store import open_store


def test_places_on_s3_are_fetched_where_they_are_allowed(
    serve: Any, bucket: str, sample: list[bytes], tmp_path: Path
) -> None:
    store = open_store(bucket)
    for name, data in {"photos/boot.png": sample[0], "photos/none": b"text", "other/boot.png": sample[0]}.items():
        store.put(name, data)
    (tmp_path / "pullover.png").write_bytes(sample[1])
    store.put("photos/large.png", bytes(100_000))
    places = {
        f"{bucket}/photos/boot.png": "Ankle boot",
        f"{tmp_path}/pullover.png": "Pullover",
        f"{bucket}/photos/none": "unsupported_format",
        f"{bucket}/photos/missing.png": "not_found",
        f"{bucket}/photos/large.png": "too_large",
        f"{bucket}/other/boot.png": "not_allowed",
        f"{bucket}/photos/../other/boot.png": "not_allowed",
        "s3://elsewhere/boot.png": "not_allowed",
        "http://169.254.169.254/latest": "not_allowed",
        "file:///etc/hostname": "not_allowed",
        "boot.png": "not_allowed",
        "": "empty",
    }
    limits = RequestLimits(image=ImageLimits(max_bytes=50_000))
    with serve(image_prefixes=(f"{bucket}/photos", str(tmp_path)), limits=limits) as url, Client(url) as client:
        found = client.classify([*places, sample[2]])
        overlay = client.explain(sample[0])
    assert [each.label or each.reason for each in found] == [*places.values(), "Trouser"]
    assert overlay.startswith(b"\x89PNG")


def test_what_is_fetched_counts_as_if_it_was_sent(serve: Any, sample: list[bytes], tmp_path: Path) -> None:
    (tmp_path / "boot.png").write_bytes(sample[0])
    size = len(sample[0])
    limits = RequestLimits(max_body_bytes=4 * size)
    with serve(image_prefixes=(str(tmp_path),), limits=limits) as url, Client(url, retries=0) as client:
        place = f"{tmp_path}/boot.png"
        for _ in range(3):
            assert client.classify([place] * 3)[2].label == "Ankle boot"
        with pytest.raises(InputError, match=f"{4 * size:,} bytes"):
            client.classify([place] * 5)


def test_without_allowed_places_nothing_is_fetched(url: str, tmp_path: Path, sample: list[bytes]) -> None:
    (tmp_path / "boot.png").write_bytes(sample[0])
    with Client(url) as client:
        [found] = client.classify([f"{tmp_path}/boot.png"])
    assert (found.reason, "there are none; see --images" in str(found.detail)) == ("not_allowed", True)


def test_a_store_that_cannot_be_read_is_no_fault_of_an_image(
    serve: Any, sample: list[bytes], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with serve(image_prefixes=("s3://shop",)) as url, Client(url, retries=0) as client:
        with pytest.raises(WorldError, match="503: The store of the named images can't be read"):
            client.classify(["s3://shop/boot.png"])
        assert client.classify(sample[:1])[0].label == "Ankle boot"
    assert "credentials" in caplog.text
