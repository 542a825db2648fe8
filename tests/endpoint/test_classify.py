"""Answers over real HTTP: those of the Python interface, and a sentence for everything that is none of an image."""

from __future__ import annotations

import base64
import contextlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import urllib3
from hypothesis import given, settings
from hypothesis import strategies as st
from same_answers import differences

from fmnist_ray import open_results
from fmnist_ray.bundle.classifier import load_bundle
from fmnist_ray.client import Client
from fmnist_ray.config.classify import ClassifySettings
from fmnist_ray.config.decisions import Promises
from fmnist_ray.endpoint.answers import BundleCard, Classification
from fmnist_ray.endpoint.problems import ProblemDocument
from fmnist_ray.flows.classify import classify as run_classify
from fmnist_ray.images.encode import encode_png
from fmnist_ray.schema import Reason

SHARED = Path(os.environ.get("FMNIST_RAY_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))


def ask(url: str, path: str = "/v1/classify", method: str = "POST", **content: Any) -> urllib3.BaseHTTPResponse:
    with urllib3.PoolManager(retries=False) as http:
        return http.request(method, url + path, **content)


def problem(response: urllib3.BaseHTTPResponse, status: int) -> ProblemDocument:
    """The problem document of a response with this status."""
    assert response.status == status, response.data
    assert response.headers["content-type"] == "application/problem+json"
    document = ProblemDocument.model_validate_json(response.data)
    assert document.status == status
    return document


def test_a_thousand_images_get_the_answers_of_the_python_interface(url: str, sample: list[bytes]) -> None:
    expected = load_bundle("default", runtime="cpu").classify(sample)
    with Client(url) as client:
        found = client.classify(sample)
    assert len(found) == 1000
    assert [each.label for each in found] == expected["label"].to_pylist()
    assert [each.label_id for each in found] == expected["label_id"].to_pylist()
    assert [each.confidence for each in found] == expected["confidence"].to_pylist(), "bit for bit"
    assert {each.bundle_digest for each in found} == set(expected["bundle_digest"].to_pylist())
    assert all(each.top[0] == (each.label, each.confidence) for each in found)
    assert all(len(each.top) == 3 and each.top[0][1] >= each.top[1][1] >= each.top[2][1] for each in found)


def test_the_endpoint_decides_as_the_batch_run_does(
    serve: Any, sample: list[bytes], tmp_path: Path, in_process: Any
) -> None:
    """Every field of the answers to good, strange, blank and broken images, under one promise."""
    generator = np.random.default_rng(5)
    noise = [encode_png(generator.integers(0, 256, (28, 28), dtype=np.uint8)) for _ in range(10)]
    blank = [encode_png(np.full((28, 28), 80 + number, np.uint8)) for number in range(5)]
    images = [*sample[:300], *noise, *blank, b"broken", sample[0][:90]]
    promises = Promises(min_precision=0.98)
    (tmp_path / "catalogue").mkdir()
    pq.write_table(pa.table({"image": images}), tmp_path / "catalogue" / "part.parquet")
    run = ClassifySettings(
        catalogue_uri=str(tmp_path / "catalogue"), out_uri=str(tmp_path / "out"), promises=promises, accept_rejects=True
    )
    run_classify(run, lambda: contextlib.nullcontext(in_process()))
    results = open_results(str(tmp_path / "out"))
    batch = results.predictions().sort_by("input_row").to_pylist()
    rejects = results.rejects().sort_by("input_row").to_pylist()
    with serve(promises=promises) as url, Client(url) as client:
        found = client.classify(images)
        card = BundleCard.model_validate(client.bundle())
    assert card.promises["min_precision"] == 0.98
    assert card.thresholds is not None
    assert 0.5 < (card.thresholds["Bag"] or 0) < 1
    answered = [each for each in found if each.reason is None]
    assert [differences(each, row) for each, row in zip(answered, batch, strict=True)] == [{}] * 315
    assert [(each.reason, each.detail) for each in found if each.reason] == [
        (row["reason"], row["detail"]) for row in rejects
    ]
    reasons = {each.decision_reason for each in answered}
    assert reasons == {"confident", "unsure", "novel", "unusable_photo"}
    assert any(each.agree is False for each in answered)
    assert {len(each.label_set or ()) for each in answered} >= {0, 1, 2}


def test_three_ways_to_send_an_image(url: str, sample: list[bytes]) -> None:
    named = {"name": "shoe.png", "data": base64.b64encode(sample[0]).decode()}
    files = [("images", ("shoe.png", sample[0], "image/png"))]
    raw = ask(url, body=sample[0], headers={"Content-Type": "image/png"})
    answers = [raw, ask(url, fields=files), ask(url, json={"images": [named]})]
    results = [Classification.model_validate_json(answer.data).results for answer in answers]
    assert [len(each) for each in results] == [1, 1, 1]
    assert [each[0].name for each in results] == [None, "shoe.png", "shoe.png"]
    assert {(each[0].label, each[0].confidence) for each in results} == {
        (results[0][0].label, results[0][0].confidence)
    }
    assert results[0][0].label == "Ankle boot"


def test_a_bad_image_fails_no_other(url: str, sample: list[bytes]) -> None:
    cells = [sample[0], b"", b"no image", sample[1][:100], sample[1]]
    answer = ask(url, "/v1/classify?top_k=10", json={"images": [base64.b64encode(cell).decode() for cell in cells]})
    results = Classification.model_validate_json(answer.data).results
    reasons = [result.error and result.error.reason for result in results]
    assert reasons == [None, Reason.EMPTY, Reason.UNSUPPORTED_FORMAT, Reason.TRUNCATED, None]
    assert [result.label for result in results] == ["Ankle boot", None, None, None, "Pullover"]
    assert abs(sum(entry.confidence for entry in results[0].top or ()) - 1) < 1e-5


@pytest.mark.parametrize(
    ("status", "kind", "content"),
    [
        (415, "content-type", {"body": b"x"}),
        (415, "content-type", {"body": b"x", "headers": {"Content-Type": "text/plain"}}),
        (400, "json", {"body": b"{", "headers": {"Content-Type": "application/json"}}),
        (400, "json", {"body": b"[" * 100_000, "headers": {"Content-Type": "application/json"}}),
        (422, "json", {"json": {"pictures": []}}),
        (422, "json", {"json": {"images": ["%%%"]}}),
        (422, "json", {"json": {"images": [7]}}),
        (422, "json", {"json": {"images": [{"name": 7, "data": ""}]}}),
        (422, "no-images", {"json": {"images": []}}),
        (413, "too-many-images", {"json": {"images": [""] * 257}}),
        (413, "too-many-images", {"fields": [("images", (str(n), b"x")) for n in range(257)]}),
        (422, "form", {"fields": {"images": "text"}}),
        (400, "form", {"body": b"--x", "headers": {"Content-Type": "multipart/form-data"}}),
        (400, "form", {"body": b"xx", "headers": {"Content-Type": "multipart/form-data; boundary=y"}}),
    ],
)
def test_nonsense_gets_a_problem_document(url: str, status: int, kind: str, content: dict[str, Any]) -> None:
    assert problem(ask(url, **content), status).type == f"urn:fmnist-ray:{kind}"


def test_wrong_places_and_parameters_get_problem_documents(url: str) -> None:
    assert problem(ask(url, "/v2/classify"), 404)
    assert problem(ask(url, method="GET"), 405)
    assert "top_k" in problem(ask(url, "/v1/classify?top_k=0", json={"images": [""]}), 422).detail
    assert problem(ask(url, "/page/..%2fpage.html", "GET"), 404)
    assert problem(ask(url, "/page/samples/10", "GET"), 404)


@settings(max_examples=60, deadline=None)
@given(
    st.binary(max_size=300), st.sampled_from(["application/json", "multipart/form-data; boundary=a", "image/png", ""])
)
def test_any_body_is_answered(url: str, body: bytes, kind: str) -> None:
    answer = ask(url, body=body, headers={"Content-Type": kind})
    assert answer.status in (200, 400, 415, 422)
    if answer.status == 200:
        assert Classification.model_validate_json(answer.data).results[0].error


@pytest.mark.skipif(not (SHARED / "hostile-images.parquet").exists(), reason="needs the corpus of hostile images")
def test_hostile_images_have_a_label_or_a_reason(url: str) -> None:
    cells = [cell for cell in pq.read_table(SHARED / "hostile-images.parquet")["image"].to_pylist() if cell is not None]
    with Client(url, retries=0) as client:
        found = client.classify(cells)
    assert len(found) == len(cells)
    assert all((each.label is None) != (each.reason is None) for each in found)
    assert {each.reason for each in found} <= {None, *Reason}
    assert sum(each.label is not None for each in found) > 150


def test_probes_card_and_metrics(url: str, sample: list[bytes]) -> None:
    ask(url, body=sample[0], headers={"Content-Type": "image/png"})
    assert ask(url, "/healthz", "GET").json() == {"status": "alive"}
    ready = ask(url, "/readyz", "GET").json()
    card = BundleCard.model_validate_json(ask(url, "/v1/bundle", "GET").data)
    assert ready == {"status": "ready", "bundle_digest": card.digest}
    assert card.digest == load_bundle("default", runtime="cpu").digest
    assert card.golden["num_other_labels"] == 0
    assert len(card.labels) == 10
    text = ask(url, "/metrics", "GET").data.decode()
    assert f'fmnist_ray_bundle{{digest="{card.digest}",replica="0"}} 1.0' in text
    assert 'fmnist_ray_images_total{outcome="classified",replica="0"}' in text
    assert 'route="/v1/classify",status="200"' in text


def test_the_interface_describes_itself(url: str) -> None:
    """Every example of the OpenAPI document can be sent, and every reference in it leads somewhere."""
    document = ask(url, "/openapi.json", "GET").json()
    assert set(document["paths"]) >= {
        "/v1/classify",
        "/v1/explain",
        "/v1/bundle",
        "/v1/admin/reload",
        "/healthz",
        "/readyz",
        "/metrics",
    }
    references = {part.split('"')[0] for part in json.dumps(document).split('"#/components/schemas/')[1:]}
    assert references <= set(document["components"]["schemas"])
    example = document["paths"]["/v1/classify"]["post"]["requestBody"]["content"]["application/json"]["example"]
    assert ask(url, json=example).json()["results"][0]["label"] in load_bundle("default", runtime="cpu").labels


def test_browsers_are_told_to_be_careful(url: str) -> None:
    for path in ("/", "/healthz", "/nowhere"):
        headers = ask(url, path, "GET").headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "access-control-allow-origin" not in headers
    assert ask(url, method="OPTIONS", headers={"Origin": "https://elsewhere.example"}).status == 405
