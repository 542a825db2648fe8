"""Promotion: bundles that are worse, slow, broken, or see images otherwise are refused with the right figure."""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from onnx import helper, numpy_helper

from fmnist_ray.bundle.aliases import history
from fmnist_ray.bundle.format import GOLDEN, GRAPH, SPEC, Bundle, read_bundle, write_bundle
from fmnist_ray.bundle.golden import golden_images, write_golden
from fmnist_ray.bundle.runtimes import OpenVinoRuntime
from fmnist_ray.catalogue.results import open_results
from fmnist_ray.config.bundles import GateLimits, PairSettings
from fmnist_ray.config.classify import ClassifySettings
from fmnist_ray.config.images import ImageLimits
from fmnist_ray.config.train import TrainSettings
from fmnist_ray.datasets.shipped import sample_catalogue_path
from fmnist_ray.errors import IncompleteError, ParityError, RefusedError, SettingError
from fmnist_ray.flows.classify import classify
from fmnist_ray.flows.promote import Promotion, add_bundle, promote, rollback
from fmnist_ray.images.prepare import prepare_batch
from fmnist_ray.store import open_store

DEFAULTS = GateLimits()
ANYTHING = GateLimits(max_accuracy_loss=1, max_calibration_error=1, max_accepted_loss=1, max_flips=1, min_speed=0)


def run(
    bundle: str, to: Path, limits: GateLimits = DEFAULTS, promise: float | None = 0.99, data: Path | None = None
) -> Promotion:
    rows = PairSettings(before="", after="", data_uri=str(data or sample_catalogue_path()), min_precision=promise)
    return promote(bundle, f"{to}@default", rows, limits)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows to have something to judge by, where it does not matter how."""
    path = tmp_path_factory.mktemp("data") / "few.parquet"
    pq.write_table(pq.read_table(sample_catalogue_path()).slice(0, 100), path)
    return path


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the shipped bundle under the alias `default`."""
    place = tmp_path_factory.mktemp("registry")
    first = run("default", place)
    assert first.promoted
    assert first.previous is None
    assert [check.name for check in first.checks] == [
        "parity", "accuracy", "calibration", "contract", "accepted", "flips", "speed",
    ]  # fmt: skip
    return place


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory, fashion_mnist: Path) -> str:
    """A bundle of one epoch over 6,000 images: a dense network."""
    from fmnist_ray.datasets.fashion_mnist import load_split
    from fmnist_ray.flows import training_data
    from fmnist_ray.flows.train import train
    from fmnist_ray.networks.job import train_here

    settings = TrainSettings(architecture="ann", epochs=1, batch_size=100)
    out = str(tmp_path_factory.mktemp("bundles") / "hasty")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_data, "load_split", lambda name: tuple(part[:6000] for part in load_split(name)))
        train(settings, out_uri=out, command="", execute=train_here, report=lambda metrics: None)
    return out


def changed(bundle: Bundle, folder: Path, files: dict[str, bytes]) -> str:
    content = {name: data for name, data in (bundle.files | files).items() if name != SPEC}
    write_bundle(open_store(str(folder)), bundle.spec, content)
    return str(folder)


def failed(outcome: Promotion) -> dict[str, str]:
    assert not outcome.promoted
    return {check.name: check.says for check in outcome.failed}


def test_one_epoch_is_refused_for_its_accuracy(registry: Path, hasty: str) -> None:
    found = failed(run(hasty, registry))
    assert {"accuracy", "contract", "flips"} <= set(found)
    assert "speed" not in found
    accuracy = float(found["accuracy"].split()[1].rstrip("%"))
    assert 60 < accuracy < 85
    assert "labelled rows, -" in found["accuracy"]
    assert read_bundle(f"{registry}@default").digest == read_bundle("default").digest


def test_a_network_that_takes_ten_times_as_long_is_refused_for_its_speed(tmp_path: Path, hasty: str) -> None:
    add_bundle(hasty, f"{tmp_path}@default")
    outcome = run("default", tmp_path, GateLimits(max_flips=1))
    assert list(failed(outcome)) == ["speed"]
    [speed] = outcome.failed
    assert speed.found < speed.limit
    assert run("default", tmp_path, ANYTHING).promoted


