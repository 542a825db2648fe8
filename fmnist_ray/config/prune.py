"""How a bundle's network is pruned."""

from __future__ import annotations

from dataclasses import dataclass

from fmnist_ray.errors import SettingError


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneSettings:
    """One pruning: a bundle in, one with a narrower network out, trained on for some epochs."""

    bundle: str
    """A shipped bundle's name, a path or a URI. It says what it was trained on, and how."""
    out_uri: str
    """Where the pruned bundle goes."""
    share: float = 0.5
    """Of the channels within each residual block, those that go."""
    epochs: int = 16
    """Passes over the bundle's own training images after the pruning: as it was trained, at half the learning rate and
    with the bundle itself as teacher."""
    replace: bool = False
    """Take the place of a bundle in `out_uri`."""

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise SettingError(f"--prune is {self.share:g}; it must be above 0 and below 1.")
        if self.epochs < 1:
            raise SettingError(f"--epochs is {self.epochs}; it must be at least 1.")
