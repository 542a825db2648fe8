"""What a comparison of models runs."""

from __future__ import annotations

from dataclasses import dataclass

from fmnist_ray.errors import SettingError

STUDIES = ("leaderboard", "optimisers", "batches", "heads")


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareSettings:
    """One comparison: which rows, how often, and on how much."""

    out_uri: str
    """Where every run's result goes, and the table of all of them. Runs that are there already are not done again."""
    study: str = "leaderboard"
    """One of `STUDIES`."""
    only: tuple[str, ...] = ()
    """Names of rows; all of the study where there are none."""
    seeds: int = 2
    """Runs of each row, with the seeds 0, 1, ..."""
    epochs: int | None = None
    """Instead of those of each network's recipe: a quick look."""
    subset: int | None = None
    """Training images to use, a share of every class: a quick look."""

    def __post_init__(self) -> None:
        if self.study not in STUDIES:
            raise SettingError(f"There is no study {self.study!r}; allowed are {', '.join(STUDIES)}.")
        for name in ("seeds", "epochs", "subset"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SettingError(f"--{name} is {value}; it must be at least 1.")
