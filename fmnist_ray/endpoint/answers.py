"""The endpoint's answers, as OpenAPI describes them and as they are sent."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from fmnist_ray.decisions.decide import likeliest
from fmnist_ray.endpoint.model import Answered, Outcome
from fmnist_ray.images.prepare import Reject
from fmnist_ray.schema import Decision, DecisionReason, Reason

DIGEST = "7c28f0c9e4e7e8c0a5a0c1a4f6b6d1a5e1b2c3d4e5f60718293a4b5c6d7e8f90"


class LabelConfidence(BaseModel):
    """A label and its calibrated probability; the first one's is the result's own `confidence`."""

    label: str = Field(examples=["Sneaker"])
    confidence: float = Field(ge=0, le=1, examples=[0.97])


class ImageError(BaseModel):
    """Why an image has no label: one of the batch run's reject reasons, and what was found."""

    reason: Reason = Field(examples=["truncated"])
    detail: str = Field(examples=["the data ends before the image does"])


class ImageResult(BaseModel):
    """What became of one image: a label with all that belongs to it, or an error."""

    name: str | None = Field(description="The file name, or the name given in JSON.", examples=["shoe.jpg"])
    label: str | None = Field(None, examples=["Sneaker"])
    label_id: int | None = Field(None, examples=[7])
    confidence: float | None = Field(None, ge=0, le=1, examples=[0.97])
    top: list[LabelConfidence] | None = Field(None, description="The likeliest labels, as many as `top_k` asks for.")
    cnn_label: str | None = Field(None, description="What the network's own head says.", examples=["Sneaker"])
    cnn_confidence: float | None = Field(None, ge=0, le=1, examples=[0.97])
    svm_label: str | None = Field(
        None, description="What the SVM says, where the bundle has one.", examples=["Sneaker"]
    )
    svm_confidence: float | None = Field(None, ge=0, le=1, examples=[0.95])
    agree: bool | None = Field(None, description="Whether both say the same.", examples=[True])
    decision: Decision | None = Field(None, description="What to do with it, where the endpoint promises a precision.")
    decision_reason: DecisionReason | None = Field(None, description="Why.", examples=["confident"])
    label_set: list[str] | None = Field(
        None, description="The classes that it may well be, the likeliest first.", examples=[["Sneaker"]]
    )
    novelty: float | None = Field(
        None, ge=0, le=1, description="A p-value: low for an image unlike all classes.", examples=[0.42]
    )
    photo_problem: Literal["blank", "tiny", "blurred"] | None = Field(None, description="What is wrong with the photo.")
    bundle_digest: str | None = Field(None, description="The model that answered.", examples=[DIGEST])
    error: ImageError | None = None


class Classification(BaseModel):
    """One result per image, in the order of the request."""

    results: list[ImageResult]


class SimilarProduct(BaseModel):
    """A row of the catalogue."""

    product_id: str | None = Field(None, examples=["4711"])
    input_file: str = Field(examples=["shoes.parquet"])
    input_row: int = Field(description="Of that file, from 0.", examples=[12])
    label: str | None = Field(None, description="Its label in the catalogue, where it has one.", examples=["Sneaker"])
    similarity: float = Field(ge=-1, le=1, description="The cosine of the two images' features.", examples=[0.98])


class SimilarResult(BaseModel):
    """The rows nearest to one image, the nearest first, or an error."""

    name: str | None = Field(description="The file name, or the name given in JSON.", examples=["shoe.jpg"])
    similar: list[SimilarProduct] | None = None
    error: ImageError | None = None


class Similarities(BaseModel):
    """One result per image, in the order of the request."""

    results: list[SimilarResult]


class BundleCard(BaseModel):
    """The model that answers."""

    digest: str = Field(examples=[DIGEST])
    uri: str = Field(examples=["default"])
    architecture: str = Field(examples=["bn_cnn"])
    labels: list[str]
    preparation: dict[str, Any]
    metrics: dict[str, Any]
    provenance: dict[str, Any]
    golden: dict[str, Any] = Field(description="How closely it repeated its golden rows when it was loaded.")
    head: Literal["cnn", "svm", "both"] = Field(description="Which head decides.")
    promises: dict[str, Any] = Field(description="What holds of decisions, label sets and alarms.")
    thresholds: dict[str, float | None] | None = Field(
        description="By label the confidence from which on an image is accepted, null where none is proven; null "
        "altogether where no precision is promised."
    )
    limits: dict[str, Any] = Field(description="What one request and one image may hold.")


class Health(BaseModel):
    """Whether it lives, or is ready."""

    status: str = Field(examples=["ready"])
    bundle_digest: str | None = None


def image_result(name: str | None, outcome: Outcome, top_k: int) -> dict[str, Any]:
    """The plain values of an `ImageResult`, without those that are null; built by hand, since there may be many."""
    if not isinstance(outcome, Answered):
        return _error_result(name, outcome)
    labels, columns = outcome.classifier.labels, outcome.columns
    top = likeliest(outcome.probabilities, columns["label_id"], columns["confidence"], top_k)
    return {
        "name": name,
        **{column: value for column, value in columns.items() if value is not None},
        "top": [{"label": labels[label_id], "confidence": confidence} for label_id, confidence in top],
        "bundle_digest": outcome.classifier.digest,
    }


def similar_result(name: str | None, outcome: list[dict[str, Any]] | Reject) -> dict[str, Any]:
    """The plain values of a `SimilarResult`."""
    return _error_result(name, outcome) if isinstance(outcome, Reject) else {"name": name, "similar": outcome}


def _error_result(name: str | None, reject: Reject) -> dict[str, Any]:
    return {"name": name, "error": {"reason": str(reject.reason), "detail": reject.detail}}
