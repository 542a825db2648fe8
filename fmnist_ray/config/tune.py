"""What a search for better training settings tries."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fmnist_ray.config.train import TrainSettings
from fmnist_ray.errors import SettingError


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of these values, each as likely."""

    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A number between two others; where both are positive, its logarithm is drawn evenly."""

    low: float
    high: float
    whole: bool = False
    """Whole numbers only."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise SettingError(f"A range goes from a smaller to a larger number; {self.low}..{self.high} does not.")


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneSettings:
    """One search."""

    base: TrainSettings
    """What does not vary, and the epochs of a trial that is not stopped."""
    vary: Mapping[str, Choice | Range]
    """By the name of the setting, with dots for nested ones."""
    trials: int = 20
    """Settings that are drawn."""
    first_stop: int = 2
    """Epochs after which the worse trials are first stopped; then at each doubling (ASHA, arXiv 1810.05934)."""
    seed: int = 0
    """Of the drawing; the trials themselves all use the seed of `base`."""

    def __post_init__(self) -> None:
        if not self.vary:
            raise SettingError("A search needs something to vary: add --vary NAME=LOW..HIGH or --vary NAME=A,B,C.")
        for name in ("trials", "first_stop"):
            if getattr(self, name) < 1:
                raise SettingError(f"{name} is {getattr(self, name)}; it must be at least 1.")


def parse_vary(text: str) -> tuple[str, Choice | Range]:
    """A setting's name and what it is drawn from: `learning_rate=1e-4..1e-2`, or `optimiser=adam,sgd`."""
    name, equals, values = text.partition("=")
    if not equals or not values:
        raise SettingError(f"{text!r} varies nothing: write NAME=LOW..HIGH or NAME=A,B,C.")
    low, dots, high = values.partition("..")
    if not dots:
        return name, Choice(values=tuple(_parse(value) for value in values.split(",")))
    try:
        whole = isinstance(_parse(low), int) and isinstance(_parse(high), int)
        return name, Range(low=float(low), high=float(high), whole=whole)
    except ValueError as error:
        raise SettingError(f"{values!r} is no range of numbers: write NAME=LOW..HIGH.") from error


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
