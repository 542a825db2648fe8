"""The endpoint's answers, as OpenAPI describes them and as they are sent."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import BaseModel, Field

from fmnist_ray.endpoint.model import Answered, Outcome

DIGEST = "7c28f0c9e4e7e8c0a5a0c1a4f6b6d1a5e1b2c3d4e5f60718293a4b5c6d7e8f90"


class LabelConfidence(BaseModel):
    """A label and its calibrated probability; the first one's is the result's own `confidence`."""

    label: str = Field(examples=["Sneaker"])
    confidence: float = Field(ge=0, le=1, examples=[0.97])


class ImageError(BaseModel):
    """Why an image has no label: one of the batch run's reject reasons, and what was found."""

    reason: str = Field(examples=["truncated"])
    detail: str = Field(examples=["the data ends before the image does"])


class ImageResult(BaseModel):
    """What became of one image: a label with all that belongs to it, or an error."""

    name: str | None = Field(description="The file name, or the name given in JSON.", examples=["shoe.jpg"])
    label: str | None = Field(None, examples=["Sneaker"])
    label_id: int | None = Field(None, examples=[7])
    confidence: float | None = Field(None, ge=0, le=1, examples=[0.97])
    top: list[LabelConfidence] | None = Field(None, description="The likeliest labels, as many as `top_k` asks for.")
    bundle_digest: str | None = Field(None, description="The model that answered.", examples=[DIGEST])
    error: ImageError | None = None


class Classification(BaseModel):
    """One result per image, in the order of the request."""

    results: list[ImageResult]


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
    limits: dict[str, Any] = Field(description="What one request and one image may hold.")


class Health(BaseModel):
    """Whether it lives, or is ready."""

    status: str = Field(examples=["ready"])
    bundle_digest: str | None = None


def image_result(name: str | None, outcome: Outcome, top_k: int) -> dict[str, Any]:
    """The plain values of an `ImageResult`, without those that are null; built by hand, since there may be many."""
    if not isinstance(outcome, Answered):
        return {"name": name, "error": {"reason": str(outcome.reason), "detail": outcome.detail}}
    labels = outcome.classifier.labels
    return {
        "name": name,
        "label": labels[outcome.label_id],
        "label_id": outcome.label_id,
        "confidence": outcome.confidence,
        "top": [
            {"label": labels[label_id], "confidence": confidence} for label_id, confidence in likeliest(outcome, top_k)
        ],
        "bundle_digest": outcome.classifier.digest,
    }


def likeliest(answer: Answered, top_k: int) -> list[tuple[int, float]]:
    """The `top_k` likeliest labels and what they get: the answer's own label its confidence, the others their shares of
    what is left, and none more than the first."""
    shares = answer.probabilities
    ids = [answer.label_id, *(number for number in np.argsort(-shares, kind="stable") if number != answer.label_id)]
    left = 1 - float(shares[answer.label_id])
    scale = (1 - answer.confidence) / left if left > 0 else 0.0
    others = ((int(number), min(answer.confidence, float(shares[number]) * scale)) for number in ids[1:top_k])
    return [(answer.label_id, answer.confidence), *others]
