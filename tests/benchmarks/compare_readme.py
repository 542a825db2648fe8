"""Puts what comparisons of models found into README.md, each between two marks with the name of its study.

python tests/benchmarks/compare_readme.py tests/benchmarks/results/leaderboard.json tests/benchmarks/results/heads.json

Of a leaderboard that is its table, of the study of heads two sentences. Studies that lack a row are refused.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from fmnist_ray.reports.compare_page import CompareReport
from fmnist_ray.reports.heads_page import HeadsReport

README = Path(__file__).parents[2] / "README.md"
WIDTH = 120
ABOUT = (
    "By `fmnist-ray compare --out leaderboard`: accuracy of the 10,000 test images, mean and standard deviation over "
    "seeds. Time is the processor's, all cores together, beside other work; images/s are those of one core:"
)


def main() -> None:
    text = README.read_text(encoding="utf-8")
    for path in sys.argv[1:]:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        if content["missing"]:
            sys.exit(f"{path} has no run of {', '.join(content['missing'])}: finish the study first.")
        text = replaced(text, content["study"], found(content))
    README.write_text(text, encoding="utf-8")


def found(content: dict[str, Any]) -> str:
    """What README says of a study."""
    if content["study"] == "heads":
        sentences = " ".join(HeadsReport(content).sentences())
        return wrapped(
            f"{sentences} (`compare --study heads`; the figures are in `tests/benchmarks/results/heads.json`.)"
        )
    *table, below = CompareReport(content).to_markdown().splitlines()
    return "\n".join([wrapped(ABOUT), *table, wrapped(below)])


def replaced(text: str, study: str, found: str) -> str:
    """`text` with `found` between the marks of the study."""
    start, end = f"<!-- {study} -->\n", f"<!-- /{study} -->\n"
    before, rest = text.split(start)
    return f"{before}{start}{found}{end}{rest.split(end)[1]}"


def wrapped(text: str) -> str:
    """Lines as long as those of README; narrow spaces of numbers don't break."""
    lines = [""]
    for word in text.split(" "):
        if len(lines[-1]) + len(word) >= WIDTH:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
