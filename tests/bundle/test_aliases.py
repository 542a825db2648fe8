"""Aliases: one step moves one, and of two who move it at once only one does."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fmnist_ray.bundle.aliases import AliasRecord, aliased_uri, all_aliases, history, move_alias, split_alias
from fmnist_ray.bundle.format import copy_bundle, node_uri, read_bundle
from fmnist_ray.errors import BundleError, RefusedError
from fmnist_ray.store import open_store

FIRST = AliasRecord(
    alias="default", number=1, digest="a" * 64, previous=None, move="promote", source="mine", moved_at="", checks=[]
)
SECOND = dataclasses.replace(FIRST, number=2, digest="b" * 64, previous=FIRST.digest)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("s3://shop/bundles@default", ("s3://shop/bundles", "default")),
        ("a@b/c@night-2", ("a@b/c", "night-2")),
        ("default", None),
        ("me@home/bundle", None),
        ("odd@name/", None),
        ("registry/@x", None),
        ("registry@", None),
    ],
)
def test_what_is_an_alias(name: str, parts: tuple[str, str] | None) -> None:
    assert split_alias(name) == parts


@pytest.mark.parametrize("kind", ["local", "s3"])
def test_of_many_who_move_an_alias_at_once_one_does(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    root = str(tmp_path) if kind == "local" else f"{request.getfixturevalue('bucket')}/registry"
    registry = open_store(root)
    move_alias(registry, FIRST)
    move_alias(registry, FIRST)  # the same move again, as after a lost answer, is no second one

    def race(number: int) -> bool:
        try:
            move_alias(registry, dataclasses.replace(SECOND, digest=f"{number:064x}"))
        except RefusedError:
            return False
        return True

    with ThreadPoolExecutor(12) as threads:
        won = list(threads.map(race, range(12)))
    assert sum(won) == 1
    assert [record.number for record in history(registry, "default")] == [1, 2]
    assert history(registry, "default")[1].digest == f"{won.index(True):064x}"
    move_alias(registry, dataclasses.replace(FIRST, alias="default-2"))
    assert {name: len(moves) for name, moves in all_aliases(registry).items()} == {"default": 2, "default-2": 1}
    assert aliased_uri(f"{root}@default").endswith(f"/bundles/{won.index(True):064x}")
    assert aliased_uri(f"{root}@default", keep=FIRST.digest).endswith(f"/bundles/{FIRST.digest}")
    assert aliased_uri(f"{root}@default", keep="f" * 64) == aliased_uri(f"{root}@default")


def test_an_unknown_alias_names_those_there_are(tmp_path: Path) -> None:
    move_alias(open_store(str(tmp_path)), FIRST)
    with pytest.raises(BundleError, match="no bundle under the alias 'defautl'; it has default"):
        read_bundle(f"{tmp_path}@defautl")
    with pytest.raises(BundleError, match="it has none"):
        read_bundle(f"{tmp_path}/nothing@default")
    (tmp_path / "aliases/default/00000002.json").write_text("{}")
    with pytest.raises(BundleError, match="no record of an alias"):
        read_bundle(f"{tmp_path}@default")


@pytest.mark.parametrize("kind", ["local", "s3"])
def test_a_copy_keeps_its_digest_and_nodes_are_told_its_place(
    kind: str, tmp_path: Path, tiny_bundle: Path, request: pytest.FixtureRequest
) -> None:
    root = str(tmp_path) if kind == "local" else f"{request.getfixturevalue('bucket')}/registry"
    bundle = read_bundle(str(tiny_bundle))
    copy = open_store(f"{root}/bundles/{bundle.digest}")
    copy.put("cnn.safetensors", b"what a copy that was broken off left")
    copy_bundle(bundle, copy)
    move_alias(open_store(root), dataclasses.replace(FIRST, digest=bundle.digest))
    assert read_bundle(f"{root}@default").digest == bundle.digest
    assert node_uri(f"{root}@default") == f"{root}/bundles/{bundle.digest}"
    assert node_uri("default") == "default"
