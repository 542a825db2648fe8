"""Fit an SVM on a network's features and write the bundle that answers with both."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_ray.bundle.card import model_card
from fmnist_ray.bundle.decisions import with_svm_scores
from fmnist_ray.bundle.format import CARD, GOLDEN, GRAPH, SVM, Bundle, check_free, read_bundle, write_bundle
from fmnist_ray.bundle.golden import golden_images, svm_tolerance, write_golden
from fmnist_ray.bundle.head_graph import join_head
from fmnist_ray.bundle.runtimes import OpenVinoRuntime
from fmnist_ray.catalogue.feature_rows import open_features
from fmnist_ray.config.classify import HeadName
from fmnist_ray.config.images import ImageLimits
from fmnist_ray.config.svm import FitSettings, SvmSettings
from fmnist_ray.decisions.calibration import Curve
from fmnist_ray.decisions.heads import HeadRule, fit_rule
from fmnist_ray.errors import ParityError
from fmnist_ray.flows.svm_data import SvmRows, search_rows, split_table
from fmnist_ray.flows.svm_look import write_look
from fmnist_ray.flows.svm_metrics import HeadScores, head_metrics
from fmnist_ray.flows.svm_search import SearchedSetting, search_settings
from fmnist_ray.flows.svm_sources import ExtractFeatures, find_features
from fmnist_ray.heads.estimators import fit_svm as fit_rows
from fmnist_ray.heads.estimators import svm_head
from fmnist_ray.heads.search import Search
from fmnist_ray.heads.streaming import fit_nystroem
from fmnist_ray.heads.svm import SvmHead
from fmnist_ray.images.prepare import prepare_batch
from fmnist_ray.store import open_store


@dataclass(frozen=True, slots=True, kw_only=True)
class FitOutcome:
    """What a fit gave."""

    bundle_uri: str
    bundle_digest: str
    kind: str
    settings: SvmSettings
    num_train: int
    num_centres: int
    """Support vectors of an exact kernel, landmarks of Nystroem's, none of a linear SVM."""
    decides: str
    """The head that answers, as validation rows chose it."""
    metrics: dict[str, Any]
    """Accuracy and calibration error of each head, on validation and test rows."""
    searched: tuple[SearchedSetting, ...]
    """Best first; empty without a search."""
    look_uri: str
    """A page with the SVM's support vectors, margins and boundary."""
    fit_s: float
    """Of the final fit alone."""
    elapsed_s: float


def fit_svm(
    settings: FitSettings,
    *,
    command: str,
    extract: ExtractFeatures,
    search: Search,
    on_progress: Callable[[int, int], None] | None = None,
) -> FitOutcome:
    """Fit an SVM on the features of a bundle's network and write the network with it, as one graph, to `out_uri`.

    Validation rows, which neither head saw, calibrate both, fit their combination and choose who decides; test rows are
    scored once, at the end. `extract` writes a feature table where none was given, `search` runs the folds of a search.
    Raises `OutputTakenError` when `out_uri` holds a bundle and `replace` is off.
    """
    started = time.perf_counter()
    out = open_store(settings.out_uri)
    check_free(out, replace=settings.replace)
    bundle = read_bundle(settings.bundle)
    tables = find_features(settings, bundle, extract)
    opened = [open_features(uri, bundle_digest=bundle.digest) for uri in tables]
    folds = settings.search.folds if settings.search.vary else 0
    rows = split_table(opened[0], bundle, folds=folds, test_apart=len(opened) > 1)
    searched = _searched(settings, rows, search, on_progress or (lambda done, total: None))
    svm = searched[0].settings if searched else settings.svm
    fit_started = time.perf_counter()
    head = _fitted(svm, rows, num_labels=len(bundle.spec.labels))
    fit_s = time.perf_counter() - fit_started
    validation = HeadScores.of(rows, rows.validation, head)
    rule = fit_rule(
        validation.logits, validation.svm, validation.labels,
        temperature=bundle.spec.temperature, pairwise=svm.kind == "rbf",
    )  # fmt: skip
    curves = validation.curves(rule, temperature=bundle.spec.temperature)
    test = HeadScores.of(rows, rows.test, head) if len(opened) == 1 else HeadScores.of_table(opened[1], head)
    metrics = head_metrics(validation, test, rule, temperature=bundle.spec.temperature, curves=curves)
    look_uri = write_look(open_store(settings.work_uri), rows, head, bundle.spec.labels, kind=svm.kind)
    facts = _facts(settings, svm, head, rows, command)
    digest = _write(settings, bundle, head, rule, curves=curves, metrics=metrics, facts=facts)
    return FitOutcome(
        bundle_uri=out.uri,
        bundle_digest=digest,
        kind=svm.kind,
        settings=svm,
        num_train=len(rows.train),
        num_centres=len(head.centres),
        decides=rule.decides,
        metrics=metrics,
        searched=tuple(searched),
        look_uri=look_uri,
        fit_s=fit_s,
        elapsed_s=time.perf_counter() - started,
    )


