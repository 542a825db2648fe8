"""What a run would see in a catalogue: its columns and sizes, its ids and labels, and how a sample of it decodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from fmnist_ray.catalogue.columns import Columns
from fmnist_ray.catalogue.fetch import ImageFetcher
from fmnist_ray.catalogue.identities import IdentityCounter, digest
from fmnist_ray.catalogue.plan import InputFile
from fmnist_ray.catalogue.reader import inspect_inputs, list_inputs, open_parquet, read_rows
from fmnist_ray.catalogue.sampling import sample_places
from fmnist_ray.config.classify import ColumnNames
from fmnist_ray.config.images import ImageLimits, Preparation
from fmnist_ray.errors import CatalogueError
from fmnist_ray.images.prepare import prepare_batch
from fmnist_ray.store import ObjectInfo, Store

SAMPLE_ROWS = 100
"""Most rows that are decoded."""
MAX_LABELS = 1_000
"""Different labels that are counted; a column with more is no column of classes."""

_LARGE_GROUP_ROWS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleReject:
    """A row of the sample that a run would reject."""

    input_file: str
    input_row: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueFacts:
    """A catalogue that a run accepts."""

    catalogue_uri: str
    columns: dict[str, str]
    """Name and type of every column of the first file."""
    id_column: str | None
    image_column: str
    label_column: str | None
    num_rows: int
    num_files: int
    size_bytes: int
    num_row_groups: int
    max_row_group_rows: int
    num_null_ids: int
    num_repeated_ids: int
    """Rows whose id another row has too."""
    repeated_ids: list[str]
    """A few of these ids."""
    rows_by_label: dict[str, int]
    """Empty without labels, or with more than `MAX_LABELS` different ones."""
    num_null_labels: int
    num_sampled: int
    """Rows that were decoded, from places all over the catalogue."""
    mean_image_bytes: int
    """Of the sample."""
    sample_rejects: list[SampleReject]
    warnings: list[str]


def inspect_catalogue(uri: str, names: ColumnNames, image_prefixes: Sequence[str] = ()) -> CatalogueFacts:
    """Read what a run would read, but of the images only a sample, which may lie below `image_prefixes`.

    Raises `CatalogueError` where a run would refuse, naming the file. Memory grows by 16 bytes a row with an id.
    """
    store, infos = list_inputs(uri)
    inputs, columns = inspect_inputs(store, infos, names, fetches=True)
    with open_parquet(store, infos[0]) as first:
        types = {field.name: str(field.type) for field in first.schema_arrow}
    ids, labels = _scan(store, infos, columns)
    num_repeated, digests = ids.repeated()
    fetcher = ImageFetcher(store.uri, image_prefixes, max_bytes=ImageLimits().max_bytes)
    images, rejects = _sampled(store, inputs, columns, fetcher)
    groups = [rows for file in inputs for rows in file.row_groups]
    facts = CatalogueFacts(
        catalogue_uri=uri,
        columns=types,
        id_column=columns.id,
        image_column=columns.image,
        label_column=columns.label,
        num_rows=sum(groups),
        num_files=len(inputs),
        size_bytes=sum(file.size_bytes for file in inputs),
        num_row_groups=len(groups),
        max_row_group_rows=max(groups, default=0),
        num_null_ids=ids.num_nulls,
        num_repeated_ids=num_repeated,
        repeated_ids=_ids_of(digests, store, infos, columns),
        rows_by_label={} if len(labels) > MAX_LABELS else {str(name): labels[name] for name in _ordered(labels)},
        num_null_labels=labels[None],
        num_sampled=len(images),
        mean_image_bytes=sum(images) // max(1, len(images)),
        sample_rejects=rejects,
        warnings=[],
    )
    facts.warnings.extend(_warnings(facts, num_labels=len(labels)))
    return facts


def _scan(
    store: Store, infos: Sequence[ObjectInfo], columns: Columns
) -> tuple[IdentityCounter, Counter[str | int | None]]:
    """The id and label of every row, counted."""
    ids = IdentityCounter()
    labels: Counter[str | int | None] = Counter()
    names = [name for name in (columns.id, columns.label) if name is not None]
    for batch in _batches(store, infos, names):
        if columns.id is not None:
            ids.add(batch.column(columns.id).cast(pa.string()).to_pylist())
        if columns.label is not None and len(labels) <= MAX_LABELS:
            for counted in pc.value_counts(batch.column(columns.label)).to_pylist():
                labels[counted["values"]] += counted["counts"]
    return ids, labels


def _ids_of(digests: set[bytes], store: Store, infos: Sequence[ObjectInfo], columns: Columns) -> list[str]:
    """The ids that have these digests; they are looked up in a second reading, which stops at the last."""
    found: dict[bytes, str] = {}
    if digests and columns.id is not None:
        for batch in _batches(store, infos, [columns.id]):
            for product_id in batch.column(columns.id).cast(pa.string()).drop_null().to_pylist():
                if (key := digest(product_id)) in digests:
                    found[key] = product_id
            if len(found) == len(digests):
                break
    return sorted(found.values())


def _batches(store: Store, infos: Sequence[ObjectInfo], names: list[str]) -> Iterator[pa.RecordBatch]:
    """The columns of all files; `CatalogueError` names the file that can't be read."""
    for info in infos if names else ():
        with open_parquet(store, info) as file:
            try:
                yield from file.iter_batches(columns=names, use_threads=False)
            except (pa.ArrowException, OSError) as error:
                raise CatalogueError(f"{store.uri}/{info.key} can't be read ({error}): repair or remove it.") from error


