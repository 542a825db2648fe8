"""Puts the table of a comparison of models into README.md, between two marks.

python tests/benchmarks/leaderboard_readme.py tests/benchmarks/results/leaderboard.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from fmnist_ray.reports.compare_page import CompareReport

README = Path(__file__).parents[2] / "README.md"
START, END = "<!-- leaderboard -->\n", "<!-- /leaderboard -->\n"


def main() -> None:
    report = CompareReport(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    before, rest = README.read_text(encoding="utf-8").split(START)
    after = rest.split(END)[1]
    README.write_text(f"{before}{START}{report.to_markdown()}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
