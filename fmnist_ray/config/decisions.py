"""What is promised about the rows of a run: how safe an accepted one is, how strange a declined one."""

from __future__ import annotations

from dataclasses import dataclass

from fmnist_ray.errors import SettingError


@dataclass(frozen=True, slots=True, kw_only=True)
class Promises:
    """The promises behind each row's decision. They change results and so are in the plan id."""

    min_precision: float | None = None
    """Share of accepted rows whose label is right, at least. None: no row is accepted, sent to review or declined."""
    per_class: bool = False
    """Keep `min_precision` among the rows of each predicted class, not only among all accepted rows."""
    risk: float = 0.05
    """Probability, over the choice of held-out rows, that `min_precision` is not kept; per class where it is."""
    coverage: float = 0.95
    """Share of the rows of each true class whose label set holds that class."""
    alarm_rate: float = 0.01
    """Share of good photos of known classes that are flagged as none of the classes, and share flagged as unusable."""

    def __post_init__(self) -> None:
        for name in ("min_precision", "risk", "coverage", "alarm_rate"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1:
                raise SettingError(f"--{name.replace('_', '-')} is {value}; it must be between 0 and 1.")
        if self.per_class and self.min_precision is None:
            raise SettingError("--per-class says where --min-precision holds: add --min-precision.")
