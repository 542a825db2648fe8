"""`serve --new-key`, and what `serve` refuses; that it serves is tested where Ray is."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from fmnist_ray.cli.app import app
from fmnist_ray.endpoint.keys import read_keys


def test_a_new_key_is_shown_once_and_works(tmp_path: Path) -> None:
    path = str(tmp_path / "keys.txt")
    for name, options in (("shop", []), ("boss", ["--admin"])):
        done = CliRunner().invoke(app, ["serve", "--keys", path, "--new-key", name, "--json", *options])
        assert done.exit_code == 0, done.output
        made = json.loads(done.stdout)
        assert (made["name"], made["role"]) == (name, "admin" if options else "classify")
        assert read_keys(path).allows(f"Bearer {made['key']}", made["role"])
    assert read_keys(path).allows(f"Bearer {made['key']}", "classify")
    assert len(Path(path).read_text().splitlines()) == 2


def test_a_new_key_needs_a_file() -> None:
    done = CliRunner().invoke(app, ["serve", "--new-key", "shop"])
    assert (done.exit_code, "--keys FILE" in done.stderr) == (2, True)
