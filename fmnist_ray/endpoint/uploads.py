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
    data: bytes
    """Encoded, as it was sent; whether it is an image at all is for the classifier to say."""


async def read_uploads(request: Request, limits: RequestLimits) -> list[Upload]:
    """The images of a multipart form, a raw body, or a JSON document with base64. Raises `Problem`."""
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
        fields = [value for _, value in form.multi_items()]
        if not all(isinstance(value, UploadFile) for value in fields):
            raise Problem(422, "form", "A part of the form is no file; each image needs a filename.")
        return [Upload(value.filename, await value.read()) for value in fields if isinstance(value, UploadFile)]
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
    if not isinstance(images, list):
        raise Problem(422, "json", 'The document must be {"images": [...]}.')
    if len(images) > limits.max_images:
        raise too_many_images(limits)
    return [_from_entry(entry, position) for position, entry in enumerate(images)]


def _from_entry(entry: Any, position: int) -> Upload:
    if isinstance(entry, str):
        entry = {"data": entry}
    if not isinstance(entry, dict) or not isinstance(entry.get("data"), str):
        raise Problem(422, "json", f'images[{position}] must be base64, or {{"name": ..., "data": base64}}.')
    name = entry.get("name")
    if name is not None and not isinstance(name, str):
        raise Problem(422, "json", f"The name of images[{position}] must be text.")
    try:
        return Upload(name, b64decode(entry["data"], validate=True))
    except (binascii.Error, ValueError) as error:
        raise Problem(422, "json", f"images[{position}] is no base64: {error}.") from error


def too_many_images(limits: RequestLimits) -> Problem:
    """The request holds more images than one may."""
    return Problem(413, "too-many-images", f"One request may hold {limits.max_images} images; send several requests.")


def request_body(*, example: str) -> dict[str, Any]:
    """What OpenAPI says of the body; `example` is an image in base64."""
    file = {"type": "string", "format": "binary"}
    named = {
        "type": "object",
        "required": ["data"],
        "properties": {"name": {"type": "string"}, "data": {"type": "string", "contentEncoding": "base64"}},
    }
    entry = {"oneOf": [{"type": "string", "contentEncoding": "base64"}, named]}
    images = {"type": "array", "minItems": 1, "items": entry}
    files = {"type": "object", "properties": {"images": {"type": "array", "minItems": 1, "items": file}}}
    content = {
        "application/json": {
            "schema": {"type": "object", "required": ["images"], "properties": {"images": images}},
            "example": {"images": [{"name": "shoe.png", "data": example}]},
        },
        "multipart/form-data": {"schema": {**files, "required": ["images"]}},
        **{kind: {"schema": file} for kind in ("image/png", "image/jpeg", "image/webp", "application/octet-stream")},
    }
    return {"requestBody": {"required": True, "content": content}}
