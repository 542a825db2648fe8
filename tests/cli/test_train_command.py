"""`train` and `tune` on the command line: what is shown and refused before anything starts."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from fmnist_ray.cli.app import app


def test_describe_shows_the_layers_and_their_costs() -> None:
    result = CliRunner().invoke(app, ["train", "--describe", "conv1_k3", "--json"])
    assert result.exit_code == 0
    shown = json.loads(result.stdout)
    assert shown["num_parameters"] == 693_962
    assert [layer["kind"] for layer in shown["layers"]][:3] == ["Conv2d", "ReLU", "MaxPool2d"]
    assert shown["multiply_adds"] == 26 * 26 * 32 * 9 + 13 * 13 * 32 * 128 + 1280


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "Name the place of the bundle with --out."),
        (["train", "--describe", "resnet_smal"], "the nearest are resnet_small"),
        (["train", "--out", "bundle", "--recipe", "defaul"], "the nearest are default"),
        (["train", "--out", "bundle", "--teacher", ""], "teacher is ''; it must name a bundle."),
        (["train", "--out", "bundle", "--arch", "rf", "--teacher", "default"], "rf is a classical model: leave it out"),
        (["train", "--out", "bundle", "--epochs", "0"], "epochs is 0; it must be at least 1."),
        (["train", "--out", "bundle", "--set", "augmentation.turn=3"], "sets nothing"),
        (["tune", "--out", "search", "--vary", "learning_rate"], "varies nothing"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_exit_code_2(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 2
    failure = json.loads(result.stdout)
    assert message in failure["error"]
    assert failure["exit_code"] == 2
