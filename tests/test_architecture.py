"""House rules that a program can check: imports point one way, libraries stay in their rooms, modules stay small."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "fmnist_ray"
TOP_LEVEL = {"pyproject.toml", "README.md", "LICENSE", "cluster", "docker", "fmnist_ray", "jobs", "tests"}

LEVELS = {
    **dict.fromkeys(("errors", "labels", "schema", "config"), 0),
    **dict.fromkeys(("store", "images", "networks", "heads", "decisions"), 1),
    **dict.fromkeys(("catalogue", "datasets", "bundle", "reports"), 2),
    "flows": 3,
    "endpoint": 3,
    "distributed": 4,
    "cli": 5,
}
LEVEL_0 = {room for room, level in LEVELS.items() if level == 0}
INIT = "__init__"

FENCES = {
    "ray": {"distributed"},
    "torch": {"networks", "distributed", "bundle/runtimes"},
    "torchvision": {"networks"},
    "sklearn": {"heads", "reports"},
    "boto3": {"store"},
    "botocore": {"store"},
    "fsspec": set[str](),
    "typer": {"cli"},
    "rich": {"cli"},
    "PIL": {"images"},
    "simplejpeg": {"images"},
    "openvino": {"bundle"},
    "onnx": {"networks", "bundle"},
    "onnxruntime": {"bundle"},
    "onnxscript": {"networks"},
    "jinja2": {"reports", "bundle"},
    "tensorboardX": {"reports"},
    "deltalake": {"catalogue"},
    "mlflow": {"reports"},
    "wandb": {"reports"},
    "psutil": {"distributed"},
    "pickle": set[str](),
    "joblib": set[str](),
}
"""Third-party modules that only these rooms (or modules) may import."""

MODULES = sorted(path for path in PACKAGE.rglob("*.py"))
SOURCES = [*MODULES, *sorted((ROOT / "jobs").glob("*.py"))]


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


def room_of(module: str) -> str:
    return module.split("/", 1)[0]


def imports(path: Path) -> Iterator[str]:
    """Dotted names that a module imports, anywhere in it."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_room_imports_lower_rooms_only(path: Path) -> None:
    room = room_of(name_of(path))
    for imported in imports(path):
        parts = imported.split(".")
        if parts[0] != "fmnist_ray" or len(parts) < 2 or parts[1] not in LEVELS:
            continue
        if room in ("client",):
            assert parts[1] in LEVEL_0, f"{name_of(path)} imports {imported}"
        elif room in LEVELS and parts[1] != room:
            assert LEVELS[parts[1]] < LEVELS[room] or LEVELS[room] == 0 == LEVELS[parts[1]], (
                f"{name_of(path)} (level {LEVELS[room]}) imports {imported} (level {LEVELS[parts[1]]})"
            )


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_libraries_stay_in_their_rooms(path: Path) -> None:
    module = name_of(path)
    for imported in imports(path):
        allowed = FENCES.get(imported.split(".", 1)[0])
        assert allowed is None or {module, room_of(module)} & allowed, f"{module} imports {imported}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_modules_and_functions_stay_small(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 250
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, f"{node.name} is too long"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_module_and_public_name_is_explained(path: Path) -> None:
    assert ast.get_docstring(tree(path)), "a module says what it is"
    for node in tree(path).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{node.name} says what it is for"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_the_console_prints_and_nothing_is_unpickled(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called != "print" or name_of(path) == "cli/console", "print belongs to cli/console.py"
            assert called not in ("torch.save", "torch.jit.load", "torch.export.load", "eval", "exec")
            if called == "torch.load":
                assert "weights_only=True" in ast.unparse(node)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nothing_happens_on_import(path: Path) -> None:
    """Module level holds definitions, constants and imports. `distributed/__init__.py` sets Ray's environment, and
    says why."""
    if name_of(path) == "distributed/__init__":
        return
    for node in tree(path).body:
        if isinstance(node, ast.Expr):
            bare_call = isinstance(node.value, ast.Call) and not ast.unparse(node.value).startswith("app.")
            assert not bare_call, f"line {node.lineno}: {ast.unparse(node)}"
        guard = isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "__name__ == '__main__'")
        assert not isinstance(node, ast.For | ast.While | ast.With | ast.Try | ast.If) or guard


def test_the_map_names_every_module() -> None:
    text = (PACKAGE / "ARCHITECTURE.md").read_text(encoding="utf-8")
    missing = [name_of(path) for path in MODULES if path.name not in (f"{INIT}.py",) and f"`{path.name}`" not in text]
    assert not missing, f"ARCHITECTURE.md does not name {missing}"
    assert all(f"`{room}/`" in text for room in {room_of(name_of(path)) for path in PACKAGE.glob("*/*.py")})


def test_the_top_level_is_the_agreed_one() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    entries = {line.split("/", 1)[0] for line in listed.stdout.splitlines()}
    assert {entry for entry in entries if not entry.startswith(".")} <= TOP_LEVEL


def test_the_public_names_are_these() -> None:
    """In a fresh interpreter, which also shows that importing the package loads none of the heavy libraries."""
    script = (
        "import sys, fmnist_ray; print(sorted(fmnist_ray.__all__)); "
        "print(sorted({'ray', 'torch', 'openvino', 'pyarrow', 'numpy', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines() == ["['Client', '__version__', 'load_bundle', 'open_results']", "[]"]
