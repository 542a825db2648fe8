"""The classifier: proven before use, one path for all, one answer or reject per cell."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fmnist_ray import load_bundle
from fmnist_ray.bundle.classifier import CLASSIFIED, Classifier
from fmnist_ray.images.encode import encode_png


@pytest.fixture(scope="module")
def classifier(tiny_bundle: Path) -> Classifier:
    return load_bundle(str(tiny_bundle), runtime="cpu", num_threads=1)


@pytest.fixture(scope="module")
def images() -> list[bytes]:
    return [encode_png(pixels) for pixels in np.random.default_rng(5).integers(0, 256, (50, 28, 28), dtype=np.uint8)]


def test_every_cell_is_answered_or_rejected(classifier: Classifier, images: list[bytes]) -> None:
    answers = classifier.answer([None, images[0], b"", "text", images[1], b"GIF89a"])
    assert answers.positions.tolist() == [1, 4]
    assert [(reject.position, reject.reason) for reject in answers.rejects] == [
        (0, "empty"),
        (2, "empty"),
        (3, "wrong_type"),
        (5, "unsupported_format"),
    ]
    assert answers.features.shape == (2, 49)
    assert min(answers.prepare_s, answers.score_s, answers.decide_s) >= 0


def test_an_answer_does_not_depend_on_the_batch(classifier: Classifier, images: list[bytes]) -> None:
    together = classifier.answer(images)
    alone = [classifier.answer([image]) for image in images]
    assert len(set(together.label_ids.tolist())) > 3
    np.testing.assert_array_equal(together.label_ids, [answer.label_ids[0] for answer in alone])
    np.testing.assert_array_equal(together.confidences, [answer.confidences[0] for answer in alone])
    np.testing.assert_array_equal(together.features, [answer.features[0] for answer in alone])


def test_classify_gives_one_row_per_image_in_order(classifier: Classifier, images: list[bytes]) -> None:
    table = classifier.classify([images[0], b"broken", images[1]])
    assert table.schema == CLASSIFIED
    rows = table.to_pylist()
    assert [row["input_row"] for row in rows] == [0, 1, 2]
    assert [row["status"] for row in rows] == ["classified", None, "classified"]
    assert [row["reason"] for row in rows] == [None, "unsupported_format", None]
    assert rows[0]["label"] == classifier.labels[rows[0]["label_id"]]
    assert {row["bundle_digest"] for row in rows} == {classifier.digest}


def test_no_images_give_an_empty_table(classifier: Classifier) -> None:
    table = classifier.classify([])
    assert (table.num_rows, table.schema) == (0, CLASSIFIED)


def test_a_cpu_run_imports_nothing_that_it_does_not_use(tiny_bundle: Path) -> None:
    program = (
        "import sys; from fmnist_ray import load_bundle; "
        f"load_bundle({str(tiny_bundle)!r}, runtime='cpu').classify([b'']); "
        "slow = {'torch', 'openvino_telemetry', 'ray', 'scipy', 'sklearn'}; "
        "print(sorted(slow & {n for n, m in sys.modules.items() if m}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
