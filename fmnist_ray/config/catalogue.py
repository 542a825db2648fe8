"""What a catalogue is built from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fmnist_ray.errors import SettingError

SourceFormat = Literal["idx", "kaggle-csv", "folder"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSettings:
    """Images of some other form in, a catalogue of Parquet files out."""

    source_uri: str
    """A file of idx images, a Kaggle CSV, a folder of image files, or `fashion-mnist-train` or `fashion-mnist-test`."""
    out_uri: str
    """Folder of the catalogue."""
    format: SourceFormat | None = None
    """None: by what is there."""
    labels_uri: str | None = None
    """Labels of idx images. None: the file beside them, named `labels-idx1` in place of `images-idx3`."""
    by_name: bool = False
    """Of a folder: write where the images are, instead of their bytes."""
    rows_per_file: int = 10_000
    """Most rows of one Parquet file. Files of large images end earlier."""
    replace: bool = False
    """Allow a catalogue in `out_uri` to be removed first."""

    def __post_init__(self) -> None:
        if self.rows_per_file < 1:
            raise SettingError(f"--rows-per-file is {self.rows_per_file}; it must be at least 1.")
        if self.format not in (None, "idx", "kaggle-csv", "folder"):
            raise SettingError(f"--format is {self.format}; allowed are auto, idx, kaggle-csv and folder.")
