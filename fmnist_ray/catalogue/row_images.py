"""Single images of a catalogue, by the places that a run's tables name."""

from __future__ import annotations

from collections.abc import Sequence

from fmnist_ray.catalogue.columns import Columns
from fmnist_ray.catalogue.fetch import ImageFetcher
from fmnist_ray.catalogue.plan import Plan, Shard
from fmnist_ray.catalogue.reader import read_rows
from fmnist_ray.config.images import ImageLimits
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


def read_chosen(plan: Plan, places: Sequence[tuple[str, int]]) -> list[bytes | None]:
    """The encoded images of many rows of a classified catalogue, None where there is none. Each file is read once, from
    the first to the last row that is wanted; images that cells only name are fetched."""
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
    limits = ImageLimits(**plan.promises["limits"])
    fetcher = ImageFetcher(plan.catalogue_uri, plan.promises["image_prefixes"], max_bytes=limits.max_bytes)
    images = fetcher.fetch([cells[place] for place in places])
    return [image if isinstance(image, bytes) else None for image in images]
