"""The precision contract: from which confidence on a row may be accepted, so that a promised precision holds.

Learn-then-test (Angelopoulos et al., arXiv 2110.01052): each threshold of a fixed sequence, from strict to loose, is a
hypothesis "the precision above it is below the promise", tested on held-out rows by an exact binomial tail. Testing
starts anew at several places of the sequence, and what was rejected hands its share of the risk to its successor (the
fallback procedure of Wiens and Dmitrienko, 2005), so one early mistake does not end it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmnist_ray.config.decisions import Promises
from fmnist_ray.errors import RefusedError
from fmnist_ray.labels import Labels

_STARTS = {0.5: 0.1, 1.0: 0.8, 4.0: 0.1}
"""Where testing starts, and with which share of the risk: 1 - confidence, as a multiple of 1 - promise. At 1 a network
that is calibrated keeps the promise with room to spare; the others catch what fails there."""
NEVER = 2.0
"""A threshold that no confidence reaches."""
_STEP = 1.1
"""From one threshold to the next, 1 - confidence grows by this factor."""


@dataclass(frozen=True, slots=True)
class _Sequence:
    """The thresholds of one promise, from strict to loose, and the share of the risk with which each is entered."""

    thresholds: NDArray[np.float64]
    shares: NDArray[np.float64]

    @classmethod
    def of(cls, min_precision: float) -> _Sequence:
        """Depends on nothing but the promise: a sequence that looked at the labels would void the test."""
        allowed = 1 - min_precision
        first = min(_STARTS) * allowed
        num_steps = math.ceil(math.log(1 / first) / math.log(_STEP))
        distances = np.append(first * _STEP ** np.arange(num_steps), 1.0)
        shares = np.zeros(len(distances))
        for start, share in _STARTS.items():
            shares[min(int(np.searchsorted(distances, start * allowed * (1 - 1e-9))), len(shares) - 1)] += share
        return cls(1 - distances, shares)


def accept_thresholds(
    confidences: NDArray[np.floating],
    label_ids: NDArray[np.integer],
    correct: NDArray[np.bool_],
    *,
    labels: Labels,
    promises: Promises,
) -> NDArray[np.float64]:
    """The lowest confidence [K] at which a row of each predicted class is accepted; above 1 where none is.

    `confidences`, `label_ids` and `correct` [N] are of held-out rows. Without `per_class` all classes have the same.
    Raises `RefusedError` with the number of rows that would be needed where these are too few, or the reason why no
    number would do.
    """
    assert promises.min_precision is not None
    if not promises.per_class:
        found = _loosest(confidences, correct, promises.min_precision, promises.risk)
        if found is None:
            raise RefusedError(_refusal(confidences, correct, promises, "Held-out rows"))
        return np.full(len(labels), found)
    thresholds = np.full(len(labels), NEVER)
    for label, name in enumerate(labels):
        rows = label_ids == label
        found = _loosest(confidences[rows], correct[rows], promises.min_precision, promises.risk)
        if found is not None:
            thresholds[label] = found
        elif rows.sum() < rows_without_mistake(promises):
            raise RefusedError(
                _refusal(confidences[rows], correct[rows], promises, f"Held-out rows answered with {name!r}")
            )
    return thresholds


def rows_without_mistake(promises: Promises) -> int:
    """How many accepted rows prove the promise if every one of them is right."""
    assert promises.min_precision is not None
    return math.ceil(math.log(max(_STARTS.values()) * promises.risk) / math.log(promises.min_precision))


def _loosest(
    confidences: NDArray[np.floating], correct: NDArray[np.bool_], min_precision: float, risk: float
) -> float | None:
    """The lowest threshold that is proven, None where none is."""
    sequence = _Sequence.of(min_precision)
    num_accepted, num_wrong = _counts(confidences, correct, sequence.thresholds)
    tails = _tails(num_wrong, num_accepted, min_precision)
    found, inherited = None, 0.0
    for threshold, tail, share in zip(sequence.thresholds, tails, sequence.shares, strict=True):
        level = inherited + share * risk
        rejected = tail <= level
        inherited = level if rejected else 0.0
        found = float(threshold) if rejected else found
    return found


def _tails(num_wrong: NDArray[Any], num_accepted: NDArray[Any], min_precision: float) -> NDArray[np.float64]:
    """The chance of so few wrong rows if the precision were just below the promise."""
    from scipy.stats import binom

    return np.asarray(binom.cdf(num_wrong, num_accepted, 1 - min_precision))


def _counts(
    confidences: NDArray[np.floating], correct: NDArray[np.bool_], thresholds: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows at or above each threshold, and those of them that are wrong."""
    every = np.sort(np.asarray(confidences, np.float64))
    wrong = np.sort(np.asarray(confidences, np.float64)[~correct])
    return len(every) - np.searchsorted(every, thresholds), len(wrong) - np.searchsorted(wrong, thresholds)


def _refusal(confidences: NDArray[np.floating], correct: NDArray[np.bool_], promises: Promises, which: str) -> str:
    """Why nothing is proven, and how many rows would do if they were like these."""
    assert promises.min_precision is not None
    sequence = _Sequence.of(promises.min_precision)
    entered = sequence.shares > 0
    num_accepted, num_wrong = _counts(confidences, correct, sequence.thresholds[entered])
    growth = np.geomspace(1, 1e5, 500)
    needed = []
    for accepted, wrong, share in zip(num_accepted, num_wrong, sequence.shares[entered], strict=True):
        if accepted:
            tails = _tails(np.ceil(growth * wrong), np.ceil(growth * accepted), promises.min_precision)
            needed += (growth[tails <= share * promises.risk] * len(confidences)).tolist()[:1]
    promise = f"a precision of {promises.min_precision:g} at a risk of {promises.risk:g}"
    if needed:
        rows = max(math.ceil(min(needed)), rows_without_mistake(promises))
        return (
            f"{which} are too few to promise {promise}: there are {len(confidences):,}, and about {rows:,} like them "
            "would be needed. Calibrate with more rows, or promise less."
        )
    return (
        f"{which} can't prove {promise} at any confidence, however many there were of the same kind: of "
        f"{len(confidences):,} rows {int((~correct).sum()):,} are wrong. Promise less, or train a better network."
    )
