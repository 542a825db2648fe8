"""`features` and `fit-svm` at the command line: what can't be done is one sentence and the right exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fmnist_ray.cli.app import app


@pytest.mark.parametrize(
    ("arguments", "exit_code", "sentence"),
    [
        (["fit-svm", "--features", "nowhere", "--out", "out"], 4, "No committed run at nowhere"),
        (["fit-svm", "--vary", "c=1..2", "--out", "out"], 2, "add --trials N"),
        (["fit-svm", "--vary", "nu=1", "--features", "nowhere", "--out", "out"], 4, "No committed run"),
        (["fit-svm", "--C", "-1", "--out", "out"], 2, "c is -1.0; it must be a number above 0"),
        (["fit-svm", "--bundle", "no/such", "--out", "out"], 2, "is not a bundle"),
        (["fit-svm", "--folds", "1", "--out", "out"], 2, "folds is 1"),
        (["features", "no/such", "--out", "out"], 2, "No catalogue at no/such"),
        (["classify", "no/such", "--out", "out", "--head", "svm"], 2, "No catalogue at no/such"),
    ],
)
def test_what_can_not_be_done_is_one_sentence(
    arguments: list[str], exit_code: int, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert (done.exit_code, sentence in done.stderr) == (exit_code, True), done.output
    assert json.loads(done.stdout)["exit_code"] == exit_code


@pytest.mark.parametrize("command", ["features", "fit-svm"])
def test_help_has_an_example(command: str) -> None:
    done = CliRunner().invoke(app, [command, "--help"])
    assert f"Example: fmnist-ray {command}" in " ".join(done.output.split())
