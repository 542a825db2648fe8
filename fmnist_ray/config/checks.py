"""Checks of single settings, each with the sentence for a value that is not allowed."""

from __future__ import annotations

from fmnist_ray.errors import SettingError


def check_range(name: str, value: float, low: float, high: float) -> None:
    """`SettingError` unless `value` is within `low` and `high`, both allowed."""
    if not low <= value <= high:
        raise SettingError(f"{name} is {value}; allowed are {low} to {high}.")


def check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """`SettingError` unless `value` is one of `allowed`."""
    if value not in allowed:
        raise SettingError(f"{name} is {value!r}; allowed are {', '.join(allowed)}.")