def _sampled(
    store: Store, inputs: Sequence[InputFile], columns: Columns, fetcher: ImageFetcher
) -> tuple[list[int], list[SampleReject]]:
    """Size in bytes of each image of the sample, and the rows of it that a run would reject."""
    only_image = Columns(id=None, image=columns.image, label=None, keep=())
    sizes: list[int] = []
    rejects: list[SampleReject] = []
    for shard in sample_places(inputs, SAMPLE_ROWS):
        file = inputs[shard.file]
        for batch in fetcher.fetched(read_rows(store, file, shard, only_image)):
            sizes += [len(cell) if isinstance(cell, bytes) else 0 for cell in batch.images]
            for reject in prepare_batch(batch.images, Preparation(), ImageLimits()).rejects:
                row = batch.first_row + reject.position
                rejects.append(
                    SampleReject(input_file=file.key, input_row=row, reason=str(reject.reason), detail=reject.detail)
                )
    return sizes, rejects


def _ordered(labels: Counter[str | int | None]) -> list[str | int | None]:
    return sorted((name for name in labels if name is not None), key=lambda name: (isinstance(name, str), name))


def _warnings(facts: CatalogueFacts, *, num_labels: int) -> Iterator[str]:
    """What a run would live with, but its owner should know."""
    if not facts.num_rows:
        yield "The catalogue has no rows."
    if facts.id_column is None:
        yield "There is no id column: rows will be known by file and row number only."
    if facts.num_null_ids:
        yield f"{facts.num_null_ids:,} rows have no id: they will be known by file and row number only."
    if facts.num_repeated_ids:
        examples = ", ".join(facts.repeated_ids)
        yield f"{facts.num_repeated_ids:,} rows share their id with another row ({examples}): each is classified."
    if facts.max_row_group_rows > _LARGE_GROUP_ROWS:
        yield (
            f"A row group has {facts.max_row_group_rows:,} rows: shards inside of it read it from its start. "
            f"Write row groups of {_LARGE_GROUP_ROWS:,} rows at most."
        )
    if facts.sample_rejects:
        reasons = Counter(reject.reason for reject in facts.sample_rejects)
        named = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
        yield f"{len(facts.sample_rejects)} of {facts.num_sampled} sampled images would be rejected: {named}."
    if num_labels > MAX_LABELS:
        yield f"Column {facts.label_column!r} has more than {MAX_LABELS:,} different values: is it the class?"
    elif facts.num_null_labels:
        yield f"{facts.num_null_labels:,} rows have no label: the accuracy leaves them out."
