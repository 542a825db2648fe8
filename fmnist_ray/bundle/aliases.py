"""Aliases: names such as `default` that mean a bundle of a registry, and can be moved to another one in one step.

A registry is a place with copies of bundles, `bundles/<digest>/`, which never change, and a record per move of an
alias, `aliases/<alias>/<number>.json`. The record with the highest number counts. Two who move an alias at once write
a record of the same number, which a store lets only one of them do; nobody ever sees a move that is half done.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Literal

from fmnist_ray.errors import BundleError, RefusedError
from fmnist_ray.store import Store, open_store

BUNDLES = "bundles/"
_ALIASES = "aliases/"
_REFERENCE = re.compile(r"(?P<registry>.*[^/@])@(?P<alias>[A-Za-z0-9][A-Za-z0-9_-]{0,63})")

Move = Literal["add", "promote", "rollback"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasRecord:
    """One move of an alias."""

    alias: str
    number: int
    """1 for the first move."""
    digest: str
    """The bundle that the alias means from here on."""
    previous: str | None
    """The one that it meant before."""
    move: Move
    source: str
    """Where the bundle was copied from, or what a rollback went back from."""
    moved_at: str
    """ISO 8601 with an offset."""
    checks: list[dict[str, Any]]
    """What the gate found, for a promotion."""

    def to_json(self) -> bytes:
        """The record's bytes."""
        return json.dumps(dataclasses.asdict(self), indent=1, sort_keys=True).encode() + b"\n"


def split_alias(name_or_uri: str) -> tuple[str, str] | None:
    """Registry and alias of `REGISTRY@ALIAS`; None for any other name of a bundle."""
    match = _REFERENCE.fullmatch(name_or_uri)
    return None if match is None else (match["registry"], match["alias"])


def aliased_uri(name_or_uri: str, *, keep: str | None = None) -> str:
    """Where the bundle lies that an alias means now, or the one of digest `keep` if the alias ever meant that; any
    other name of a bundle as it is. `BundleError` for an alias that nothing was given."""
    reference = split_alias(name_or_uri)
    if reference is None:
        return name_or_uri
    registry = open_store(reference[0])
    moves = history(registry, reference[1])
    if not moves:
        known = ", ".join(sorted(all_aliases(registry))) or "none"
        raise BundleError(f"{registry.uri} has no bundle under the alias {reference[1]!r}; it has {known}.")
    kept = any(record.digest == keep for record in moves)
    return copy_uri(registry, keep if keep and kept else moves[-1].digest)


def copy_uri(registry: Store, digest: str) -> str:
    """Where the registry's copy of a bundle lies."""
    return f"{registry.uri}/{BUNDLES}{digest}"


def history(registry: Store, alias: str) -> list[AliasRecord]:
    """Every move of an alias, the first one first."""
    return all_aliases(registry, alias=alias).get(alias, [])


def all_aliases(registry: Store, *, alias: str | None = None) -> dict[str, list[AliasRecord]]:
    """The moves of every alias of a registry, or of one. `BundleError` where a record can't be read."""
    found = defaultdict(list)
    for info in registry.list(_ALIASES + (f"{alias}/" if alias else "")):
        try:
            record = AliasRecord(**json.loads(registry.get(info.key)))
        except (ValueError, TypeError) as error:
            raise BundleError(f"{registry.uri}/{info.key} is no record of an alias: {error}.") from error
        found[record.alias].append(record)
    return dict(found)


def move_alias(registry: Store, record: AliasRecord) -> None:
    """Write the record, which moves its alias; `RefusedError` where another move came first."""
    key = f"{_ALIASES}{record.alias}/{record.number:08d}.json"
    if not registry.put_if_absent(key, record.to_json()) and registry.get(key) != record.to_json():
        raise RefusedError(
            f"The alias {record.alias!r} of {registry.uri} was moved by somebody else in the meantime: look at it with "
            "fmnist-ray bundle list, and run the command again."
        )
