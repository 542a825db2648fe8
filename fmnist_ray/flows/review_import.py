"""Taking back what people decided: whose rows, which label, and what that says of the night's precision."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fmnist_ray.catalogue.plan import Plan
from fmnist_ray.catalogue.results import open_results
from fmnist_ray.catalogue.row_images import read_chosen
from fmnist_ray.catalogue.writer import encode_table
from fmnist_ray.errors import InputError, NotFoundError
from fmnist_ray.flows.report import rebuild_report
from fmnist_ray.flows.review_queue import queue_key
from fmnist_ray.reports.metrics import interval
from fmnist_ray.schema import REVIEWED, Decision
from fmnist_ray.store import Store, open_store, split_uri

NONE_OF_THEM = "none"
"""What people write where a photo shows none of the classes."""
_COLUMN = "reviewed_label"
Place = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewOutcome:
    """What is known of a run after an import."""

    plan_id: str
    num_imported: int
    num_reviewed: int
    """Rows of the run that people have decided by now."""
    num_corrected: int
    """Of them, those with another label than the predicted one."""
    num_audited: int
    """Accepted rows among the randomly drawn ones that people have decided."""
    precision: float | None
    """Of accepted rows, estimated from the audited ones; None before there are any."""
    precision_low: float | None
    precision_high: float | None
    """Exact 95 % interval."""
    reviewed_uri: str
    """A labelled catalogue of all reviewed rows, to train on."""
    audited_uri: str
    """A labelled catalogue of the randomly drawn rows alone: a fair sample of the run, to calibrate on."""
    report_uri: str


def import_review(out_uri: str, file_uri: str) -> ReviewOutcome:
    """Merge a file of decisions into a run's review, the newer one of a row in force, and write the report anew.

    The file is CSV, Parquet or JSON (rows, or an export of Label Studio), with `input_file` and `input_row` or a
    `product_id` that occurs once in the queue, and `reviewed_label`. Raises `InputError` where a row is not in the
    queue or a label is none of the classes; then nothing is taken.
    """
    store, commit = open_store(out_uri), open_results(out_uri).commit
    try:
        queue = pq.ParquetFile(pa.BufferReader(store.get(queue_key(commit.plan_id, "parquet")))).read().to_pylist()
    except NotFoundError as error:
        raise InputError(f"{out_uri} has no review queue: classify with --min-precision writes one.") from error
    rows = {(row["input_file"], row["input_row"]): row for row in queue}
    decided = _decided(read_decisions(file_uri), rows, commit.facts["labels"])
    known = _earlier(store, commit.plan_id)
    missing = [place for place in decided if place not in known]
    plan = Plan.from_json(store.get(f"plan/{commit.plan_id}.json"))
    images = dict(zip(missing, read_chosen(plan, missing), strict=True))
    for place, label in decided.items():
        row = rows[place]
        known[place] = {
            **{name: row[name] for name in ("product_id", "input_file", "input_row", "decision", "audit")},
            "label": None if label == NONE_OF_THEM else label,
            "predicted": row["label"],
            "image": known[place]["image"] if place in known else images[place],
        }
    every = [known[place] for place in sorted(known)]
    estimate = estimate_precision(every)
    audited = [row for row in every if row["audit"]]
    for name, chosen in (("reviewed", every), ("audited", audited)):
        store.put(_key(commit.plan_id, f"{name}/{name}.parquet"), encode_table(pa.Table.from_pylist(chosen, REVIEWED)))
    store.put(_key(commit.plan_id, "estimate.json"), json.dumps(estimate, indent=1).encode() + b"\n")
    return ReviewOutcome(
        plan_id=commit.plan_id,
        num_imported=len(decided),
        **estimate,
        reviewed_uri=f"{store.uri}/{_key(commit.plan_id, 'reviewed')}",
        audited_uri=f"{store.uri}/{_key(commit.plan_id, 'audited')}",
        report_uri=rebuild_report(out_uri),
    )


def estimate_precision(reviewed: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What reviewed rows (`schema.REVIEWED`) say of all accepted rows of their run. Only rows that were drawn at random
    count: those that were sent to review are worse than the rest by design."""
    right = [row["label"] == row["predicted"] for row in reviewed]
    audited = [
        fine for row, fine in zip(reviewed, right, strict=True) if row["audit"] and row["decision"] == Decision.ACCEPT
    ]
    low, high = interval(sum(audited), len(audited)) if audited else (None, None)
    return {
        "num_reviewed": len(right),
        "num_corrected": len(right) - sum(right),
        "num_audited": len(audited),
        "precision": sum(audited) / len(audited) if audited else None,
        "precision_low": low,
        "precision_high": high,
    }


def read_decisions(file_uri: str) -> list[dict[str, Any]]:
    """The rows of a file that people filled in; `InputError` where it is none of the known forms."""
    folder, name = split_uri(file_uri)
    try:
        data = open_store(folder).get(name)
        if name.endswith(".parquet"):
            rows: list[dict[str, Any]] = pq.ParquetFile(pa.BufferReader(data)).read().to_pylist()
        elif name.endswith(".json"):
            rows = [_label_studio(task) if "annotations" in task else task for task in json.loads(data)]
        else:
            rows = [dict(row) for row in csv.DictReader(io.StringIO(data.decode("utf-8-sig")))]
    except (pa.ArrowException, ValueError, TypeError, KeyError, IndexError) as error:
        raise InputError(f"{file_uri} can't be read as CSV, Parquet or JSON by its ending: {error}.") from error
    if rows and _COLUMN not in rows[0]:
        raise InputError(f"{file_uri} has no {_COLUMN!r}: add it, with a class or {NONE_OF_THEM!r} for each row.")
    return [row for row in rows if row[_COLUMN]]


def _label_studio(task: Mapping[str, Any]) -> dict[str, Any]:
    """A task of Label Studio's JSON export: its data, and the first choice of its last annotation."""
    results = task["annotations"][-1]["result"] if task["annotations"] else []
    return {**task["data"], _COLUMN: results[0]["value"]["choices"][0] if results else None}


def _decided(
    found: Sequence[Mapping[str, Any]], rows: Mapping[Place, Mapping[str, Any]], labels: Sequence[str]
) -> dict[Place, str]:
    by_id: dict[str, list[Place]] = {}
    for place, row in rows.items():
        by_id.setdefault(row["product_id"], []).append(place)
    decided: dict[Place, str] = {}
    for row in found:
        if row.get("input_file") is not None:
            places = [(row["input_file"], int(row["input_row"]))]
        else:
            places = by_id.get(row.get("product_id") or "", [])
        if len(places) != 1 or places[0] not in rows:
            raise InputError(
                f"The queue has {'no' if len(places) < 2 else 'more than one'} row "
                f"{row.get('product_id') or places}: name each by its input_file and input_row."
            )
        if row[_COLUMN] not in (*labels, NONE_OF_THEM):
            raise InputError(
                f"{row[_COLUMN]!r} is no class of this run: it has {', '.join(labels)}, and {NONE_OF_THEM!r} for a "
                "photo of something else."
            )
        decided[places[0]] = row[_COLUMN]
    return decided


def _earlier(store: Store, plan_id: str) -> dict[Place, dict[str, Any]]:
    """What was imported before."""
    try:
        data = store.get(_key(plan_id, "reviewed/reviewed.parquet"))
    except NotFoundError:
        return {}
    rows = pq.ParquetFile(pa.BufferReader(data)).read().to_pylist()
    return {(row["input_file"], row["input_row"]): row for row in rows}


def _key(plan_id: str, name: str) -> str:
    return f"review/{plan_id}/{name}"
