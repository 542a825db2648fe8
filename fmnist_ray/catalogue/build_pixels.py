"""From grey pixels, as idx and CSV files hold them, to rows of a catalogue."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fmnist_ray.catalogue.build import catalogue_batch
from fmnist_ray.errors import CatalogueError
from fmnist_ray.images.encode import encode_png

_ID_PREFIX = re.compile(r"-?images?-idx3-ubyte|\.(?:gz|csv|idx)$")

_MAX_LABEL = 127


def id_prefix(name: str) -> str:
    """What the product ids of a file of pixels start with: `t10k` for `t10k-images-idx3-ubyte.gz`."""
    while (shorter := _ID_PREFIX.sub("", name)) != name:
        name = shorter
    return name or "image"


def pixels_batch(
    prefix: str, first_row: int, pixels: NDArray[np.uint8], labels: NDArray[np.uint8] | None
) -> pa.RecordBatch:
    """Rows for `pixels` `[n, height, width]` as lossless PNG, the first of them being row `first_row` of its source;
    `label` is the id as int8. `CatalogueError` for an id over 127."""
    ids = [f"{prefix}-{row:06d}" for row in range(first_row, first_row + len(pixels))]
    if labels is not None and labels.max() > _MAX_LABEL:
        raise CatalogueError(f"There is a label id of {labels.max()}; the highest allowed is {_MAX_LABEL}.")
    label = None if labels is None else pa.array(labels.astype(np.int8))
    return catalogue_batch(ids, [encode_png(image) for image in pixels], label)
