"""A client of the endpoint: images in, labels or reasons out, and patience with a busy or restarting server."""

from __future__ import annotations

import json
import os
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

import urllib3
from urllib3.exceptions import HTTPError, MaxRetryError
from urllib3.util import Retry, Timeout

from fmnist_ray.errors import InputError, RefusedError, WorldError

_PER_REQUEST = 64
_PER_REQUEST_BYTES = 16_000_000
_AGAIN = (408, 429, 502, 503, 504)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What the endpoint says of one image: a label with its confidence, or the reason why there is none."""

    label: str | None
    label_id: int | None
    confidence: float | None
    """Calibrated probability of the label, 0..1."""
    top: tuple[tuple[str, float], ...]
    """The likeliest labels with their confidences, highest first."""
    cnn_label: str | None
    """What the network's own head says."""
    cnn_confidence: float | None
    svm_label: str | None
    """What the SVM says; None where the bundle has none, as the next two."""
    svm_confidence: float | None
    agree: bool | None
    decision: str | None
    """One of `schema.Decision`; None where the endpoint promises no precision, as its reason."""
    decision_reason: str | None
    label_set: tuple[str, ...] | None
    """The classes that it may well be, the likeliest first; None for a bundle without held-out rows, as the next."""
    novelty: float | None
    """A p-value: low for an image unlike all classes."""
    photo_problem: str | None
    """One of `schema.PHOTO_PROBLEMS`; None for a good photo."""
    bundle_digest: str | None
    reason: str | None
    """One of `schema.Reason`, else None."""
    detail: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SimilarProduct:
    """A row of the catalogue that looks like an image."""

    product_id: str | None
    input_file: str
    input_row: int
    """Of that file, from 0."""
    label: str | None
    """In the catalogue, where it has one."""
    similarity: float
    """The cosine of the two images' features, 1 at most."""


