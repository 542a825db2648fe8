"""How far the run at an output place is."""

from __future__ import annotations

from dataclasses import dataclass

from fmnist_ray.catalogue.commit import read_commit, read_plan
from fmnist_ray.catalogue.receipts import read_receipts
from fmnist_ray.errors import SettingError
from fmnist_ray.store import open_store


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """The run whose place this is, and the commit that readers see there."""

    out_uri: str
    plan_id: str
    committed: bool
    """Whether this very plan is committed."""
    committed_plan_id: str | None
    """The plan whose results a reader gets now: this one, the one it is to replace, or none."""
    num_rows: int
    num_rows_done: int
    num_predictions: int
    num_rejects: int
    num_shards: int
    num_shards_done: int


def run_status(out_uri: str) -> RunStatus:
    """Count the receipts of the run at `out_uri`; `SettingError` where no run has begun."""
    store = open_store(out_uri)
    plan = read_plan(store)
    if plan is None:
        raise SettingError(f"No run has begun at {out_uri}: name the --out of a fmnist-ray classify.")
    receipts = read_receipts(store, plan).values()
    commit = read_commit(store)
    return RunStatus(
        out_uri=store.uri,
        plan_id=plan.plan_id,
        committed=commit is not None and commit.plan_id == plan.plan_id,
        committed_plan_id=None if commit is None else commit.plan_id,
        num_rows=plan.num_rows,
        num_rows_done=sum(receipt.num_rows for receipt in receipts),
        num_predictions=sum(receipt.num_predictions for receipt in receipts),
        num_rejects=sum(receipt.num_rejects for receipt in receipts),
        num_shards=len(plan.shards),
        num_shards_done=len(receipts),
    )
