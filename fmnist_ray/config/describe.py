"""What a description of a data set looks at."""

from __future__ import annotations

from dataclasses import dataclass, field

from fmnist_ray.config.classify import ColumnNames
from fmnist_ray.errors import SettingError


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribeSettings:
    """One description: data in, a page out."""

    data_uri: str
    """A catalogue, or `fashion-mnist-test` or `fashion-mnist-train`."""
    out_uri: str
    """Where the page goes."""
    against: str | None = None
    """A second data set, such as another split, in which near duplicates are looked for as well."""
    bundle: str = "default"
    """Whose preparation and features are used."""
    columns: ColumnNames = field(default_factory=ColumnNames)
    image_prefixes: tuple[str, ...] = ()
    """Places below which images may lie that cells name. None: the catalogue's own."""
    max_rows: int = 70_000
    """Rows of each data set that are looked at, drawn at random where there are more: every pair is compared."""
    similarity: float = 0.98
    """Correlation of two images' pixels from which on they are near duplicates."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_rows < 20:
            raise SettingError(f"A description of {self.max_rows} rows says nothing: look at 20 or more.")
        if not 0.5 <= self.similarity < 1:
            raise SettingError(f"A similarity of {self.similarity} is outside 0.5..1.")
