"""Golden rows: a bundle that answers otherwise than when it was written is not used."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load

from fmnist_ray.bundle.classifier import open_classifier
from fmnist_ray.bundle.format import GOLDEN, GRAPH, SVM, WEIGHTS, Bundle, read_bundle
from fmnist_ray.bundle.golden import golden_tolerance, write_golden
from fmnist_ray.bundle.head_graph import join_head
from fmnist_ray.decisions.heads import HeadRule
from fmnist_ray.errors import BundleError, ParityError
from fmnist_ray.heads.svm import SvmHead


@pytest.fixture
def bundle(tiny_bundle: Path) -> Bundle:
    return read_bundle(str(tiny_bundle))


def golden_rows(bundle: Bundle) -> tuple[list[bytes], np.ndarray]:
    table = pq.read_table(pa.BufferReader(bundle.files[GOLDEN]))
    return table["image"].to_pylist(), np.array(table["logits"].to_pylist(), np.float32)


def with_golden(bundle: Bundle, images: list[bytes], logits: np.ndarray) -> Bundle:
    return dataclasses.replace(bundle, files={**bundle.files, GOLDEN: write_golden(images, logits)})


def test_an_honest_bundle_opens_and_says_how_close_it_came(bundle: Bundle) -> None:
    golden = open_classifier(bundle).golden
    assert (golden.num_rows, golden.num_other_labels, golden.tolerance) == (20, 0, 1e-3)
    assert golden.max_logit_difference < 1e-5


def test_a_logit_beyond_the_tolerance_is_refused_with_figures(bundle: Bundle) -> None:
    images, logits = golden_rows(bundle)
    logits[7, 3] += 2e-3
    with pytest.raises(ParityError, match=r"0 get another label, .* up to 0\.002 \(allowed: 0\.001\)"):
        open_classifier(with_golden(bundle, images, logits))


def test_another_label_is_refused(bundle: Bundle) -> None:
    images, logits = golden_rows(bundle)
    logits[[4, 9]] = logits[[4, 9]][:, ::-1]
    with pytest.raises(ParityError, match="2 get another label"):
        open_classifier(with_golden(bundle, images, logits))


def test_another_preparation_is_noticed(bundle: Bundle) -> None:
    images, logits = golden_rows(bundle)
    with pytest.raises(ParityError, match="logits differ"):
        open_classifier(with_golden(bundle, images[::-1], logits))


def test_a_golden_image_that_no_longer_decodes_is_refused(bundle: Bundle) -> None:
    images, logits = golden_rows(bundle)
    images[2] = images[2][:50]
    with pytest.raises(ParityError, match="golden row 2 is rejected"):
        open_classifier(with_golden(bundle, images, logits))


def test_a_network_that_answers_nonsense_is_refused(bundle: Bundle) -> None:
    broken = bundle.files[GRAPH].replace(np.float32(255).tobytes(), np.float32(np.nan).tobytes())
    assert broken != bundle.files[GRAPH]
    with pytest.raises(ParityError, match="nan"):
        open_classifier(dataclasses.replace(bundle, files={**bundle.files, GRAPH: broken}))


@pytest.mark.parametrize("content", [b"", b"PAR1", None])
def test_a_bundle_without_golden_rows_is_none(bundle: Bundle, content: bytes | None) -> None:
    files = {name: data for name, data in bundle.files.items() if name != GOLDEN}
    if content is not None:
        files[GOLDEN] = content
    with pytest.raises(BundleError, match=GOLDEN):
        open_classifier(dataclasses.replace(bundle, files=files))


def test_no_golden_rows_prove_nothing(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="no rows"):
        open_classifier(with_golden(bundle, [], np.zeros((0, 10), np.float32)))


def test_the_tolerance_grows_with_logits_only_where_precision_is_low() -> None:
    logits = np.array([[-15.0, 10.0]])
    assert golden_tolerance(logits, "cpu", "f32") == 1e-3
    assert golden_tolerance(logits, "cpu", "bf16") == pytest.approx(0.3)
    assert golden_tolerance(logits / 100, "gpu", "f32") == pytest.approx(2e-2)


def with_svm(bundle: Bundle) -> Bundle:
    """The bundle with a linear SVM whose scores are the logits upside down."""
    weight = load(bundle.files[WEIGHTS])["weight"]
    zeros, ones = np.zeros(49, np.float32), np.ones(49, np.float32)
    head = SvmHead(
        mean=zeros, scale=ones, centres=np.empty((0, 49), np.float32), gamma=zeros[:1], weights=-weight,
        intercept=zeros[:10],
    )  # fmt: skip
    images, logits = golden_rows(bundle)
    rule = HeadRule(pairwise=False, svm_temperature=1.0, cnn_weight=1.0, svm_weight=1.0, decides="svm")
    files = {
        **bundle.files,
        GRAPH: join_head(bundle.files[GRAPH], head),
        SVM: head.to_bytes(),
        GOLDEN: write_golden(images, logits, -logits),
    }
    return dataclasses.replace(bundle, spec=dataclasses.replace(bundle.spec, heads=rule), files=files)


def test_the_svms_scores_are_compared_too(bundle: Bundle) -> None:
    two = with_svm(bundle)
    assert open_classifier(two).head == "svm"
    images, logits = golden_rows(bundle)
    off = -logits
    off[3, 2] += 3e-3 * np.abs(logits).max()
    changed = {**two.files, GOLDEN: write_golden(images, logits, off)}
    with pytest.raises(ParityError, match="the scores of its SVM differ by up to"):
        open_classifier(dataclasses.replace(two, files=changed))
    alone = {**two.files, GRAPH: bundle.files[GRAPH]}
    with pytest.raises(ParityError, match="scores of an SVM that answers otherwise here"):
        open_classifier(dataclasses.replace(two, files=alone))
