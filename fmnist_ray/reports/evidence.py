"""Evidence that a share has changed, which may be looked at every night.

Given the totals of tonight and of all nights before, the rows of a kind that fall on tonight are hypergeometric if
nothing changed. The p-values of successive nights, each against all before it, are then independent of each other, and
so are the e-values made of them (Vovk and Wang, Annals of Statistics 2021): nonnegative, with a mean of at most 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln


def e_values(
    tonight: NDArray[np.int64], num_tonight: int, before: NDArray[np.int64], num_before: int
) -> NDArray[np.float64]:
    """For each cell, an e-value against "tonight's rows fall into it as the rows before did": counts [n] of `num` rows.

    From the two-sided tail of the hypergeometric distribution, bounded by a geometric series (its successive ratios
    fall), through the calibrator (1 - p + p ln p) / (p ln² p), whose mean over uniform p is 1.
    """
    upper = _tail(tonight, num_tonight, tonight + before, num_tonight + num_before)
    lower = _tail(before, num_before, tonight + before, num_tonight + num_before)
    p = np.clip(2 * np.exp(np.minimum(upper, lower)), 1e-250, 1 - 1e-6)
    log = np.log(p)
    calibrated: NDArray[np.float64] = (1 - p + p * log) / (p * log**2)
    return calibrated


def _tail(found: NDArray[np.int64], drawn: int, marked: NDArray[np.int64], total: int) -> NDArray[np.float64]:
    """Log of an upper bound on the chance of at least `found` marked rows among `drawn` of `total`, `marked` in all."""
    ratio = (marked - found) * (drawn - found) / ((found + 1.0) * (total - marked - drawn + found + 1.0))
    log = _log_choose(marked, found) + _log_choose(total - marked, drawn - found) - _log_choose(total, drawn)
    bound = log - np.log1p(-np.minimum(ratio, 1 - 1e-12))
    limited: NDArray[np.float64] = np.where(ratio < 1, np.minimum(bound, 0.0), 0.0)
    return limited


def _log_choose(of: Any, some: Any) -> Any:
    return gammaln(of + 1.0) - gammaln(some + 1.0) - gammaln(of - some + 1.0)
