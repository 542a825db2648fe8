"""Explanations over HTTP: the overlay of the command, for the label that was asked for."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
import urllib3
from PIL import Image

from fmnist_ray.bundle.classifier import load_bundle
from fmnist_ray.bundle.explainer import Explainer
from fmnist_ray.bundle.format import read_bundle
from fmnist_ray.client import Client
from fmnist_ray.config.serve import RequestLimits
from fmnist_ray.errors import InputError, WorldError

PNG = {"Content-Type": "image/png"}


def ask(url: str, query: str = "", **content: Any) -> urllib3.BaseHTTPResponse:
    with urllib3.PoolManager(retries=False) as http:
        return http.request("POST", f"{url}/v1/explain{query}", **content)


def test_the_overlay_is_that_of_the_label_that_was_asked_for(url: str, sample: list[bytes]) -> None:
    explainer = Explainer(read_bundle("default"))
    answer = ask(url, body=sample[0], headers=PNG)
    expected, label_id = explainer.overlay(sample[0])
    assert (answer.status, answer.headers["content-type"], answer.headers["x-label-id"]) == (200, "image/png", "9")
    assert answer.headers["x-bundle-digest"] == load_bundle("default", runtime="cpu").digest
    assert (answer.data, label_id) == (expected, 9)
    picture = np.asarray(Image.open(io.BytesIO(answer.data)))
    assert picture.shape == (224, 224, 3)
    assert picture.std() > 20
    named = ask(url, "?label=Sandal", json={"images": [base64.b64encode(sample[0]).decode()]})
    assert (named.headers["x-label-id"], named.data != answer.data) == ("5", True)
    assert named.data == ask(url, "?label=5", fields=[("images", ("a.png", sample[0]))]).data
    with Client(url) as client:
        assert client.explain(sample[0], label="Sandal") == named.data
        assert client.explain(sample[0], method="occlusion") not in (answer.data, named.data)


@pytest.mark.parametrize(
    ("query", "content", "kind", "words"),
    [
        ("", {"body": b"none", "headers": PNG}, "image:unsupported_format", "unsupported_format: starts with"),
        ("?label=Hat", {"json": {"images": [""]}}, "parameter", "none of the bundle"),
        ("?method=guess", {"json": {"images": [""]}}, "parameter", "method"),
        ("", {"json": {"images": ["", ""]}}, "one-image", "2 images"),
    ],
)
def test_what_cannot_be_explained_is_said(url: str, query: str, content: dict[str, Any], kind: str, words: str) -> None:
    answer = ask(url, query, **content)
    assert (answer.status, answer.json()["type"]) == (422, f"urn:fmnist-ray:{kind}")
    assert words in answer.json()["detail"]


def test_a_network_without_gradients_and_too_many_questions(serve: Any, other_bundle: str, sample: list[bytes]) -> None:
    with serve(other_bundle) as url, Client(url, retries=0) as client:
        assert client.explain(sample[0], method="occlusion").startswith(b"\x89PNG")
        with pytest.raises((InputError, WorldError)):
            client.explain(sample[0])
    with (
        serve(limits=RequestLimits(explain_timeout_s=1e-6)) as url,
        Client(url, retries=0) as client,
        pytest.raises(WorldError, match="no explanation within"),
    ):
        client.explain(sample[0])
