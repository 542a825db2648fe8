"""The images that an explanation is about: rows of a catalogue or of a run, its review queue, or one image file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fmnist_ray.catalogue.commit import Commit, read_commit
from fmnist_ray.catalogue.plan import Plan
from fmnist_ray.catalogue.row_images import read_chosen
from fmnist_ray.config.classify import ColumnNames
from fmnist_ray.config.explain import ExplainSettings
from fmnist_ray.errors import CatalogueError, NotFoundError, SettingError
from fmnist_ray.flows.build import NAMED_SOURCES
from fmnist_ray.flows.review_queue import queue_key
from fmnist_ray.flows.rows import RowSource, open_rows, true_label_ids
from fmnist_ray.labels import Labels
from fmnist_ray.store import open_store, split_uri

_IMAGE_NAMES = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRow:
    """A row to explain."""

    name: str
    cell: object = field(repr=False)
    truth: int
    """Its label id, -1 where it is not known."""
    queued: dict[str, Any] | None = None
    """Its row of the review queue, if it was found there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFacts:
    """The review queue that rows are from."""

    plan_id: str
    num_rows: int
    num_audit: int
    """Of these, rows that were drawn at random."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRows:
    """The rows to explain, in order."""

    rows: list[FoundRow]
    queue: QueueFacts | None = None


def explained_rows(settings: ExplainSettings, labels: Labels) -> FoundRows:
    """The wanted rows, in the order of the data; `CatalogueError` where one is not there, `SettingError` for a review
    queue that is not there."""
    uri = settings.data_uri
    if uri.lower().endswith(_IMAGE_NAMES):
        return FoundRows(rows=[_image_file(uri)])
    commit = None
    if uri not in NAMED_SOURCES and not uri.endswith(".parquet"):
        commit = read_commit(open_store(uri))
    if settings.queue:
        if commit is None:
            raise SettingError(f"{uri} is no finished run, so it has no review queue.")
        return _queued(uri, commit, settings.queue)
    if commit is None:
        source = open_rows(uri, settings.columns, image_prefixes=settings.image_prefixes)
    else:
        source = _rows_of_run(uri, commit, settings.image_prefixes)
    return FoundRows(rows=list(_wanted(source, settings, labels)))


def _image_file(uri: str) -> FoundRow:
    folder, name = split_uri(uri)
    try:
        return FoundRow(name=name, cell=open_store(folder).get(name), truth=-1)
    except NotFoundError as error:
        raise CatalogueError(f"There is no image {uri}.") from error


def _rows_of_run(uri: str, commit: Commit, image_prefixes: tuple[str, ...]) -> RowSource:
    """The catalogue of a run, with the run's own columns and places of images."""
    plan = _plan(uri, commit)
    names = ColumnNames(id=plan.columns["id"], image=plan.columns["image"], label=plan.columns["label"])
    prefixes = image_prefixes or tuple(plan.promises["image_prefixes"])
    return open_rows(commit.facts["catalogue_uri"], names, image_prefixes=prefixes)


def _queued(uri: str, commit: Commit, most: int) -> FoundRows:
    """The first rows of a run's review queue whose image is still there."""
    try:
        data = open_store(uri).get(queue_key(commit.plan_id, "parquet"))
    except NotFoundError as error:
        raise SettingError(f"{uri} has no review queue: classify with --min-precision to get one.") from error
    table = pq.read_table(pa.BufferReader(data))
    rows = table.slice(0, most).to_pylist()
    images = read_chosen(_plan(uri, commit), [(row["input_file"], row["input_row"]) for row in rows])
    found = [
        FoundRow(name=row["product_id"] or _place(row["input_file"], row["input_row"]), cell=cell, truth=-1, queued=row)
        for row, cell in zip(rows, images, strict=True)
        if cell is not None
    ]
    if not found:
        raise CatalogueError(f"The review queue of {uri} has no row whose image is still there.")
    num_audit = int(pc.sum(table.column("audit")).as_py())
    return FoundRows(rows=found, queue=QueueFacts(plan_id=commit.plan_id, num_rows=len(table), num_audit=num_audit))


def _wanted(source: RowSource, settings: ExplainSettings, labels: Labels) -> Iterator[FoundRow]:
    wanted, ids = set(settings.rows), set(settings.ids)
    if not wanted and not ids:
        wanted = set(range(settings.num_rows))
    first = 0
    for file, batch in source.batches():
        truth = true_label_ids(batch, labels)
        for position, name in enumerate(batch.ids.to_pylist()):
            if first + position in wanted or name in ids:
                wanted.discard(first + position)
                ids.discard(name)
                shown = name or _place(file, batch.first_row + position)
                yield FoundRow(name=shown, cell=batch.images[position], truth=int(truth[position]))
        first += len(batch)
        if not wanted and not ids:
            return
    if ids or settings.rows:
        missing = f"product {min(ids)!r}" if ids else f"row {min(wanted)}"
        raise CatalogueError(f"{source.name} has no {missing}; it has {first:,} rows.")


def _place(file: str, row: int) -> str:
    return f"{file}, row {row}"


def _plan(uri: str, commit: Commit) -> Plan:
    return Plan.from_json(open_store(uri).get(f"plan/{commit.plan_id}.json"))
