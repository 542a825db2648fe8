"""README's code blocks are run, in order, as a user would: the shell ones with a shell, the Python ones with Python."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
BLOCK = re.compile(r"(?P<skip><!-- not run: .+? -->\n)?```(?P<language>sh|python)\n(?P<code>.*?)```", re.DOTALL)
SETUP = "pip install uv && uv run "
"""What a user types first; here the package is installed already."""


def blocks() -> list[tuple[str, str]]:
    found = []
    for match in BLOCK.finditer(README.read_text(encoding="utf-8")):
        if match["skip"] is None and "uv run pytest" not in match["code"]:
            found.append((match["language"], match["code"].replace(SETUP, "")))
    return found


@pytest.mark.timeout(400)
def test_readme_blocks_run(tmp_path: Path, fashion_mnist: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment["FMNIST_RAY_CLUSTER_DIR"] = str(tmp_path / "local-cluster")
    run = blocks()
    assert len(run) >= 8
    for language, code in run:
        command = ["bash", "-euc", code] if language == "sh" else [sys.executable, "-W", "error", "-c", code]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"


def test_readme_names_every_room() -> None:
    package = README.parent / "fmnist_ray"
    rooms = {path.parent.name for path in package.glob("*/__init__.py")}
    text = README.read_text(encoding="utf-8")
    assert {room for room in rooms if f"  {room}/ " not in text} == set()


def test_readme_pictures_exist() -> None:
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", README.read_text(encoding="utf-8"))
    assert pictures
    assert all((README.parent / picture).is_file() for picture in pictures)
