"""What is looked for in a table of features."""

from __future__ import annotations

from dataclasses import dataclass

from fmnist_ray.errors import SettingError


@dataclass(frozen=True, slots=True, kw_only=True)
class SimilarSettings:
    """One question: which rows are like this one?"""

    query: str
    """An image file, or the number of a row of the catalogue, counted over all files from 0."""
    features_uri: str
    """The --out of a features run."""
    out_uri: str
    """Where the page and its JSON go."""
    num_rows: int = 10
    """How many rows are looked for."""
    bundle: str | None = None
    """For an image: where the bundle is that made the features. None: where it was."""

    def __post_init__(self) -> None:
        if not 1 <= self.num_rows <= 1_000:
            raise SettingError(f"{self.num_rows} rows are looked for; it must be 1 to 1,000.")


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateSettings:
    """Which products of a catalogue are nearly the same?"""

    features_uri: str
    """The --out of a features run, whose catalogue is looked at."""
    out_uri: str
    """Where the page and the table of pairs go."""
    similarity: float = 0.98
    """Correlation of the pixels from which on two images are nearly the same."""
    bundle: str | None = None
    """Where the bundle is that made the features: it says how images are prepared. None: where it was."""

    def __post_init__(self) -> None:
        if not 0.5 <= self.similarity <= 1:
            raise SettingError(f"--similarity is {self.similarity:g}; it must be within 0.5 and 1.")