class Client:
    """Talks to the endpoint at `url`, with `key` where it needs one (default: FMNIST_RAY_KEY).

    What may succeed later is tried again, with pauses that double: a refused or broken connection, and the statuses by
    which a server says that it is busy. Classifying changes nothing, so asking twice is safe. Use it as a context
    manager, or `close` it; it is safe to use from several threads.
    """

    def __init__(self, url: str, *, key: str | None = None, timeout_s: float = 30.0, retries: int = 6) -> None:
        key = key or os.environ.get("FMNIST_RAY_KEY")
        self._url = url.rstrip("/")
        self._http = urllib3.PoolManager(
            maxsize=16,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=Timeout(connect=5.0, read=timeout_s),
            retries=Retry(
                total=retries,
                backoff_factor=0.2,
                backoff_max=5,
                status_forcelist=_AGAIN,
                allowed_methods=("GET", "POST"),
                redirect=0,
                raise_on_status=False,
            ),
        )

    def classify(self, images: Sequence[bytes | str], *, top_k: int = 3) -> list[Prediction]:
        """One prediction per encoded image (PNG, JPEG, WebP), in order, in as many requests as it takes. Text is the
        place of an image, such as `s3://shop/shoe.jpg`, below those that the endpoint's `--images` allows.

        Raises `InputError` for what the endpoint will not take, `RefusedError` where it wants another key, and
        `WorldError` where it can't be reached or stays busy.
        """
        found: list[Prediction] = []
        for part in _parts(images):
            answer = self._ask("POST", f"/v1/classify?top_k={top_k}", **_content(part)).json()
            found += [_prediction(result) for result in answer["results"]]
        return found

    def explain(self, image: bytes, *, method: str = "grad-cam", label: str | None = None) -> bytes:
        """Where the model looked, as a PNG: the image as the network gets it, under a map of what spoke for `label`, by
        name or id (None: for the answer). `method` is grad-cam, gradient or occlusion. Raises as `classify` does."""
        wanted = urlencode({"method": method, **({} if label is None else {"label": label})})
        headers = {"Content-Type": "application/octet-stream"}
        return self._ask("POST", f"/v1/explain?{wanted}", body=image, headers=headers).data

    def similar(self, image: bytes | str, *, rows: int = 10) -> list[SimilarProduct]:
        """The catalogue rows most like an image, the nearest first, of an endpoint that was started with `--features`.
        Raises as `classify` does, and `InputError` for an image that can't be used."""
        [result] = self._ask("POST", f"/v1/similar?rows={rows}", **_content([image])).json()["results"]
        if error := result.get("error"):
            raise InputError(f"The image can't be used: {error['reason']}, {error['detail']}.")
        return [SimilarProduct(**found) for found in result["similar"]]

    def bundle(self) -> dict[str, Any]:
        """The model that answers: digest, labels, metrics, limits."""
        answer: dict[str, Any] = self._ask("GET", "/v1/bundle").json()
        return answer

    def reload(self, bundle: str | None = None) -> str:
        """Let another bundle take over (None: the same place, read anew), and return its digest; needs an
        administrator's key. `InputError` where it is refused, and the old one stays."""
        body = json.dumps({"bundle": bundle}).encode()
        answer = self._ask("POST", "/v1/admin/reload", body=body, headers={"Content-Type": "application/json"})
        digest: str = answer.json()["bundle_digest"]
        return digest

    def close(self) -> None:
        """Close its connections."""
        self._http.clear()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _ask(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, **content: Any
    ) -> urllib3.BaseHTTPResponse:
        try:
            merged = {**self._http.headers, **(headers or {})}
            response = self._http.request(method, self._url + path, headers=merged, **content)
        except MaxRetryError as error:
            raise WorldError(f"{self._url} can't be reached ({error.reason}): is the endpoint running?") from error
        except HTTPError as error:
            raise WorldError(f"{self._url} did not answer ({error}).") from error
        if response.status == 200:
            return response
        detail = _detail(response)
        if response.status in (401, 403):
            raise RefusedError(f"{self._url}: {detail}")
        if response.status < 500 and response.status not in _AGAIN:
            raise InputError(f"{self._url}: {detail}")
        raise WorldError(f"{self._url} answered {response.status}: {detail}")


def _content(part: Sequence[bytes | str]) -> dict[str, Any]:
    """Images as a form, or as JSON where some of them are places."""
    if any(isinstance(image, str) for image in part):
        entries = [{"uri": each} if isinstance(each, str) else {"data": b64encode(each).decode()} for each in part]
        return {"body": json.dumps({"images": entries}).encode(), "headers": {"Content-Type": "application/json"}}
    files = [("images", (f"{number}", image, "application/octet-stream")) for number, image in enumerate(part)]
    return {"fields": files}


def _parts(images: Sequence[bytes | str]) -> Iterator[list[bytes | str]]:
    """`images` in requests of bounded number and size."""
    part: list[bytes | str] = []
    size = 0
    for image in images:
        if part and (len(part) == _PER_REQUEST or size + len(image) > _PER_REQUEST_BYTES):
            yield part
            part, size = [], 0
        part.append(image)
        size += len(image)
    if part:
        yield part


def _prediction(result: dict[str, Any]) -> Prediction:
    error = result.get("error") or {}
    values: dict[str, Any] = {field.name: result.get(field.name) for field in fields(Prediction)}
    values["top"] = tuple((entry["label"], entry["confidence"]) for entry in result.get("top") or ())
    values["label_set"] = None if values["label_set"] is None else tuple(values["label_set"])
    return Prediction(**{**values, "reason": error.get("reason"), "detail": error.get("detail")})


def _detail(response: urllib3.BaseHTTPResponse) -> str:
    """What a problem document says, or the start of whatever else came."""
    try:
        return str(json.loads(response.data)["detail"])
    except (ValueError, KeyError, TypeError):
        return repr(response.data[:200])
