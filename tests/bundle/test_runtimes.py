"""Runtimes: the same scores from OpenVINO and torch, for any number of rows, in the precision that was asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fmnist_ray.bundle.format import GRAPH, BundleSpec, read_bundle
from fmnist_ray.bundle.runtimes import OpenVinoRuntime, Scorer, TorchRuntime, check_precision, choose_runtime
from fmnist_ray.config.images import Preparation
from fmnist_ray.errors import BundleError, ClusterError

PIXELS = np.random.default_rng(11).integers(0, 256, (70, 1, 28, 28), dtype=np.uint8)
SPEC = BundleSpec(
    labels=("a", "b", "c"),
    architecture="bn_cnn",
    architecture_args={},
    preparation=Preparation(),
    temperature=1.0,
)


@pytest.fixture(scope="module")
def exported() -> tuple[bytes, bytes]:
    """Graph and weights of one small network with random weights."""
    import torch

    from fmnist_ray.networks.architectures import build_network
    from fmnist_ray.networks.export import export_onnx, export_weights

    torch.manual_seed(0)
    network = build_network(SPEC.architecture, num_labels=3, channels=1, size=28)
    return export_onnx(network, size=28), export_weights(network)


@pytest.fixture(scope="module")
def openvino(exported: tuple[bytes, bytes]) -> Scorer:
    return OpenVinoRuntime(exported[0], precision="f32", num_threads=1)


def test_torch_and_openvino_agree(exported: tuple[bytes, bytes], openvino: Scorer) -> None:
    torch_scores = TorchRuntime(SPEC, exported[1], precision="f32", device="cpu").score(PIXELS)
    scores = openvino.score(PIXELS)
    np.testing.assert_allclose(scores.logits, torch_scores.logits, atol=1e-5)
    np.testing.assert_allclose(scores.features, torch_scores.features, atol=1e-5)
    assert np.ptp(scores.logits, axis=0).min() > 0.01


@pytest.mark.parametrize("num_rows", [0, 1, 2, 3, 5, 15, 16, 17, 33])
def test_any_number_of_rows_is_scored(openvino: Scorer, num_rows: int) -> None:
    whole, part = openvino.score(PIXELS), openvino.score(PIXELS[:num_rows])
    assert part.logits.shape == (num_rows, 3)
    assert part.logits.dtype == part.features.dtype == np.float32
    np.testing.assert_array_equal(part.logits, whole.logits[:num_rows])
    np.testing.assert_array_equal(part.features, whole.features[:num_rows])


def test_scores_do_not_depend_on_the_order(openvino: Scorer) -> None:
    order = np.random.default_rng(0).permutation(len(PIXELS))
    np.testing.assert_array_equal(openvino.score(PIXELS[order]).logits, openvino.score(PIXELS).logits[order])


def test_bf16_is_taken_only_when_asked_for(exported: tuple[bytes, bytes], openvino: Scorer) -> None:
    try:
        rough = OpenVinoRuntime(exported[0], precision="bf16", num_threads=1).score(PIXELS)
    except ClusterError:
        pytest.skip("this processor has no bf16")
    difference = np.abs(rough.logits - openvino.score(PIXELS).logits).max()
    assert 1e-5 < difference < 2e-2


def test_bf16_is_refused_where_the_processor_lacks_it() -> None:
    check_precision("f32", ["FP32"])
    check_precision("bf16", ["FP32", "BF16"])
    with pytest.raises(ClusterError, match="--precision f32"):
        check_precision("bf16", ["FP32", "INT8"])


def test_without_an_nvidia_driver_the_cpu_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert choose_runtime() == "cpu"


def test_a_graph_that_is_none_is_refused(tiny_bundle: Path) -> None:
    with pytest.raises(BundleError, match=GRAPH):
        OpenVinoRuntime(b"no graph", precision="f32", num_threads=1)
    renamed = read_bundle(str(tiny_bundle)).files[GRAPH].replace(b"logits", b"scores")
    with pytest.raises(BundleError, match=GRAPH):
        OpenVinoRuntime(renamed, precision="f32", num_threads=1)


def test_weights_of_another_network_are_refused(exported: tuple[bytes, bytes], tiny_bundle: Path) -> None:
    for weights in (b"", b"\x80\x04junk", read_bundle(str(tiny_bundle)).files["cnn.safetensors"]):
        with pytest.raises(BundleError, match=r"cnn\.safetensors does not hold"):
            TorchRuntime(SPEC, weights, precision="f32", device="cpu")


def test_a_gpu_that_is_not_there_is_named() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(ClusterError, match="--runtime cpu"):
        TorchRuntime(SPEC, b"", precision="f32", device="cuda")


@pytest.mark.gpu
def test_cuda_and_openvino_agree(exported: tuple[bytes, bytes], openvino: Scorer) -> None:
    scores = TorchRuntime(SPEC, exported[1], precision="f32", device="cuda").score(PIXELS)
    np.testing.assert_allclose(scores.logits, openvino.score(PIXELS).logits, atol=1e-3)
