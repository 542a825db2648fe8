"""Class names. A label id is the position of its name; only the default list assumes Fashion-MNIST."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Labels = tuple[str, ...]

FASHION_MNIST: Labels = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
"""The ten classes of Fashion-MNIST in the order of their ids (Xiao et al., arXiv 1708.07747, table 1)."""


def label_index(labels: Labels) -> dict[str, int]:
    """Label id by name, and by the id written as text, so that both spellings of a label column are understood."""
    index = {str(number): number for number in range(len(labels))}
    index.update({name: number for number, name in enumerate(labels)})
    return index


def known_label_ids(cells: Iterable[Any], index: Mapping[str, int]) -> list[int]:
    """The id of each label cell of a catalogue, -1 where `index` has none. Whole numbers that a table with gaps stores
    as floats count as whole."""
    whole = (int(cell) if isinstance(cell, float) and cell.is_integer() else cell for cell in cells)
    return [index.get(str(cell), -1) for cell in whole]
