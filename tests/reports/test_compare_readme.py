"""README's figures of comparisons are those of the committed results."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "benchmarks"))
import compare_readme  # noqa: E402

RESULTS = ROOT / "tests" / "benchmarks" / "results"


@pytest.mark.parametrize("study", ["leaderboard", "heads"])
def test_readme_says_what_was_measured(study: str) -> None:
    text = compare_readme.README.read_text(encoding="utf-8")
    path = RESULTS / f"{study}.json"
    said = text.split(f"<!-- {study} -->\n")[1].split(f"<!-- /{study} -->\n")[0]
    assert said == (compare_readme.found(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else "")


def test_only_what_is_between_the_marks_changes() -> None:
    text = "before\n<!-- heads -->\nold\n<!-- /heads -->\nafter <!-- /heads -->"
    assert compare_readme.replaced(text, "heads", "new\n") == text.replace("old", "new")
    lines = compare_readme.wrapped("word " * 60).splitlines()
    assert [len(line) <= 120 for line in lines] == [True] * 3
    assert " ".join(lines).split() == ["word"] * 60


def test_a_study_with_gaps_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "leaderboard.json"
    path.write_text(json.dumps({"study": "leaderboard", "missing": ["gb"]}))
    monkeypatch.setattr(sys, "argv", ["compare_readme.py", str(path)])
    with pytest.raises(SystemExit, match="has no run of gb: finish the study first"):
        compare_readme.main()
