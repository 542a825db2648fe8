"""Single images of a catalogue, by the places that a run's tables name."""

from __future__ import annotations

from collections.abc import Sequence

from fmnist_ray.catalogue.plan import Plan, Shard
from fmnist_ray.catalogue.reader import Columns, read_rows
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


def read_chosen(plan: Plan, places: Sequence[tuple[str, int]]) -> list[object]:
    """As `read_images`, for many rows: each file is read once, from the first to the last row that is wanted."""
    store = open_store(plan.catalogue_uri)
    columns = Columns.from_dict({**plan.columns, "id": None, "label": None, "keep": ()})
    cells: dict[tuple[str, int], object] = {}
    for number, file in enumerate(plan.inputs):
        wanted = {row for key, row in places if key == file.key}
        if wanted:
            shard = Shard(id="", file=number, start=min(wanted), stop=max(wanted) + 1)
            for batch in read_rows(store, file, shard, columns):
                for row in wanted.intersection(range(batch.first_row, batch.first_row + len(batch))):
                    cells[file.key, row] = batch.images[row - batch.first_row]
    return [cells[place] for place in places]
