"""What a batch run is asked to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from fmnist_ray.config.decisions import Promises
from fmnist_ray.errors import SettingError

Runtime = Literal["cpu", "gpu"]
Precision = Literal["f32", "bf16"]
Table = Literal["predictions", "features"]
HeadName = Literal["cnn", "svm", "both"]


def parse_names(text: str) -> tuple[str, ...]:
    """Names as people write them: separated by commas."""
    return tuple(name for name in text.split(",") if name)


def parse_share(text: str) -> float:
    """A share as people write it: `2%` or `0.02`."""
    try:
        return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        raise SettingError(f"{text} is no share; write 2% or 0.02.") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnNames:
    """Which columns of the catalogue mean what."""

    id: str | None = None
    """Product id. None: `product_id` where there is such a column; rows without an id are known by file and row."""
    image: str = "image"
    """Encoded image bytes; or, as text, where the image is: a place, or a path relative to the catalogue."""
    label: str | None = None
    """True class, by name or id, for the report's accuracy. None: `label` where there is such a column."""
    keep: tuple[str, ...] = ()
    """Other columns, copied through to predictions and rejects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifySettings:
    """One batch run: catalogue in, predictions (or features), rejects and a report out."""

    catalogue_uri: str
    """A Parquet file, or a folder with Parquet files below it."""
    out_uri: str
    """Where the results go; holds the results of one plan."""
    bundle: str = "default"
    """A shipped bundle's name, or a bundle's path or URI."""
    columns: ColumnNames = field(default_factory=ColumnNames)
    since_uri: str | None = None
    """Results of an earlier run. Rows with images that it has classified, under the same bundle, get its answers."""
    image_prefixes: tuple[str, ...] = ()
    """Places below which images may lie that the catalogue names. None: the catalogue's own."""
    table: Table = "predictions"
    """What is written of each row: its prediction, or the network's features of it, for `fit-svm`."""
    layer: str | None = None
    """Of a features run: the tensor of the bundle's graph to write. None: the layer before the logits."""
    head: HeadName | None = None
    """Who decides: the network's own head, the SVM, or their combination. None: the one that the bundle names."""
    promises: Promises = field(default_factory=Promises)
    """What holds of the rows' decisions."""
    precision: Precision = "f32"
    """Arithmetic of the network. f32 gives the same answers on every machine."""
    runtime: Runtime | None = None
    """cpu (OpenVINO), gpu (torch on CUDA); None takes the GPU where the cluster has one."""
    shard_rows: int | None = None
    """Rows per shard, the unit of restart. None: a sixteenth of the catalogue, within 1,000 to 10,000."""
    workers: int | None = None
    """Worker processes. None: one per CPU of the cluster, or per GPU."""
    max_rejects: float = 0.02
    """Share of the rows, 0..1, that a committed run may have rejected. The first few rejects are always fine."""
    accept_rejects: bool = False
    """Commit whatever the number of rejects."""
    replace: bool = False
    """Allow this plan to take the place of another plan's run in `out_uri`, which stays readable as `previous`."""

    def __post_init__(self) -> None:
        if self.shard_rows is not None and self.shard_rows < 1:
            raise SettingError(f"--shard-rows is {self.shard_rows}; it must be at least 1.")
        if self.workers is not None and self.workers < 1:
            raise SettingError(f"--workers is {self.workers}; it must be at least 1.")
        if not 0 <= self.max_rejects <= 1:
            raise SettingError(f"--max-rejects is {self.max_rejects:.4g}; it must be within 0% and 100%.")
        if self.layer is not None and self.runtime != "cpu":
            raise SettingError("A layer is named as in the ONNX graph, which CPUs run: use --runtime cpu with --layer.")
        if self.precision not in ("f32", "bf16"):
            raise SettingError(f"--precision is {self.precision}; allowed are f32 and bf16.")
        if self.runtime not in (None, "cpu", "gpu"):
            raise SettingError(f"--runtime is {self.runtime}; allowed are auto, cpu and gpu.")
