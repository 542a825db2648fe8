"""What the flows need: catalogues of any content."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image


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
