"""What two bundles are compared on, and what a bundle must show before an alias is given to it."""

from __future__ import annotations

from dataclasses import dataclass, field

from fmnist_ray.config.classify import ColumnNames
from fmnist_ray.errors import SettingError


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSettings:
    """Two bundles and the rows that both answer."""

    before: str
    """The bundle that is in use: a shipped one's name, an alias, a path or a URI."""
    after: str
    """The bundle that may take its place."""
    data_uri: str
    """A catalogue, `fashion-mnist-test` or `fashion-mnist-train`."""
    columns: ColumnNames = field(default_factory=ColumnNames)
    min_precision: float | None = 0.99
    """The precision of accepted rows that both promise; None compares no decisions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateLimits:
    """What a bundle may lose against the one whose place it takes, and what it must reach by itself."""

    min_accuracy: float = 0.0
    """Share of the labelled rows that are right, whatever the bundle before reached."""
    max_accuracy_loss: float = 0.002
    """Accuracy of the bundle before minus its own."""
    max_calibration_error: float = 0.02
    """Mean distance of confidence and accuracy."""
    max_accepted_loss: float = 0.05
    """Share of rows accepted by the bundle before minus its own, under the same promise: work for reviewers."""
    max_flips: float = 0.1
    """Share of rows that get another label: what customers of the catalogue notice."""
    min_speed: float = 0.8
    """Rows per second of a core, as a multiple of those of the bundle before, measured side by side."""

    def __post_init__(self) -> None:
        shares = ("min_accuracy", "max_accuracy_loss", "max_calibration_error", "max_accepted_loss", "max_flips")
        for name in shares:
            if not 0 <= getattr(self, name) <= 1:
                raise SettingError(f"--{name.replace('_', '-')} is {getattr(self, name):g}; it must be within 0 and 1.")
        if self.min_speed < 0:
            raise SettingError(f"--min-speed is {self.min_speed:g}; it must be 0 or more.")
