"""What `--help` lists: a whole sentence for each command, on a terminal of 100 columns."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from fmnist_ray.cli.app import app

COLUMNS = 100


@pytest.mark.parametrize("group", ["", *(str(group.name) for group in app.registered_groups)])
def test_no_sentence_is_cut(group: str) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "fmnist_ray", *group.split(), "--help"],
        env={**os.environ, "COLUMNS": str(COLUMNS)}, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    lines = shown.stdout.partition("Commands:\n")[2].strip("\n").splitlines()
    assert lines
    assert [line for line in lines if not line.endswith(".") or line.endswith("...")] == []
    assert max(map(len, lines)) <= COLUMNS
