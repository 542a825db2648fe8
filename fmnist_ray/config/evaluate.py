"""What an evaluation is asked to look at."""

from __future__ import annotations

from dataclasses import dataclass, field

from fmnist_ray.config.classify import ColumnNames
from fmnist_ray.errors import SettingError


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateSettings:
    """One evaluation: a bundle, labelled data, and a place for the report."""

    bundle: str
    """A shipped bundle's name, or a bundle's path or URI."""
    data_uri: str
    """A labelled catalogue, or `fashion-mnist-test` or `fashion-mnist-train`."""
    out_uri: str
    """Where the report's files go; earlier ones of the same names are replaced."""
    columns: ColumnNames = field(default_factory=ColumnNames)
    """Which columns mean what; those to keep are what rows are also sliced by."""
    image_prefixes: tuple[str, ...] = ()
    """Places below which images may lie that cells name. None: the catalogue's own."""
    training: str | None = None
    """The data that the bundle was trained on, to tell rows with a near duplicate there from the others."""
    similarity: float = 0.98
    """Correlation of two images' pixels from which on they are near duplicates."""
    against: str | None = None
    """A second bundle, which answers the same rows."""
    track: str = "none"
    """A tracker that gets the figures: tensorboard, mlflow or wandb."""
    corruptions: bool = False
    """Whether to measure accuracy under corruptions as well."""
    corruption_rows: int = 10_000
    """Rows that are corrupted, drawn at random where there are more."""
    seed: int = 0
    """Of that draw, and of the corruptions."""

    def __post_init__(self) -> None:
        if self.corruption_rows < 1:
            raise SettingError(f"{self.corruption_rows} rows are to be corrupted; it takes at least 1.")
        if not 0.5 <= self.similarity < 1:
            raise SettingError(f"A similarity of {self.similarity} is outside 0.5..1.")
