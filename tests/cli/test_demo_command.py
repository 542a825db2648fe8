"""`fmnist-ray demo`: from nothing to a committed run on a real local Ray, and at once when it is done."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from fmnist_ray.datasets.fashion_mnist import fetch


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fmnist_ray", "demo", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=240)


def test_the_demo(fashion_mnist: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    first = run(tmp_path, "--bundle", str(tiny_bundle), "--json")
    assert first.returncode == 0, first.stderr
    facts = json.loads(first.stdout)
    place = tmp_path / "fmnist-ray-demo"
    assert facts["catalogue_uri"] == str(place / "catalogue")
    assert (facts["num_rows"], facts["num_predictions"], facts["num_rejects"]) == (10_000, 10_000, 0)
    assert (facts["committed"], facts["no_data"]) == (True, None)
    assert 0 <= facts["accuracy"] <= 1
    assert facts["demo_s"] >= facts["elapsed_s"] > 0
    assert "Built a catalogue of 10,000 test images" in first.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"fmnist-ray-demo"}

    again = run(tmp_path, "--bundle", str(tiny_bundle))
    assert again.returncode == 0, again.stderr
    assert "Built a catalogue" not in again.stdout
    lines = again.stdout.splitlines()
    assert lines[:2] == ["Looking for Fashion-MNIST.", "Classified and committed"]
    assert any(line.startswith("rows") and line.rstrip().endswith("10,000") for line in lines)
    assert f"Report: {facts['report_uri']}" in lines
    assert f"  fmnist-ray verify {place / 'results'}" in lines
    assert Path(facts["report_uri"]).stat().st_size > 10_000
    assert fetch().folder == fashion_mnist