def test_another_preparation_is_refused(registry: Path, tmp_path: Path) -> None:
    bundle = read_bundle("default")
    model = onnx.load_from_string(bundle.files[GRAPH])
    for node in model.graph.node:
        node.input[:] = ["inverted" if name == "pixels" else name for name in node.input]
    model.graph.initializer.append(numpy_helper.from_array(np.array(255, np.uint8), "white"))
    model.graph.node.insert(0, helper.make_node("Sub", ["white", "pixels"], ["inverted"]))
    graph = model.SerializeToString()
    found = failed(run(changed(bundle, tmp_path / "forgotten", {GRAPH: graph}), registry))
    assert list(found) == ["parity"]
    assert "golden rows" in found["parity"]

    images = golden_images(bundle)
    pixels = prepare_batch(images, bundle.spec.preparation, ImageLimits()).pixels
    scores = OpenVinoRuntime(graph, precision="f32", num_threads=1).score(pixels)
    golden = write_golden(images, scores.logits, scores.svm)
    found = failed(run(changed(bundle, tmp_path / "consistent", {GRAPH: graph, GOLDEN: golden}), registry))
    assert {"accuracy", "calibration", "contract", "flips"} <= set(found), found
    assert float(found["accuracy"].split()[1].rstrip("%")) < 50


def test_a_broken_golden_row_is_refused(registry: Path, tmp_path: Path) -> None:
    bundle = read_bundle("default")
    table = pq.read_table(pa.BufferReader(bundle.files[GOLDEN]))
    logits = np.array(table["logits"].to_pylist(), np.float32)
    logits[7] = logits[7][::-1]
    broken = changed(bundle, tmp_path / "broken", {GOLDEN: write_golden(table["image"].to_pylist(), logits)})
    assert "1 get another label" in failed(run(broken, registry))["parity"]
    with pytest.raises(ParityError):
        add_bundle(broken, f"{registry}@candidate")


def test_promote_and_roll_back_and_forth(tmp_path: Path, few: Path, tiny_bundle: Path) -> None:
    names = ["default", str(tiny_bundle)]
    digests = [read_bundle(name).digest for name in names]
    alias = f"{tmp_path}@default"
    with pytest.raises(RefusedError, match="can't go back"):
        rollback(alias)
    add_bundle(names[1], f"{tmp_path}@candidate")
    assert run(names[0], tmp_path, ANYTHING, data=few).promoted
    assert not run(names[0], tmp_path, ANYTHING, data=few).checks, "it is promoted already"
    assert "no held-out rows" in failed(run(f"{tmp_path}@candidate", tmp_path, ANYTHING, data=few))["contract"]
    outcome = run(f"{tmp_path}@candidate", tmp_path, ANYTHING, promise=None, data=few)
    assert (outcome.promoted, outcome.previous, outcome.digest) == (True, *digests)
    with pytest.raises(RefusedError, match="guarded by a gate"):
        add_bundle(names[0], alias)
    assert rollback(alias).digest == digests[0]
    with pytest.raises(RefusedError, match="can't go back"):
        rollback(alias)
    assert run(names[1], tmp_path, ANYTHING, promise=None, data=few).promoted
    moves = history(open_store(str(tmp_path)), "default")
    assert [record.move for record in moves] == ["promote", "promote", "rollback", "promote"]
    assert [check["name"] for check in moves[-1].checks] == ["parity", "accuracy", "calibration", "flips", "speed"]
    with pytest.raises(SettingError, match="REGISTRY@ALIAS"):
        rollback(str(tmp_path))


def test_a_promotion_under_a_run_changes_nothing_in_it(
    tmp_path: Path, few: Path, tiny_bundle: Path, in_process: Any
) -> None:
    digests = [read_bundle(name).digest for name in (str(tiny_bundle), "default")]
    registry, alias = tmp_path / "registry", f"{tmp_path}/registry@default"
    add_bundle(str(tiny_bundle), alias)
    settings = ClassifySettings(
        catalogue_uri=str(sample_catalogue_path()), out_uri=str(tmp_path / "out"), bundle=alias, shard_rows=200
    )
    shards: list[str] = []

    def promoted_at_the_third(shard: str) -> bool:
        """And from the fourth one on, whoever does a shard dies."""
        shards.append(shard)
        if len(shards) == 3:
            assert run("default", registry, ANYTHING, data=few).promoted
        return len(shards) > 3

    def digests_of(out: str) -> set[str]:
        return set(open_results(out).predictions()["bundle_digest"].to_pylist())

    with pytest.raises(IncompleteError):
        classify(settings, lambda: nullcontext(in_process(dies_at=promoted_at_the_third)))
    assert read_bundle(alias).digest == digests[1]
    summary = classify(settings, lambda: nullcontext(in_process()))
    assert (summary.num_rows, summary.num_shards_resumed, summary.bundle_digest) == (1000, 3, digests[0])
    assert digests_of(settings.out_uri) == {digests[0]}
    assert open_results(settings.out_uri).commit.facts["alias"] == alias
    assert classify(settings, lambda: nullcontext(in_process())).num_shards_resumed == 5
    replaced = classify(dataclasses.replace(settings, replace=True), lambda: nullcontext(in_process()))
    assert replaced.bundle_digest == digests[1]
    assert digests_of(settings.out_uri) == {digests[1]}
