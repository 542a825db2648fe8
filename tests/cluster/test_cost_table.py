"""README's cost table is the one that its command prints."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def table(*arguments: str) -> str:
    command = [sys.executable, str(ROOT / "tests/benchmarks/cost_table.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_readme_has_it() -> None:
    assert table() in (ROOT / "README.md").read_text(encoding="utf-8")


def test_half_the_price_is_twice_the_rows() -> None:
    rows = [[int(cell.split()[0].replace(",", "")) for cell in line.split("|")[4:6]] for line in
            table("--price", "1", "--price", "0.5").splitlines()[2:]]  # fmt: skip
    assert len(rows) == 2
    for one, two in rows:
        assert one > 0
        assert abs(two - 2 * one) <= 1
