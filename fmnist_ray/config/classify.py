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


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnNames:
    """Which columns of the catalogue mean what."""

    id: str | None = None
    """Product id. None: `product_id` where there is such a column; rows without an id are known by file and row."""
    image: str = "image"
    """Encoded image bytes."""
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
    replace: bool = False
    """Allow this plan to take the place of another plan's run in `out_uri`, which stays readable as `previous`."""

    def __post_init__(self) -> None:
        if self.shard_rows is not None and self.shard_rows < 1:
            raise SettingError(f"--shard-rows is {self.shard_rows}; it must be at least 1.")
        if self.workers is not None and self.workers < 1:
            raise SettingError(f"--workers is {self.workers}; it must be at least 1.")
        if self.layer is not None and self.runtime != "cpu":
            raise SettingError("A layer is named as in the ONNX graph, which CPUs run: use --runtime cpu with --layer.")
        if self.precision not in ("f32", "bf16"):
            raise SettingError(f"--precision is {self.precision}; allowed are f32 and bf16.")
        if self.runtime not in (None, "cpu", "gpu"):
            raise SettingError(f"--runtime is {self.runtime}; allowed are auto, cpu and gpu.")
