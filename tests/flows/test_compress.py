"""Compression: a bundle in 8 bits that proves itself and answers nearly as before; needs the extra."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from fmnist_ray.bundle.classifier import load_bundle, open_classifier
from fmnist_ray.bundle.format import CARD, GRAPH, WEIGHTS, read_bundle
from fmnist_ray.cli.app import app
from fmnist_ray.config.calibrate import CalibrateSettings
from fmnist_ray.config.decisions import Promises
from fmnist_ray.datasets.shipped import sample_catalogue_path
from fmnist_ray.errors import BundleError, OutputTakenError
from fmnist_ray.flows.compress import CompressOutcome, compress

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> CompressOutcome:
    """The shipped bundle in 8 bits, with the sample as its held-out images."""
    settings = CalibrateSettings(
        bundle="default",
        out_uri=str(tmp_path_factory.mktemp("bundles") / "small"),
        catalogue_uri=str(sample_catalogue_path()),
    )
    return compress(settings, command="fmnist-ray bundle compress")


def test_it_is_smaller_and_faster_and_about_as_good(small: CompressOutcome) -> None:
    assert (small.judged_on, small.num_judged) == ("heldout", 1000)
    assert small.after.graph_bytes < 0.6 * small.before.graph_bytes
    assert small.after.rows_per_s > 1.2 * small.before.rows_per_s
    assert small.before.accuracy == pytest.approx(small.after.accuracy, abs=0.01)
    assert 0.9 < small.after.accuracy < 0.98


def test_convolutions_are_quantised_and_the_svm_is_not(small: CompressOutcome) -> None:
    bundle = read_bundle(small.bundle_uri)
    nodes = onnx.load_from_string(bundle.files[GRAPH]).graph.node
    makers = {output: node.op_type for node in nodes for output in node.output}
    convolutions = [node for node in nodes if node.op_type == "Conv"]
    assert len(convolutions) == 20
    assert all({makers[name] for name in node.input[:2]} == {"DequantizeLinear"} for node in convolutions)
    of_svm = [node for node in nodes if node.name.startswith("svm/")]
    assert any(node.op_type == "MatMul" for node in of_svm)
    assert "DequantizeLinear" not in {makers.get(name) for node in of_svm for name in node.input[1:]}
    assert bundle.digest == small.bundle_digest
    assert WEIGHTS not in bundle.files
    assert "8 bits, per channel" in bundle.files[CARD].decode()


def test_it_opens_with_golden_rows_of_its_own_and_keeps_promises(small: CompressOutcome) -> None:
    images = pq.read_table(sample_catalogue_path())["image"].to_pylist()[:300]
    classifier = load_bundle(small.bundle_uri, runtime="cpu", promises=Promises(min_precision=0.95))
    found = classifier.classify(images)
    before = load_bundle("default", runtime="cpu").classify(images)
    same = np.array(found["label_id"]) == np.array(before["label_id"])
    assert 0.98 < same.mean() <= 1
    assert set(found["decision"].to_pylist()) <= {"accept", "review", "decline"}
    assert classifier.golden.max_logit_difference < 1e-3


def test_what_it_can_not_do_is_said(small: CompressOutcome, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no cnn\.safetensors, which the gpu runtime needs"):
        open_classifier(read_bundle(small.bundle_uri), runtime="gpu")
    row = ["explain", small.bundle_uri, str(sample_catalogue_path()), "--row", "0", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, row)
    assert (done.exit_code, "use --method occlusion" in done.stderr) == (2, True)
    assert CliRunner().invoke(app, [*row, "--method", "occlusion"]).exit_code == 0
    settings = CalibrateSettings(bundle="default", out_uri=small.bundle_uri)
    with pytest.raises(OutputTakenError):
        compress(settings, command="")
