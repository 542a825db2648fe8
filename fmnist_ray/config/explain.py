"""What an explanation is asked to show."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from fmnist_ray.config.classify import ColumnNames
from fmnist_ray.errors import SettingError

Method = Literal["grad-cam", "gradient", "occlusion"]
METHODS: tuple[Method, ...] = ("grad-cam", "gradient", "occlusion")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainSettings:
    """Some images of a data set, and how a bundle's answers to them are to be explained."""

    bundle: str
    """A shipped bundle's name, or a bundle's path or URI."""
    data_uri: str
    """A catalogue, a split of Fashion-MNIST, a finished run (its catalogue is read), or one image file."""
    out_uri: str
    """Where the page and the pictures go."""
    columns: ColumnNames = field(default_factory=ColumnNames)
    image_prefixes: tuple[str, ...] = ()
    """Places below which images may lie that cells name. None: the catalogue's own."""
    rows: tuple[int, ...] = ()
    """Rows to explain, counted over all files from 0."""
    ids: tuple[str, ...] = ()
    """Product ids to explain."""
    queue: int = 0
    """So many rows from the start of a finished run's review queue instead, and its page with their heat maps."""
    num_rows: int = 8
    """Where neither rows nor ids are given: so many rows from the start."""
    features_uri: str | None = None
    """A table of features, such as the training set's, in which the images most like these are looked for."""
    methods: tuple[Method, ...] = METHODS
    """grad-cam and gradient need the network's gradients; occlusion works with any bundle."""

    def __post_init__(self) -> None:
        if self.queue < 0 or (self.queue and (self.rows or self.ids)):
            raise SettingError("Rows are those of the review queue, or named by number or id: not both.")
        if self.num_rows < 1 or any(row < 0 for row in self.rows):
            raise SettingError("Rows are counted from 0, and at least one is to be explained.")
        if odd := [method for method in self.methods if method not in METHODS]:
            raise SettingError(f"There is no method {odd[0]!r}; allowed are {', '.join(METHODS)}.")
        if not self.methods:
            raise SettingError(f"At least one method is needed: {', '.join(METHODS)}.")
