"""Single images of a catalogue, by the places that a run's tables name."""

from __future__ import annotations

from collections.abc import Sequence

from fmnist_ray.catalogue.columns import Columns
from fmnist_ray.catalogue.plan import Plan, Shard
from fmnist_ray.catalogue.reader import read_rows
from fmnist_ray.store import open_store


def read_images(plan: Plan, places: Sequence[tuple[str, int]]) -> list[object]:
    """The image cells at (input file, row), from the very versions of the files that were planned.

    Meant for some dozens: each reads its row group from the beginning.
    """
    store = open_store(plan.catalogue_uri)
    columns = Columns.from_dict({**plan.columns, "id": None, "label": None, "keep": ()})
    numbers = {file.key: number for number, file in enumerate(plan.inputs)}
    cells: list[object] = []
    for key, row in places:
        shard = Shard(id="", file=numbers[key], start=row, stop=row + 1)
        cells += [
            cell for batch in read_rows(store, plan.inputs[numbers[key]], shard, columns) for cell in batch.images
        ]
    return cells
