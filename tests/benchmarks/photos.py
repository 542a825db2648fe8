"""What the preparation of product photos is worth: the share of right answers with and without it.

    python tests/benchmarks/photos.py PHOTOS.parquet [--bundle default] [--out tests/benchmarks/results/photos.json]

PHOTOS has `image` (encoded), `label` (id of a class, null where none fits) and `category` (what the photo shows); the
figures in README are of 3,845 photos of clothes taken at home on any ground (the public-domain "clothing dataset" of
2020). The method was chosen with an eye on all of them, its constants on a third, which "chosen_on" holds; "others" are
the rest. No network was trained on any.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from fmnist_ray.bundle.classifier import Classifier, load_bundle
from fmnist_ray.config.images import ImageLimits, Style
from fmnist_ray.images.prepare import prepare_batch
from fmnist_ray.labels import FASHION_MNIST

FOOTWEAR = [FASHION_MNIST.index(name) for name in ("Sandal", "Sneaker", "Ankle boot")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos")
    parser.add_argument("--bundle", default="default")
    parser.add_argument("--out", default=str(Path(__file__).parent / "results" / "photos.json"))
    arguments = parser.parse_args()
    classifier = load_bundle(arguments.bundle, runtime="cpu", num_threads=1)
    columns = pq.read_table(arguments.photos, columns=["image", "label", "category"]).to_pydict()
    found = {style: measure(classifier, style, columns) for style in ("plain", "fashion-mnist")}
    result = {"bundle_digest": classifier.digest, **found}
    Path(arguments.out).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


def measure(classifier: Classifier, style: Style, columns: dict[str, list[Any]]) -> dict[str, Any]:
    """Shares of right answers with the photos prepared in one style."""
    preparation = dataclasses.replace(classifier.spec.preparation, style=style)
    started = time.perf_counter()
    batch = prepare_batch(columns["image"], preparation, ImageLimits())
    seconds = time.perf_counter() - started
    assert not batch.rejects
    answers = classifier.assess(batch.pixels).label_ids
    labels = np.array([-1 if label is None else label for label in columns["label"]])
    known = labels >= 0
    chosen_on = known & (np.cumsum(known) % 3 == 1)
    shoes = np.array([category == "Shoes" for category in columns["category"]])

    def right(rows: np.ndarray) -> dict[str, float]:
        return {"num_photos": int(rows.sum()), "right": round(float((answers[rows] == labels[rows]).mean()), 4)}

    classes = sorted(set(labels[known].tolist()))
    return {
        "all": right(known),
        "chosen_on": right(chosen_on),
        "others": right(known & ~chosen_on),
        "by_class": {FASHION_MNIST[label]: right(labels == label) for label in classes},
        "called_bag": round(float((answers[known] == FASHION_MNIST.index("Bag")).mean()), 4),
        "shoes": {
            "num_photos": int(shoes.sum()),
            "called_footwear": round(float(np.isin(answers[shoes], FOOTWEAR).mean()), 4),
        },
        "decode_and_prepare_ms": round(seconds / len(labels) * 1e3, 3),
    }


if __name__ == "__main__":
    main()
