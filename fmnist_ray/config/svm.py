"""How an SVM is fitted on features, and what a search over its settings tries."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from fmnist_ray.config.checks import check_choice
from fmnist_ray.config.tune import Choice, Range
from fmnist_ray.errors import SettingError

Kind = Literal["linear", "rbf", "nystroem"]
KINDS: tuple[Kind, ...] = ("linear", "rbf", "nystroem")
_USUAL_C = {"linear": 0.01, "rbf": 10.0, "nystroem": 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class SvmSettings:
    """One SVM on standardised features."""

    kind: Kind = "nystroem"
    """`linear`: one class against the rest. `rbf`: exact kernel, class against class, up to 100,000 rows. `nystroem`:
    the kernel approximated from a sample of rows, then linear; streams, so any number of rows."""
    c: float | None = None
    """Weight of mistakes against a wide margin. None: 0.01 for linear, 10 for rbf and 1 for nystroem."""
    gamma: float | None = None
    """Of the RBF kernel exp(-gamma |a - b|^2). None: one by the number of features."""
    components: int = 1_000
    """Nystroem's sample: more come closer to the exact kernel and cost more, here and at inference."""
    epochs: int | None = None
    """Nystroem's passes over the rows. None: as many as see half a million rows, 2 to 10."""
    class_weights: bool = False
    """Weigh each class by the inverse of its frequency."""
    seed: int = 0
    """Of Nystroem's sample and of the order of rows."""

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, KINDS)
        for name in ("c", "gamma", "components", "epochs"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int | float) and 0 < value < 1e9):
                raise SettingError(f"{name} is {value!r}; it must be a number above 0.")

    @property
    def effective_c(self) -> float:
        """`c`, or what is usual."""
        return _USUAL_C[self.kind] if self.c is None else float(self.c)

    def replaced(self, changes: Mapping[str, Any]) -> SvmSettings:
        """These settings with changes; `SettingError` names a setting that does not exist."""
        known = [entry.name for entry in dataclasses.fields(self)]
        if unknown := sorted(set(changes) - set(known)):
            raise SettingError(f"An SVM has no setting {unknown[0]!r}; it has {', '.join(known)}.")
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class SvmSearch:
    """A cross-validated search; without anything that varies, none."""

    vary: Mapping[str, Choice | Range] = field(default_factory=dict)
    """By the name of the setting."""
    trials: int | None = None
    """Settings that are drawn. None: the whole grid."""
    folds: int = 5
    rows: int = 10_000
    """Training rows that the search looks at, at most, evenly over the classes."""
    seed: int = 0
    """Of the folds, the rows and the drawing."""

    def __post_init__(self) -> None:
        for name, low in (("folds", 2), ("rows", 10)):
            if getattr(self, name) < low:
                raise SettingError(f"{name} is {getattr(self, name)}; it must be at least {low}.")
        if self.trials is not None and self.trials < 1:
            raise SettingError(f"trials is {self.trials}; it must be at least 1.")
        ranges = [name for name, space in self.vary.items() if isinstance(space, Range)]
        if ranges and self.trials is None:
            raise SettingError(f"A grid needs values, and {ranges[0]} is a range: add --trials N to draw from it.")


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSettings:
    """One `fit-svm`: from features to a bundle with two heads."""

    bundle: str
    """Whose network gives the features: a shipped bundle's name, a path or a URI."""
    out_uri: str
    """Where the bundle with the SVM goes."""
    work_uri: str
    """Keeps feature tables and the search's results, so that a second fit finds them."""
    features_uri: str | None = None
    """A table that `features` wrote. None: of `catalogue_uri`, or of Fashion-MNIST, written to `work_uri`."""
    catalogue_uri: str | None = None
    """A labelled catalogue to take the features of."""
    svm: SvmSettings = field(default_factory=SvmSettings)
    search: SvmSearch = field(default_factory=SvmSearch)
    replace: bool = False
    """Take the place of a bundle in `out_uri`."""

    def __post_init__(self) -> None:
        if self.features_uri and self.catalogue_uri:
            raise SettingError("Features come from a table or from a catalogue: leave out --features or --catalogue.")
