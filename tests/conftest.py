"""Fixtures that several rooms share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from s3_server import S3Server

    from fmnist_ray.flows.shard import ShardOutcome, WorkerSettings

os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
os.environ["RAY_AUTH_MODE"] = "disabled"
os.environ["FMNIST_RAY_CLUSTER_DIR"] = "/nonexistent/fmnist-ray-cluster"  # a cluster of the developer's is not joined


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle folder made without torch: ten classes, 28x28 grey, CPU runtime only, arbitrary but fixed answers."""
    from safetensors.numpy import save

    from fmnist_ray.bundle.format import GOLDEN, GRAPH, WEIGHTS, BundleSpec, write_bundle
    from fmnist_ray.bundle.golden import write_golden
    from fmnist_ray.bundle.runtimes import OpenVinoRuntime
    from fmnist_ray.config.images import ImageLimits, Preparation
    from fmnist_ray.images.encode import encode_png
    from fmnist_ray.images.prepare import prepare_batch
    from fmnist_ray.labels import FASHION_MNIST
    from fmnist_ray.store import open_store

    weight = np.random.default_rng(0).normal(0, 5, (49, 10)).astype(np.float32)
    weight -= weight.mean(axis=0)  # brightness alone says nothing, so noise gets all ten labels
    graph = _pooling_graph(weight)
    images = [encode_png(pixels) for pixels in np.random.default_rng(1).integers(0, 256, (20, 28, 28), dtype=np.uint8)]
    prepared = prepare_batch(images, Preparation(), ImageLimits())
    logits = OpenVinoRuntime(graph, precision="f32", num_threads=1).score(prepared.pixels).logits
    spec = BundleSpec(
        labels=FASHION_MNIST,
        architecture="pooling",
        architecture_args={},
        preparation=Preparation(),
        temperature=1.5,
    )
    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    files = {GRAPH: graph, WEIGHTS: save({"weight": weight}), GOLDEN: write_golden(images, logits)}
    write_bundle(open_store(str(folder)), spec, files)
    return folder


def _pooling_graph(weight: np.ndarray) -> bytes:
    """An ONNX graph: features are the means of 4x4 blocks, logits their product with `weight` [49, labels]."""
    from onnx import TensorProto, checker, helper, numpy_helper

    nodes = [
        helper.make_node("Cast", ["pixels"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["values", "scale"], ["scaled"]),
        helper.make_node("AveragePool", ["scaled"], ["pooled"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Flatten", ["pooled"], ["features"]),
        helper.make_node("MatMul", ["features", "weight"], ["logits"]),
    ]
    arrays = {"scale": np.float32(255), "weight": weight}
    graph = helper.make_graph(
        nodes,
        "pooling",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", 1, 28, 28])],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", weight.shape[1]]),
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", weight.shape[0]]),
        ],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    checker.check_model(model)
    return model.SerializeToString()


@pytest.fixture(scope="session")
def fashion_mnist() -> Path:
    """The folder of the four real files, as `fmnist-ray data fetch` gets them; skips where they can't be had."""
    from fmnist_ray.datasets.fashion_mnist import fetch
    from fmnist_ray.errors import SourceError

    try:
        return fetch().folder
    except SourceError as error:
        pytest.skip(str(error))


class InProcess:
    """Runs shards one after the other in this process. `dies_at` names shards that end all workers; `kills` says
    whether one ends its own worker, under the worker's settings."""

    def __init__(
        self,
        dies_at: Callable[[str], bool] = lambda shard: False,
        kills: Callable[[str, WorkerSettings], bool] = lambda shard, settings: False,
    ) -> None:
        self.facts: dict[str, Any] = {"num_workers": 1, "runtime": "cpu"}
        self.rounds: list[list[str]] = []
        self._dies_at = dies_at
        self._kills = kills

    def run(self, settings: WorkerSettings, shard_ids: Sequence[str]) -> Iterator[ShardOutcome]:
        from fmnist_ray.errors import WorkerDiedError
        from fmnist_ray.flows.shard import ShardOutcome, ShardWorker

        self.rounds.append(list(shard_ids))
        worker = ShardWorker(settings)
        for shard_id in shard_ids:
            if self._dies_at(shard_id):
                raise WorkerDiedError("A worker process ended without an answer (test).")
            if self._kills(shard_id, settings):
                yield ShardOutcome(shard=shard_id, num_rows=0, error="died (test)", error_kind="WorkerDiedError")
            else:
                yield worker.run(shard_id)


@pytest.fixture(scope="session")
def in_process() -> type[InProcess]:
    """An executor without Ray: `in_process()`."""
    return InProcess


@pytest.fixture(scope="session")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 server that enforces credentials and policies."""
    from s3_server import run_ministack

    with run_ministack(tmp_path_factory.mktemp("ministack")) as server:
        yield server


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Another S3 server, which lets everybody do everything."""
    from s3_server import run_moto

    with run_moto(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture
def use_s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """`use_s3(server, **variables)` makes this process, and those it starts, use a server; again for another one."""
    from fmnist_ray.store import s3

    def use(server: S3Server, **variables: str) -> None:
        s3.close_client()
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        for name, value in {**server.environment, **variables}.items():
            monkeypatch.setenv(name, value)

    yield use
    s3.close_client()


@pytest.fixture
def bucket(ministack: S3Server, use_s3: Callable[..., None]) -> str:
    """`s3://` URI of an empty bucket, with this process set up to use it as the administrator."""
    use_s3(ministack)
    return f"s3://{ministack.new_bucket()}"
