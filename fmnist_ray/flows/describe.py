"""What is in a data set: classes, pixels, a map, near duplicates, and labels that look wrong."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fmnist_ray import __version__
from fmnist_ray.bundle.classifier import Classifier, load_bundle
from fmnist_ray.config.classify import ColumnNames
from fmnist_ray.config.describe import DescribeSettings
from fmnist_ray.errors import CatalogueError
from fmnist_ray.flows.rows import open_rows
from fmnist_ray.images.encode import encode_png
from fmnist_ray.images.prepare import prepare_batch
from fmnist_ray.labels import Labels, known_label_ids, label_index
from fmnist_ray.reports.describe_page import (
    NUM_SHOWN,
    ClassContent,
    DescribeFacts,
    DescribeReport,
    DuplicateContent,
    ShownRow,
    describe_report,
)
from fmnist_ray.reports.duplicates import Pair, near_duplicates
from fmnist_ray.reports.label_errors import MIN_PER_CLASS, Suspect, likely_errors, out_of_fold, principal_map
from fmnist_ray.store import open_store

_EXAMPLES = 9
_UNLABELLED = "no label"


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribeSummary:
    """A description that was written."""

    report: DescribeReport
    report_uri: str


def describe(settings: DescribeSettings, *, on_progress: Callable[[int, int], None] | None = None) -> DescribeSummary:
    """Write `describe.html` and `describe.json`. `CatalogueError` where no image can be used."""
    started = time.perf_counter()
    classifier = load_bundle(settings.bundle)
    rows = _load(settings.data_uri, settings, settings.columns, classifier, on_progress or (lambda done, total: None))
    others = None
    if settings.against is not None:
        others = _load(settings.against, settings, ColumnNames(), classifier, lambda done, total: None)
    labels, label_ids = _numbered(rows.labels, classifier.labels)
    features = classifier.features(rows.pixels)
    places, explained = principal_map(features)
    judged, suspects = _suspects(features, rows.labelled, label_ids, settings.seed)
    facts = DescribeFacts(
        data_uri=settings.data_uri,
        against_uri=settings.against,
        bundle_uri=settings.bundle,
        bundle_digest=classifier.digest,
        num_rows=rows.num_rows,
        num_looked_at=len(rows.pixels),
        num_rejects=rows.num_rejects,
        similarity=settings.similarity,
        elapsed_s=round(time.perf_counter() - started, 3),
        program_version=__version__,
    )
    report = describe_report(
        facts,
        _classes(rows, labels, label_ids, places, settings.seed),
        np.bincount(rows.pixels.ravel(), minlength=256),
        explained,
        _duplicates(rows, rows, near_duplicates(rows.pixels, similarity=settings.similarity)),
        None
        if others is None
        else _duplicates(rows, others, near_duplicates(rows.pixels, others.pixels, similarity=settings.similarity)),
        [(suspect, rows.shown(suspect.row)) for suspect in suspects[:NUM_SHOWN]],
        len(suspects) if judged else None,
        labels,
    )
    store = open_store(settings.out_uri)
    for name, data in report.files().items():
        store.put(name, data)
    return DescribeSummary(report=report, report_uri=f"{store.uri}/describe.html")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    """Rows of a data set whose image can be used."""

    pixels: NDArray[np.uint8]
    names: list[str]
    labels: list[str | None]
    num_rows: int
    num_rejects: int

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """[n]"""
        return np.array([label is not None for label in self.labels])

    def shown(self, row: int) -> ShownRow:
        return ShownRow(name=self.names[row], label=self.labels[row], png=_png(self.pixels[row]))


def _load(
    uri: str, settings: DescribeSettings, columns: ColumnNames, classifier: Classifier, tell: Callable[[int, int], None]
) -> _Loaded:
    """The rows, or a random choice of them."""
    source = open_rows(uri, columns, image_prefixes=settings.image_prefixes)
    chosen = np.ones(source.num_rows, bool)
    if source.num_rows > settings.max_rows:
        chosen[:] = False
        drawn = np.random.default_rng(settings.seed).choice(source.num_rows, settings.max_rows, replace=False)
        chosen[drawn] = True
    pixels: list[NDArray[np.uint8]] = []
    names: list[str] = []
    labels: list[str | None] = []
    first = num_rejects = 0
    index = label_index(classifier.labels)
    for file, batch in source.batches():
        wanted = np.flatnonzero(chosen[first : first + len(batch)])
        cells = [batch.images[row] for row in wanted]
        prepared = prepare_batch(cells, classifier.spec.preparation, classifier.limits)
        num_rejects += len(prepared.rejects)
        pixels.append(prepared.pixels)
        for row in wanted[prepared.positions].tolist():
            names.append(batch.ids[row].as_py() or f"{file}, row {batch.first_row + row}")
            cell = None if batch.labels is None else batch.labels[row]
            (known,) = known_label_ids([cell], index)
            labels.append(None if cell is None else classifier.labels[known] if known >= 0 else str(cell))
        first += len(batch)
        tell(first, source.num_rows)
    if not names:
        raise CatalogueError(f"{uri} has no row with a usable image.")
    return _Loaded(
        pixels=np.concatenate(pixels), names=names, labels=labels, num_rows=source.num_rows, num_rejects=num_rejects
    )


def _numbered(names: Sequence[str | None], known: Labels) -> tuple[Labels, NDArray[np.int64]]:
    """The classes, those of the bundle in its order, then others by name; and the class number of every row."""
    found = {_UNLABELLED if name is None else name for name in names}
    labels = (*(name for name in known if name in found), *sorted(found - set(known)))
    index = {name: number for number, name in enumerate(labels)}
    return labels, np.array([index[_UNLABELLED if name is None else name] for name in names], np.int64)


def _suspects(
    features: NDArray[np.float32], labelled: NDArray[np.bool_], label_ids: NDArray[np.int64], seed: int
) -> tuple[bool, list[Suspect]]:
    """Whether labels could be judged, and those that look wrong; only `labelled` rows [n] have a say."""
    rows = np.flatnonzero(labelled)
    counts = np.bincount(label_ids[rows])
    if (counts > 0).sum() < 2 or counts[counts > 0].min() < MIN_PER_CLASS:
        return False, []
    found = likely_errors(out_of_fold(features[rows], label_ids[rows], seed), label_ids[rows])
    return True, [dataclasses.replace(suspect, row=int(rows[suspect.row])) for suspect in found]


def _classes(
    rows: _Loaded, labels: Labels, label_ids: NDArray[np.int64], places: NDArray[np.float64], seed: int
) -> list[ClassContent]:
    low, high = np.quantile(places, [0.001, 0.999], axis=0)
    inside = ((places - low) / np.maximum(high - low, 1e-12)).clip(0, 1)
    generator = np.random.default_rng(seed)
    found = []
    for number, label in enumerate(labels):
        members = generator.permutation(np.flatnonzero(label_ids == number))
        pixels = rows.pixels[members]
        found.append(
            ClassContent(
                label=label,
                num_rows=len(members),
                brightness=float(pixels.mean()),
                contrast=float(pixels.std()),
                examples=tuple(rows.shown(row) for row in members[:_EXAMPLES].tolist()),
                mean_image=_png(np.rint(pixels.mean(axis=0)).astype(np.uint8)),
                map_points=inside[members],
            )
        )
    return found


def _duplicates(rows: _Loaded, others: _Loaded, pairs: Sequence[Pair]) -> DuplicateContent:
    """Pairs of two labels are shown first."""
    contradicting = [pair for pair in pairs if rows.labels[pair.first] != others.labels[pair.second]]
    agreeing = [pair for pair in pairs if rows.labels[pair.first] == others.labels[pair.second]]
    having = {pair.first for pair in pairs} | ({pair.second for pair in pairs} if others is rows else set())
    return DuplicateContent(
        num_pairs=len(pairs),
        num_rows=len(having),
        num_contradicting=len(contradicting),
        pairs=tuple(
            (pair, rows.shown(pair.first), others.shown(pair.second))
            for pair in [*contradicting, *agreeing][:NUM_SHOWN]
        ),
    )


def _png(pixels: NDArray[np.uint8]) -> bytes:
    return encode_png(np.ascontiguousarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)))
