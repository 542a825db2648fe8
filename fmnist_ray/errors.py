"""Every exception of the package.

FmnistRayError
├── InputError                what was given can't be used                        exit 2
│   ├── SettingError          a setting outside its allowed values
│   ├── CatalogueError        a catalogue that can't be read, or lacks a column
│   ├── BundleError           a bundle that isn't there or isn't one
│   ├── DivergedError         training whose loss is no longer a number
│   ├── ImageRejected         one image that gets no prediction; carries the reject reason
│   └── RefusedError          it could be done, but a safeguard says no            exit 3
│       ├── OutputTakenError  the output place holds another plan's run
│       ├── RejectBudgetError more rows were rejected than a run may have
│       └── ParityError       a bundle that was changed, or answers unlike its golden rows
└── WorldError                the request was fine, the world was not              exit 1
    ├── SourceError           a data set can't be had from any source
    ├── ClusterError          Ray can't be started, joined, or lacks resources
    ├── WorkerDiedError       worker processes ended without an answer
    ├── VerifyError           committed results are no longer what was committed
    └── StoreError            a store that did not do what was asked               exit 4
        ├── NotFoundError     no object of that name
        ├── TooLargeError     an object has more bytes than were asked for
        ├── ChangedError      an object was replaced while it was being read
        ├── AccessDeniedError a permission is missing
        └── IncompleteError   shards are left; the same command again resumes

A message is one sentence or two: what was found, what is allowed, what to change.
"""

from __future__ import annotations

from typing import Any


class FmnistRayError(Exception):
    """Base of all errors that are part of the interface: shown as a sentence, never as a traceback."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InputError(FmnistRayError):
    """What the user gave can't be used."""

    exit_code = 2


class SettingError(InputError):
    """A setting has a value outside its allowed range."""


class CatalogueError(InputError):
    """A catalogue can't be read, or lacks what the run needs."""


class BundleError(InputError):
    """A bundle is missing, or the folder is not a bundle of a known format."""


class DivergedError(InputError):
    """Training with these settings led to a loss that is no number."""


class ImageRejected(InputError):
    """One image gets no prediction. `reason` is one of `schema.Reason`, `detail` says what was found."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.reason, self.detail)


class RefusedError(InputError):
    """The request is possible, but a safeguard refuses it; the message names the way past it."""

    exit_code = 3


class OutputTakenError(RefusedError):
    """The output place already holds the results of another plan."""


class RejectBudgetError(RefusedError):
    """More rows were rejected than the failure budget allows."""


class ParityError(RefusedError):
    """A bundle does not answer as it did when it was written, or one of its files was changed."""


class WorldError(FmnistRayError):
    """The request was fine, but something outside the program failed."""


class SourceError(WorldError):
    """A data set can't be had from any of its sources."""


class ClusterError(WorldError):
    """Ray can't be started or joined, or it lacks the resources that were asked for."""


class WorkerDiedError(WorldError):
    """Worker processes ended without returning an outcome."""


class VerifyError(WorldError):
    """Committed results are missing or differ from what was committed."""


class StoreError(WorldError):
    """A store did not do what was asked; the same command may succeed later."""

    exit_code = 4


class NotFoundError(StoreError):
    """There is no object under that name."""


class TooLargeError(StoreError):
    """An object has more bytes than the reader wants to hold."""


class ChangedError(StoreError):
    """An object is not the one that was planned: it was replaced or removed since."""


class AccessDeniedError(StoreError):
    """A permission is missing; the message names it."""


class IncompleteError(StoreError):
    """Some shards have no receipt; the same command again completes them."""
