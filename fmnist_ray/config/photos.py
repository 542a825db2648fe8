"""What the photo doctor looks at."""

from __future__ import annotations

from dataclasses import dataclass, field

from fmnist_ray.config.classify import ColumnNames
from fmnist_ray.errors import SettingError


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoDoctorSettings:
    """One look at a sample of a catalogue's photos."""

    catalogue_uri: str
    """A Parquet file, or a folder with Parquet files below it."""
    out_uri: str
    """Folder of the page."""
    bundle: str = "default"
    """Whose preparation and idea of the usual are taken."""
    columns: ColumnNames = field(default_factory=ColumnNames)
    image_prefixes: tuple[str, ...] = ()
    """Places below which images may lie that the catalogue names. None: the catalogue's own."""
    sample_rows: int = 500
    """Rows that are looked at, from places all over the catalogue."""

    def __post_init__(self) -> None:
        if not 1 <= self.sample_rows <= 10_000:
            raise SettingError(f"--rows is {self.sample_rows}; it must be within 1 and 10,000.")
