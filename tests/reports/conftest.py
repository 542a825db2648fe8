"""Small runs to report on, made without a model."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from fmnist_ray.labels import FASHION_MNIST, Labels
from fmnist_ray.reports.bundle_diff_page import BundleDiffReport, rows_content
from fmnist_ray.reports.compare_page import CompareReport
from fmnist_ray.reports.describe_page import (
    ClassContent,
    DescribeFacts,
    DescribeReport,
    DuplicateContent,
    ShownRow,
    describe_report,
)
from fmnist_ray.reports.drift import judge_nights
from fmnist_ray.reports.drift_page import DriftReport, NightFacts, Pictures, drift_report
from fmnist_ray.reports.duplicates import Pair
from fmnist_ray.reports.evaluation_content import (
    CorruptionAccuracy,
    CorruptionTable,
    EvaluationFacts,
    Pictured,
    ScoredRows,
    evaluation_content,
)
from fmnist_ray.reports.evaluation_page import EvaluationReport
from fmnist_ray.reports.explain_page import Alike, Explained, ExplainReport, HeatMap, explain_report
from fmnist_ray.reports.gallery import Gallery
from fmnist_ray.reports.label_errors import Suspect
from fmnist_ray.reports.learning import learning_content, learning_history
from fmnist_ray.reports.review_page import QueuedRow, review_page
from fmnist_ray.reports.run_page import RunFacts, RunReport, run_report
from fmnist_ray.reports.similar_page import ShownProduct, duplicates_report, similar_report
from fmnist_ray.reports.statistics import RunStatistics
from fmnist_ray.reports.svm_page import SvmLook, svm_page
from fmnist_ray.schema import SAMPLES, Reason

HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(2)> '{{ 7 * 7 }} \u202e gnp.\0 عربي "

FACTS = RunFacts(
    plan_id="plan-8c1f",
    catalogue_uri="/catalogues/autumn",
    out_uri="s3://shop/nights/2026-11-21",
    bundle_uri="default",
    bundle_digest="ab" * 32,
    architecture="bn_cnn",
    precision="f32",
    runtime="cpu",
    committed_at="2026-11-21T03:14:07+00:00",
    elapsed_s=9.34,
    rows_per_s=1070.663,
    num_shards=12,
    num_files=4,
    num_workers=2,
    program_version="0.1.0",
)


def png(generator: np.random.Generator, side: int) -> bytes:
    encoded = io.BytesIO()
    Image.fromarray(generator.integers(0, 256, (side, side), np.uint8)).save(encoded, "PNG")
    return encoded.getvalue()


def make_report(
    *,
    num_predictions: int = 1_234,
    rejects: Sequence[str] = (Reason.TRUNCATED,) * 7 + (Reason.EMPTY,) * 4,
    labelled: bool = True,
    labels: Labels = FASHION_MNIST,
    text: str = "",
    side: int = 28,
    num_pictured: int = 400,
    facts: RunFacts = FACTS,
) -> RunReport:
    """The report of a made-up run; `text` is put into every string that comes from a catalogue."""
    generator = np.random.default_rng(0)
    statistics = RunStatistics.empty(len(labels))
    true = generator.integers(0, len(labels), num_predictions)
    confidence = generator.beta(5, 1, num_predictions)
    other = (true + generator.integers(1, len(labels), num_predictions)) % len(labels)
    predicted = np.where(generator.random(num_predictions) < confidence, true, other)
    statistics.add_predictions(predicted, confidence, true if labelled else None)
    statistics.add_images(generator.integers(0, 256, (num_predictions, 4), np.uint8))
    statistics.add_rejects(rejects)
    statistics.bytes_read, statistics.num_null_ids = 456_789, 3
    if num_predictions:
        for step, seconds in {"read_s": 0.311, "prepare_s": 1.7, "score_s": 0.9042, "write_s": 0.0301}.items():
            statistics.add_seconds(step, seconds)
    rows: list[dict[str, Any]] = [
        {
            "product_id": None if row == 5 else f"{text}p-{row}",
            "label_id": predicted[row],
            "confidence": confidence[row],
            "true_label_id": true[row] if labelled else None,
            "thumbnail": png(generator, side),
        }
        for row in range(min(num_predictions, num_pictured))
    ]
    rows += [
        {"product_id": f"{text}r-{row}", "reason": str(reason), "detail": f"{text}why {row}"}
        for row, reason in enumerate(rejects)
    ]
    for row, values in enumerate(rows):
        values.update(input_file=f"{text}part-{row % 4}.parquet", input_row=row, order=int(generator.integers(2**63)))
    return run_report(facts, statistics, pa.Table.from_pylist(rows, SAMPLES), labels)


def make_gallery(labels: Labels, *, text: str = "", side: int = 28, rows: int = 60, wrong: bool = False) -> Gallery:
    """Made-up examples of all labels."""
    generator = np.random.default_rng(1)
    samples = [
        {
            "product_id": f"{text}p-{row}",
            "input_file": f"{text}part.parquet",
            "input_row": row,
            "label_id": row % len(labels),
            "confidence": float(generator.random()),
            "true_label_id": (row + wrong) % len(labels),
            "thumbnail": png(generator, side),
            "order": row,
        }
        for row in range(rows)
    ]
    return Gallery(pa.Table.from_pylist(samples, SAMPLES), labels)


def make_corruptions(generator: np.random.Generator, num_rows: int, *, compared: bool) -> CorruptionTable:
    """A harsh corruption at five severities, and one that has no severity."""
    noise = CorruptionAccuracy(
        name="impulse_noise",
        accuracy=(0.9, 0.8, 0.62, 0.3, 0.11),
        example=png(generator, 28),
        against=(0.8, 0.7, 0.5, 0.3, 0.1) if compared else None,
    )
    flip = CorruptionAccuracy(name="flip_left_right", accuracy=(0.92,), against=(0.8,) if compared else None)
    against_clean = 0.91 if compared else None
    return CorruptionTable(num_rows=num_rows, clean=0.93, against_clean=against_clean, rows=(noise, flip))


def make_evaluation(
    *, labels: Labels = FASHION_MNIST, text: str = "", compared: bool = True, num_rows: int = 2_000
) -> EvaluationReport:
    """The report of a made-up evaluation, with every section; `text` is put into every string from outside."""
    generator = np.random.default_rng(0)
    truth = generator.integers(0, len(labels), num_rows)
    answers = []
    for sharpness in (6, 5):
        scores = np.eye(len(labels))[truth] * sharpness + generator.normal(0, 2, (num_rows, len(labels)))
        weights = np.exp(scores)
        probabilities = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
        answers.append(
            ScoredRows(
                probabilities=probabilities,
                label_ids=scores.argmax(axis=1),
                confidences=probabilities.max(axis=1),
                truth=truth,
            )
        )
    facts = EvaluationFacts(
        bundle_uri=f"{text}default",
        bundle_digest="ab" * 32,
        architecture="bn_cnn",
        num_parameters=241_994,
        data_uri=f"{text}/catalogues/autumn",
        num_rows=num_rows + 5,
        num_unlabelled=3,
        num_rejects=2,
        training_uri=f"{text}train" if compared else None,
        similarity=0.98,
        against_uri=f"{text}candidate" if compared else None,
        against_digest="cd" * 32 if compared else None,
        evaluated_at="2026-11-21T03:14:07+00:00",
        elapsed_s=8.1,
        program_version="0.1.0",
    )
    corruptions = make_corruptions(generator, num_rows, compared=compared)
    pictured = Pictured(
        pairs=make_gallery(labels, text=text, wrong=True),
        surest_mistakes=make_gallery(labels, text=text, wrong=True),
        least_sure=make_gallery(labels, text=text),
        right=make_gallery(labels, text=text),
        flips={(a, b): make_gallery(labels, text=text, rows=7) for a in range(3) for b in range(3) if a != b},
    )
    kinds = {f"{text}season": [f"{text}{'summer' if row % 3 else 'winter'}" for row in range(num_rows)]}
    epochs = [
        {
            "loss": 1 / (epoch + 1) + 0.2,
            "validation_loss": 1 / (epoch + 1) + 0.1,
            "validation_accuracy": 0.9 + epoch / 150,
        }
        for epoch in range(12)
    ]
    content = evaluation_content(
        facts,
        answers[0],
        labels,
        pictured,
        kinds=kinds,
        corruptions=corruptions,
        against=answers[1] if compared else None,
        learning=learning_content(learning_history([epochs], [9])) if compared else None,
    )
    return EvaluationReport(content)


def make_night(generator: np.random.Generator, num_labels: int, *, odd: bool = False) -> RunStatistics:
    """The statistics of a night of 5,000 rows; an odd one is brighter, has rejects and half of one class."""
    statistics = RunStatistics.empty(num_labels)
    label_ids = generator.integers(0, num_labels, 5_000)
    if odd:
        label_ids[:2_500] = num_labels - 1
    truth = np.where(generator.random(5_000) < (0.2 if odd else 0.05), (label_ids + 1) % num_labels, label_ids)
    statistics.add_predictions(label_ids, generator.beta(2 if odd else 6, 1, 5_000), truth)
    statistics.decisions = Counter({"set/1": 5_000, "alarm/novel": 50, "alarm/blank": 400 if odd else 3})
    low = 120 if odd else 0
    statistics.add_images(generator.integers(low, low + 100, (5_000, 1), np.uint8))
    statistics.add_rejects([Reason.TRUNCATED] * (400 if odd else 20))
    return statistics


def make_drift(*, labels: Labels = FASHION_MNIST, text: str = "", odd: bool = True) -> DriftReport:
    """The drift report of a made-up odd night after three even ones."""
    generator = np.random.default_rng(0)
    nights = [make_night(generator, len(labels), odd=odd and number == 3) for number in range(4)]
    facts = [
        NightFacts(
            name=f"{text}2026-11-2{number}",
            out_uri=f"{text}nights/{number}",
            plan_id=f"plan-{number}",
            bundle_digest="ab" * 32 if number else "cd" * 32,
            committed_at=f"2026-11-2{number}T03:14:07+00:00",
        )
        for number in range(4)
    ]
    verdicts = judge_nights(nights[0], nights[1:], labels)
    gallery = make_gallery(labels, text=text)
    pictures = Pictures(
        gallery=gallery,
        photos={"blank": gallery.first(10)},
        contradictions=make_gallery(labels, text=text, wrong=True).first(24),
        num_contradictions=31,
    )
    return drift_report(facts, nights, verdicts, pictures, labels, links={"Run report": "report.html"})


def make_explanation(*, labels: Labels = FASHION_MNIST, text: str = "") -> ExplainReport:
    """Made-up explanations of two images."""
    generator = np.random.default_rng(0)
    maps = tuple(
        HeatMap(method=method, heat=png(generator, 168), overlay=png(generator, 168))
        for method in ("grad-cam", "gradient", "occlusion")
    )
    explained = [
        Explained(
            name=f"{text}p-{number}",
            label=labels[0],
            true_label=labels[number],
            confidence=0.8,
            likeliest=((labels[0], 0.8), (labels[1], 0.1)),
            picture=png(generator, 168),
            maps=maps,
            neighbours=[
                Alike(name=f"{text}t-{place}", label=labels[place % 2], similarity=0.9, thumbnail=png(generator, 28))
                for place in range(8)
            ],
        )
        for number in range(2)
    ]
    return explain_report(
        explained,
        bundle_uri=f"{text}default",
        bundle_digest="ab" * 32,
        data_uri=f"{text}catalogue",
        program_version="0.1.0",
        filters=png(generator, 460),
        activations=png(generator, 460),
        features_uri=f"{text}features",
    )


def make_description(*, labels: Labels = FASHION_MNIST, text: str = "") -> DescribeReport:
    """The description of a made-up data set, with every section."""
    generator = np.random.default_rng(0)

    def row(number: int) -> ShownRow:
        label = None if number == 3 else labels[number % len(labels)]
        return ShownRow(name=f"{text}p-{number}", label=label, png=png(generator, 28))

    facts = DescribeFacts(
        data_uri=f"{text}catalogue",
        against_uri=f"{text}other",
        bundle_uri=f"{text}default",
        bundle_digest="ab" * 32,
        num_rows=9_000,
        num_looked_at=5_000,
        num_rejects=2,
        similarity=0.98,
        elapsed_s=3.2,
        program_version="0.1.0",
    )
    classes = [
        ClassContent(
            label=label,
            num_rows=500,
            brightness=73.2,
            contrast=81.0,
            examples=tuple(row(number) for number in range(9)),
            mean_image=png(generator, 28),
            map_points=generator.random((100, 2)),
        )
        for label in labels
    ]
    twins = DuplicateContent(
        num_pairs=40,
        num_rows=70,
        num_contradicting=2,
        pairs=tuple((Pair(number, number + 1, 0.99), row(number), row(number + 1)) for number in range(8)),
    )
    suspects = [(Suspect(number, 0, 1, 0.02, 0.91), row(number)) for number in range(12)]
    counts = generator.integers(0, 9_000, 256)
    return describe_report(facts, classes, counts, (0.4, 0.2), twins, twins, suspects, 31, labels)


def make_bundle_diff(*, labels: Labels = FASHION_MNIST, text: str = "") -> BundleDiffReport:
    """The diff of two made-up bundles, with every section."""
    generator = np.random.default_rng(0)
    truth, before, after = generator.integers(0, len(labels), (3, 400))
    samples = [
        {
            "product_id": f"{text}p-{row}",
            "input_file": f"{text}part-0.parquet",
            "input_row": row,
            "label_id": after[row],
            "before_id": before[row],
            "confidence": 0.8,
            "true_label_id": truth[row],
            "thumbnail": png(generator, 28),
            "order": row,
        }
        for row in range(200)
    ]
    table = pa.Table.from_pylist(samples, SAMPLES.append(pa.field("before_id", pa.int16())))
    rows = {
        "data_uri": f"{text}catalogue",
        "num_rows": 402,
        **rows_content(truth, before, after, table, labels),
        "accepted": {"min_precision": 0.99, "before": 0.8, "after": 0.7},
        "no_promise": [f"{text} can't promise that."],
    }
    sides = {side: {"name": f"{text}{side}", "digest": "ab" * 32} for side in ("before", "after")}
    differences = [{"name": "architecture", "before": f"{text}bn_cnn", "after": None}]
    moment = {"compared_at": "2026-11-21T03:14:07+00:00", "program_version": "0.1.0"}
    return BundleDiffReport({"diff_version": 1, **moment, **sides, "differences": differences, "rows": rows})


def make_products(text: str, labels: Labels) -> list[ShownProduct]:
    """Products as the pages of `similar` show them."""
    generator = np.random.default_rng(0)
    return [
        ShownProduct(
            product_id=f"{text}p-{number}" if number else None,
            input_file=f"{text}part-0.parquet",
            input_row=number,
            label=labels[number % len(labels)] if number % 2 else None,
            png=png(generator, 28),
        )
        for number in range(12)
    ]


def make_similar(*, labels: Labels = FASHION_MNIST, text: str = "") -> bytes:
    """The page of the rows nearest to an image."""
    hits = [(product, 0.99) for product in make_products(text, labels)]
    facts = {"features_uri": f"{text}features", "num_rows": 9_000, "bundle_digest": "ab" * 32}
    more = {"search_s": 0.2, "program_version": "0.1.0"}
    report = similar_report(query=f"{text}shoe.jpg", picture=hits[0][0].png, hits=hits, facts=facts | more)
    return report.files()["similar.html"]


def make_duplicates(*, labels: Labels = FASHION_MNIST, text: str = "") -> bytes:
    """The page of near duplicates."""
    products = make_products(text, labels)
    pairs = [(first, second, 0.99) for first, second in zip(products[::2], products[1::2], strict=True)]
    facts = {"features_uri": f"{text}features", "num_rows": 9_000, "num_pairs": 6, "num_involved": 12}
    report = duplicates_report(pairs=pairs, facts=facts | {"similarity": 0.98, "program_version": "0.1.0"})
    return report.files()["duplicates.html"]


def make_comparison(*, labels: Labels = FASHION_MNIST, text: str = "") -> bytes:
    """The table of a comparison of models, with and without every optional figure."""
    measured = {"num_seeds": 2, "fit_s": 320.0, "images_per_s": 9_000.0, "note": f"{text}note", "source": None}
    full = {"reported": 0.9258, "spread": 0.001, "calibration_error": 0.01, "num_parameters": 241_994}
    bare = dict.fromkeys([*full, "multiply_adds"])
    rows = [
        {"name": f"{text}bn-cnn", "test_accuracy": 0.9223, **measured, **full, "multiply_adds": 4_000_000},
        {"name": labels[0], "test_accuracy": 0.84, **measured, **bare},
    ]
    facts = {"study": "leaderboard", "written_at": "2026-11-21T03:14:07+00:00", "epochs": 1, "subset": 2_000}
    report = CompareReport({**facts, "num_done": 4, "num_runs": 6, "rows": rows, "missing": [f"{text}ann"]})
    return report.files()["leaderboard.html"]


def make_review(*, labels: Labels = FASHION_MNIST, text: str = "") -> bytes:
    """The page of a made-up review queue, with heat maps."""
    generator = np.random.default_rng(0)
    rows = [
        QueuedRow(
            row={
                "product_id": None if number == 3 else f"{text}p-{number}",
                "input_file": f"{text}part.parquet",
                "input_row": number,
                "label": labels[number % len(labels)],
                "confidence": 0.42,
                "cnn_label": labels[0],
                "cnn_confidence": 0.4,
                "svm_label": labels[1] if number % 2 else None,
                "svm_confidence": 0.3 if number % 2 else None,
                "agree": number % 2 == 0,
                "label_set": list(labels[: number % 4]),
                "novelty": 0.004,
                "decision": "review",
                "decision_reason": "unsure",
                "audit": number < 4,
            },
            thumbnail=None if number == 5 else png(generator, 28),
            overlay=png(generator, 168),
        )
        for number in range(12)
    ]
    return review_page(rows, num_rows=345, num_audit=4, plan_id="8c1f")


def make_svm(*, labels: Labels = FASHION_MNIST, text: str = "") -> bytes:
    """The page of a made-up SVM; it shows no text from outside but the labels."""
    generator = np.random.default_rng(0)
    look = SvmLook(
        kind="nystroem",
        labels=labels,
        label_ids=generator.integers(0, len(labels), 400),
        margins=generator.normal(2, 2, 400),
        supports=generator.random(400) < 0.2,
        thumbnails=[[png(generator, 28) for _ in range(7)] for _ in labels],
        points=generator.random((200, 2)),
        regions=generator.integers(0, len(labels), (20, 20)),
        explained=0.27,
    )
    return svm_page(look)[1]


PAGES: dict[str, Callable[..., bytes]] = {
    "evaluation": lambda **options: make_evaluation(**options).to_html(),
    "drift": lambda **options: make_drift(**options).to_html(),
    "explanation": lambda **options: make_explanation(**options).to_html(),
    "bundle diff": lambda **options: make_bundle_diff(**options).files()["diff.html"],
    "similar": make_similar,
    "duplicates": make_duplicates,
    "comparison": make_comparison,
    "review": make_review,
    "svm": make_svm,
    "description": lambda **options: make_description(**options).files()["describe.html"],
}


@pytest.fixture(scope="session")
def page_of() -> Callable[..., bytes]:
    """A page of a kind, made up: `page_of("drift", text=...)`."""
    return lambda kind, **options: PAGES[kind](**options)


@pytest.fixture(scope="session")
def evaluation_of() -> Callable[..., EvaluationReport]:
    return make_evaluation


@pytest.fixture(scope="session")
def report_of() -> Callable[..., RunReport]:
    return make_report


@pytest.fixture(scope="session")
def hostile() -> str:
    return HOSTILE


@pytest.fixture(scope="session")
def facts() -> RunFacts:
    return FACTS
