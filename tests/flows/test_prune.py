"""Pruning with fine-tuning: a narrower, faster bundle like any other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fmnist_ray.bundle.classifier import load_bundle
from fmnist_ray.bundle.format import CARD, HISTORY, SVM, WEIGHTS, read_bundle
from fmnist_ray.cli.app import app
from fmnist_ray.config.decisions import Promises
from fmnist_ray.datasets.fashion_mnist import load_split
from fmnist_ray.datasets.shipped import sample_catalogue_path
from fmnist_ray.flows import training_data


@pytest.fixture
def little_data(monkeypatch: pytest.MonkeyPatch, fashion_mnist: Path) -> None:
    """3,000 training and 1,000 test images."""
    rows = {"train": 3000, "test": 1000}
    monkeypatch.setattr(
        training_data, "load_split", lambda name: tuple(part[: rows[name]] for part in load_split(name))
    )


@pytest.mark.usefixtures("little_data")
def test_the_shipped_bundle_with_half_the_channels(tmp_path: Path) -> None:
    out = str(tmp_path / "pruned")
    arguments = ["bundle", "compress", "default", "--out", out, "--prune", "0.5", "--epochs", "2", "--json"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    before, after = found["before"], found["after"]
    assert (found["judged_on"], found["num_judged"]) == ("test", 1000)
    assert after["graph_bytes"] < 0.7 * 4 * read_bundle("default").spec.metrics["num_parameters"]
    assert after["rows_per_s"] > 1.3 * before["rows_per_s"]
    assert before["accuracy"] > after["accuracy"] > 0.88

    bundle = read_bundle(out)
    assert bundle.digest == found["bundle_digest"]
    assert bundle.spec.architecture_args == {"inner": [16, 16, 40, 40]}
    assert bundle.spec.metrics["test_accuracy"] == pytest.approx(after["accuracy"], abs=0.002)
    facts = bundle.spec.provenance
    assert facts["pruned"]["from_digest"] == read_bundle("default").digest
    assert facts["settings"]["teacher_digest"] == read_bundle("default").digest
    assert (facts["settings"]["epochs"], facts["settings"]["learning_rate"]) == (2, 0.1)
    assert WEIGHTS in bundle.files
    assert HISTORY in bundle.files
    assert SVM not in bundle.files
    assert "pruned from another bundle" in bundle.files[CARD].decode()
    classifier = load_bundle(out, runtime="cpu", promises=Promises(min_precision=0.9))
    images = [sample_catalogue_path().read_bytes()[:10]]
    assert classifier.classify(images)["reason"].to_pylist() == ["unsupported_format"]


def test_what_can_not_be_pruned(tiny_bundle: Path, tmp_path: Path) -> None:
    def said(*arguments: str) -> str:
        done = CliRunner().invoke(app, ["bundle", "compress", *arguments, "--out", str(tmp_path / "out")])
        assert done.exit_code == 2, done.output
        return " ".join(done.stderr.split())

    assert "does not hold the weights and the settings" in said(str(tiny_bundle), "--prune", "0.5")
    assert "--prune is 1; it must be" in said("default", "--prune", "1")
    assert "leave out --catalogue" in said("default", "--prune", "0.5", "--catalogue", "x")
