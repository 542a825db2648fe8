"""The endpoint keeps to its own OpenAPI document, whatever is asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

OPERATIONS = (
    ("POST", "/v1/classify"),
    ("POST", "/v1/explain"),
    ("POST", "/v1/similar"),
    ("POST", "/v1/admin/reload"),
    ("GET", "/v1/bundle"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
)


@pytest.fixture(scope="module")
def url(serve: Any, features: str) -> Iterator[str]:
    """An endpoint that has everything."""
    with serve(features_uri=features) as address:
        yield address


@pytest.fixture(scope="module")
def document(url: str) -> Any:
    refusals = {"expected-statuses": ["400", "403", "413", "415", "422"]}
    config = schemathesis.Config.from_dict({"checks": {"negative_data_rejection": refusals}})
    return schemathesis.openapi.from_url(f"{url}/openapi.json", config=config)


def test_all_operations_are_tried(document: Any) -> None:
    found = [result.ok() for result in document.get_all_operations()]
    assert {(each.method.upper(), each.path) for each in found} == set(OPERATIONS)


@pytest.mark.parametrize(
    ("method", "path", "mode"),
    [
        *((*operation, GenerationMode.POSITIVE) for operation in OPERATIONS),
        *((*operation, GenerationMode.NEGATIVE) for operation in OPERATIONS if operation[0] == "POST"),
    ],
)
def test_every_answer_is_one_that_the_document_promises(
    document: Any, method: str, path: str, mode: GenerationMode
) -> None:
    operation = document[path][method]

    refusable = [positive_data_acceptance] if path == "/v1/explain" else []  # no document says which images decode

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        case.call_and_validate(excluded_checks=refusable)

    ask()
