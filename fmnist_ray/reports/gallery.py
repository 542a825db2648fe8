"""Example rows for a page: which of a run's samples are shown, and their pictures."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from fmnist_ray.labels import Labels

_PNG = b"\x89PNG\r\n\x1a\n"
_TINY_SIDE = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A thumbnail as a page embeds it."""

    png: bytes = field(repr=False)
    width: int
    height: int

    @property
    def src(self) -> str:
        """The picture as a data URI."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: all but the pixels."""
        return {"width": self.width, "height": self.height}

    @property
    def tiny(self) -> bool:
        """Whether enlarging it should keep its pixels sharp."""
        return max(self.width, self.height) <= _TINY_SIDE


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A row of a run that is shown: a prediction (`label` is set) or a reject (`reason` is set)."""

    product_id: str | None
    input_file: str
    input_row: int
    label: str | None
    confidence: float | None
    true_label: str | None
    reason: str | None
    detail: str | None
    picture: Picture | None

    @property
    def wrong(self) -> bool:
        """Whether the true label is known and another."""
        return self.true_label is not None and self.label is not None and self.true_label != self.label

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: all but the picture."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "picture"}


class Gallery:
    """A run's samples by what they show. Those with the lowest `order` come first: a uniform choice of their kind.

    The budgets below hold a page of photos to about 2.5 MB, small enough to mail.
    """

    def __init__(self, samples: pa.Table, labels: Labels) -> None:
        self._examples = [_example(row, labels) for row in samples.sort_by("order").to_pylist()]

    def by_label(self, wanted: Sequence[str]) -> list[list[Example]]:
        """Predictions with a picture for each of some labels."""
        shown = [example for example in self._examples if example.picture is not None]
        return _pick(shown, wanted, lambda example: example.label, most=10, budget_bytes=1_200_000)

    def by_confusion(self, wanted: Sequence[tuple[str, str]]) -> list[list[Example]]:
        """Wrong predictions with a picture for each of some pairs of true and predicted label."""
        shown = [example for example in self._examples if example.picture is not None]
        return _pick(shown, wanted, lambda example: (example.true_label, example.label), most=7, budget_bytes=400_000)

    def first(self, most: int, *, budget_bytes: int = 250_000) -> list[Example]:
        """The first predictions with a picture, whatever they are."""
        shown = [example for example in self._examples if example.picture is not None]
        return _pick(shown, [True], lambda example: True, most=most, budget_bytes=budget_bytes)[0]

    def by_reason(self, wanted: Sequence[str]) -> list[list[Example]]:
        """Rejects for each of some reasons, with or without a picture."""
        return _pick(self._examples, wanted, lambda example: example.reason, most=4, budget_bytes=150_000)


def _pick(
    examples: Sequence[Example],
    wanted: Sequence[Any],
    kind: Callable[[Example], Any],
    *,
    most: int,
    budget_bytes: int,
) -> list[list[Example]]:
    """The first examples of each wanted kind: `most`, or as many as pictures of their mean size fit the budget."""
    found: dict[Any, list[Example]] = {name: [] for name in wanted}
    for example in examples:
        if kind(example) in found:
            found[kind(example)].append(example)
    sizes = [len(example.picture.png) for group in found.values() for example in group if example.picture]
    if sizes:
        most = max(1, min(most, int(budget_bytes / (sum(sizes) / len(sizes) * len(wanted)))))
    return [group[:most] for group in found.values()]


def _example(row: dict[str, Any], labels: Labels) -> Example:
    def name(label_id: int | None) -> str | None:
        return None if label_id is None else labels[label_id]

    return Example(
        product_id=row["product_id"],
        input_file=row["input_file"],
        input_row=row["input_row"],
        label=name(row["label_id"]),
        confidence=row["confidence"],
        true_label=name(row["true_label_id"]),
        reason=row["reason"],
        detail=row["detail"],
        picture=embedded_picture(row["thumbnail"]),
    )


def embedded_picture(data: bytes | None) -> Picture | None:
    """The thumbnail if it is a PNG by its header; pages embed nothing else."""
    if data is None or len(data) < 24 or not data.startswith(_PNG) or data[12:16] != b"IHDR":
        return None
    width, height = struct.unpack(">II", data[16:24])
    return Picture(png=data, width=width, height=height)
