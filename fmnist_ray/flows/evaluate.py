"""How good a bundle is on labelled data: a report with every figure, curve and picture, and a comparison."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from fmnist_ray import __version__
from fmnist_ray.bundle.classifier import Classifier, load_bundle, open_classifier
from fmnist_ray.bundle.format import HISTORY, Bundle, read_bundle
from fmnist_ray.catalogue.reader import RowBatch
from fmnist_ray.config.evaluate import EvaluateSettings
from fmnist_ray.errors import CatalogueError, SettingError
from fmnist_ray.flows.evaluation_kinds import RowKinds
from fmnist_ray.flows.evaluation_pictures import PictureKeeper
from fmnist_ray.flows.rows import RowSource, open_rows, true_label_ids
from fmnist_ray.images.corruptions import CORRUPTIONS, NUM_SEVERITIES, corrupt
from fmnist_ray.images.encode import encode_png
from fmnist_ray.images.prepare import prepare_batch
from fmnist_ray.reports.evaluation_content import (
    CorruptionAccuracy,
    CorruptionTable,
    EvaluationFacts,
    ScoredRows,
    evaluation_content,
)
from fmnist_ray.reports.evaluation_page import EvaluationReport
from fmnist_ray.reports.learning import learning_content
from fmnist_ray.reports.tracking import open_tracker
from fmnist_ray.store import open_store

Progress = Callable[[int, int], None]

_SHOWN_SEVERITY = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSummary:
    """An evaluation that was written."""

    report: EvaluationReport
    report_uri: str
    files: tuple[str, ...]


def evaluate_bundle(settings: EvaluateSettings, *, on_progress: Progress | None = None) -> EvaluationSummary:
    """Answer every labelled row with the bundle, and write `evaluation.html`, `.json`, `.md` and charts.

    Raises `CatalogueError` where no row has a label that the bundle knows and an image that can be used, `BundleError`
    and `ParityError` for a bundle that can't be trusted, `SettingError` for two bundles of different labels and for a
    tracker that is not there.
    """
    bundle = read_bundle(settings.bundle)
    out = open_store(settings.out_uri)
    told = {"bundle": settings.bundle, "digest": bundle.digest, "data": settings.data_uri}
    with open_tracker(settings.track, name=f"evaluation-{bundle.digest[:12]}", settings=told, store=out) as track:
        report = _report(settings, bundle, on_progress or (lambda done, total: None))
        track(report.scalars(), 0)
    files = report.files()
    for name, data in files.items():
        out.put(name, data)
    return EvaluationSummary(report=report, report_uri=f"{out.uri}/evaluation.html", files=tuple(files))


def _report(settings: EvaluateSettings, bundle: Bundle, tell: Progress) -> EvaluationReport:
    started = time.perf_counter()
    classifier = open_classifier(bundle)
    rival = None if settings.against is None else load_bundle(settings.against)
    if rival is not None and rival.labels != classifier.labels:
        raise SettingError(f"{settings.bundle} and {settings.against} have different labels: they can't be compared.")
    source = open_rows(settings.data_uri, settings.columns, image_prefixes=settings.image_prefixes)
    collected = _Collected(settings, classifier, rival, source)
    for file, batch in source.batches():
        collected.add(file, batch)
        tell(collected.num_rows, source.num_rows)
    rows, against = collected.answers()
    corruptions = collected.corruption_table(tell) if settings.corruptions else None
    kinds = collected.kinds.kinds()
    facts = _facts(settings, classifier, rival, collected, time.perf_counter() - started)
    content = evaluation_content(
        facts,
        rows,
        classifier.labels,
        collected.pictures.pictured(),
        kinds=kinds,
        corruptions=corruptions,
        against=against,
        learning=learning_content(bundle.files.get(HISTORY)),
    )
    return EvaluationReport(content)


class _Collected:
    """What is kept of the rows: answers, what they are sliced by, pictures of a few, and pixels to corrupt."""

    def __init__(
        self, settings: EvaluateSettings, classifier: Classifier, rival: Classifier | None, source: RowSource
    ) -> None:
        self._settings, self._classifier, self._rival, self._source = settings, classifier, rival, source
        self.num_rows = self.num_unlabelled = self.num_rejects = 0
        self.pictures = PictureKeeper(classifier.labels, classifier.limits)
        self._rows: list[ScoredRows] = []
        self._rival_rows: list[ScoredRows] = []
        self._pixels: list[NDArray[np.uint8]] = []
        self.kinds = RowKinds(settings, classifier)
        wanted = min(settings.corruption_rows, source.num_rows) if settings.corruptions else 0
        chosen = np.random.default_rng(settings.seed).choice(source.num_rows, wanted, replace=False)
        self._corrupted = np.zeros(source.num_rows, bool)
        self._corrupted[chosen] = True
        self._corrupted_truth: list[NDArray[np.int64]] = []

    def add(self, file: str, batch: RowBatch) -> None:
        """Answer the labelled rows of a batch."""
        truth = true_label_ids(batch, self._classifier.labels)
        labelled = np.flatnonzero(truth >= 0)
        first = self.num_rows
        self.num_rows += len(batch)
        self.num_unlabelled += len(batch) - len(labelled)
        prepared = prepare_batch(
            [batch.images[row] for row in labelled], self._classifier.spec.preparation, self._classifier.limits
        )
        self.num_rejects += len(prepared.rejects)
        positions, pixels = labelled[prepared.positions], prepared.pixels
        if not len(positions):
            return
        rows = _scored(self._classifier, pixels, truth[positions])
        self._rows.append(rows)
        rival = None
        if self._rival is not None:
            rival = _scored(self._rival, self._rival_pixels(self._rival, batch, positions, pixels), truth[positions])
            self._rival_rows.append(rival)
        self.kinds.add(batch, positions, pixels)
        taken = self._corrupted[first + positions]
        self._pixels.append(pixels[taken])
        self._corrupted_truth.append(truth[positions][taken])
        self.pictures.offer(file, batch, positions, rows, rival)

    def _rival_pixels(
        self, rival: Classifier, batch: RowBatch, positions: NDArray[np.int64], pixels: NDArray[np.uint8]
    ) -> NDArray[np.uint8]:
        """The same images, prepared as the other bundle wants them. One that the first can use the other can: it is the
        decoder that rejects."""
        if rival.spec.preparation == self._classifier.spec.preparation:
            return pixels
        cells = [batch.images[row] for row in positions]
        return prepare_batch(cells, rival.spec.preparation, rival.limits).pixels

    def answers(self) -> tuple[ScoredRows, ScoredRows | None]:
        """The answers of the bundle, and of the other."""
        if not self._rows:
            raise CatalogueError(
                f"{self._source.name} has no usable row with a label that the bundle knows: it knows "
                f"{', '.join(self._classifier.labels[:20])}. Name the column with --label-column."
            )
        return _joined(self._rows), _joined(self._rival_rows) if self._rival_rows else None

    def corruption_table(self, tell: Progress) -> CorruptionTable:
        """Accuracy under every corruption. A rival that wants its images prepared otherwise is left out."""
        pixels, truth = np.concatenate(self._pixels), np.concatenate(self._corrupted_truth)
        rival = self._rival
        if rival is not None and rival.spec.preparation != self._classifier.spec.preparation:
            rival = None
        rows = []
        for number, (name, corruption) in enumerate(CORRUPTIONS.items()):
            own, other = [], []
            for severity in range(1, NUM_SEVERITIES + 1 if corruption.graded else 2):
                changed = corrupt(pixels, name, severity, self._settings.seed)
                own.append(_accuracy(self._classifier, changed, truth))
                if rival is not None:
                    other.append(_accuracy(rival, changed, truth))
            rows.append(
                CorruptionAccuracy(
                    name=name,
                    accuracy=tuple(own),
                    against=tuple(other) if other else None,
                    example=_example(corrupt(pixels[:1], name, _SHOWN_SEVERITY, self._settings.seed)[0]),
                )
            )
            tell(number + 1, len(CORRUPTIONS))
        return CorruptionTable(
            num_rows=len(truth),
            clean=_accuracy(self._classifier, pixels, truth),
            against_clean=None if rival is None else _accuracy(rival, pixels, truth),
            rows=tuple(rows),
        )


def _example(pixels: NDArray[np.uint8]) -> bytes:
    """A model input [channels, size, size] as PNG."""
    return encode_png(np.ascontiguousarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)))


def _accuracy(classifier: Classifier, pixels: NDArray[np.uint8], truth: NDArray[np.int64]) -> float:
    return float((classifier.assess(pixels).label_ids == truth).mean())


def _scored(classifier: Classifier, pixels: NDArray[np.uint8], truth: NDArray[np.int64]) -> ScoredRows:
    answers = classifier.assess(pixels)
    return ScoredRows(
        probabilities=answers.probabilities,
        label_ids=answers.label_ids.astype(np.int64),
        confidences=answers.confidences,
        truth=truth,
    )


def _joined(parts: Sequence[ScoredRows]) -> ScoredRows:
    return ScoredRows(
        probabilities=np.concatenate([part.probabilities for part in parts]),
        label_ids=np.concatenate([part.label_ids for part in parts]),
        confidences=np.concatenate([part.confidences for part in parts]),
        truth=np.concatenate([part.truth for part in parts]),
    )


def _facts(
    settings: EvaluateSettings,
    classifier: Classifier,
    rival: Classifier | None,
    collected: _Collected,
    elapsed_s: float,
) -> EvaluationFacts:
    return EvaluationFacts(
        bundle_uri=settings.bundle,
        bundle_digest=classifier.digest,
        architecture=classifier.spec.architecture,
        num_parameters=classifier.spec.metrics.get("num_parameters"),
        data_uri=settings.data_uri,
        num_rows=collected.num_rows,
        num_unlabelled=collected.num_unlabelled,
        num_rejects=collected.num_rejects,
        training_uri=settings.training,
        similarity=settings.similarity,
        against_uri=settings.against,
        against_digest=None if rival is None else rival.digest,
        evaluated_at=datetime.now(UTC).isoformat(timespec="seconds"),
        elapsed_s=round(elapsed_s, 3),
        program_version=__version__,
    )
