"""Removing what no commit names: leavings of attempts that were killed, and of runs that were given up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from fmnist_ray.catalogue.commit import kept_commits, read_commit, read_plan
from fmnist_ray.catalogue.receipts import read_receipts
from fmnist_ray.errors import SettingError
from fmnist_ray.store import ObjectInfo, Store, open_store

_SWEPT = ("data/", "receipts/", "plan/", "report/")
"""Everything else of an output place is small and says which runs there are, or is what people decided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What was removed, or would be."""

    out_uri: str
    num_objects: int
    size_bytes: int
    num_kept: int
    """Objects that a commit or the run in progress names, or that are too young to tell."""


def collect_garbage(out_uri: str, *, grace_s: float, dry_run: bool) -> Swept:
    """Remove what is older than `grace_s` and belongs neither to a commit, present or replaced, nor to the run whose
    place this is. The grace covers attempts that are under way; their files are named by no receipt yet.

    `SettingError` where no run has begun.
    """
    store = open_store(out_uri)
    if read_plan(store) is None:
        raise SettingError(f"No run has begun at {out_uri}: name the --out of a fmnist-ray classify.")
    files, plans = _named(store)
    oldest_s = time.time() - grace_s
    num_objects = size_bytes = num_kept = 0
    for info in _swept(store):
        folder, _, name = info.key.partition("/")
        belongs = info.key in files if folder == "data" else name.removesuffix(".json").partition("/")[0] in plans
        if belongs or info.modified_s > oldest_s:
            num_kept += 1
            continue
        num_objects += 1
        size_bytes += info.size_bytes
        if not dry_run:
            store.delete(info.key)
    return Swept(out_uri=store.uri, num_objects=num_objects, size_bytes=size_bytes, num_kept=num_kept)


def _swept(store: Store) -> Iterator[ObjectInfo]:
    for prefix in _SWEPT:
        yield from store.list(prefix)


def _named(store: Store) -> tuple[set[str], set[str]]:
    """Keys of data files, and ids of plans, that somebody may still read."""
    commits = [commit for commit in (read_commit(store), *kept_commits(store)) if commit is not None]
    files = {file.key for commit in commits for file in commit.files}
    plans = {commit.plan_id for commit in commits}
    owner = read_plan(store)
    if owner is not None:
        plans.add(owner.plan_id)
        files.update(file.key for receipt in read_receipts(store, owner).values() for file in receipt.files)
    return files, plans
