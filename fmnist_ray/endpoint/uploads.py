"""From a request's body to images, whichever of the three ways they were sent."""

from __future__ import annotations

import binascii
import json
from base64 import b64decode
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from fmnist_ray.config.serve import RequestLimits
from fmnist_ray.endpoint.problems import Problem

_RAW = ("image/", "application/octet-stream")


@dataclass(frozen=True, slots=True)
class Upload:
    """One image of a request."""

    name: str | None
    data: bytes | str
    """Encoded, as it was sent; whether it is an image at all is for the classifier to say. Or, as text, where it is."""


async def read_uploads(request: Request, limits: RequestLimits) -> list[Upload]:
    """The images of a multipart form, a raw body, or a JSON document with base64 and places. Raises `Problem`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        uploads = await _from_form(request, limits)
    elif kind == "application/json":
        uploads = _from_json(await request.body(), limits)
    elif kind.startswith(_RAW):
        uploads = [Upload(None, await request.body())]
    else:
        raise Problem(
            415,
            "content-type",
            f"The body is {kind or 'of no type'}; send an image (image/* or application/octet-stream), "
            "files (multipart/form-data) or base64 (application/json).",
        )
    if not uploads:
        raise Problem(422, "no-images", "The request has no images; it must have one at least.")
    return uploads


async def _from_form(request: Request, limits: RequestLimits) -> list[Upload]:
    try:
        form = await request.form(
            max_files=limits.max_images, max_fields=limits.max_images, max_part_size=limits.max_body_bytes
        )
    except HTTPException as error:
        raise _form_problem(str(error.detail), limits) from error
    try:
        parts = form.multi_items()
        if not all(name == "images" and isinstance(value, UploadFile) for name, value in parts):
            raise Problem(422, "form", "Each part of the form must be named images and be a file, with a filename.")
        return [Upload(value.filename, await value.read()) for _, value in parts if isinstance(value, UploadFile)]
    finally:
        await form.close()


def _form_problem(message: str, limits: RequestLimits) -> Problem:
    if message.startswith("Too many"):
        return too_many_images(limits)
    return Problem(400, "form", f"The form can't be read: {message.rstrip('.')}.")


def _from_json(body: bytes, limits: RequestLimits) -> list[Upload]:
    try:
        document: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Problem(400, "json", f"The body is no JSON: {error}.") from error
    images = document.get("images") if isinstance(document, dict) else None
    if not isinstance(images, list) or len(document) > 1:
        raise Problem(422, "json", 'The document must be {"images": [...]}.')
    if len(images) > limits.max_images:
        raise too_many_images(limits)
    return [_from_entry(entry, position) for position, entry in enumerate(images)]


def _from_entry(entry: Any, position: int) -> Upload:
    if isinstance(entry, str):
        entry = {"data": entry}
    values = dict(entry) if isinstance(entry, dict) else {}
    name = values.pop("name", None)
    if list(values) not in (["data"], ["uri"]) or not all(isinstance(text, str) for text in entry.values()):
        raise Problem(
            422, "json", f'images[{position}] must be base64, {{"name": ..., "data": base64}}, or {{"uri": place}}.'
        )
    if "uri" in values:
        return Upload(name or values["uri"], values["uri"])
    try:
        return Upload(name, b64decode(values["data"], validate=True))
    except (binascii.Error, ValueError) as error:
        raise Problem(422, "json", f"images[{position}] is no base64: {error}.") from error


def too_many_images(limits: RequestLimits) -> Problem:
    """The request holds more images than one may."""
    return Problem(413, "too-many-images", f"One request may hold {limits.max_images} images; send several requests.")


def _named(key: str, value: dict[str, Any]) -> dict[str, Any]:
    """An image in JSON, with a name if need be."""
    return _object({"name": {"type": "string"}, key: value}, required=key)


def _object(properties: dict[str, Any], *, required: str) -> dict[str, Any]:
    return {"type": "object", "required": [required], "properties": properties, "additionalProperties": False}


_BASE64 = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
FILE = {"type": "string", "format": "binary"}
"""A file, for the OpenAPI document."""


def request_body(*, example: str, max_images: int) -> dict[str, Any]:
    """What OpenAPI says of the body; `example` is an image in base64."""
    base64 = {"type": "string", "contentEncoding": "base64", "pattern": _BASE64}
    place = {"type": "string", "description": "Where the image is, below an allowed place: s3://shop/shoe.jpg"}
    entry = {"oneOf": [base64, _named("data", base64), _named("uri", place)]}
    number = {"minItems": 1, "maxItems": max_images}
    images = {"type": "array", **number, "items": entry}
    files = _object({"images": {"type": "array", **number, "items": FILE}}, required="images")
    content = {
        "application/json": {
            "schema": _object({"images": images}, required="images"),
            "example": {"images": [{"name": "shoe.png", "data": example}]},
        },
        "multipart/form-data": {"schema": files},
        **{kind: {"schema": FILE} for kind in ("image/png", "image/jpeg", "image/webp", "application/octet-stream")},
    }
    return {"requestBody": {"required": True, "content": content}}
