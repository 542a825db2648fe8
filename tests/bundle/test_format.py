"""The bundle folder: whatever was changed, added, removed or smuggled in is noticed before anything runs."""

from __future__ import annotations

import contextlib
import json
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fmnist_ray.bundle.format import MANIFEST, SPEC, WEIGHTS, BundleSpec, bundle_uri, read_bundle, write_bundle
from fmnist_ray.config.images import Preparation
from fmnist_ray.errors import BundleError, ParityError
from fmnist_ray.store import open_store
from fmnist_ray.store.memory import MemoryStore


@pytest.fixture
def folder(tiny_bundle: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_bundle, tmp_path / "bundle")


def spec(**changes: object) -> BundleSpec:
    values = {"labels": ("a", "b"), "architecture": "ann", "architecture_args": {"width": 3}, "temperature": 1.25}
    return BundleSpec(**{**values, "preparation": Preparation(size=32, channels=3), **changes})  # type: ignore[arg-type]


def test_a_spec_survives_its_json() -> None:
    written = spec(provenance={"seed": 1}, metrics={"accuracy": 0.5})
    assert BundleSpec.from_json(written.to_json()) == written


def test_a_bundle_is_read_as_it_was_written(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    digest = write_bundle(store, spec(), {"model.onnx": b"graph"})
    bundle = read_bundle(str(tmp_path))
    assert (bundle.digest, bundle.spec, bundle.files["model.onnx"]) == (digest, spec(), b"graph")


def test_the_digest_is_that_of_the_content(tmp_path: Path) -> None:
    digests = [
        write_bundle(open_store(str(tmp_path / name)), spec(), {"model.onnx": content})
        for name, content in (("a", b"graph"), ("b", b"graph"), ("c", b"other"))
    ]
    assert digests[0] == digests[1] != digests[2]


def test_one_changed_byte_in_any_file_is_refused(folder: Path) -> None:
    paths = sorted(path for path in folder.iterdir() if path.name != MANIFEST)
    assert len(paths) == 4
    for path in paths:
        for original, changed in flips(path):
            path.write_bytes(changed)
            with pytest.raises(ParityError, match=path.name):
                read_bundle(str(folder))
            path.write_bytes(original)
    read_bundle(str(folder))


def test_a_changed_manifest_is_refused_or_has_another_digest(folder: Path) -> None:
    digest = read_bundle(str(folder)).digest
    for _, changed in flips(folder / MANIFEST):
        (folder / MANIFEST).write_bytes(changed)
        with contextlib.suppress(BundleError, ParityError):
            assert read_bundle(str(folder)).digest != digest


def flips(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """A file's content, and the same with one bit changed, at its start, middle and end."""
    original = path.read_bytes()
    for position in (0, len(original) // 2, len(original) - 1):
        changed = bytearray(original)
        changed[position] ^= 1
        yield original, bytes(changed)


TAMPERING: dict[str, Callable[[Path], object]] = {
    "extra file": lambda folder: (folder / "extra.txt").write_text("x"),
    "extra folder": lambda folder: (folder / "sub").mkdir() or (folder / "sub" / "model.onnx").write_text("x"),
    "missing file": lambda folder: (folder / WEIGHTS).unlink(),
    "link out": lambda folder: (folder / WEIGHTS).unlink() or (folder / WEIGHTS).symlink_to("/etc/hostname"),
    "dangling link": lambda folder: (folder / WEIGHTS).unlink() or (folder / WEIGHTS).symlink_to("/nowhere"),
}


@pytest.mark.parametrize("tamper", TAMPERING.values(), ids=TAMPERING)
def test_tampering_is_refused(folder: Path, tamper: Callable[[Path], object]) -> None:
    tamper(folder)
    with pytest.raises(ParityError):
        read_bundle(str(folder))


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "a/b", "", ".hidden", "x" * 65, "model.pt", "x.pkl", "x.joblib"]
)
def test_names_that_lead_elsewhere_or_run_code_are_refused(folder: Path, name: str) -> None:
    with pytest.raises(BundleError, match="can't hold"):
        write_bundle(MemoryStore(), spec(), {name: b""})
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"][name] = manifest["files"][SPEC]
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="can't hold"):
        read_bundle(str(folder))


class Trap:
    """Unpickling this would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_a_pickle_named_safetensors_is_refused_and_never_run(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    disguised = pickle.dumps(Trap(canary))
    with pytest.raises(BundleError, match="no safetensors file"):
        write_bundle(open_store(str(tmp_path / "a")), spec(), {WEIGHTS: disguised})
    store = open_store(str(tmp_path / "b"))
    write_bundle(store, spec(), {"weights.bin": disguised})
    manifest = store.get(MANIFEST).replace(b"weights.bin", WEIGHTS.encode())
    store.put(WEIGHTS, disguised)
    store.delete("weights.bin")
    store.put(MANIFEST, manifest)
    with pytest.raises(BundleError, match="no safetensors file"):
        read_bundle(str(tmp_path / "b"))
    assert not canary.exists()


@pytest.mark.parametrize(
    "manifest", [b"", b"[]", b"{}", b'{"files": {}}', b'{"files": {"bundle.json": 1}}', b"[" * 100_000, b"\xff"]
)
def test_a_manifest_that_is_none_is_refused(folder: Path, manifest: bytes) -> None:
    (folder / MANIFEST).write_bytes(manifest)
    with pytest.raises(BundleError, match=MANIFEST):
        read_bundle(str(folder))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"format_version": 99}',
        spec().to_json().replace(b'"temperature": 1.25', b'"temperature": 0'),
        spec().to_json().replace(b'"temperature": 1.25', b'"temperature": "hot"'),
        spec().to_json().replace(b'"temperature": 1.25', b'"temperature": NaN'),
        spec().to_json().replace(b'"b"', b'"a"'),
        spec().to_json().replace(b'"architecture"', b'"architect"'),
    ],
)
def test_a_description_that_is_none_is_refused(content: bytes) -> None:
    with pytest.raises(BundleError):
        BundleSpec.from_json(content)


def test_a_place_without_a_bundle_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is not a bundle"):
        read_bundle(str(tmp_path / "nothing"))


def test_a_bare_name_means_a_shipped_bundle_only_where_there_is_one() -> None:
    assert bundle_uri("no-such-bundle") == "no-such-bundle"
    assert bundle_uri("../bundles") == "../bundles"
