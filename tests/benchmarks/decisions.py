"""What decisions are worth on Fashion-MNIST, measured part by part.

    uv run python tests/benchmarks/decisions.py PART... --bundle BUNDLE [--photos PHOTOS.parquet]

- calibration: calibration error (15 bins) on the 10,000 test images, by head.
- contract: 200 random cuts of validation and test images into held-out rows (as many as the bundle carries) and others;
  how often the precision over the whole pool is below the promise, and what share is accepted; label sets on the rest.
- novelty: AUROC, and the share caught at 1 % false alarms, against test images: digits, noise, textures, and the photos
  of clothes that are none of the ten classes.
- quality: the share of blanked, shrunk and blurred test images that is caught at 1 % false alarms.
- cost: microseconds per row of everything that a decision adds, one thread.

The bundle must carry held-out rows (fmnist-ray calibrate). Each part writes its figures to `results/decisions.json`
beside this script, with the machine and the time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image, ImageFilter
from run_figures import machine_facts
from scipy.stats import rankdata
from sklearn.datasets import load_digits, load_sample_images

from fmnist_ray.bundle.classifier import Classifier, load_bundle
from fmnist_ray.bundle.decisions import read_heldout
from fmnist_ray.bundle.format import Bundle, read_bundle
from fmnist_ray.config.decisions import Promises
from fmnist_ray.config.images import ImageLimits, Preparation
from fmnist_ray.datasets.fashion_mnist import load_split
from fmnist_ray.decisions.calibration import expected_calibration_error
from fmnist_ray.decisions.columns import decision_columns
from fmnist_ray.decisions.contract import accept_thresholds
from fmnist_ray.decisions.decide import Answers
from fmnist_ray.decisions.heads import HEADS, decide_heads, fit_curves
from fmnist_ray.decisions.label_sets import label_sets, set_limits
from fmnist_ray.errors import RefusedError
from fmnist_ray.images.encode import encode_png
from fmnist_ray.images.prepare import prepare_batch, prepare_pixels
from fmnist_ray.images.quality import photo_measures

RESULTS = Path(__file__).resolve().parent / "results" / "decisions.json"
SPLITS = 200
Figures = dict[str, Any]


class Subject:
    """The bundle that is measured, its answers to the test images, and how to ask it more."""

    def __init__(self, name: str, photos: Path | None) -> None:
        self.bundle: Bundle = read_bundle(name)
        self.classifier: Classifier = load_bundle(name, runtime="cpu", num_threads=1)
        self.photos = photos
        pixels, labels = load_split("test")
        self.pixels, self.labels = pixels[:, None], labels.astype(np.int64)
        self.test = self.classifier._scorer.score(self.pixels)

    def novelty(self, pixels: np.ndarray) -> np.ndarray:
        """p-values."""
        features = self.test.features if pixels is self.pixels else self.classifier._scorer.score(pixels).features
        assert self.classifier.rule is not None
        measures = photo_measures(pixels)
        answers = Answers(np.zeros(len(pixels), np.int16), np.zeros(len(pixels)), np.zeros((len(pixels), 10)))
        return self.classifier.rule.judge(answers, features, measures).novelty

    def distances(self, pixels: np.ndarray) -> np.ndarray:
        features = self.test.features if pixels is self.pixels else self.classifier._scorer.score(pixels).features
        assert self.classifier.rule is not None
        return self.classifier.rule.novelty.distances(features)


def calibration(subject: Subject) -> Figures:
    spec, found = subject.bundle.spec, {}
    for head in HEADS if spec.heads else HEADS[:1]:
        answers = decide_heads(
            subject.test.logits, subject.test.svm, temperature=spec.temperature, rule=spec.heads, head=head,
            curves=spec.curves,
        ).answers  # fmt: skip
        right = answers.label_ids == subject.labels
        found[head] = {
            "accuracy": float(right.mean()),
            "calibration_error": expected_calibration_error(answers.confidences, right),
        }
    return {"n": len(subject.labels), "decides": subject.classifier.head, "heads": found}


def contract(subject: Subject) -> Figures:
    """Each cut fits the curve anew on its held-out rows, as `calibrate` does."""
    carried = read_heldout(subject.bundle)
    assert carried is not None
    held, spec, test = carried[0], subject.bundle.spec, subject.test
    labels = np.concatenate([held.label_ids, subject.labels]).astype(np.int64)
    logits = np.concatenate([held.logits, test.logits])
    svm = None if test.svm is None else np.concatenate([held.svm_scores, test.svm])
    num_held, head = len(held.label_ids), subject.classifier.head

    def answers(rows: np.ndarray) -> Answers:
        scores = None if svm is None else svm[rows]
        curves = fit_curves(logits[rows], scores, labels[rows], temperature=spec.temperature, rule=spec.heads)
        return decide_heads(
            logits, svm, temperature=spec.temperature, rule=spec.heads, head=head, curves=curves
        ).answers

    found: Figures = {"n_pool": len(labels), "n_heldout": num_held, "splits": SPLITS, "head": head}
    random = np.random.default_rng(0)
    cuts = [random.permutation(len(labels)) for _ in range(SPLITS)]
    named = {
        "0.98": Promises(min_precision=0.98),
        "0.99": Promises(min_precision=0.99),
        "0.99 per class": Promises(min_precision=0.99, per_class=True),
    }
    kept: dict[str, list[tuple[float, float]]] = {name: [] for name in named}
    sets: dict[float, list[Any]] = {0.95: [], 0.99: []}
    for cut in cuts:
        rows, rest = cut[:num_held], cut[num_held:]
        said = answers(rows)
        right = said.label_ids == labels
        for name, promises in named.items():
            try:
                limits = accept_thresholds(
                    said.confidences[rows], said.label_ids[rows], right[rows], labels=spec.labels, promises=promises
                )
            except RefusedError:
                continue
            accepted = said.confidences >= limits[said.label_ids]
            kept[name].append((right[accepted].mean() if accepted.any() else 1.0, accepted.mean()))
        for coverage, values in sets.items():
            inside = label_sets(said.probabilities[rest], set_limits(said.probabilities[rows], labels[rows], coverage))
            by_class = [inside[labels[rest] == label, label].mean() for label in range(len(spec.labels))]
            values.append((by_class, inside.sum(axis=1).mean(), (inside.sum(axis=1) == 0).mean()))
    order = np.argsort(-answers(cuts[0][:num_held]).confidences)
    precisions = right[order].cumsum() / np.arange(1, len(labels) + 1)
    for name, promises in named.items():
        values = np.array(kept[name])
        found[name] = {
            "proven": len(values),
            "broken": int((values[:, 0] < float(promises.min_precision or 0)).sum()),
            "accepted_mean": float(values[:, 1].mean()),
            "accepted_least": float(values[:, 1].min()),
            "accepted_if_labels_were_known": float(
                (np.flatnonzero(precisions >= (promises.min_precision or 0)).max() + 1) / len(labels)
            ),
        }
    for coverage, values in sets.items():
        means = np.mean([value[0] for value in values], axis=0)
        found[f"sets {coverage}"] = {
            "coverage_by_class": dict(zip(spec.labels, means.round(4).tolist(), strict=True)),
            "largest_gap": float(np.abs(means - coverage).max()),
            "mean_size": float(np.mean([value[1] for value in values])),
            "empty_share": float(np.mean([value[2] for value in values])),
        }
    return found


def strangers(subject: Subject) -> dict[str, np.ndarray]:
    """Model inputs that show none of the ten classes."""
    random, preparation = np.random.default_rng(0), Preparation()
    digits = [np.round(image * 255 / 16).astype(np.uint8) for image in load_digits().images]
    found = {
        "digits": np.stack([prepare_pixels(image, preparation) for image in digits]),
        "uniform noise": random.integers(0, 256, (2_000, 1, 28, 28), dtype=np.uint8),
        "normal noise": random.normal(73, 90, (2_000, 1, 28, 28)).clip(0, 255).astype(np.uint8),
    }
    patches, gratings = [], []
    images = load_sample_images().images
    down, right = np.mgrid[:28, :28]
    for number in range(2_000):
        image, side = images[number % 2], int(random.integers(28, 120))
        top, left = (int(random.integers(0, length - side)) for length in image.shape[:2])
        patches.append(prepare_pixels(image[top : top + side, left : left + side], preparation))
        angle, frequency = random.uniform(0, np.pi), random.uniform(0.2, 2.5)
        wave = np.sin(frequency * (right * np.cos(angle) + down * np.sin(angle)) + random.uniform(0, 6.28))
        gratings.append(((np.sign(wave) if number % 2 else wave) * 127 + 128).astype(np.uint8)[None])
    found |= {"patches of photos": np.stack(patches), "gratings": np.stack(gratings)}
    if subject.photos is not None:
        table = pq.read_table(subject.photos)
        for name, categories in (
            ("photos of no class", ["Shorts", "Skirt", "Hat", "Body", "Other"]),
            ("photos of the ten classes, taken at home", ["T-Shirt", "Pants", "Longsleeve", "Dress", "Shirt"]),
        ):
            rows = table.filter(pc.is_in(table["category"], pa.array(categories)))
            found[name] = prepare_batch(rows["image"].to_pylist(), preparation, ImageLimits()).pixels
    return found


def novelty(subject: Subject) -> Figures:
    inside = subject.distances(subject.pixels)
    found: Figures = {
        "n_test": len(inside),
        "false_alarms_on_test": float((subject.novelty(subject.pixels) <= 0.01).mean()),
    }
    for name, pixels in strangers(subject).items():
        outside = subject.distances(pixels)
        ranks = rankdata(np.concatenate([inside, outside]))[len(inside) :].sum()
        area = (ranks - len(outside) * (len(outside) + 1) / 2) / (len(inside) * len(outside))
        caught = float((subject.novelty(pixels) <= 0.01).mean())
        found[name] = {"n": len(outside), "auroc": float(area), "caught_at_1_percent": caught}
    return found


def quality(subject: Subject) -> Figures:
    rule, pixels = subject.classifier.rule, subject.pixels[:2_000]
    assert rule is not None

    def flagged(images: np.ndarray) -> float:
        features = np.zeros((len(images), len(rule.novelty.projection)), np.float32)
        answers = Answers(np.zeros(len(images), np.int16), np.zeros(len(images)), np.zeros((len(images), 10)))
        return float((rule.judge(answers, features, photo_measures(images)).photo_problems >= 0).mean())

    def each(change: Callable[[Image.Image], Image.Image]) -> np.ndarray:
        return np.stack([np.asarray(change(Image.fromarray(image[0])))[None] for image in pixels])

    def shrunk(image: Image.Image, side: int) -> Image.Image:
        square = Image.new("L", (28, 28))
        square.paste(image.resize((side, side)), ((28 - side) // 2,) * 2)
        return square

    return {
        "n": len(pixels),
        "false_alarms_on_test": flagged(subject.pixels),
        "contrast x 0.05": flagged((pixels * 0.05).astype(np.uint8)),
        "shrunk to 7 pixels": flagged(each(lambda image: shrunk(image, 7))),
        "shrunk to 4 pixels": flagged(each(lambda image: shrunk(image, 4))),
        "blurred, radius 2": flagged(each(lambda image: image.filter(ImageFilter.GaussianBlur(2)))),
        "blurred, radius 4": flagged(each(lambda image: image.filter(ImageFilter.GaussianBlur(4)))),
    }


def cost(subject: Subject) -> Figures:
    """Medians of seven rounds over 5,000 test images."""
    classifier, labels = subject.classifier, pa.array(subject.classifier.labels)
    cells = [encode_png(image[0]) for image in subject.pixels[:5_000]]
    rounds: dict[str, list[float]] = {"answer_us": [], "judge_us": [], "columns_us": []}
    for _ in range(7):
        started = time.perf_counter()
        answers = classifier.answer(cells)
        answered = time.perf_counter()
        assert classifier.rule is not None
        classifier.rule.judge(answers.answers, answers.features, photo_measures(answers.pixels))
        judged = time.perf_counter()
        decision_columns(labels, answers.answers, answers.judgements)
        ended = time.perf_counter()
        for name, seconds in zip(rounds, (answered - started, judged - answered, ended - judged), strict=True):
            rounds[name].append(seconds / len(cells) * 1e6)
    found = {name: statistics.median(values) for name, values in rounds.items()}
    added = found["judge_us"] + found["columns_us"]
    return {"n": len(cells), **found, "share_of_answer": added / (found["answer_us"] - found["judge_us"])}


PARTS: dict[str, Callable[[Subject], Figures]] = {
    part.__name__: part for part in (calibration, contract, novelty, quality, cost)
}


def main() -> None:
    """Measure the parts that are named, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--bundle", default="default")
    parser.add_argument("--photos", type=Path)
    options = parser.parse_args()
    subject = Subject(options.bundle, options.photos)
    for name in options.parts:
        figures = PARTS[name](subject)
        results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        results[name] = {
            **figures,
            "bundle": subject.bundle.digest[:12],
            "architecture": subject.bundle.spec.architecture,
            "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine_facts(),
        }
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        sys.stdout.write(f"{name} {json.dumps(figures, indent=1)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