def _searched(
    settings: FitSettings, rows: SvmRows, search: Search, on_progress: Callable[[int, int], None]
) -> list[SearchedSetting]:
    """What varies, best first; nothing where nothing varies."""
    if not settings.search.vary:
        return []
    loaded = rows.load(search_rows(rows, settings.search))
    store = open_store(settings.work_uri)
    return search_settings(settings.svm, settings.search, loaded, store=store, execute=search, on_progress=on_progress)


def _facts(settings: FitSettings, svm: SvmSettings, head: SvmHead, rows: SvmRows, command: str) -> dict[str, Any]:
    """How the SVM was fitted, for the model card."""
    return {
        "command": command,
        "data": settings.features_uri or settings.catalogue_uri or "Fashion-MNIST",
        "num_train": len(rows.train),
        **dataclasses.asdict(svm),
        "c": svm.effective_c,
        "gamma": float(head.gamma[0]),
    }


def _fitted(settings: SvmSettings, rows: SvmRows, *, num_labels: int) -> SvmHead:
    """Fit on the training rows: as a stream where the method can, else in memory."""
    if settings.kind == "nystroem":
        return svm_head(fit_nystroem(settings, rows.batches(settings.seed), num_labels=num_labels))
    loaded = rows.load(rows.train)
    return svm_head(fit_rows(settings, loaded.features, loaded.labels))


def _write(
    settings: FitSettings,
    bundle: Bundle,
    head: SvmHead,
    rule: HeadRule,
    *,
    curves: dict[HeadName, Curve],
    metrics: dict[str, Any],
    facts: dict[str, Any],
) -> str:
    """Write the bundle with both heads, whose golden rows have the scores of both, and return its digest."""
    graph = join_head(bundle.files[GRAPH], head)
    images = golden_images(bundle)
    pixels = prepare_batch(images, bundle.spec.preparation, ImageLimits()).pixels
    scores = OpenVinoRuntime(graph, precision="f32", num_threads=1).score(pixels)
    assert scores.svm is not None
    check_graph(scores.svm, head.scores(scores.features))
    spec = dataclasses.replace(
        bundle.spec,
        heads=rule,
        curves=curves,
        provenance={**bundle.spec.provenance, "svm": facts},
        metrics={**bundle.spec.metrics, **metrics},
    )
    files = {name: data for name, data in bundle.files.items() if name != "bundle.json"}
    files |= {
        GRAPH: graph,
        SVM: head.to_bytes(),
        GOLDEN: write_golden(images, scores.logits, scores.svm),
        CARD: model_card(spec, bundle.files),
    }
    return write_bundle(open_store(settings.out_uri), spec, with_svm_scores(files, head))


def check_graph(found: np.ndarray, expected: np.ndarray) -> None:
    """`ParityError` where the graph says otherwise than the SVM's arrays in double precision, beyond all rounding."""
    difference, tolerance = float(np.abs(found - expected).max()), 10 * svm_tolerance(expected, "cpu", "f32")
    if not difference <= tolerance:
        raise ParityError(
            f"The SVM's scores differ by {difference:.2g} between its arrays and the bundle's graph (allowed: "
            f"{tolerance:.2g}): its features are too far apart for float32; use --kind linear, or a smaller --C."
        )
