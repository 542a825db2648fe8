"""What a bundle is calibrated on."""

from __future__ import annotations

from dataclasses import dataclass

from fmnist_ray.config.classify import ColumnNames
from fmnist_ray.errors import SettingError


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrateSettings:
    """One `calibrate`: a bundle in, the same network with held-out rows and a fresh calibration out."""

    bundle: str
    """A shipped bundle's name, a path or a URI."""
    out_uri: str
    """Where the calibrated bundle goes."""
    catalogue_uri: str | None = None
    """Labelled photos that the bundle was not trained on. None: the validation images of its own training."""
    columns: ColumnNames = ColumnNames()
    """Of the catalogue."""
    replace: bool = False
    """Take the place of a bundle in `out_uri`."""

    def __post_init__(self) -> None:
        if self.columns != ColumnNames() and self.catalogue_uri is None:
            raise SettingError("Columns are those of a catalogue: name it with --catalogue.")
