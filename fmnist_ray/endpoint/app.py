"""The web application: every route of the endpoint."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import PlainTextResponse

from fmnist_ray import __version__
from fmnist_ray.bundle.classifier import Classifier
from fmnist_ray.config.explain import Method
from fmnist_ray.decisions.contract import NEVER
from fmnist_ray.endpoint.answers import (
    BundleCard,
    Classification,
    Health,
    Similarities,
    image_result,
    similar_result,
)
from fmnist_ray.endpoint.guard import HOLD, Guard
from fmnist_ray.endpoint.naming import Image
from fmnist_ray.endpoint.page import add_page
from fmnist_ray.endpoint.problems import Problem, ProblemDocument, add_problem_handlers, problem_responses
from fmnist_ray.endpoint.service import Service
from fmnist_ray.endpoint.similar import MOST_ROWS
from fmnist_ray.endpoint.uploads import FILE, Upload, read_uploads, request_body
from fmnist_ray.errors import FmnistRayError, InputError

TopK = Annotated[int, Query(ge=1, le=1000, description="How many labels to name, the likeliest first.")]
SimilarCount = Annotated[int, Query(ge=1, le=MOST_ROWS, description="How many rows to find for each image.")]
Label = Annotated[
    str | None, Query(max_length=256, description="The label to explain, by name or id. Default: the answer's own.")
]
_EXAMPLE = "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAAAAABX3VL4AAAADklEQVR4nGNg+M/wnwEABgAB/4/x/JoAAAAASUVORK5CYII="
"""A grey PNG of 2 x 2 pixels, in base64."""


class Reload(BaseModel):
    """Which bundle is to take over."""

    model_config = ConfigDict(extra="forbid")
    bundle: str | None = Field(
        None, max_length=1024, description="A shipped bundle's name, a path or a URI. None: the same place, read anew."
    )


def build_app(service: Service) -> FastAPI:
    """The application that answers with `service`."""
    app = FastAPI(
        title="fmnist_ray",
        version=__version__,
        description="One fashion class for every product photo, with a calibrated confidence: the batch run's answers.",
        docs_url=None,  # the interactive pages fetch their scripts from elsewhere
        redoc_url=None,
        responses=problem_responses(401, 421),
    )
    add_problem_handlers(app)
    _add_classify(app, service)
    _add_explain(app, service)
    _add_similar(app, service)
    _add_probes(app, service)
    _add_bundle(app, service)
    add_page(app)
    app.add_middleware(Guard, limits=service.limits, keys=service.keys, metrics=service.metrics)
    _describe_problems(app)
    return app


def _add_classify(app: FastAPI, service: Service) -> None:
    @app.post(
        "/v1/classify",
        response_model=Classification,
        responses=problem_responses(400, 408, 413, 415, 422, 500, 503),
        openapi_extra=request_body(example=_EXAMPLE, max_images=service.limits.max_images),
    )
    async def classify(request: Request, top_k: TopK = 3) -> Response:
        """A label for each image, or the reason why it has none. An image that can't be used fails no other."""
        uploads = await read_uploads(request, service.limits)
        outcomes = await service.classify(await _images(request, service, uploads))
        pairs = zip(uploads, outcomes, strict=True)
        return _json({"results": [image_result(upload.name, outcome, top_k) for upload, outcome in pairs]})


async def _images(request: Request, service: Service, uploads: list[Upload]) -> list[Image]:
    return await service.named_images.fetched([upload.data for upload in uploads], request.scope[HOLD])


def _add_explain(app: FastAPI, service: Service) -> None:
    headers = {
        "X-Label-Id": {"description": "The label whose evidence is shown.", "schema": {"type": "integer"}},
        "X-Bundle-Digest": {"description": "The model that was looked into.", "schema": {"type": "string"}},
    }
    png = {"description": "A PNG", "content": {"image/png": {"schema": FILE}}, "headers": headers}

    @app.post(
        "/v1/explain",
        response_class=Response,
        responses={200: png, **problem_responses(400, 408, 413, 415, 422, 500, 503)},
        openapi_extra=request_body(example=_EXAMPLE, max_images=1),
    )
    async def explain(request: Request, method: Method = "grad-cam", label: Label = None) -> Response:
        """Where the model looked: one image as the network gets it, and over it, the hotter the more, what spoke for
        the label. The first one starts the process that explains, which takes some seconds."""
        uploads = await read_uploads(request, service.limits)
        if len(uploads) != 1:
            raise Problem(422, "one-image", f"The request has {len(uploads)} images; one is explained at a time.")
        [image] = await _images(request, service, uploads)
        found = await service.explain(image, method, label)
        told = {"X-Label-Id": str(found.label_id), "X-Bundle-Digest": found.bundle_digest}
        return Response(found.png, headers=told, media_type="image/png")


