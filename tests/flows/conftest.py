"""What the flows need: catalogues of any content, and an executor without Ray."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from fmnist_ray.errors import WorkerDiedError
from fmnist_ray.flows.shard import ShardOutcome, ShardWorker, WorkerSettings


class InProcess:
    """Runs shards one after the other in this process. `dies_at` names shards whose worker ends without an answer."""

    def __init__(self, dies_at: Callable[[str], bool] = lambda shard: False) -> None:
        self.facts: dict[str, Any] = {"num_workers": 1, "runtime": "cpu"}
        self.rounds: list[list[str]] = []
        self._dies_at = dies_at

    def run(self, settings: WorkerSettings, shard_ids: Sequence[str]) -> Iterator[ShardOutcome]:
        self.rounds.append(list(shard_ids))
        worker = ShardWorker(settings)
        for shard_id in shard_ids:
            if self._dies_at(shard_id):
                raise WorkerDiedError("A worker process ended without an answer (test).")
            yield worker.run(shard_id)


@pytest.fixture
def in_process() -> type[InProcess]:
    return InProcess


@pytest.fixture(scope="session")
def pngs() -> list[bytes]:
    """Sixty different grey images of 28x28."""
    images = []
    for pixels in np.random.default_rng(3).integers(0, 256, (60, 28, 28), dtype=np.uint8):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        images.append(buffer.getvalue())
    return images


@pytest.fixture
def catalogue(tmp_path: Path, pngs: list[bytes]) -> Callable[..., Path]:
    """Writes a catalogue folder: one Parquet file for each table given, or for each column dictionary."""

    def write(*tables: pa.Table | dict[str, Any], row_group_size: int | None = None) -> Path:
        folder = tmp_path / "catalogue"
        folder.mkdir()
        for number, table in enumerate(tables):
            table = table if isinstance(table, pa.Table) else pa.table(table)
            pq.write_table(table, folder / f"part-{number}.parquet", row_group_size=row_group_size)
        return folder

    return write
