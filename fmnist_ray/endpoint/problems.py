"""What a request that can't be answered gets: a problem document (RFC 9457), never a traceback."""

from __future__ import annotations

import json
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

_MEDIA_TYPE = "application/problem+json"


class ProblemDocument(BaseModel):
    """A problem, as RFC 9457 has it."""

    type: str = Field(examples=["urn:fmnist-ray:too-large"])
    title: str = Field(examples=["Content Too Large"])
    status: int = Field(examples=[413])
    detail: str = Field(examples=["The body has more than 64,000,000 bytes; send fewer images at once."])


class Problem(Exception):
    """Ends a request with a problem document. `kind` tells programs what `detail` tells people."""

    def __init__(self, status: int, kind: str, detail: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
        if status in (408, 413):
            self.headers["Connection"] = "close"  # the rest of the body will not be read
        if status == 401:
            self.headers["WWW-Authenticate"] = "Bearer"


class Busy(Problem):
    """The endpoint has taken on all it can; the same request will do in a second."""

    def __init__(self, what: str) -> None:
        super().__init__(503, "busy", f"{what}; try again.", retry_after_s=1)


def problem_response(problem: Problem) -> Response:
    """The document of `problem`."""
    document = {
        "type": f"urn:fmnist-ray:{problem.kind}",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
    }
    return Response(json.dumps(document), problem.status, problem.headers, _MEDIA_TYPE)


def add_problem_handlers(app: FastAPI) -> None:
    """Answer with problem documents wherever the framework would answer with its own errors. A `Problem` itself passes
    through the application, to the guard before it."""

    async def framework(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        response = problem_response(Problem(error.status_code, "request", str(error.detail)))
        response.headers.update(error.headers or {})
        return response

    async def parameters(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return problem_response(Problem(422, "parameter", f"{place}: {first['msg']}."))

    app.add_exception_handler(HTTPException, framework)
    app.add_exception_handler(RequestValidationError, parameters)


def problem_responses(*statuses: int) -> dict[int | str, dict[str, object]]:
    """For the OpenAPI document: these statuses come with a problem document."""
    content = {_MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}
