"""Claim and commit: an output place holds the results of one plan, and readers see all of them or none.

Three objects matter. `plan/<id>.json` is the immutable plan. `_PLAN.json` says whose place this is. `_COMMIT.json`
names every file of the finished run and is the only thing that readers look at; it is one write, so it is absent or
whole. Where a run replaces another, the old commit is first kept under `commits/`, so that it stays readable.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fmnist_ray.catalogue.plan import Plan, canonical_json
from fmnist_ray.catalogue.receipts import DataFile, Receipt
from fmnist_ray.errors import IncompleteError, NotFoundError, OutputTakenError, StoreError
from fmnist_ray.store import Store

COMMIT = "_COMMIT.json"
OWNER = "_PLAN.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A finished run: which files hold its rows, and what they amount to."""

    plan_id: str
    num_rows: int
    num_predictions: int
    num_rejects: int
    files: tuple[DataFile, ...]
    """In the order of the plan's shards."""
    statistics: dict[str, Any]
    """The receipts' statistics, merged."""
    facts: dict[str, Any]
    """About the run, not its rows: bundle, precision, duration, workers, when."""
    previous: str | None
    """Plan id of the commit that this one took the place of."""

    def to_json(self) -> bytes:
        return canonical_json(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, data: bytes) -> Commit:
        content = json.loads(data)
        return cls(**{**content, "files": tuple(DataFile(**item) for item in content["files"])})


def claim(store: Store, plan: Plan, *, replace: bool) -> Plan:
    """Make the output place this plan's, and return the plan as stored: its shards are those of the first run.

    `OutputTakenError` when the place is another plan's and `replace` is false.
    """
    key = f"plan/{plan.plan_id}.json"
    owner = canonical_json({"plan_id": plan.plan_id})
    if not store.put_if_absent(OWNER, owner):
        holder = json.loads(store.get(OWNER))["plan_id"]
        if holder != plan.plan_id:
            if not replace:
                raise OutputTakenError(
                    f"{store.uri} holds the run of another plan ({holder}; this one is {plan.plan_id}): the catalogue, "
                    "the bundle or an option that changes results differs. Name another --out, or add --replace."
                )
            store.put(OWNER, owner)
    store.put_if_absent(key, plan.to_json())
    return Plan.from_json(store.get(key))


def read_plan(store: Store) -> Plan | None:
    """The plan whose place this is, or None where no run has begun."""
    try:
        holder = json.loads(store.get(OWNER))["plan_id"]
        return Plan.from_json(store.get(f"plan/{holder}.json"))
    except NotFoundError:
        return None


def read_commit(store: Store, plan_id: str | None = None) -> Commit | None:
    """The commit of the place, or the earlier one of `plan_id`; None where there is none."""
    try:
        commit = Commit.from_json(store.get(COMMIT))
        if plan_id is None or commit.plan_id == plan_id:
            return commit
        return Commit.from_json(store.get(_kept_key(plan_id)))
    except NotFoundError:
        return None


def kept_commits(store: Store) -> list[Commit]:
    """The commits that others took the place of."""
    return [Commit.from_json(store.get(info.key)) for info in store.list(_kept_key("").removesuffix(".json"))]


def commit_run(
    store: Store, plan: Plan, receipts: Mapping[str, Receipt], *, statistics: dict[str, Any], facts: dict[str, Any]
) -> Commit:
    """Check that every shard has its receipt and every file is there, write the commit, and read it back.

    Raises `IncompleteError` where a shard is missing, `StoreError` where a file is, `OutputTakenError` when the place
    has become another plan's in the meantime. A second driver of the same plan finds the commit done, and is content.
    """
    files = _checked_files(store, plan, receipts)
    current = read_commit(store)
    if current is not None and current.plan_id == plan.plan_id:
        return current
    commit = Commit(
        plan_id=plan.plan_id,
        num_rows=plan.num_rows,
        num_predictions=sum(receipt.num_predictions for receipt in receipts.values()),
        num_rejects=sum(receipt.num_rejects for receipt in receipts.values()),
        files=files,
        statistics=statistics,
        facts=facts,
        previous=None if current is None else current.plan_id,
    )
    if json.loads(store.get(OWNER))["plan_id"] != plan.plan_id:
        raise OutputTakenError(
            f"{store.uri} was given to another plan while this run was at work; it stays uncommitted."
        )
    if current is None:
        store.put_if_absent(COMMIT, commit.to_json())
    else:
        store.put(_kept_key(current.plan_id), current.to_json())
        store.put(COMMIT, commit.to_json())
    stored = read_commit(store)
    if stored is None or stored.plan_id != plan.plan_id:
        raise OutputTakenError(f"{store.uri} was given to another plan while this run committed; run it again.")
    return stored


def _checked_files(store: Store, plan: Plan, receipts: Mapping[str, Receipt]) -> tuple[DataFile, ...]:
    missing = [shard for shard in plan.shards if shard.id not in receipts]
    if missing:
        raise IncompleteError(f"{len(missing)} of {len(plan.shards)} shards have no receipt; nothing was committed.")
    folders = {file.key.rpartition("/")[0] for receipt in receipts.values() for file in receipt.files}
    sizes = {info.key: info.size_bytes for folder in sorted(folders) for info in store.list(f"{folder}/")}
    files = []
    for shard in plan.shards:
        receipt = receipts[shard.id]
        if receipt.num_rows != shard.num_rows:
            raise StoreError(f"The receipt of shard {shard.id} counts {receipt.num_rows} rows of {shard.num_rows}.")
        for file in receipt.files:
            if sizes.get(file.key) != file.size_bytes:
                raise StoreError(
                    f"{store.uri}/{file.key} is missing or has another size than its receipt says: remove the receipt "
                    f"of shard {shard.id} to have it done again."
                )
            files.append(file)
    return tuple(files)


def _kept_key(plan_id: str) -> str:
    return f"commits/{plan_id}.json"
