"""Aliases of a registry: put a bundle under one, promote a better one through the gate, go back to the one before."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from fmnist_ray.bundle.aliases import AliasRecord, Move, copy_uri, history, move_alias, split_alias
from fmnist_ray.bundle.format import Bundle, copy_bundle, read_bundle
from fmnist_ray.config.bundles import GateLimits, PairSettings
from fmnist_ray.errors import RefusedError, SettingError
from fmnist_ray.flows.bundle_pair import open_bundle
from fmnist_ray.flows.gate import Check, run_gate
from fmnist_ray.store import Store, open_store


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """What a promotion came to."""

    alias: str
    digest: str
    previous: str | None
    """Digest of the bundle that the alias meant before."""
    promoted: bool
    """False where a check failed, or where the alias means this bundle already."""
    checks: list[Check]

    @property
    def failed(self) -> list[Check]:
        """The checks that were not passed."""
        return [check for check in self.checks if not check.passed]


def add_bundle(bundle: str, reference: str) -> AliasRecord:
    """Copy a bundle into a registry under an alias that is not promoted to, such as `candidate`.

    Its golden rows are scored first: `ParityError`. `RefusedError` for an alias that a gate guards.
    """
    registry, alias = _split(reference)
    moves = history(registry, alias)
    if any(record.move == "promote" for record in moves):
        raise RefusedError(f"{reference} is guarded by a gate: use fmnist-ray bundle promote, or another alias.")
    open_bundle(bundle, None)
    return _move(registry, alias, read_bundle(bundle), moves, move="add", source=bundle)


def promote(
    bundle: str,
    reference: str,
    settings: PairSettings,
    limits: GateLimits,
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> Promotion:
    """Let the alias mean `bundle` if it passes every check against the one that it means now; a first one is judged by
    itself. What is judged is what is promoted, byte for byte, even if `bundle` is replaced meanwhile.

    `settings` say on which rows; their bundles are set here. `RefusedError` where somebody else moved the alias
    meanwhile.
    """
    registry, alias = _split(reference)
    moves = history(registry, alias)
    found = read_bundle(bundle)
    previous = moves[-1].digest if moves else None
    if previous == found.digest:
        return Promotion(alias=alias, digest=found.digest, previous=previous, promoted=False, checks=[])
    copy = copy_uri(registry, found.digest)
    copy_bundle(found, open_store(copy))
    pair = dataclasses.replace(settings, before=copy_uri(registry, previous) if previous else copy, after=copy)
    checks = run_gate(pair, limits, on_progress=on_progress)
    promoted = all(check.passed for check in checks)
    if promoted:
        _move(registry, alias, found, moves, move="promote", source=bundle, checks=checks)
    return Promotion(alias=alias, digest=found.digest, previous=previous, promoted=promoted, checks=checks)


def rollback(reference: str) -> AliasRecord:
    """Let the alias mean the bundle that it meant before its last promotion that was not gone back on.

    `RefusedError` where there is none.
    """
    registry, alias = _split(reference)
    moves = history(registry, alias)
    stack: list[str] = []
    for record in moves:
        if record.move == "rollback":
            stack.pop()
        else:
            stack.append(record.digest)
    if len(stack) < 2:
        raise RefusedError(f"{reference} can't go back: it means its first bundle, or none. Look at bundle list.")
    found = read_bundle(copy_uri(registry, stack[-2]))
    return _move(registry, alias, found, moves, move="rollback", source=stack[-1])


def _split(reference: str) -> tuple[Store, str]:
    parts = split_alias(reference)
    if parts is None:
        raise SettingError(f"{reference} is no alias of a registry: write REGISTRY@ALIAS, as in shop/bundles@default.")
    return open_store(parts[0]), parts[1]


def _move(
    registry: Store,
    alias: str,
    bundle: Bundle,
    moves: list[AliasRecord],
    *,
    move: Move,
    source: str,
    checks: list[Check] | None = None,
) -> AliasRecord:
    copy_bundle(bundle, open_store(copy_uri(registry, bundle.digest)))
    record = AliasRecord(
        alias=alias,
        number=moves[-1].number + 1 if moves else 1,
        digest=bundle.digest,
        previous=moves[-1].digest if moves else None,
        move=move,
        source=source,
        moved_at=datetime.now(UTC).isoformat(),
        checks=[dataclasses.asdict(check) for check in checks or []],
    )
    move_alias(registry, record)
    return record
