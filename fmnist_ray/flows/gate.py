"""The gate before an alias: what a bundle reaches on labelled rows, against limits and the bundle that is in use."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from fmnist_ray.bundle.classifier import Classifier
from fmnist_ray.config.bundles import GateLimits, PairSettings
from fmnist_ray.decisions.calibration import expected_calibration_error
from fmnist_ray.errors import CatalogueError, ParityError
from fmnist_ray.flows.bundle_pair import Opened, Pair, Side, answer_both, open_bundle
from fmnist_ray.reports.comparison import compare

_SPEED_ROWS = 256
_SPEED_ROUNDS = 5
_BROKEN_PROMISE = 0.05
"""Probability of so few right ones among the accepted rows, were the promise kept, below which it is called broken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One figure of the gate."""

    name: str
    passed: bool
    found: float
    limit: float
    says: str
    """The figure and its limit, in words."""


def run_gate(
    settings: PairSettings, limits: GateLimits, *, on_progress: Callable[[int, int], None] | None = None
) -> list[Check]:
    """Every check of `settings.after`, in the place of `settings.before`; where both are the same bundle, of that
    bundle by itself. Where its golden rows fail, that is the only check.

    `CatalogueError` where no row has a label that the bundles know; otherwise raises as `answer_both`.
    """
    try:
        after = open_bundle(settings.after, settings.min_precision)
    except ParityError as error:
        return [Check(name="parity", passed=False, found=float("inf"), limit=0.0, says=error.message)]
    same = settings.before == settings.after
    before = after if same else open_bundle(settings.before, settings.min_precision)
    pair = answer_both(settings, before.classifier, after.classifier, on_progress=on_progress, num_cells=_SPEED_ROWS)
    if not pair.labelled.any():
        raise CatalogueError(f"{settings.data_uri} has no row with a label that the bundles know: a gate needs them.")
    truth = pair.truth[pair.labelled]
    old, new = pair.before.take(pair.labelled), pair.after.take(pair.labelled)
    return [
        _parity(after.classifier),
        _accuracy(truth, old, new, limits),
        _calibration(truth, new, limits),
        *_contract(truth, new, pair, settings, after, limits),
        _flips(pair, limits),
        _speed(before.classifier, after.classifier, pair.cells, limits),
    ]


def _parity(classifier: Classifier) -> Check:
    golden = classifier.golden
    return Check(
        name="parity",
        passed=True,
        found=golden.max_logit_difference,
        limit=golden.tolerance,
        says=f"{golden.num_rows} golden rows answered as when it was made, logits within "
        f"{golden.max_logit_difference:.2g} (allowed: {golden.tolerance:.2g})",
    )


def _accuracy(truth: NDArray[np.int64], old: Side, new: Side, limits: GateLimits) -> Check:
    found = compare(truth, new.label_ids, old.label_ids)
    accuracy = (found.num_both_right + found.num_only_first) / found.num_rows
    limit = max(limits.min_accuracy, accuracy - found.difference - limits.max_accuracy_loss)
    return Check(
        name="accuracy",
        passed=accuracy >= limit,
        found=accuracy,
        limit=limit,
        says=f"accuracy {accuracy:.2%} of {len(truth):,} labelled rows, {100 * found.difference:+.2f} points "
        f"(McNemar p {found.p_value:.2g}); at least {limit:.2%}",
    )


def _calibration(truth: NDArray[np.int64], new: Side, limits: GateLimits) -> Check:
    found = expected_calibration_error(new.confidences, new.label_ids == truth)
    limit = limits.max_calibration_error
    return Check(
        name="calibration",
        passed=found <= limit,
        found=found,
        limit=limit,
        says=f"calibration error {found:.2%}; at most {limit:.2%}",
    )


def _contract(
    truth: NDArray[np.int64], new: Side, pair: Pair, settings: PairSettings, after: Opened, limits: GateLimits
) -> Iterator[Check]:
    """Whether accepted rows are as good as promised, and how many there are."""
    promise = settings.min_precision
    if promise is None:
        return
    if new.accepted is None:
        yield Check(name="contract", passed=False, found=0.0, limit=promise, says=str(after.no_promise))
        return
    right = (new.label_ids == truth)[new.accepted]
    num_accepted, num_right = len(right), int(right.sum())
    chance = float(binom.cdf(num_right, num_accepted, promise)) if num_accepted else 1.0
    precision = num_right / num_accepted if num_accepted else 1.0
    yield Check(
        name="contract",
        passed=chance >= _BROKEN_PROMISE,
        found=precision,
        limit=promise,
        says=f"of {num_accepted:,} accepted rows {precision:.2%} are right, promised {promise:.2%} (chance of so few "
        f"or fewer: {chance:.2g})",
    )
    before, share = pair.before.accepted_share, pair.after.accepted_share
    if before is not None and share is not None:
        limit = before - limits.max_accepted_loss
        says = f"{share:.1%} of rows accepted, before {before:.1%}; at least {limit:.1%}"
        yield Check(name="accepted", passed=share >= limit, found=share, limit=limit, says=says)


def _flips(pair: Pair, limits: GateLimits) -> Check:
    share = float((pair.before.label_ids != pair.after.label_ids).mean())
    return Check(
        name="flips",
        passed=share <= limits.max_flips,
        found=share,
        limit=limits.max_flips,
        says=f"{share:.2%} of rows get another label; at most {limits.max_flips:.2%}",
    )


def _speed(before: Classifier, after: Classifier, cells: list[object], limits: GateLimits) -> Check:
    """From encoded images to decisions, by the processor's time, of which what else the machine does takes none; by
    turns, the best of each."""
    best = [float("inf"), float("inf")]
    for _ in range(_SPEED_ROUNDS):
        for number, classifier in enumerate((before, after)):
            started = time.process_time()
            classifier.answer(cells)
            best[number] = min(best[number], time.process_time() - started)
    rates = [len(cells) / seconds for seconds in best]
    limit = limits.min_speed * rates[0]
    return Check(
        name="speed",
        passed=rates[1] >= limit,
        found=rates[1],
        limit=limit,
        says=f"{rates[1]:,.0f} rows/s per core, before {rates[0]:,.0f}; at least {limit:,.0f}",
    )
