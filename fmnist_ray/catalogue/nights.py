"""Nights below one root: a folder per date, a record per published night, and a pointer to the newest.

The pointer is a convenience that can always be written anew from the records, so it needs no lock: whoever publishes
writes its record first, then the pointer, and looks again until the pointer is that of the newest record.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

from fmnist_ray.errors import NotFoundError
from fmnist_ray.store import Store

NEWEST = "_NEWEST.json"
_RECORDS = "nights/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """A published night. Its run lies in the folder of its date."""

    date: str
    """As 2026-11-20, so that the order of names is the order of nights."""
    plan_id: str
    bundle_digest: str
    num_rows: int
    num_predictions: int
    num_rejects: int
    published_at: str

    def to_json(self) -> bytes:
        """The record's bytes."""
        return json.dumps(dataclasses.asdict(self), indent=1).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Night:
        """From `to_json`; fields that a newer version added are left out."""
        values = json.loads(data)
        return cls(**{field.name: values[field.name] for field in dataclasses.fields(cls)})


def night_uri(root_uri: str, date: str) -> str:
    """The output place of a night."""
    return f"{root_uri.rstrip('/')}/{date}"


def publish_night(root: Store, night: Night) -> Night:
    """Record the night and let the pointer name the newest one, which is returned. An earlier date than that of the
    pointer is recorded and leaves the pointer where it is, in whatever order nights end."""
    root.put(_record_key(night.date), night.to_json())
    while True:
        newest = read_night(root, published_dates(root)[-1])
        root.put(NEWEST, newest.to_json())
        if newest.date == published_dates(root)[-1]:
            return newest


def newest_night(root: Store, *, before: str | None = None) -> Night | None:
    """The night that the pointer names, or the newest published one with a date before `before`; None without one."""
    if before is not None:
        earlier = published_dates(root, before=before)
        return read_night(root, earlier[-1]) if earlier else None
    try:
        return Night.from_json(root.get(NEWEST))
    except NotFoundError:
        return None


def published_dates(root: Store, *, before: str | None = None) -> list[str]:
    """Dates of the published nights, the oldest first; with `before`, the earlier ones alone."""
    keys = (info.key for info in root.list(_RECORDS))
    dates = sorted(key.removeprefix(_RECORDS).removesuffix(".json") for key in keys)
    return [date for date in dates if before is None or date < before]


def read_night(root: Store, date: str) -> Night:
    """The record of a published night; `NotFoundError` without one."""
    return Night.from_json(root.get(_record_key(date)))


def _record_key(date: str) -> str:
    return f"{_RECORDS}{date}.json"
