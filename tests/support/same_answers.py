"""Whether the endpoint says of an image what a prediction says."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from fmnist_ray.client import Prediction

ELSEWHERE = {"top", "reason", "detail"}
"""What a client's prediction has that the table of predictions has not."""


def differences(found: Prediction, row: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The fields that differ from those of a prediction's row, confidences and p-values by more than 1e-5."""
    said = {
        field.name: getattr(found, field.name) for field in dataclasses.fields(found) if field.name not in ELSEWHERE
    }
    written = {name: tuple(row[name]) if isinstance(row[name], list) else row[name] for name in said}
    return {name: (said[name], written[name]) for name in said if not same(said[name], written[name])}


def same(one: Any, other: Any) -> bool:
    """Equal, or nearly so where both are fractions."""
    if isinstance(one, float) and isinstance(other, float):
        return one == pytest.approx(other, abs=1e-5)
    return bool(one == other)
