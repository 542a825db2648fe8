"""Trying again for as long as an answer may still come, and no longer."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

from fmnist_ray.errors import StoreError

RETRY_FOR_S = 90.0
"""Seconds after which the first failure counts as an outage. A store that throttles recovers well within; one that is
down for longer fails the attempt, and the run is resumed later."""

_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 5.0
_SILENT_S = 5.0
"""Seconds of trouble after which a warning says why nothing happens."""
_LOG = logging.getLogger(__name__)

T = TypeVar("T")


class TransientError(StoreError):
    """A failure that another try may not meet. Never leaves the room."""


def with_retries(action: Callable[[int], T], *, budget_s: float = RETRY_FOR_S) -> T:
    """What `action` returns; it is told the number of the try, from 0. After a `TransientError` it is called again,
    until `budget_s` is spent: then `StoreError`. Waits double, and are drawn at random so that workers do not come back
    all at once. The budget covers a whole call, request and body: no clock starts anew with a part of it."""
    deadline = time.monotonic() + budget_s
    warned = False
    number = 0
    while True:
        try:
            return action(number)
        except TransientError as error:
            wait_s = random.uniform(0.5, 1.0) * min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0**number)
            left_s = deadline - time.monotonic()
            if wait_s > left_s:
                raise StoreError(
                    f"{error.message.rstrip('. ')}, and so for {budget_s:.0f} s, in {number + 1} tries: check the "
                    "store and the way to it, then run the same command again."
                ) from error
            if not warned and budget_s - left_s > _SILENT_S:
                warned = True
                _LOG.warning("%s; trying for another %.0f s.", error.message.rstrip(". "), left_s)
        time.sleep(wait_s)
        number += 1
