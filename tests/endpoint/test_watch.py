"""A bundle that is copied over another one: nothing happens until all of it is there and it has proven itself."""

from __future__ import annotations

import shutil
from pathlib import Path

from fmnist_ray.bundle.classifier import load_bundle
from fmnist_ray.bundle.format import MANIFEST, bundle_uri
from fmnist_ray.endpoint.watch import Watch


def test_another_bundle_takes_over_when_it_is_whole(other_bundle: str, tmp_path: Path) -> None:
    place = tmp_path / "bundle"
    shutil.copytree(bundle_uri("default"), place)
    chosen: list[str] = []

    def prove() -> str:
        return load_bundle(str(place), runtime="cpu").digest

    watch = Watch(str(place), prove(), prove=prove, choose=lambda: chosen.append(prove()))
    assert watch.look() is None
    shutil.copy(Path(other_bundle) / MANIFEST, place)
    assert "stays out" in str(watch.look())
    assert watch.look() is None, "it is said once"
    for path in place.iterdir():
        path.unlink()
    assert "is not a bundle" in str(watch.look())
    shutil.copytree(other_bundle, place, dirs_exist_ok=True)
    digest = load_bundle(other_bundle, runtime="cpu").digest
    assert watch.look() == f"Bundle {digest[:12]} at {place} takes over."
    assert watch.look() is None
    assert chosen == [digest]
