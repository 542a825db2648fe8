"""Products that look like an image, over HTTP: what the command finds, of the bundle that answers."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import urllib3
from typer.testing import CliRunner

from fmnist_ray.cli.app import app
from fmnist_ray.client import Client
from fmnist_ray.config.serve import RequestLimits, ServeSettings
from fmnist_ray.endpoint.keys import add_key, read_keys
from fmnist_ray.endpoint.model import Model, loader
from fmnist_ray.endpoint.similar import SimilarRows
from fmnist_ray.errors import InputError, ParityError, WorldError


def ask(url: str, query: str = "", **content: Any) -> urllib3.BaseHTTPResponse:
    with urllib3.PoolManager(retries=False) as http:
        return http.request("POST", f"{url}/v1/similar{query}", **content)


@pytest.fixture(scope="module")
def similar_url(serve: Any, features: str) -> Iterator[str]:
    with serve(features_uri=features) as address:
        yield address


def test_it_finds_what_the_command_finds(similar_url: str, features: str, sample: list[bytes], tmp_path: Path) -> None:
    with Client(similar_url) as client:
        found = client.similar(sample[650], rows=7)
    assert (len(found), found[0].input_row, found[0].similarity) == (7, 650, pytest.approx(1, abs=1e-5))
    (tmp_path / "photo.png").write_bytes(sample[650])
    arguments = [str(tmp_path / "photo.png"), "--features", features, "--out", str(tmp_path), "--rows", "7", "--json"]
    done = CliRunner().invoke(app, ["similar", *arguments])
    hits = json.loads(done.stdout)["hits"]
    assert [(hit["input_file"], hit["input_row"], hit["product_id"], hit["label"]) for hit in hits] == [
        (each.input_file, each.input_row, each.product_id, each.label) for each in found
    ]
    assert [each.similarity for each in found] == pytest.approx([hit["similarity"] for hit in hits], abs=1e-5)


def test_many_images_and_many_requests(similar_url: str, sample: list[bytes]) -> None:
    images = [base64.b64encode(image).decode() for image in (sample[3], b"none", sample[999])]
    answer = ask(similar_url, "?rows=2", json={"images": images}).json()["results"]
    assert [each.get("similar", [{}])[0].get("input_row") for each in answer] == [3, None, 999]
    assert answer[1]["error"]["reason"] == "unsupported_format"
    assert all(len(answer[place]["similar"]) == 2 for place in (0, 2))
    with Client(similar_url) as client, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda row: client.similar(sample[row], rows=1)[0].input_row, range(40)))
    assert found == list(range(40))


@pytest.mark.parametrize(
    ("query", "content", "status", "kind"),
    [
        ("?rows=0", {"json": {"images": [""]}}, 422, "parameter"),
        ("?rows=101", {"json": {"images": [""]}}, 422, "parameter"),
        ("", {"json": {"images": []}}, 422, "no-images"),
        ("", {"body": b"text", "headers": {"Content-Type": "text/plain"}}, 415, "content-type"),
    ],
)
def test_what_can_not_be_asked(similar_url: str, query: str, content: dict[str, Any], status: int, kind: str) -> None:
    answer = ask(similar_url, query, **content)
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["type"] == f"urn:fmnist-ray:{kind}"


def test_without_features_and_with_those_of_another_bundle(
    url: str, serve: Any, features: str, other_bundle: str, sample: list[bytes], tmp_path: Path
) -> None:
    answer = ask(url, json={"images": [base64.b64encode(sample[0]).decode()]})
    assert (answer.status, answer.json()["type"]) == (404, "urn:fmnist-ray:no-features")
    model = Model(other_bundle, loader(ServeSettings(bundle=other_bundle), threads=1))
    with pytest.raises(ParityError, match="holds features of bundle"):
        SimilarRows(features, model, RequestLimits(), threads=1)
    key = add_key(str(tmp_path / "keys"), "boss", "admin")
    with serve(features_uri=features, keys=read_keys(str(tmp_path / "keys"))) as guarded:
        with Client(guarded, key=key, retries=0) as client:
            assert client.similar(sample[5], rows=1)[0].input_row == 5
            client.reload(other_bundle)
            with pytest.raises(InputError, match="has taken over, and the features are of"):
                client.similar(sample[5])
            client.reload("default")
            assert client.similar(sample[5], rows=1)[0].input_row == 5
        assert ask(guarded, json={"images": [""]}).status == 401


def test_a_table_in_memory_and_one_that_is_gone(serve: Any, features: str, sample: list[bytes], tmp_path: Path) -> None:
    copy = tmp_path / "features"
    num_bytes = 1_000 * 80 * 4
    for held in (num_bytes, num_bytes - 1):
        shutil.copytree(features, copy)
        limits = RequestLimits(max_features_bytes=held)
        with serve(features_uri=str(copy), limits=limits) as address, Client(address, retries=0) as client:
            before = client.similar(sample[5])
            shutil.rmtree(copy)
            if held == num_bytes:
                assert client.similar(sample[5]) == before
            else:
                with pytest.raises(WorldError, match="can't be read; the endpoint's log says why"):
                    client.similar(sample[5])