def _add_similar(app: FastAPI, service: Service) -> None:
    @app.post(
        "/v1/similar",
        response_model=Similarities,
        responses=problem_responses(400, 404, 408, 409, 413, 415, 422, 500, 503),
        openapi_extra=request_body(example=_EXAMPLE, max_images=service.limits.max_images),
    )
    async def similar(request: Request, rows: SimilarCount = 10) -> Response:
        """The rows of the catalogue that look most like each image, by the network's features; every row is compared.
        Needs an endpoint with a table of features. An image that can't be used fails no other."""
        uploads = await read_uploads(request, service.limits)
        outcomes = await service.similar(await _images(request, service, uploads), rows)
        pairs = zip(uploads, outcomes, strict=True)
        return _json({"results": [similar_result(upload.name, outcome) for upload, outcome in pairs]})


def _add_probes(app: FastAPI, service: Service) -> None:
    @app.get("/healthz", response_model=Health)
    async def healthz() -> Response:
        """The process lives."""
        return _json({"status": "alive"})

    @app.get("/readyz", response_model=Health)
    async def readyz() -> Response:
        """The model is loaded and has answered its golden rows; before that, nothing listens."""
        return _json({"status": "ready", "bundle_digest": service.model.classifier.digest})

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """The replica's counters, for Prometheus."""
        return Response(service.metrics_text(), media_type="text/plain; version=0.0.4")


def _add_bundle(app: FastAPI, service: Service) -> None:
    @app.get("/v1/bundle", response_model=BundleCard)
    async def bundle() -> Response:
        """The model that answers: its labels, how it was made, what it reached, and what a request may hold."""
        return _json(_bundle_card(service))

    @app.post(
        "/v1/admin/reload", response_model=Health, responses=problem_responses(400, 403, 408, 409, 413, 422, 500, 503)
    )
    async def reload(wanted: Reload) -> Response:
        """Let another bundle take over, once it has answered its golden rows. A bad one is refused, and the old one
        stays. Needs an administrator's key, even where nothing else needs one."""
        if service.keys is None:
            raise Problem(403, "no-keys", "This endpoint runs without keys, so nobody is its administrator.")
        uri = wanted.bundle or service.model.uri
        try:
            classifier = await service.reload(uri)
        except InputError as error:
            raise Problem(409, "bundle", error.message) from error
        except FmnistRayError as error:
            raise Problem(503, "bundle", error.message, retry_after_s=5) from error
        if service.announce is not None:
            await service.announce(service.model.uri)
        return _json({"status": "ready", "bundle_digest": classifier.digest})


def _bundle_card(service: Service) -> dict[str, Any]:
    classifier: Classifier = service.model.classifier
    spec = classifier.spec
    return {
        "digest": classifier.digest,
        "uri": service.model.uri,
        "architecture": spec.architecture,
        "labels": list(spec.labels),
        "preparation": spec.preparation.to_dict(),
        "metrics": spec.metrics,
        "provenance": spec.provenance,
        "golden": asdict(classifier.golden),
        "head": classifier.head,
        "promises": asdict(classifier.promises),
        "thresholds": _thresholds(classifier),
        "limits": asdict(service.limits),
    }


def _thresholds(classifier: Classifier) -> dict[str, float | None] | None:
    if classifier.rule is None or classifier.rule.thresholds is None:
        return None
    found = zip(classifier.labels, classifier.rule.thresholds.tolist(), strict=True)
    return {label: value if value < NEVER else None for label, value in found}


def _describe_problems(app: FastAPI) -> None:
    """Put the problem document among the schemas of the OpenAPI document, which only `$ref`s name."""
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        document = describe()
        document["components"]["schemas"].setdefault("ProblemDocument", ProblemDocument.model_json_schema())
        document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"key": []}, {}]  # a key, or nothing where the endpoint runs without
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _json(content: dict[str, Any]) -> Response:
    return Response(json.dumps(content), media_type="application/json")
